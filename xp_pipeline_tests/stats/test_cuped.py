"""CUPED: against analysis of covariance on the rows, influence functions, and covariates that say nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import linearise
from xp_pipeline.stats.relative import fieller
from xp_pipeline_tests.stats.strategies import arms

Rows = NDArray[np.float64]


def draw(n: int, seed: int, *, k: int = 1, effect: float = 0.0, rho: float = 0.8) -> Rows:
    """Outcome and k covariates; the first explains rho^2 of the outcome."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k))
    y = 10 + effect + rho * x[:, 0] + math.sqrt(1 - rho**2) * rng.normal(size=n)
    return np.column_stack([y, x])


def ancova(control: Rows, treatment: Rows) -> NDArray[np.float64]:
    """Coefficients of treatment and covariates of ordinary least squares on the rows."""
    from statsmodels.regression.linear_model import OLS

    rows = np.vstack([control, treatment])
    arm = np.repeat([0.0, 1.0], [len(control), len(treatment)])
    return np.asarray(OLS(rows[:, 0], np.column_stack([np.ones(len(rows)), arm, rows[:, 1:]])).fit().params[1:])


@pytest.mark.parametrize("k", [1, 2, 5])
def test_effect_and_slopes_are_those_of_analysis_of_covariance(k: int) -> None:
    control, treatment = draw(300, 1, k=k), draw(120, 2, k=k, effect=3.0)
    found = cuped(Moments.of(control), Moments.of(treatment))
    coefficients = ancova(control, treatment)
    assert found.effect == pytest.approx(coefficients[0], abs=1e-9)
    assert found.theta == pytest.approx(coefficients[1:], abs=1e-9)
    assert found.unadjusted_effect == pytest.approx(treatment[:, 0].mean() - control[:, 0].mean())


