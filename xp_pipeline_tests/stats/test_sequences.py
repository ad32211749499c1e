"""Confidence sequences: the published boundary, and coverage at every look together."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.clusters import clustered
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import contrast, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.order import OrderStatistics
from xp_pipeline.stats.quantiles import quantile
from xp_pipeline.stats.sequences import (
    FEWEST_NONZERO,
    FEWEST_UNITS,
    always_valid_p,
    boundary,
    burn_in,
    confidence_band,
    confidence_sequence,
)
from xp_pipeline_tests.stats.strategies import VALUES, binary

RNG = np.random.default_rng(1)
CONTROL, TREATMENT = Moments.of(RNG.normal(5, 1, 400)), Moments.of(RNG.normal(5.3, 1, 500))


def test_boundary_is_the_normal_mixture_of_confseq() -> None:
    """Howard's confseq, two-sided, tuned at 100, alpha 0.05: rho 12.60056, bound 30.35209 at variance 100."""
    assert 100 / (-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) == pytest.approx(12.60056, abs=5e-6)
    assert boundary(100, 100, 0.05) * math.sqrt(100) == pytest.approx(30.35209, abs=5e-6)


@pytest.mark.parametrize(
    ("share", "alpha", "times"), [(1, 0.05, 1.55), (1, 0.01, 1.39), (0.2, 0.05, 1.72), (20, 0.05, 1.70)]
)
def test_width_relative_to_a_fixed_horizon(share: float, alpha: float, times: float) -> None:
    assert boundary(1000 * share, 1000, alpha) / norm.ppf(1 - alpha / 2) == pytest.approx(times, abs=0.005)


def test_band_is_the_boundary_times_the_standard_error_on_both_scales() -> None:
    estimate = welch(CONTROL, TREATMENT)
    low, high, lift = confidence_band(estimate, planned_n=2000)
    assert (high - low) / 2 == pytest.approx(boundary(900, 2000, 0.05) * estimate.se, rel=1e-12)
    assert (low + high) / 2 == pytest.approx(estimate.effect)
    assert lift.contains(0.0) == (low <= 0 <= high)
    assert lift.low < estimate.relative.low < estimate.relative.high < lift.high
    assert confidence_band(estimate, planned_n=2000, n=900) == (low, high, lift)


def test_adjusted_means_share_their_covariance() -> None:
    x = RNG.normal(size=(800, 1))
    rows = np.hstack([10 + 0.9 * x + 0.3 * RNG.normal(size=(800, 1)), x])
    estimate = cuped(Moments.of(rows[:400]), Moments.of(rows[400:]))
    low, high, lift = confidence_band(estimate, planned_n=800)
    assert (high - low) / 2 == pytest.approx(boundary(800, 800, 0.05) * estimate.se, rel=1e-9)
    assert lift.high - lift.low == pytest.approx((high - low) / 10, rel=0.05)


def test_undefined_estimates_have_no_band() -> None:
    estimate = welch(Moments.of([1.0]), TREATMENT)
    low, high, lift = confidence_band(estimate, planned_n=100)
    assert math.isnan(low)
    assert math.isnan(high)
    assert lift.status == Status.INSUFFICIENT_DATA


@pytest.mark.parametrize(("n", "planned"), [(0, 100), (10, 0), (-1, 10)])
def test_a_boundary_needs_units(n: int, planned: int) -> None:
    with pytest.raises(EvidenceError, match="units"):
        boundary(n, planned, 0.05)


def test_the_burn_in_waits_for_a_hundred_units_of_either_arm() -> None:
    found = confidence_sequence(
        welch(Moments.of(RNG.normal(5, 1, 400)), Moments.of(RNG.normal(5, 1, 99))), planned_n=1000
    )
    assert found.status == found.relative.status == Status.INSUFFICIENT_DATA
    assert found.reason == "the treatment arm has 99 of the 100 units before which no sequential claim is made"
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert confidence_sequence(welch(CONTROL, Moments.of(RNG.normal(5, 1, 100))), planned_n=1000).status == Status.OK


