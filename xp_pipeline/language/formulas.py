"""Conditions over columns of known types, in the few forms that SQL and Polars share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind = Literal["integer", "number", "text", "boolean"]
Operator = Literal["=", "<", "<=", ">", ">="]
Constant: TypeAlias = int | float | str


@dataclass(frozen=True)
class Column:
    """A field; booleans count as integers 1 and 0."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Known:
    """A truth that no unit changes."""

    truth: bool | None


@dataclass(frozen=True)
class Missing:
    """Whether the column is null (or NaN)."""

    column: Column


@dataclass(frozen=True)
class Compare:
    """A comparison of one kind with another of the same kind; null when a side is."""

    operator: Operator
    left: Column
    right: Column | Constant


@dataclass(frozen=True)
class Mixed:
    """A comparison of an integer column with a decimal column, exact; null when a side is."""

    operator: Operator
    integer: Column
    number: Column


@dataclass(frozen=True)
class Among:
    """Whether the column is one of the values, which are of its kind; null when the column is."""

    column: Column
    values: tuple[Constant, ...]


@dataclass(frozen=True)
class Search:
    """Whether a text lies within another; null when a side is."""

    part: Column | str
    whole: Column | str


@dataclass(frozen=True)
class Definite:
    """The condition, with unknown as false."""

    inner: Formula


@dataclass(frozen=True)
class Not:
    """The negation; unknown stays unknown."""

    inner: Formula


@dataclass(frozen=True)
class Every:
    """All hold, after Kleene."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Either:
    """At least one holds, after Kleene."""

    parts: tuple[Formula, ...]


Formula: TypeAlias = Known | Missing | Compare | Mixed | Among | Search | Definite | Not | Every | Either