@given(arms(2))
def test_effect_is_analysis_of_covariance_on_any_data(pair) -> None:
    control, treatment = pair
    within = np.vstack([arm[:, 1:] - arm[:, 1:].mean(axis=0) for arm in pair])
    assume(len(within) > 4 and float(np.sum(within**2)) > 1)
    found = cuped(Moments.of(control), Moments.of(treatment))
    assert found.effect == pytest.approx(ancova(control, treatment)[0], rel=1e-7, abs=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_variance_is_that_of_the_adjusted_rows_with_its_factor(k: int) -> None:
    control, treatment = draw(40, 3, k=k), draw(25, 4, k=k)
    found = cuped(Moments.of(control), Moments.of(treatment))
    gap = treatment[:, 1:].mean(axis=0) - control[:, 1:].mean(axis=0)
    products = sum((len(arm) - 1) * np.cov(arm[:, 1:], rowvar=False).reshape(k, k) for arm in (control, treatment))
    noise = 1 + gap @ np.linalg.inv(products) @ gap / (1 / 40 + 1 / 25)
    factor = (65 - 2) / (65 - 2 - k) * noise
    residuals = [arm[:, 0] - arm[:, 1:] @ found.theta for arm in (control, treatment)]
    variances = [factor * np.var(r, ddof=1) for r in residuals]
    assert (found.var_control, found.var_treatment) == pytest.approx(variances, rel=1e-10)
    assert found.se**2 == pytest.approx(variances[0] / 40 + variances[1] / 25, rel=1e-12)
    plain = np.var(control[:, 0], ddof=1) / 40 + np.var(treatment[:, 0], ddof=1) / 25
    assert found.variance_reduction == pytest.approx(1 - found.se**2 / plain, rel=1e-10)


@pytest.mark.parametrize(("n", "k"), [(4, 1), (12, 3), (200, 2)])
def test_equal_arms_have_the_error_of_the_analysis_of_covariance(n: int, k: int) -> None:
    """Least squares of y on the arm and the covariates, with one residual variance."""
    from statsmodels.regression.linear_model import OLS

    control, treatment = draw(n, 8, k=k), draw(n, 9, k=k, effect=0.4)
    rows = np.concatenate([control, treatment])
    arm = np.repeat([0.0, 1.0], n)
    fit = OLS(rows[:, 0], np.column_stack([np.ones(2 * n), arm, rows[:, 1:]])).fit()
    found = cuped(Moments.of(control), Moments.of(treatment))
    assert (found.effect, found.se) == pytest.approx((fit.params[1], fit.bse[1]), rel=1e-9)


def test_joint_variances_of_the_adjusted_means_are_sums_of_influences() -> None:
    """A unit of arm a moves m_a by e/n_a + h/N and the other mean by h/N (e = y - theta x, h = theta x)."""
    control, treatment = draw(900, 5, rho=0.9), draw(600, 6, rho=0.9, effect=5.0)
    found = cuped(Moments.of(control), Moments.of(treatment))
    total = 1500
    influence: dict[str, list[Rows]] = {"c": [], "t": []}
    for own, other, rows in (("c", "t", control), ("t", "c", treatment)):
        centred = rows - rows.mean(axis=0)
        h = centred[:, 1:] @ found.theta
        influence[own].append((centred[:, 0] - h) / len(rows) + h / total)
        influence[other].append(h / total)
    c, t = np.concatenate(influence["c"]), np.concatenate(influence["t"])
    assert found.var_mean_control == pytest.approx(c @ c, rel=0.005)
    assert found.var_mean_treatment == pytest.approx(t @ t, rel=0.005)
    assert found.cov_means == pytest.approx(c @ t, rel=0.005)
    assert found.var_mean_control + found.var_mean_treatment - 2 * found.cov_means == pytest.approx(found.se**2)


def test_lift_is_the_correlated_fieller_over_the_adjusted_control_mean() -> None:
    control, treatment = draw(200, 7, rho=0.9), draw(150, 8, rho=0.9, effect=4.0)
    found = cuped(Moments.of(control), Moments.of(treatment))
    q = (found.high - found.effect) / found.se
    wanted = fieller(
        found.mean_control, found.mean_treatment, found.var_mean_control, found.var_mean_treatment, found.cov_means, q
    )
    assert (found.relative.low, found.relative.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9)
    assert found.cov_means > 0
    pooled = np.vstack([control, treatment])[:, 1].mean()
    assert found.mean_control == pytest.approx(control[:, 0].mean() - found.theta[0] * (control[:, 1].mean() - pooled))


@given(arms(2), st.sampled_from([0.05, 0.3]))
def test_relative_and_absolute_decisions_agree(pair, alpha) -> None:
    found = cuped(*(Moments.of(arm) for arm in pair), alpha=alpha)
    assume(found.status == Status.OK and abs(found.mean_control) > 1e-3)
    assume(min(abs(found.low), abs(found.high)) > 1e-5 * found.se)
    assert found.relative.contains(0.0) == (found.low <= 0 <= found.high)
    assert (found.p_value <= alpha) == (found.low > 0 or found.high < 0)


@given(arms(2))
def test_swapping_arms_flips_signs(pair) -> None:
    control, treatment = (Moments.of(arm) for arm in pair)
    one, other = cuped(control, treatment), cuped(treatment, control)
    assume(one.status == Status.OK)
    assert other.effect == pytest.approx(-one.effect, abs=1e-6)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-6)


def test_units_of_the_covariate_do_not_matter() -> None:
    control, treatment = draw(80, 9, k=2), draw(90, 10, k=2)
    scale = np.array([1.0, 1e6, 1e-6])
    plain = cuped(Moments.of(control), Moments.of(treatment))
    moved = cuped(Moments.of(control * scale + [0, 1e7, 5]), Moments.of(treatment * scale + [0, 1e7, 5]))
    assert moved.effect == pytest.approx(plain.effect, rel=1e-6)
    assert moved.se == pytest.approx(plain.se, rel=1e-7)


def test_variance_reduction_approaches_rho_squared() -> None:
    found = cuped(Moments.of(draw(20_000, 11)), Moments.of(draw(20_000, 12)))
    assert found.variance_reduction == pytest.approx(0.64, abs=0.02)


