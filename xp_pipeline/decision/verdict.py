"""Verdicts, their reasons, and what would have changed them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Verdict(StrEnum):
    """What the rule recommends.

    ``not_due`` before its time and ``not_decidable`` where the data forbids it; ``running`` between the looks of a
    sequential design, ``extend`` past a planned end that a re-estimate has moved, ``rerun`` where it is not settled and
    nothing is planned that could settle it.
    """

    SHIP = "ship"
    DO_NOT_SHIP = "do_not_ship"
    RUNNING = "running"
    EXTEND = "extend"
    RERUN = "rerun"
    NOT_DECIDABLE = "not_decidable"
    NOT_DUE = "not_due"


@dataclass(frozen=True)
class Reason:
    """One condition: whether it held, as a sentence; None for a remark that nothing depends on."""

    holds: bool | None
    sentence: str


@dataclass(frozen=True)
class Change:
    """One number that would have been different.

    Attributes:
        quantity: The margin of a guardrail, or the effect at the standard error it has.
        now, needed: In the metric's unit, or as shares of |mean_control| where ``relative``; ``needed`` is
            rounded away from ``now`` to three digits, so that it suffices as it is read.
        distance: From now to needed, in standard errors of the effect; inf where that is unknown.
    """

    metric: str
    quantity: Literal["margin", "effect"]
    now: float
    needed: float
    relative: bool
    distance: float


@dataclass(frozen=True)
class Counterfactual:
    """The least that would have led to another verdict, all else being as it is.

    Attributes:
        verdict: The verdict after the changes.
        changes: Which together have the smallest distance, none of them superfluous.
        sentence: The same in words.
    """

    verdict: Verdict
    changes: tuple[Change, ...]
    sentence: str


@dataclass(frozen=True)
class Decision:
    """The recommendation about one treatment arm, by a named rule.

    Attributes:
        counterfactual: None where no estimate was judged, or none that could turn the verdict.
    """

    arm: str
    verdict: Verdict
    rule: str
    reasons: tuple[Reason, ...]
    counterfactual: Counterfactual | None = None
