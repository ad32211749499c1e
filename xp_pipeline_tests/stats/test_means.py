"""Welch: against SciPy, its invariants, and what it refuses to answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import SMALLEST_P, at_level, satterthwaite, t_quantile, t_sf, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.stats.strategies import arms

# Student's sleep data, as in R's t.test(extra ~ group, data = sleep).
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_sleep_data_as_r_prints_them() -> None:
    """t = -1.8608, df = 17.776, p-value = 0.07939, interval -3.3654832 to 0.2054832 (group 1 minus 2)."""
    found = welch(Moments.of(SLEEP_2), Moments.of(SLEEP_1))
    assert found.effect / found.se == pytest.approx(-1.8608, abs=5e-5)
    assert found.df == pytest.approx(17.776, abs=5e-4)
    assert found.p_value == pytest.approx(0.07939, abs=5e-6)
    assert (found.low, found.high) == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)


@given(arms(), st.floats(-50, 50))
def test_agrees_with_scipy_to_twelve_digits(pair, null) -> None:
    control, treatment = (Moments.of(arm) for arm in pair)
    found = welch(control, treatment, null=null)
    wanted = stats.ttest_ind_from_stats(
        treatment.mean[0] - null, math.sqrt(treatment.variance()), treatment.n,
        control.mean[0], math.sqrt(control.variance()), control.n, equal_var=False,
    )  # fmt: skip
    assert found.p_value == pytest.approx(max(wanted.pvalue, SMALLEST_P), rel=1e-9, abs=1e-12)
    assert (found.effect - null) / found.se == pytest.approx(wanted.statistic, rel=1e-10, abs=1e-10)


def test_interval_agrees_with_scipy() -> None:
    a, b = np.random.default_rng(1).normal(size=40), np.random.default_rng(2).normal(1, 3, size=15)
    wanted = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
    found = welch(Moments.of(a), Moments.of(b), alpha=0.1)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-12)
    assert found.df == pytest.approx(stats.ttest_ind(b, a, equal_var=False).df, rel=1e-12)
    assert found.level == 0.9


@given(arms(), st.sampled_from([0.25, 3.0, -2.0, 1000.0]), st.sampled_from([0.0, 7.0, -1e4]))
def test_scale_and_shift_equivariance(pair, scale, shift) -> None:
    control, treatment = pair
    plain = welch(Moments.of(control), Moments.of(treatment))
    moved = welch(Moments.of(scale * control + shift), Moments.of(scale * treatment + shift))
    assert moved.effect == pytest.approx(scale * plain.effect, rel=1e-9, abs=1e-9 * abs(scale))
    assert moved.se == pytest.approx(abs(scale) * plain.se, rel=1e-9)
    assert moved.p_value == pytest.approx(plain.p_value, rel=1e-6)
    assert moved.df == pytest.approx(plain.df, rel=1e-9)


@given(arms())
def test_swapping_arms_flips_signs(pair) -> None:
    control, treatment = (Moments.of(arm) for arm in pair)
    one, other = welch(control, treatment), welch(treatment, control)
    assert other.effect == -one.effect
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert other.p_value == pytest.approx(one.p_value)


@given(arms(), st.sampled_from([0.01, 0.05, 0.2]), st.floats(-300, 300))
def test_p_value_and_interval_are_dual(pair, alpha, null) -> None:
    found = welch(*(Moments.of(arm) for arm in pair), alpha=alpha, null=null)
    assume(min(abs(null - found.low), abs(null - found.high)) > 1e-9 * found.se)
    assert (found.p_value <= alpha) == (null < found.low or null > found.high)


@given(arms(), st.sampled_from([0.01, 0.05, 0.2]))
def test_relative_and_absolute_decisions_agree(pair, alpha) -> None:
    control, treatment = pair
    assume(abs(control.mean()) > 1e-6)
    found = welch(Moments.of(control), Moments.of(treatment), alpha=alpha)
    assume(min(abs(found.low), abs(found.high)) > 1e-7 * found.se)
    assert found.relative.contains(0.0) == (found.low <= 0 <= found.high)


def test_zero_variance_in_one_arm_is_defined() -> None:
    control, treatment = Moments.of([2.0, 2.0, 2.0]), Moments.of([1.0, 4.0, 3.0, 6.0])
    found = welch(control, treatment)
    assert found.status == Status.OK
    assert found.df == 3
    assert found.se == pytest.approx(math.sqrt(treatment.variance() / 4))


def test_zero_variance_in_both_arms_is_degenerate_not_p_one() -> None:
    found = welch(Moments.of([2.0, 2.0]), Moments.of([3.0, 3.0, 3.0]))
    assert found.status == Status.DEGENERATE
    assert found.effect == 1.0
    assert found.relative.status == Status.DEGENERATE
    assert found.relative.lift == 0.5
    assert all(math.isnan(x) for x in (found.p_value, found.low, found.high, found.se, found.relative.low))


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_units_is_insufficient_data(values: list[float]) -> None:
    arm, other = Moments.of(np.array(values).reshape(-1, 1)), Moments.of([1.0, 2.0, 4.0])
    for found in (welch(arm, other), welch(other, arm)):
        assert found.status == Status.INSUFFICIENT_DATA
        assert found.reason
        assert math.isnan(found.p_value)
        assert math.isnan(found.relative.lift)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_invalid_data(bad: float) -> None:
    found = welch(Moments.of([1.0, 2.0, bad]), Moments.of([1.0, 2.0, 4.0]))
    assert found.status == Status.INVALID_DATA
    assert math.isnan(found.p_value)


def test_overflowing_variance_is_invalid_data() -> None:
    found = welch(Moments.of([1e200, -1e200]), Moments.of([1.0, 2.0]))
    assert found.status == Status.INVALID_DATA


def test_a_covariate_that_is_not_finite_leaves_the_outcome_alone() -> None:
    rows = np.array([[1.0, math.nan], [2.0, 1.0], [4.0, 0.0]])
    assert welch(Moments.of(rows), Moments.of(rows + 1)).status == Status.OK


def test_p_values_far_out_are_small_and_never_zero() -> None:
    """gbstats and xpyrment print 0.0 here."""
    assert t_sf(12, 1e6) == pytest.approx(1.785842562382547e-33, rel=1e-9)
    assert t_sf(40, 1e9) == SMALLEST_P
    found = welch(Moments.of(np.tile([0.0, 1.0], 5000)), Moments.of(np.tile([10.0, 11.0], 5000)))
    assert 0 < found.p_value < 1e-300


def test_tiny_variances_do_not_underflow() -> None:
    assert satterthwaite(1e-200, 11, 1e-200, 11) == pytest.approx(20)
    found = welch(Moments.of(np.array([1.0, 2.0, 4.0]) * 1e-120), Moments.of(np.array([3.0, 9.0, 4.0]) * 1e-120))
    plain = welch(Moments.of([1.0, 2.0, 4.0]), Moments.of([3.0, 9.0, 4.0]))
    assert found.p_value == pytest.approx(plain.p_value, rel=1e-9)


def test_quantiles_are_scipys() -> None:
    for df in (1, 2.5, 30, 1e5):
        assert t_quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-12)
    assert t_quantile(0.975, math.inf) == pytest.approx(stats.norm.ppf(0.975), rel=1e-14)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(EvidenceError, match="alpha is a probability"):
        welch(Moments.of([1.0, 2.0]), Moments.of([1.0, 3.0]), alpha=alpha)


@given(arms(), st.sampled_from([0.01, 0.2]))
def test_another_level_is_the_estimate_made_at_that_level(pair, alpha) -> None:
    control, treatment = (Moments.of(arm) for arm in pair)
    moved, wanted = at_level(welch(control, treatment), alpha), welch(control, treatment, alpha=alpha)
    assert (moved.low, moved.high, moved.level) == (wanted.low, wanted.high, wanted.level)
    assert moved.relative == wanted.relative
    assert moved.p_value == wanted.p_value


def test_the_lift_by_the_delta_method_is_that_of_other_tools() -> None:
    """sqrt(v_t / m_c^2 + v_c m_t^2 / m_c^4), as gbstats has it."""
    found = at_level(welch(Moments.of(SLEEP_1), Moments.of(SLEEP_2)), 0.05, method="delta")
    m_c, m_t, v_c, v_t = found.mean_control, found.mean_treatment, found.var_mean_control, found.var_mean_treatment
    half = t_quantile(0.975, found.df) * math.sqrt(v_t / m_c**2 + v_c * m_t**2 / m_c**4)
    assert found.relative.high - found.relative.lift == pytest.approx(half, rel=1e-12)
    assert found.effect == welch(Moments.of(SLEEP_1), Moments.of(SLEEP_2)).effect


def test_what_has_no_interval_has_none_at_another_level() -> None:
    found = welch(Moments.of([2.0, 2.0]), Moments.of([3.0, 3.0]))
    assert at_level(found, 0.01) is found


def test_a_constant_arm_of_zeros_leaves_the_absolute_effect() -> None:
    found = welch(Moments.of(np.zeros(20)), Moments.of(SLEEP_1))
    assert found.status == Status.OK
    assert found.relative.status == Status.UNDEFINED_RELATIVE
    both = welch(Moments.of(np.zeros(20)), Moments.of(np.zeros(9)))
    assert both.status == Status.DEGENERATE
    assert both.effect == 0.0