def test_without_covariates_that_vary_it_is_welch() -> None:
    control, treatment = draw(30, 13), draw(40, 14)
    control[:, 1] = treatment[:, 1] = 0.1
    found, plain = cuped(Moments.of(control), Moments.of(treatment)), welch(Moments.of(control), Moments.of(treatment))
    assert found.theta == (0.0,)
    assert (found.effect, found.se, found.p_value) == pytest.approx((plain.effect, plain.se, plain.p_value), rel=1e-12)
    assert found.variance_reduction == pytest.approx(0.0, abs=1e-12)
    assert "1 covariate constant or collinear" in found.reason


def test_a_repeated_covariate_changes_nothing_and_is_named() -> None:
    control, treatment = draw(50, 15), draw(60, 16)
    twice = [Moments.of(np.column_stack([arm, 3 * arm[:, 1] - 7])) for arm in (control, treatment)]
    found, once = cuped(*twice), cuped(Moments.of(control), Moments.of(treatment))
    assert (found.effect, found.se, found.low) == pytest.approx((once.effect, once.se, once.low), rel=1e-9)
    assert "collinear" in found.reason
    assert once.reason == ""


def test_missing_covariate_as_imputed_mean_and_indicator_equals_regression_on_both() -> None:
    control, treatment = draw(200, 17), draw(200, 18, effect=1.0)
    rng = np.random.default_rng(19)
    missing = [rng.random(200) < 0.3 for _ in range(2)]
    known = np.concatenate([arm[~gone, 1] for arm, gone in zip((control, treatment), missing, strict=True)])
    imputed = [
        np.column_stack([arm[:, 0], np.where(gone, known.mean(), arm[:, 1]), gone])
        for arm, gone in zip((control, treatment), missing, strict=True)
    ]
    found = cuped(*(Moments.of(arm) for arm in imputed))
    assert found.effect == pytest.approx(ancova(*imputed)[0], abs=1e-9)
    assert found.n_control == 200


def test_outcome_determined_by_its_covariate_is_degenerate() -> None:
    rows = np.random.default_rng(20).normal(size=(40, 1))
    arm = Moments.of(np.hstack([2 * rows, rows]))
    assert cuped(arm, arm).status == Status.DEGENERATE


def test_more_covariates_than_units_is_insufficient_data() -> None:
    rng = np.random.default_rng(21)
    found = cuped(Moments.of(rng.normal(size=(3, 6))), Moments.of(rng.normal(size=(3, 6))))
    assert found.status == Status.INSUFFICIENT_DATA
    assert "covariates" in found.reason
    assert math.isnan(found.p_value)


@pytest.mark.parametrize(("rows", "status"), [
    ([[1.0, 2.0]], Status.INSUFFICIENT_DATA),
    ([[1.0, math.nan], [2.0, 3.0]], Status.INVALID_DATA),
])  # fmt: skip
def test_data_that_cannot_be_adjusted_have_a_status(rows: list[list[float]], status: Status) -> None:
    found = cuped(Moments.of(rows), Moments.of(draw(20, 22)))
    assert found.status == status
    assert math.isnan(found.effect)


def test_ratio_is_adjusted_through_its_linearised_residual() -> None:
    rng = np.random.default_rng(23)
    arms_ = []
    for n in (500, 400):
        ability, views = rng.beta(4, 8, n), 1.0 + rng.poisson(6, n)
        before = 1 + rng.poisson(6, n)
        clicks, earlier = rng.binomial(views.astype(int), ability), rng.binomial(before, ability)
        arms_.append(np.column_stack([clicks, views, earlier / before]).astype(float))
    control, treatment = (Moments.of(arm) for arm in arms_)
    found, wanted = cuped(control, treatment, ratio=True), cuped(linearise(control), linearise(treatment))
    assert (found.effect, found.se, found.theta) == (wanted.effect, wanted.se, wanted.theta)
    assert found.variance_reduction > 0.05
    assert found.estimator == "ratio_cuped"


def test_large_effects_do_not_leak_into_the_slope() -> None:
    """The total slope of gbstats and spotify would take part of an effect of ten deviations."""
    control, treatment = draw(4000, 24, rho=0.5), draw(4000, 25, rho=0.5, effect=10.0)
    treatment[:, 1] += 0.3
    found = cuped(Moments.of(control), Moments.of(treatment))
    assert found.theta[0] == pytest.approx(0.5, abs=0.05)