@pytest.mark.parametrize(("events", "ready"), [(24, False), (25, True)])
def test_the_burn_in_waits_for_25_events_of_either_arm(events: int, ready: bool) -> None:
    """Of a proportion the moments tell them exactly."""
    found = confidence_sequence(welch(binary(60, 500), binary(events, 500)), planned_n=1000)
    assert (found.status == Status.OK) == ready
    assert ("treatment arm has 24 of the 25 units other than 0" in found.reason) != ready


@given(st.lists(VALUES.filter(bool), min_size=1, max_size=60), st.integers(100, 300), st.integers(1, 4))
def test_the_moments_never_tell_more_units_other_than_zero_than_there_are(
    values: list[float], zeros: int, copies: int
) -> None:
    arm = Moments.of([*values * copies, *[0.0] * zeros])
    waits = burn_in(welch(arm, arm))
    assert waits or len(values) * copies >= FEWEST_NONZERO


def test_units_other_than_zero_are_counted_where_the_moments_cannot_tell() -> None:
    """Values that balance around 0."""
    around = np.tile([-1.0, 1.0, -2.0, 2.0], 100)
    estimate = welch(Moments.of(around), Moments.of(around + 0.01))
    assert "as far as its mean and variance tell" in burn_in(estimate)
    assert burn_in(estimate, nonzero=(400, 400)) == ""
    assert burn_in(estimate, nonzero=(400, 24)).startswith("the treatment arm has 24 of the 25")


def test_covariates_do_not_end_the_burn_in() -> None:
    """Adjusted variances are small; the units other than 0 are those of the outcome."""
    rng = np.random.default_rng(5)
    x = rng.binomial(1, 0.04, 600).astype(float)
    rows = np.column_stack([x, x + rng.normal(0, 0.01, 600)])
    estimate = cuped(Moments.of(rows[:300]), Moments.of(rows[300:]))
    assert estimate.variance_reduction > 0.9
    assert "units other than 0" in burn_in(estimate)


def test_a_quantile_waits_for_units_only() -> None:
    estimate = quantile(OrderStatistics.of(RNG.normal(0, 1, 300)), OrderStatistics.of(RNG.normal(0, 1, 300)), p=0.5)
    assert estimate.status == Status.OK
    assert burn_in(estimate) == ""


def test_clusters_are_units_where_they_are_the_estimators() -> None:
    """Its variance is known per cluster only."""
    rows = np.column_stack([RNG.normal(50, 5, 240), np.full(240, 10.0)])
    control, treatment = rows.copy(), rows.copy()
    control[120:], treatment[:120] = 0.0, 0.0
    estimate = clustered(control, treatment)
    assert math.isnan(estimate.var_control)
    assert burn_in(estimate) == ""


@given(st.floats(0.01, 3.0), st.floats(0.001, 0.3), st.integers(300, 5000))
def test_the_p_value_is_the_level_at_which_the_band_ends(effect: float, alpha: float, n: int) -> None:
    """p below alpha leaves the null out of the band at alpha; at the level p, with that tuning, the band ends there."""
    joint = (0.05, 0.05, 0.0)
    estimate = contrast("welch", (n, n), (20.0, 20.0 + effect), joint, df=math.inf, alpha=0.05, null=0.0)
    p = always_valid_p(estimate, planned_n=4000, alpha=alpha)
    band = confidence_sequence(estimate, planned_n=4000, alpha=alpha, nonzero=(n, n))
    assume(abs(p - alpha) > 1e-9)
    assert (p < alpha) == (band.low > 0)
    if p < 1:
        rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / 4000
        t = 2 * n * rho2
        assert math.sqrt(2 * (t + 1) / t * math.log(math.sqrt(t + 1) / p)) * estimate.se == pytest.approx(
            effect, rel=1e-9
        )


