"""Ratios: the delta method against weighted least squares, and units without a denominator."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import linearise, ratio
from xp_pipeline_tests.stats.strategies import samples


def sessions(n: int, seed: int, rate: float = 0.3) -> NDArray[np.float64]:
    """Clicks and views of n units, some of whom never view."""
    rng = np.random.default_rng(seed)
    views = rng.poisson(rng.gamma(2.0, 3.0, n)).astype(float)
    return np.column_stack([rng.binomial(views.astype(int), rate), views]).astype(float)


def test_linearised_variance_is_that_of_weighted_least_squares() -> None:
    """Var R = n/(n - 1) times the HC0 variance of the intercept of y/d weighted by d."""
    from statsmodels.regression.linear_model import WLS

    rows = sessions(400, 1)
    seen = rows[rows[:, 1] > 0]
    fit = WLS(seen[:, 0] / seen[:, 1], np.ones(len(seen)), weights=seen[:, 1]).fit(cov_type="HC0")
    found = linearise(Moments.of(rows))
    assert found.mean[0] == pytest.approx(fit.params[0], rel=1e-12)
    assert found.variance() / found.n == pytest.approx(fit.bse[0] ** 2 * 400 / 399, rel=1e-10)


def test_delta_method_as_written_in_the_reference() -> None:
    control, treatment = sessions(300, 2), sessions(500, 3, 0.35)
    found = ratio(Moments.of(control), Moments.of(treatment))
    variances = []
    for rows in (control, treatment):
        r, dbar = rows[:, 0].sum() / rows[:, 1].sum(), rows[:, 1].mean()
        residual = (rows[:, 0] - r * rows[:, 1]) / dbar
        variances.append(np.sum(residual**2) / (len(rows) * (len(rows) - 1)))
    assert found.effect == pytest.approx(
        treatment[:, 0].sum() / treatment[:, 1].sum() - control[:, 0].sum() / control[:, 1].sum()
    )
    assert found.se == pytest.approx(math.sqrt(sum(variances)), rel=1e-12)
    assert found.estimator == "ratio"
    assert found.status == Status.OK


def test_units_without_a_denominator_change_the_variance_not_the_ratio() -> None:
    rows = sessions(300, 4)
    seen = rows[rows[:, 1] > 0]
    everyone, some = linearise(Moments.of(rows)), linearise(Moments.of(seen))
    assert len(seen) < len(rows)
    assert everyone.mean[0] == pytest.approx(some.mean[0], rel=1e-12)
    assert everyone.variance() != pytest.approx(some.variance(), rel=1e-3)


def test_denominator_of_one_is_the_mean() -> None:
    a, b = (np.random.default_rng(seed).normal(size=(200, 1)) for seed in (5, 6))
    with_ones = [Moments.of(np.hstack([x, np.ones_like(x)])) for x in (a, b)]
    found, wanted = ratio(*with_ones), welch(Moments.of(a), Moments.of(b))
    assert (found.effect, found.se, found.df, found.p_value) == pytest.approx(
        (wanted.effect, wanted.se, wanted.df, wanted.p_value), rel=1e-9
    )


@given(samples(1, least=3), samples(1, least=3), st.sampled_from([0.5, 8.0]))
def test_scaling_the_denominator_scales_the_ratio(a, b, scale) -> None:
    def moments(y, by):
        d = 1 + (np.arange(len(y)) % 3)
        return Moments.of(np.column_stack([y[:, 0], by * d]))

    plain, scaled = ratio(moments(a, 1.0), moments(b, 1.0)), ratio(moments(a, scale), moments(b, scale))
    assume(plain.status == Status.OK)
    assert scaled.effect == pytest.approx(plain.effect / scale, rel=1e-9, abs=1e-9)
    assert scaled.p_value == pytest.approx(plain.p_value, rel=1e-6)


def test_few_effective_denominators_are_a_caution_and_stay_ok() -> None:
    few = ratio(Moments.of(sessions(60, 7)), Moments.of(sessions(800, 8)))
    assert few.status == Status.OK
    assert "few units" in few.reason
    assert ratio(Moments.of(sessions(800, 9)), Moments.of(sessions(800, 8))).reason == ""
    heavy = sessions(2000, 10)
    heavy[0] = 30_000, 90_000
    assert "few units" in ratio(Moments.of(heavy), Moments.of(sessions(800, 8))).reason


def test_numerator_proportional_to_denominator_is_degenerate() -> None:
    d = np.random.default_rng(11).gamma(2.0, size=500)
    arm = Moments.of(np.column_stack([0.3 * d, d]))
    found = ratio(arm, arm)
    assert found.status == Status.DEGENERATE
    assert math.isnan(found.p_value)


@pytest.mark.parametrize(("rows", "status"), [
    ([[1.0, 0.0], [2.0, 0.0]], Status.DEGENERATE),
    ([[1.0, 1.0]], Status.INSUFFICIENT_DATA),
    ([[1.0, math.nan], [1.0, 1.0]], Status.INVALID_DATA),
])  # fmt: skip
def test_ratios_that_cannot_be_formed_have_a_status(rows: list[list[float]], status: Status) -> None:
    found = ratio(Moments.of(rows), Moments.of(sessions(50, 12)))
    assert found.status == status
    assert found.relative.status == status
    assert found.reason
    assert math.isnan(found.p_value)


def test_covariates_follow_the_linearised_outcome() -> None:
    rows = np.column_stack([sessions(100, 13), np.random.default_rng(14).normal(size=100)])
    found = linearise(Moments.of(rows))
    r, dbar = rows[:, 0].sum() / rows[:, 1].sum(), rows[:, 1].mean()
    z = r + (rows[:, 0] - r * rows[:, 1]) / dbar
    assert found.covariance(0, 1) == pytest.approx(np.cov(z, rows[:, 2])[0, 1], rel=1e-9)
    assert found.mean[1] == pytest.approx(rows[:, 2].mean())


def counted(rows: NDArray[np.float64]) -> Moments:
    """Moments of the rows' values over denominators 1, 2, 3, 1, …"""
    return Moments.of(np.column_stack([rows[:, 0], 1 + np.arange(len(rows)) % 3]))


@given(samples(1, least=4), samples(1, least=4), st.sampled_from([0.01, 0.05, 0.3]), st.floats(-50, 50))
def test_p_value_and_interval_are_dual_and_decisions_agree(a, b, alpha, null) -> None:
    found = ratio(counted(a), counted(b), alpha=alpha, null=null)
    assume(found.status == Status.OK and min(abs(null - found.low), abs(null - found.high)) > 1e-9 * found.se)
    assert (found.p_value <= alpha) == (null < found.low or null > found.high)
    assume(abs(found.mean_control) > 1e-3 and min(abs(found.low), abs(found.high)) > 1e-5 * found.se)
    assert found.relative.contains(0.0) == (found.low <= 0 <= found.high)


@given(samples(1, least=4), samples(1, least=4))
def test_swapping_arms_flips_signs(a, b) -> None:
    one, other = ratio(counted(a), counted(b)), ratio(counted(b), counted(a))
    assume(one.status == Status.OK)
    assert other.effect == -one.effect
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))


def test_all_numerators_zero_is_degenerate() -> None:
    arm = Moments.of(np.column_stack([np.zeros(30), np.arange(30.0)]))
    found = ratio(arm, arm)
    assert found.status == Status.DEGENERATE
    assert math.isnan(found.p_value)