def lin_regression(control: Rows, treatment: Rows):
    """Least squares on treatment, centred covariates and their products, with HC2."""
    from statsmodels.regression.linear_model import OLS

    rows = np.vstack([control, treatment])
    arm = np.repeat([0.0, 1.0], [len(control), len(treatment)])
    x = rows[:, 1:] - rows[:, 1:].mean(axis=0)
    return OLS(rows[:, 0], np.column_stack([np.ones(len(rows)), arm, x, arm[:, None] * x])).fit(cov_type="HC2")


@pytest.mark.parametrize("k", [1, 3])
def test_lin_s_effect_is_that_of_the_interacted_regression(k: int) -> None:
    control, treatment = draw(300, 30, k=k), draw(90, 31, k=k, effect=2.0)
    treatment[:, 0] += 0.7 * treatment[:, 1]
    found = cuped(Moments.of(control), Moments.of(treatment), method="lin")
    assert found.effect == pytest.approx(lin_regression(control, treatment).params[1], rel=1e-9)
    assert found.estimator == "lin"
    gap = treatment.mean(axis=0) - control.mean(axis=0)
    assert found.effect == pytest.approx(gap[0] - np.array(found.theta) @ gap[1:], rel=1e-9)


def test_lin_s_error_is_least_squares_own_in_each_arm() -> None:
    """The variance of an arm's fitted value at the pooled mean of x, from its own regression."""
    from statsmodels.regression.linear_model import OLS

    control, treatment = draw(60, 32, k=2), draw(45, 33, k=2)
    centre = np.vstack([control, treatment])[:, 1:].mean(axis=0)
    fits = [OLS(a[:, 0], np.column_stack([np.ones(len(a)), a[:, 1:] - centre])).fit() for a in (control, treatment)]
    found = cuped(Moments.of(control), Moments.of(treatment), method="lin")
    assert found.se**2 == pytest.approx(sum(fit.bse[0] ** 2 for fit in fits), rel=1e-9)
    assert (found.mean_control, found.mean_treatment) == pytest.approx([fit.params[0] for fit in fits], rel=1e-9)
    v_c, v_t = (fit.bse[0] ** 2 for fit in fits)
    assert found.df == pytest.approx((v_c + v_t) ** 2 / (v_c**2 / 57 + v_t**2 / 42), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "tolerance"), [(200, 200, 0.02), (180, 20, 0.12), (5000, 5000, 0.002)])
def test_lin_s_error_is_near_hc2(n: int, m: int, tolerance: float) -> None:
    """HC2 needs fourth moments; from second moments its mean under one variance an arm."""
    control, treatment = draw(n, 34), draw(m, 35)
    found = cuped(Moments.of(control), Moments.of(treatment), method="lin")
    assert found.se == pytest.approx(lin_regression(control, treatment).bse[1], rel=tolerance)


def test_lin_s_lift_lets_the_pooled_mean_move_both_means() -> None:
    control, treatment = draw(400, 36, rho=0.9), draw(300, 37, rho=0.9, effect=8.0)
    lin, pooled = (cuped(Moments.of(control), Moments.of(treatment), method=m) for m in ("lin", "pooled"))  # type: ignore[arg-type]
    assert lin.cov_means == pytest.approx(pooled.cov_means, rel=0.05)
    assert lin.relative.high - lin.relative.low == pytest.approx(pooled.relative.high - pooled.relative.low, rel=0.05)
    assert lin.var_mean_control + lin.var_mean_treatment - 2 * lin.cov_means == pytest.approx(lin.se**2)


