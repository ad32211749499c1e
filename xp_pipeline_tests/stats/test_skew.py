"""The skewness guard: where it speaks and where it is silent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xp_pipeline.stats.cuped import cuped, slope_factor
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import linearise
from xp_pipeline.stats.skew import (
    ResidualCoefficients,
    residual_coefficients,
    residual_moments,
    residual_skew,
    tails_unreliable,
    tails_unreliable_residual,
)


def zero_heavy(n: int, seed: int) -> Moments:
    """Revenue of which one unit in twenty has any."""
    rng = np.random.default_rng(seed)
    return Moments.of(np.where(rng.random(n) < 0.05, rng.lognormal(0, 1.2, n), 0.0))


def test_statistic_is_the_skewness_of_the_difference_of_means() -> None:
    """For exponentials the third central moment is 2: K = (2/n_t^2 - 2/n_c^2) / se^3."""
    rng = np.random.default_rng(1)
    control, treatment = Moments.of(rng.exponential(size=40_000)), Moments.of(rng.exponential(size=100))
    found = tails_unreliable(control, treatment)
    wanted = (2 / 100**2 - 2 / 40_000**2) / (1 / 100 + 1 / 40_000) ** 1.5
    assert found is not None
    assert float(found.split("is ")[1].split(" ")[0]) == pytest.approx(wanted, abs=0.06)


def test_unequal_allocation_of_a_zero_heavy_metric_is_flagged() -> None:
    flagged = [tails_unreliable(zero_heavy(9000, 2 * i), zero_heavy(1000, 2 * i + 1)) for i in range(40)]
    assert sum(f is not None for f in flagged) >= 38


def test_kohavis_rule_speaks_where_the_difference_alone_does_not() -> None:
    control, treatment = zero_heavy(90_000, 3), zero_heavy(30_000, 4)
    found = tails_unreliable(control, treatment)
    assert found is not None
    assert "unequal allocation" in found
    assert tails_unreliable(control, zero_heavy(90_000, 5)) is None


def test_normal_and_large_samples_pass() -> None:
    rng = np.random.default_rng(6)
    assert tails_unreliable(Moments.of(rng.normal(size=500)), Moments.of(rng.normal(size=1200))) is None
    assert tails_unreliable(Moments.of(rng.exponential(size=5000)), Moments.of(rng.exponential(size=5000))) is None


@pytest.mark.parametrize("arm", [Moments.empty(1), Moments.of([1.0]), Moments.of([2.0, 2.0])])
def test_nothing_to_judge_is_silence(arm: Moments) -> None:
    assert tails_unreliable(arm, arm) is None


def test_unknown_thirds_are_silence() -> None:
    rng = np.random.default_rng(7)
    arm = linearise(Moments.of(np.column_stack([rng.exponential(size=50), 1 + rng.poisson(3, 50)])))
    assert math.isnan(arm.third)
    assert tails_unreliable(arm, arm) is None


def visits(n: int, seed: int) -> np.ndarray:
    """Clicks, views and earlier clicks a view of n units, with the skewness of long sessions."""
    rng = np.random.default_rng(seed)
    taste = rng.beta(2, 8, n)
    views = 1.0 + rng.poisson(rng.lognormal(1, 1, n))
    return np.column_stack([rng.binomial(views.astype(int), taste), views, taste + 0.1 * rng.normal(size=n)])


CASES = [([0, 1], True), ([0, 2], False), ([0, 1, 2], True), ([0], False)]


@pytest.mark.parametrize(("variables", "ratio"), CASES)
def test_residuals_are_those_that_the_estimate_averages(variables: list[int], ratio: bool) -> None:
    """Cubed row by row, their moments are those of the residual column itself, and its variance the estimate's."""
    rows = [visits(400, 1)[:, variables], visits(900, 2)[:, variables]]
    control, treatment = (Moments.of(table) for table in rows)
    coefficients = residual_coefficients(control, treatment, ratio=ratio)
    assert coefficients is not None
    thirds = tuple(one.third(table) for one, table in zip(coefficients, rows, strict=True))
    found = residual_moments(control, treatment, thirds=thirds, ratio=ratio)  # type: ignore[arg-type]
    assert found is not None
    for table, one, moments in zip(rows, coefficients, found, strict=True):
        column = Moments.of((table - one.centre) @ one.weights)
        assert column.mean[0] == pytest.approx(0.0, abs=1e-12)
        assert moments.variance() == pytest.approx(column.variance(), rel=1e-9)
        assert moments.third == pytest.approx(column.third, rel=1e-9)
    k = len(variables) - 1 - ratio
    estimate = cuped(control, treatment, ratio=ratio)
    variance = sum(moments.variance() / moments.n for moments in found)
    c, t = (linearise(arm) for arm in (control, treatment)) if ratio else (control, treatment)
    noise = slope_factor(t.mean[1:] - c.mean[1:], c.comoment + t.comoment, 1 / 400 + 1 / 900)
    assert estimate.se**2 == pytest.approx(variance * noise * 1298 / (1298 - k), rel=1e-9)
    assert residual_skew(control, treatment, thirds=thirds, ratio=ratio) == pytest.approx(  # type: ignore[arg-type]
        (found[1].third / 900**3 - found[0].third / 400**3) / variance**1.5, rel=1e-12
    )


