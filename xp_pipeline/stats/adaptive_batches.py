"""Adaptively collected data: batches of units, each assigned by the propensities that the earlier ones led to."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.srm import FEWEST_EXPECTED, SRM, Phase, chi_square_phases

_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class AdaptiveBatch:
    """Units that were assigned with the same propensities, all of which were fixed before their outcomes were known.

    Attributes:
        moments: By arm, of the units that the batch assigned to it; variable 0 is the outcome. A missing arm got none.
        propensities: By arm, all arms of the experiment: the probability with which each unit was assigned to it,
            as logged; they sum to 1.
    """

    moments: Mapping[str, Moments]
    propensities: Mapping[str, float]

    @property
    def n(self) -> int:
        """Units of all arms."""
        return sum(arm.n for arm in self.moments.values())

    def arm(self, name: str) -> Moments:
        """Moments of the outcome in an arm."""
        found = self.moments.get(name)
        return Moments.empty(1) if found is None else found.take([0])

    def propensity(self, name: str) -> float:
        """Probability of an arm; 0 where it is not named."""
        return float(self.propensities.get(name, 0.0))

    @property
    def problem(self) -> str:
        """Why nothing can be concluded from it; empty where there is no reason."""
        shares = [float(share) for share in self.propensities.values()]
        if not all(0 <= share <= 1 for share in shares):
            return "a propensity is not a probability"
        if abs(math.fsum(shares) - 1) > _ROUNDING:
            return "the propensities of a batch do not sum to 1"
        if any(arm.n and not self.propensity(name) > 0 for name, arm in self.moments.items()):
            return "a batch has units in an arm of propensity 0"
        if not all(arm.finite for arm in self.moments.values()):
            return "a value is infinite or not a number"
        return ""


def batches_of(
    outcome: ArrayLike,
    arm: Sequence[str] | ArrayLike,
    batch: Sequence[Hashable] | ArrayLike,
    propensities: Mapping[Hashable, Mapping[str, float]],
) -> list[AdaptiveBatch]:
    """Batches from one row per unit.

    Args:
        outcome: Shape (n,).
        arm: Name of the unit's arm, shape (n,).
        batch: Name of the unit's batch, shape (n,).
        propensities: By batch in the order of time, then by arm.

    Raises:
        EvidenceError: the arrays differ in length, or a unit is of a batch or an arm without propensities.
    """
    y, arms, names = np.asarray(outcome, dtype=np.float64), np.asarray(arm), np.asarray(batch)
    if not y.shape == arms.shape == names.shape or y.ndim != 1:
        raise EvidenceError("outcome, arm and batch are one row per unit", found=(y.shape, arms.shape, names.shape))
    cells: dict[tuple[object, object], list[int]] = {}
    for i, key in enumerate(zip(names.tolist(), arms.tolist(), strict=True)):
        cells.setdefault(key, []).append(i)
    strange = [key for key in cells if key[1] not in propensities.get(key[0], ())]
    if strange:
        raise EvidenceError("the log has no propensity for a batch and arm", found=strange[0])
    return [
        AdaptiveBatch({w: Moments.of(y[cells[name, w]]) for w in shares if (name, w) in cells}, shares)
        for name, shares in propensities.items()
    ]


def phases(batches: Sequence[AdaptiveBatch]) -> list[Phase]:
    """Units by arm against propensities, as a test of the sample ratio takes them: a phase per batch, or several.

    Successive batches are one phase until every arm expects 5 units. The weights of a phase are the expected units,
    sum of N_t e_t: the deviation from them is a martingale, whose variance sum N_t e_t (1 - e_t) is at most the
    multinomial one, so a test of pooled batches errs on the quiet side.
    """
    found: list[Phase] = []
    observed: dict[str, int] = {}
    expected: dict[str, float] = {}
    for batch in batches:
        _add(batch, observed, expected)
        if min((e for e in expected.values() if e > 0), default=0.0) >= FEWEST_EXPECTED:
            found.append((observed, expected))
            observed, expected = {}, {}
    if observed and found:
        last, weights = found.pop()
        observed = {w: observed.get(w, 0) + last.get(w, 0) for w in {**last, **observed}}
        expected = {w: expected.get(w, 0.0) + weights.get(w, 0.0) for w in {**weights, **expected}}
    return [*found, (observed, expected)] if observed else found


def sample_ratio(batches: Sequence[AdaptiveBatch]) -> SRM:
    """Whether the arms received the shares that were logged: chi-square against the propensities in force.

    Statistics and degrees of freedom are summed over phases. For a scheduled check, hand ``phases`` to
    ``srm.sequential_phases``.
    """
    return chi_square_phases(phases(batches))


def _add(batch: AdaptiveBatch, observed: dict[str, int], expected: dict[str, float]) -> None:
    for name, share in batch.propensities.items():
        observed[name] = observed.get(name, 0) + batch.arm(name).n
        expected[name] = expected.get(name, 0.0) + batch.n * share