def test_the_p_value_of_what_is_undefined_is_not_a_number() -> None:
    assert math.isnan(always_valid_p(welch(Moments.of([1.0]), TREATMENT), planned_n=100))


Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
LAWS: dict[str, tuple[float, Draw]] = {
    "normal": (10.0, lambda rng, shape: rng.normal(10, 3, shape)),
    "bernoulli 0.02": (0.02, lambda rng, shape: rng.binomial(1, 0.02, shape).astype(float)),
    "lognormal 1.5": (math.exp(1.125), lambda rng, shape: rng.lognormal(0, 1.5, shape)),
    "zero-heavy": (
        0.05 * math.exp(0.72),
        lambda rng, shape: rng.binomial(1, 0.05, shape) * rng.lognormal(0, 1.2, shape),
    ),
}
"""Means, and draws of that mean."""


@pytest.mark.parametrize("lift", [0.0, 0.2])
@pytest.mark.parametrize("law", LAWS)
def test_effect_and_lift_are_covered_at_every_unit_together(law: str, lift: float) -> None:
    """400 experiments watched at every unit from the burn-in to 3 000 per arm: 5 % miss at most, plus 3 errors."""
    replicates, planned = 400, 3000
    mean, draw = LAWS[law]
    rng = np.random.default_rng(zlib.crc32(f"confidence sequence, {law}, lift {lift}".encode()))
    control, treatment = draw(rng, (replicates, planned)), (1 + lift) * draw(rng, (replicates, planned))
    bound = 0.05 + 3 * math.sqrt(0.0475 / replicates)
    for share in missed(control, treatment, effect=lift * mean, lift=lift):
        assert share <= bound


def missed(
    control: NDArray[np.float64], treatment: NDArray[np.float64], *, effect: float, lift: float
) -> tuple[float, float]:
    """Share of replicates whose band leaves out the effect, and whose set leaves out the lift, at any look."""
    n = np.arange(1, control.shape[1] + 1)
    q = np.array([boundary(2 * int(k), 2 * len(n), 0.05) for k in n])
    (m_c, v_c, some_c), (m_t, v_t, some_t) = running(control), running(treatment)
    claims = (n >= FEWEST_UNITS) & (some_c >= FEWEST_NONZERO) & (some_t >= FEWEST_NONZERO)
    outside = np.abs(m_t - m_c - effect) > q * np.sqrt(v_c + v_t)
    excluded = np.abs(m_t - (1 + lift) * m_c) > q * np.sqrt(v_t + (1 + lift) ** 2 * v_c)
    return float(np.mean((outside & claims).any(axis=1))), float(np.mean((excluded & claims).any(axis=1)))


def running(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean, variance of the mean and units other than 0, after every unit."""
    n = np.arange(1, values.shape[1] + 1)
    mean = values.cumsum(axis=1) / n
    squares = (values**2).cumsum(axis=1) - n * mean**2
    return mean, np.maximum(squares, 0.0) / n / np.maximum(n - 1, 1), (values != 0).cumsum(axis=1)


def test_what_was_simulated_is_what_the_function_answers() -> None:
    rng = np.random.default_rng(8)
    control, treatment = rng.exponential(1, (1, 400)), rng.exponential(1.3, (1, 400))
    band = confidence_sequence(welch(Moments.of(control[0]), Moments.of(treatment[0])), planned_n=800)
    (m_c, v_c, _), (m_t, v_t, _) = running(control), running(treatment)
    half = boundary(800, 800, 0.05) * math.sqrt(v_c[0, -1] + v_t[0, -1])
    assert (band.low, band.high) == pytest.approx(
        (m_t[0, -1] - m_c[0, -1] - half, m_t[0, -1] - m_c[0, -1] + half), rel=1e-9
    )
    for lift in (band.relative.low, band.relative.high):
        distance = abs(m_t[0, -1] - (1 + lift) * m_c[0, -1])
        reach = boundary(800, 800, 0.05) * math.sqrt(v_t[0, -1] + (1 + lift) ** 2 * v_c[0, -1])
        assert distance == pytest.approx(reach, rel=1e-9)