def test_a_large_mean_does_not_cost_the_cubes_their_digits() -> None:
    rng = np.random.default_rng(3)
    rows = np.round(rng.exponential(size=(500, 1)) * 64) / 64
    arm = Moments.of(rows + 1e9)
    coefficients = residual_coefficients(arm, arm)
    assert coefficients is not None
    assert coefficients[0].third(rows + 1e9) == pytest.approx(Moments.of(rows).third, rel=1e-6)


def test_revenue_per_session_in_unequal_arms_is_flagged() -> None:
    def spend(n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return np.column_stack([np.where(rng.random(n) < 0.05, rng.lognormal(0, 1.2, n), 0.0), 1 + rng.poisson(2, n)])

    def guarded(n: int, m: int) -> str | None:
        rows = [spend(n, 4), spend(m, 5)]
        control, treatment = (Moments.of(table) for table in rows)
        coefficients = residual_coefficients(control, treatment, ratio=True)
        assert coefficients is not None
        c, t = (one.third(table) for one, table in zip(coefficients, rows, strict=True))
        return tails_unreliable_residual(control, treatment, thirds=(c, t), ratio=True)

    assert guarded(9000, 400) is not None
    assert guarded(60_000, 60_000) is None


def test_a_covariate_that_explains_the_skewness_removes_the_flag() -> None:
    rng = np.random.default_rng(6)
    rows = []
    for n in (4000, 300):
        x = rng.lognormal(0, 1.5, n)
        rows.append(np.column_stack([x + rng.normal(size=n), x]))
    control, treatment = (Moments.of(table) for table in rows)
    assert tails_unreliable(control, treatment) is not None
    coefficients = residual_coefficients(control, treatment)
    assert coefficients is not None
    c, t = (one.third(table) for one, table in zip(coefficients, rows, strict=True))
    assert tails_unreliable_residual(control, treatment, thirds=(c, t)) is None


@pytest.mark.parametrize(("rows", "ratio"), [
    ([[1.0, 2.0]], False), ([[1.0, 0.0], [2.0, 0.0]], True), ([[1.0, math.nan], [2.0, 3.0]], False),
])  # fmt: skip
def test_no_residual_is_silence(rows: list[list[float]], ratio: bool) -> None:
    arm = Moments.of(rows)
    assert residual_coefficients(arm, arm, ratio=ratio) is None
    assert tails_unreliable_residual(arm, arm, thirds=(0.0, 0.0), ratio=ratio) is None
    assert math.isnan(residual_skew(arm, arm, thirds=(0.0, 0.0), ratio=ratio))


@pytest.mark.parametrize("k", [2, 3, 4])
def test_a_third_sum_follows_from_those_of_the_variables(k: int) -> None:
    draw = np.random.default_rng(k)
    values = 1e6 + draw.gamma(0.5, 1.0, (2000, k))
    moments, shift = Moments.of(values), values[:500].mean(axis=0)
    one = ResidualCoefficients(draw.normal(size=k), moments.mean)
    cubes = np.einsum("ni,nj,nl->ijl", *[values - shift] * 3)
    assert one.third_of(moments, shift=shift, cubes=cubes) == pytest.approx(one.third(values), rel=1e-9)


def test_a_residual_that_cancels_has_no_third_sum_from_its_variables() -> None:
    x = np.random.default_rng(3).gamma(0.5, 1.0, 2000)
    values = np.column_stack([x, x + 1e-6 * np.arange(2000) / 2000])
    moments = Moments.of(values)
    cubes = np.einsum("ni,nj,nl->ijl", *[values] * 3)
    one = ResidualCoefficients(np.array([1.0, -1.0]), moments.mean)
    assert one.third_of(moments, shift=np.zeros(2), cubes=cubes) is None