@given(arms(2), st.sampled_from([0.05, 0.3]))
def test_lin_s_decisions_agree_and_swapping_arms_flips_signs(pair, alpha) -> None:
    control, treatment = (Moments.of(arm) for arm in pair)
    found = cuped(control, treatment, alpha=alpha, method="lin")
    assume(found.status == Status.OK and abs(found.mean_control) > 1e-3)
    other = cuped(treatment, control, alpha=alpha, method="lin")
    assert other.effect == pytest.approx(-found.effect, rel=1e-6, abs=1e-6)
    assume(min(abs(found.low), abs(found.high)) > 1e-5 * found.se)
    assert found.relative.contains(0.0) == (found.low <= 0 <= found.high)
    assert (found.p_value <= alpha) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize("method", ["pooled", "lin"])
def test_covariates_that_say_nothing_are_left_out_by_both_methods(method) -> None:
    control, treatment = draw(50, 38), draw(60, 39)
    more = [Moments.of(np.column_stack([arm, np.full(len(arm), 4.0), 3 * arm[:, 1]])) for arm in (control, treatment)]
    found, once = (
        cuped(*pair, method=method) for pair in (more, (Moments.of(control), Moments.of(treatment)))
    )  # fmt: skip
    assert (found.effect, found.se, found.low) == pytest.approx((once.effect, once.se, once.low), rel=1e-9)
    assert "2 covariates constant or collinear" in found.reason


def test_lin_needs_more_units_than_covariates_in_each_arm() -> None:
    rng = np.random.default_rng(40)
    found = cuped(Moments.of(rng.normal(size=(50, 4))), Moments.of(rng.normal(size=(4, 4))), method="lin")
    assert found.status == Status.INSUFFICIENT_DATA
    assert cuped(Moments.of(draw(50, 41)), Moments.of(draw(1, 42)), method="lin").status == Status.INSUFFICIENT_DATA


def test_lin_adjusts_a_ratio_through_its_linearised_residual() -> None:
    rng = np.random.default_rng(43)
    rows = [np.column_stack([rng.gamma(2, 1, 300), 1 + rng.poisson(3, 300), rng.normal(size=300)]) for _ in range(2)]
    control, treatment = (Moments.of(table) for table in rows)
    found = cuped(control, treatment, ratio=True, method="lin")
    assert found.estimator == "ratio_lin"
    assert found.effect == cuped(linearise(control), linearise(treatment), method="lin").effect


def test_an_unknown_method_is_refused() -> None:
    arm = Moments.of(draw(20, 44))
    with pytest.raises(EvidenceError, match="unknown adjustment"):
        cuped(arm, arm, method="total")  # type: ignore[arg-type]


def coverage(make, truth: float, replicates: int) -> float:
    found = [make() for _ in range(replicates)]
    return float(np.mean([low <= truth <= high for low, high in found]))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pooled", "lin"])
@pytest.mark.parametrize("lift", [0.0, 1.0])
def test_intervals_of_the_lift_cover(method, lift: float) -> None:
    """C8, rho 0.9, cv 0.5, n = 200; Monte-Carlo error 0.005 at 2000 data sets, three of them allowed."""
    rng = np.random.default_rng(45)

    def interval() -> tuple[float, float]:
        rows = []
        for mean in (1.0, 1 + lift):
            x = rng.normal(size=200)
            rows.append(np.column_stack([mean + 0.5 * (0.9 * x + math.sqrt(1 - 0.81) * rng.normal(size=200)), x]))
        found = cuped(Moments.of(rows[0]), Moments.of(rows[1]), method=method).relative
        return found.low, found.high

    assert coverage(interval, lift, 2000) == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "method"), [(5, 5, "pooled"), (20, 180, "pooled"), (20, 180, "lin")])
def test_intervals_of_the_effect_cover_in_small_arms(n: int, m: int, method) -> None:
    """C7, rho 0.7; Monte-Carlo error 0.005 at 2000 data sets, three of them allowed."""
    rng = np.random.default_rng(46)

    def interval() -> tuple[float, float]:
        arms_ = []
        for size in (n, m):
            x = rng.normal(size=size)
            arms_.append(Moments.of(np.column_stack([0.7 * x + math.sqrt(0.51) * rng.normal(size=size), x])))
        found = cuped(*arms_, method=method)
        return found.low, found.high

    assert coverage(interval, 0.0, 2000) == pytest.approx(0.95, abs=0.02)
