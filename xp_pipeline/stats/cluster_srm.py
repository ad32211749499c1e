"""Two-level sample ratio mismatch: clusters against the design, then units given the clusters of each arm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from scipy import special

from xp_pipeline.stats.estimates import NAN, Status
from xp_pipeline.stats.means import SMALLEST_P
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.srm import SRM, chi_square_phases

FEWEST_CLUSTERS = 10
"""Clusters that an arm needs for the law of units given clusters."""

LARGE_SKEWNESS = 0.3
"""Skewness of an arm's mean size beyond which tests at 0.001 were measured to reject two to four times as often."""

SizePhase = tuple[Mapping[str, Moments], Mapping[str, float]]
"""Sizes of the clusters by arm, and the weights in force when they were assigned."""


@dataclass(frozen=True)
class ClusterSRM:
    """A test of the sample ratio at both levels.

    Attributes:
        clusters: Clusters, which are what was randomised, against the design: a fault of assignment.
        units: Units against those expected of as many clusters as each arm got: a fault after assignment, such as
            units lost or joining in one arm. ``expected`` is the arm's clusters times the common mean size.
        design_effect: How many times a chi-square of units against the design is too large, sum m^2 / sum m over
            cluster sizes m; NaN without units.
    """

    clusters: SRM
    units: SRM
    design_effect: float

    @property
    def p_value(self) -> float:
        """Of both levels together, by Bonferroni over those that can be tested; NaN where neither can."""
        tested = [level.p_value for level in (self.clusters, self.units) if level.status == Status.OK]
        return min(1.0, len(tested) * min(tested)) if tested else NAN


def cluster_srm(sizes: Mapping[str, Moments], weights: Mapping[str, float]) -> ClusterSRM:
    """Chi-square of clusters, and of units given clusters; for a one-off analysis.

    Units of a cluster come together, so their chi-square against the design would reject far too often. Given
    n_a clusters in arm a, random assignment makes the sizes of each arm a sample from all G without
    replacement, and

        sum_a n_a (mean_a - mean)^2 / S^2,    S^2 = sum_g (m_g - mean)^2 / (G - 1),

    is chi-square with one degree of freedom less than arms: the Kruskal-Wallis form with sizes in place of ranks
    (Kruskal 1952, Ann. Math. Statist. 23). Conditioning takes away the variance of the numbers of clusters,
    which would hide units lost within them, and makes the two levels independent in large samples.

    Only arms of positive weight count. Units are not testable with fewer than 10 clusters in one of them, or where
    all clusters are of one size; skewed sizes in a small arm make the law approximate, and the answer says so.

    Args:
        sizes: Moments by arm of the number of units in each cluster (variable 0).
        weights: Designed weight of clusters by arm, of any positive sum.
    """
    return cluster_srm_phases([(sizes, weights)])


def cluster_srm_phases(phases: Iterable[SizePhase]) -> ClusterSRM:
    """Against the weights in force: statistics and df are summed over allocation phases.

    Phases that are not testable at a level are left out of it and counted in its ``reason``.
    """
    given = [(dict(sizes), weights) for sizes, weights in phases]
    clusters = chi_square_phases(({arm: m.n for arm, m in sizes.items()}, weights) for sizes, weights in given)
    arms = [{arm: sizes.get(arm, Moments.empty(1)).take([0]) for arm, w in weights.items() if w > 0}
            for sizes, weights in given]  # fmt: skip
    every = Moments.merge(Moments.empty(1), *(m for phase in arms for m in phase.values()))
    units = every.n * float(every.mean[0])
    squares = float(every.comoment[0, 0]) + units * float(every.mean[0])
    return ClusterSRM(clusters, _units([_Level.of(phase) for phase in arms]), squares / units if units else NAN)


class _Level(NamedTuple):
    """Units given clusters, in one phase.

    Attributes:
        observed, expected: Units by arm, and those of as many clusters of the common mean size.
        statistic, df: Of the test; NaN and 0 where there is none.
        why_not: Why it cannot be tested; empty when it can.
        skewed: Whether its law is approximate.
    """

    observed: dict[str, int]
    expected: dict[str, float]
    statistic: float
    df: int
    why_not: str
    skewed: bool

    @classmethod
    def of(cls, arms: Mapping[str, Moments]) -> _Level:
        every = Moments.merge(Moments.empty(1), *arms.values())
        mean, variance = float(every.mean[0]), every.variance()
        observed = {arm: round(m.n * float(m.mean[0])) if m.finite else 0 for arm, m in arms.items()}
        expected = {arm: m.n * mean for arm, m in arms.items()}
        if why_not := _why_not(arms, variance):
            return cls(observed, expected, NAN, 0, why_not, False)
        statistic = math.fsum(m.n * (float(m.mean[0]) - mean) ** 2 for m in arms.values()) / variance
        shares = [m.n / every.n for m in arms.values()]
        skewness = max(abs(1 - 2 * s) / math.sqrt(s * (1 - s) * every.n) for s in shares) * abs(every.skewness())
        return cls(observed, expected, statistic, len(arms) - 1, "", skewness > LARGE_SKEWNESS)


def _why_not(arms: Mapping[str, Moments], variance: float) -> str:
    if len(arms) < 2:
        return "fewer than two arms have a positive weight"
    if not all(m.finite for m in arms.values()):
        return "a cluster's size is infinite or not a number"
    fewest = min(m.n for m in arms.values())
    if fewest < FEWEST_CLUSTERS:
        return f"{fewest} clusters in the smallest arm; {FEWEST_CLUSTERS} are needed"
    return "" if variance > 0 else "all clusters are of one size, so that units say no more than clusters"


def _units(levels: list[_Level]) -> SRM:
    """The test of units over phases."""
    usable = [level for level in levels if not level.why_not]
    shown = usable or levels
    observed, expected = _summed([v.observed for v in shown]), _summed([v.expected for v in shown])
    counts = {arm: int(units) for arm, units in observed.items()}
    if not usable:
        several = f"none of {len(levels)} phases can be tested"
        reason = levels[0].why_not if len(levels) == 1 else several
        return SRM(Status.NOT_TESTABLE, reason, NAN, 0, NAN, expected, counts)
    statistic, df = math.fsum(level.statistic for level in usable), sum(level.df for level in usable)
    left_out = len(levels) - len(usable)
    reasons = [f"{left_out} of {len(levels)} phases left out"] if left_out else []
    if any(level.skewed for level in usable):
        reasons.append("sizes are skewed and an arm is small: the p-value is approximate")
    p_value = max(float(special.chdtrc(df, statistic)), SMALLEST_P)
    deviation = max(abs(observed[arm] - expected[arm]) for arm in expected) / sum(observed.values())
    return SRM(Status.OK, "; ".join(reasons), statistic, df, p_value, expected, counts, max_share_deviation=deviation)


def _summed(tables: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Sums by arm over phases."""
    sums: dict[str, float] = {}
    for table in tables:
        for arm, units in table.items():
            sums[arm] = sums.get(arm, 0.0) + units
    return sums
