"""What the section on looks is built from: the readings of the ledger, and the boundaries still planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

BoundariesAhead = Mapping[str, Sequence[tuple[int, float]]]
"""By test, the day since the start and the boundary of each look still planned."""

NONE_AHEAD: BoundariesAhead = {}


class LookTest(TypedDict):
    """One test at one look, as the ledger keeps it.

    Attributes:
        look: Number of the look among those that claim.
        units: Units of both arms.
        crossed: 1 or -1 where the upper or lower boundary was crossed, else 0.
        share: Group-sequential: share of the planned time.
        alpha_spent: Group-sequential: error rate of one side spent so far.
        upper, z: Group-sequential: the boundary, and the statistic.
        p: Always-valid: the smallest p-value so far.
        effect, low, high: Always-valid: the effect with its interval.
    """

    look: int
    units: int
    crossed: int
    share: NotRequired[float]
    alpha_spent: NotRequired[float]
    upper: NotRequired[float]
    z: NotRequired[float]
    p: NotRequired[float]
    effect: NotRequired[float]
    low: NotRequired[float]
    high: NotRequired[float]


class LookEntry(TypedDict):
    """One reading, as the ledger keeps it: its day, whether it claims, what it spent, and its tests by name."""

    as_of: str | None
    final: bool
    claims: bool
    alpha_spent: float
    tests: Mapping[str, LookTest]
