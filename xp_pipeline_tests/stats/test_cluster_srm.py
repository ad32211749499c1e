"""Two-level sample ratio mismatch: true at both levels under the design, and which level finds which fault."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xp_pipeline.stats.cluster_srm import ClusterSRM, cluster_srm, cluster_srm_phases
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.srm import chi_square

Sizes = NDArray[np.float64]
EVEN = {"a": 1.0, "b": 1.0}
SIZES = st.lists(st.integers(1, 50), min_size=10, max_size=40)


def moments(**sizes: list[int] | Sizes) -> dict[str, Moments]:
    return {arm: Moments.of(np.asarray(values, dtype=float)) for arm, values in sizes.items()}


def drawn(sizes: Sizes, share: float, rng: np.random.Generator, *, loss: float = 0.0) -> dict[str, Moments]:
    """Clusters assigned with a share for b, whose units are lost with some probability afterwards."""
    chosen = rng.random(len(sizes)) < share
    kept = rng.binomial(sizes[chosen].astype(int), 1 - loss) if loss else sizes[chosen]
    return moments(a=sizes[~chosen], b=kept)


def rejected(tests: list[ClusterSRM], p: Callable[[ClusterSRM], float], alpha: float) -> float:
    """Share of experiments with a p-value below alpha."""
    return float(np.mean([p(test) < alpha for test in tests]))


def four_sigma(alpha: float, n: int) -> float:
    return 4 * math.sqrt(alpha * (1 - alpha) / n)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_neither_level_rejects_too_often_where_a_test_of_units_would(share: float) -> None:
    """2,000 experiments of 200 clusters, sizes geometric about 5: rates within 4 Monte-Carlo errors (0.0195)."""
    rng, n = np.random.default_rng(7), 2000
    design = {"a": 1 - share, "b": share}
    tests = [cluster_srm(drawn(rng.geometric(0.2, 200).astype(float), share, rng), design) for _ in range(n)]
    naive = rejected(tests, lambda t: chi_square(t.units.observed, design).p_value, 0.05)
    assert naive > 0.4
    for level in (lambda t: t.clusters.p_value, lambda t: t.units.p_value, lambda t: t.p_value):
        assert rejected(tests, level, 0.05) == pytest.approx(0.05, abs=four_sigma(0.05, n))


def test_at_the_blocking_level_the_false_alarms_stay_as_rare_as_they_should() -> None:
    """5,000 experiments of 60 clusters, Poisson sizes about 20: at most 0.001 and 4 Monte-Carlo errors (0.0018)."""
    rng, n = np.random.default_rng(8), 5000
    tests = [cluster_srm(drawn(1.0 + rng.poisson(20, 60), 0.5, rng), EVEN) for _ in range(n)]
    assert rejected(tests, lambda t: t.p_value, 0.001) < 0.001 + four_sigma(0.001, n)
    assert rejected(tests, lambda t: chi_square(t.units.observed, EVEN).p_value, 0.001) > 0.3


def test_units_lost_within_clusters_are_found_at_the_level_of_units() -> None:
    """5 % lost of 200 clusters of about 100: found in more than half at 0.001, which no level of clusters can."""
    rng, n = np.random.default_rng(9), 400
    tests = [cluster_srm(drawn(1.0 + rng.poisson(100, 200), 0.5, rng, loss=0.05), EVEN) for _ in range(n)]
    assert rejected(tests, lambda t: t.units.p_value, 0.001) > 0.5
    assert rejected(tests, lambda t: t.clusters.p_value, 0.05) < 0.05 + four_sigma(0.05, n)
    adjusted = [chi_square(t.units.observed, EVEN).statistic / t.design_effect for t in tests]
    assert np.mean(np.array(adjusted) > 10.83) < 0.02


def test_clusters_assigned_to_the_wrong_shares_are_found_at_the_level_of_clusters() -> None:
    rng = np.random.default_rng(10)
    test = cluster_srm(drawn(1.0 + rng.poisson(5, 4000), 0.45, rng), EVEN)
    assert test.clusters.p_value < 0.001 < test.units.p_value
    assert test.p_value == pytest.approx(2 * test.clusters.p_value)


def test_the_two_levels_are_nearly_independent() -> None:
    rng = np.random.default_rng(11)
    tests = [cluster_srm(drawn(rng.geometric(0.3, 150).astype(float), 0.5, rng), EVEN) for _ in range(1500)]
    pairs = np.array([[t.clusters.statistic, t.units.statistic] for t in tests])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / math.sqrt(1500)


@given(a=SIZES, b=SIZES, c=SIZES)
def test_the_statistic_is_that_of_an_analysis_of_variance_over_the_total_variance(
    a: list[int], b: list[int], c: list[int]
) -> None:
    """Kruskal-Wallis on sizes: (G - 1) times the share of the sum of squares that lies between arms."""
    every = np.array([*a, *b, *c], dtype=float)
    assume(np.ptp(every) > 0)
    between = sum(len(arm) * (np.mean(arm) - every.mean()) ** 2 for arm in (a, b, c))
    found = cluster_srm(moments(a=a, b=b, c=c), {"a": 1, "b": 1, "c": 1}).units
    assert found.statistic == pytest.approx((len(every) - 1) * between / np.sum((every - every.mean()) ** 2), abs=1e-9)
    assert found.df == 2
    assert found.observed == {"a": sum(a), "b": sum(b), "c": sum(c)}
    assert sum(found.expected.values()) == pytest.approx(sum(every))
    assert found.expected["a"] == pytest.approx(len(a) * every.mean())


def test_on_ranks_it_is_the_kruskal_wallis_test_of_scipy() -> None:
    from scipy.stats import kruskal

    ranks = np.random.default_rng(3).permutation(np.arange(1.0, 61.0))
    found = cluster_srm(moments(a=ranks[:20], b=ranks[20:]), {"a": 1, "b": 2}).units
    wanted = kruskal(ranks[:20], ranks[20:])
    assert (found.statistic, found.p_value) == pytest.approx((wanted.statistic, wanted.pvalue))


def test_the_design_effect_is_the_mean_size_a_unit_sees() -> None:
    test = cluster_srm(moments(a=[1] * 10 + [3] * 10, b=[1] * 10 + [3] * 10), EVEN)
    assert test.design_effect == pytest.approx((20 * 1 + 20 * 9) / 80)
    assert test.units.max_share_deviation == 0.0
    alone = cluster_srm(moments(a=[1] * 20, b=[1] * 20), EVEN)
    assert alone.design_effect == 1.0


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        (moments(a=[2, 3] * 10, b=[2] * 9), "9 clusters in the smallest arm; 10 are needed"),
        (moments(a=[2, 3] * 10), "0 clusters in the smallest arm; 10 are needed"),
        (moments(a=[2] * 20, b=[2] * 20), "all clusters are of one size, so that units say no more than clusters"),
        (moments(a=[2, 3] * 10, b=[math.inf] * 20), "a cluster's size is infinite or not a number"),
    ],
)
def test_units_that_cannot_be_tested_say_why(sizes: dict[str, Moments], reason: str) -> None:
    test = cluster_srm(sizes, EVEN)
    assert (test.units.status, test.units.reason) == (Status.NOT_TESTABLE, reason)
    assert math.isnan(test.units.p_value) and math.isnan(test.units.statistic)
    assert test.clusters.status == Status.OK
    assert test.p_value == test.clusters.p_value


def test_where_neither_level_can_be_tested_there_is_no_p_value() -> None:
    for sizes, weights in ((moments(a=[1], b=[2]), EVEN), (moments(a=[1, 2] * 10), {"a": 1.0, "b": 0.0}), ({}, EVEN)):
        test = cluster_srm(sizes, weights)
        assert {test.clusters.status, test.units.status} == {Status.NOT_TESTABLE}
        assert math.isnan(test.p_value)


def test_an_arm_of_weight_zero_does_not_count() -> None:
    sizes = moments(a=[2, 3] * 10, b=[3, 4] * 10, holdout=[90] * 5)
    found, wanted = (
        cluster_srm(sizes, {**EVEN, "holdout": 0.0}),
        cluster_srm(moments(a=[2, 3] * 10, b=[3, 4] * 10), EVEN),
    )
    assert repr(found) == repr(wanted)


def test_skewed_sizes_in_a_small_arm_are_cautioned() -> None:
    rng = np.random.default_rng(12)
    sizes = np.ceil(np.exp(1 + 1.5 * rng.normal(size=400)))
    small = cluster_srm(moments(a=sizes[:360], b=sizes[360:]), {"a": 9, "b": 1}).units
    assert (small.status, small.reason) == (
        Status.OK,
        "sizes are skewed and an arm is small: the p-value is approximate",
    )
    assert cluster_srm(moments(a=sizes[:200], b=sizes[200:]), EVEN).units.reason == ""


def test_phases_are_tested_against_the_weights_in_force_and_sizes_against_those_of_their_phase() -> None:
    """90/10 with small clusters, then 50/50 with large ones: pooled, both levels would be far off."""
    rng = np.random.default_rng(13)
    first = (drawn(1.0 + rng.poisson(3, 1000), 0.1, rng), {"a": 9, "b": 1})
    second = (drawn(1.0 + rng.poisson(9, 1000), 0.5, rng), EVEN)
    test = cluster_srm_phases([first, second])
    assert (test.clusters.df, test.units.df) == (2, 2)
    assert min(test.clusters.p_value, test.units.p_value) > 0.01
    pooled = {arm: Moments.merge(first[0][arm], second[0][arm]) for arm in EVEN}
    assert cluster_srm(pooled, {"a": 1.4, "b": 0.6}).units.p_value < 1e-6
    parts = [cluster_srm(*phase).units.statistic for phase in (first, second)]
    assert test.units.statistic == pytest.approx(sum(parts))


def test_phases_that_cannot_be_tested_are_counted() -> None:
    good, thin = (moments(a=[2, 3] * 10, b=[3, 4] * 10), EVEN), (moments(a=[2, 3], b=[5]), EVEN)
    assert cluster_srm_phases([good, thin]).units.reason == "1 of 2 phases left out"
    assert cluster_srm_phases([thin, thin]).units.reason == "none of 2 phases can be tested"
