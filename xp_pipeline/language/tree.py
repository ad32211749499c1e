"""The syntax tree of an assignment program: frozen nodes that compare by content, however deep they nest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple, TypeAlias


class Position(NamedTuple):
    """Where in the text a node begins; lines and columns count from 1."""

    line: int
    column: int


def place(where: str, at: Position | None) -> str:
    """``where:line:column``, or just where when a node was not read from a text."""
    return f"{where}:{at.line}:{at.column}" if at else where


class LogicalOperatorEnum(Enum):
    """What a comparison asks of its two terms."""

    EQ = "=="
    NE = "!="
    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="
    IN = "in"
    NOT_IN = "not in"


class BooleanOperatorEnum(Enum):
    """What joins predicates."""

    AND = "and"
    OR = "or"
    NOT = "not"


class ConditionalType(Enum):
    """How a conditional was introduced."""

    IF = "if"
    ELIF = "else if"
    ELSE = "else"


class Node:
    """Base of the tree: equality, hash and text without recursion, so that any depth is safe.

    Literals compare with their type: ``1``, ``1.0`` and ``"1"`` are three arms. Positions are not compared.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return list(tokens(self)) == list(tokens(other))

    def __hash__(self) -> int:
        return hash(tuple(tokens(self)))

    def __repr__(self) -> str:
        shown = " ".join(str(value) for _, value in tokens(self))
        return f"<{shown[:300]}>"


@dataclass(frozen=True, eq=False, repr=False)
class Identifier(Node):
    """A field of the unit."""

    name: str
    at: Position | None = field(default=None)


Literal: TypeAlias = int | float | str
Term: TypeAlias = "Literal | Identifier | tuple[Term, ...]"


@dataclass(frozen=True, eq=False, repr=False)
class ExperimentGroup(Node):
    """An arm of a split: its label, and its weight relative to the other arms of the split."""

    group_definition: Literal
    group_weight: int | float
    at: Position | None = field(default=None)

    def __post_init__(self) -> None:
        if isinstance(self.group_weight, bool) or not self.group_weight >= 0:
            raise ValueError(f"a weight is a number that is not negative; found {self.group_weight!r}")


@dataclass(frozen=True, eq=False, repr=False)
class TerminalPredicate(Node):
    """A comparison of two terms, each a literal, a field or a list of terms."""

    left_term: Term
    logical_operator: LogicalOperatorEnum
    right_term: Term
    at: Position | None = field(default=None)


@dataclass(frozen=True, eq=False, repr=False)
class RecursivePredicate(Node):
    """Two predicates joined by ``and`` or ``or``, or one negated (then there is no right one)."""

    left_predicate: Predicate
    boolean_operator: BooleanOperatorEnum
    right_predicate: Predicate | None

    def __post_init__(self) -> None:
        if (self.right_predicate is None) != (self.boolean_operator is BooleanOperatorEnum.NOT):
            raise ValueError("'not' takes one predicate, 'and' and 'or' take two")


@dataclass(frozen=True, eq=False, repr=False)
class ExperimentConditional(Node):
    """A branch, and where those go for whom its predicate does not hold.

    An ``else`` is the false branch of the node before it, and has no predicate and no false branch.
    """

    conditional_type: ConditionalType
    predicate: Predicate | None
    true_branch: Branch
    false_branch: Branch | None
    at: Position | None = field(default=None)

    def __post_init__(self) -> None:
        _freeze(self, "true_branch", "false_branch")
        last = self.conditional_type is ConditionalType.ELSE
        if (self.predicate is None) != last or (last and self.false_branch is not None):
            raise ValueError("'if' and 'else if' have a predicate; 'else' has none, and nothing after it")
        _check_false_branch(self.false_branch)


def _check_false_branch(branch: Branch | None) -> None:
    if isinstance(branch, ExperimentConditional) and branch.conditional_type is ConditionalType.IF:
        raise ValueError("what follows an 'if' is an 'else if' or an 'else'")


@dataclass(frozen=True, eq=False, repr=False)
class ExperimentAST(Node):
    """A program: its id, what splits the traffic, the salt, and one split or a chain of conditionals."""

    id: str
    splitting_fields: tuple[str, ...] | None
    salt: str | None
    conditions: Branch
    at: Position | None = field(default=None)

    def __post_init__(self) -> None:
        _freeze(self, "splitting_fields", "conditions")


def _freeze(node: Node, *names: str) -> None:
    """Turns lists that a node was made with into tuples."""
    for name in names:
        value = getattr(node, name)
        if isinstance(value, list):
            object.__setattr__(node, name, tuple(value))


Predicate: TypeAlias = TerminalPredicate | RecursivePredicate
Branch: TypeAlias = ExperimentConditional | tuple[ExperimentGroup, ...]


def tokens(root: object) -> Iterator[tuple[str, Any]]:
    """The tree in pre-order as flat pairs of type and value, which determine it."""
    pending = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, Node):
            parts = [getattr(item, f.name) for f in fields(item) if f.name != "at"]  # type: ignore[arg-type]
            yield type(item).__name__, len(parts)
            pending.extend(reversed(parts))
        elif isinstance(item, tuple | list):
            yield "list", len(item)
            pending.extend(reversed(item))
        else:
            yield type(item).__name__, _exact(item)


def _exact(value: object) -> object:
    """Zero keeps its sign, enums their text."""
    if isinstance(value, float) and value == 0:
        return f"{math.copysign(0.0, value)}"
    return value.value if isinstance(value, Enum) else value


def comparisons(root: object) -> Iterator[TerminalPredicate]:
    """Every comparison below a node, in the order of the text."""
    pending = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, TerminalPredicate):
            yield item
        elif isinstance(item, Node):
            pending.extend(getattr(item, f.name) for f in reversed(fields(item)))  # type: ignore[arg-type]


def identifiers(term: Term) -> Iterator[Identifier]:
    """The fields that a term reads, in order, as often as it reads them."""
    pending = [term]
    while pending:
        item = pending.pop()
        if isinstance(item, Identifier):
            yield item
        elif isinstance(item, tuple):
            pending.extend(reversed(item))
