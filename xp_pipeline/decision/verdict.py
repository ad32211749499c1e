"""Verdicts and their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the rule recommends; ``not_due`` before the planned end, ``not_decidable`` when data forbids a verdict."""

    SHIP = "ship"
    DO_NOT_SHIP = "do_not_ship"
    EXTEND = "extend"
    NOT_DECIDABLE = "not_decidable"
    NOT_DUE = "not_due"


@dataclass(frozen=True)
class Reason:
    """One condition: whether it held, as a sentence."""

    holds: bool
    sentence: str


@dataclass(frozen=True)
class Decision:
    """The recommendation about one treatment arm, by a named rule."""

    arm: str
    verdict: Verdict
    rule: str
    reasons: tuple[Reason, ...]
