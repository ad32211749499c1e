"""Blinded re-estimation: the sample size by hand, and an error rate that stays where the plan put it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from xp_pipeline.decision.extension import blinded_reestimate
from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.moments import Moments

Z2 = (special.ndtri(0.975) + special.ndtri(0.8)) ** 2


def _of_variance(variance: float, n: int = 200) -> Moments:
    return Moments(n, np.array([5.0]), np.array([[variance * (n - 1)]]), 0.0)


def test_the_units_by_hand() -> None:
    """(1.96 + 0.84)^2 4 / (0.5^2 0.25) = 502.3 units where 400 were planned."""
    found = blinded_reestimate(_of_variance(4.0), effect=-0.5, planned_units=400, most_units=1000)
    assert found.units == math.ceil(Z2 * 4 / (0.25 * 0.25)) == 503
    assert (found.extra, found.capped, found.variance) == (103, False, pytest.approx(4.0))


def test_it_never_shrinks_a_plan_and_never_exceeds_its_limit() -> None:
    small = blinded_reestimate(_of_variance(1.0), effect=0.5, planned_units=400, most_units=1000)
    assert (small.units, small.extra) == (400, 0)
    large = blinded_reestimate(_of_variance(40.0), effect=0.5, planned_units=400, most_units=1000)
    assert (large.units, large.extra, large.capped) == (1000, 600, True)


def test_an_unequal_split_takes_more_and_covariates_less() -> None:
    pooled = _of_variance(4.0)
    equal = blinded_reestimate(pooled, effect=0.5, planned_units=100, most_units=10**6).units
    unequal = blinded_reestimate(pooled, effect=0.5, planned_units=100, most_units=10**6, share=0.1).units
    assert unequal == pytest.approx(equal * 0.25 / 0.09, rel=0.01)
    rng = np.random.default_rng(1)
    x = rng.normal(size=4000)
    adjusted = blinded_reestimate(
        Moments.of(np.column_stack([2 * x + rng.normal(size=4000), x])), effect=0.5, planned_units=10, most_units=10**6
    )
    assert adjusted.variance == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("pooled", "status"), [
    (Moments.of([1.0]), Status.INSUFFICIENT_DATA),
    (Moments.of([2.0, 2.0, 2.0]), Status.DEGENERATE),
    (Moments.of([1.0, math.inf, 2.0]), Status.INVALID_DATA),
])  # fmt: skip
def test_without_a_variance_the_plan_stays(pooled: Moments, status: Status) -> None:
    found = blinded_reestimate(pooled, effect=0.5, planned_units=400, most_units=1000)
    assert (found.status, found.units, found.extra) == (status, 400, 0)
    assert found.reason


@pytest.mark.parametrize("effect", [0.0, math.nan, math.inf])
def test_without_a_size_of_the_effect_the_plan_stays(effect: float) -> None:
    found = blinded_reestimate(_of_variance(1.0), effect=effect, planned_units=400, most_units=1000)
    assert (found.status, found.units) == (Status.UNDEFINED_RELATIVE, 400)


def test_what_is_no_plan() -> None:
    with pytest.raises(EvidenceError, match="split"):
        blinded_reestimate(_of_variance(1.0), effect=0.5, planned_units=400, most_units=1000, share=1.0)
    with pytest.raises(EvidenceError, match="at least its own"):
        blinded_reestimate(_of_variance(1.0), effect=0.5, planned_units=400, most_units=300)


def test_extension_keeps_the_error_rate_of_the_final_test() -> None:
    """20 000 null experiments of 2 x 100 units, up to 2 x 300 by their blinded variance: 5 % +- 3 x 0.22 points."""
    rng = np.random.default_rng(2)
    rejected, extended = [], 0
    for _ in range(10_000):
        first = rng.normal(0, 1.4, (2, 100))
        found = blinded_reestimate(Moments.of(first.ravel()), effect=0.4, planned_units=200, most_units=600)
        extra = found.extra // 2
        extended += extra > 0
        values = np.concatenate([first, rng.normal(0, 1.4, (2, extra))], axis=1)
        se = math.sqrt(values.var(axis=1, ddof=1).sum() / values.shape[1])
        rejected.append(abs(values[1].mean() - values[0].mean()) / se > special.stdtrit(2 * values.shape[1] - 2, 0.975))
    assert extended > 9_500
    assert np.mean(rejected) == pytest.approx(0.05, abs=3 * 0.0022)
