"""Inference after stopping: published examples, the fixed horizon as a special case, duality and coverage."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.boundaries import Look, boundary, next_look, z_of
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import contrast, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.spending import OBRIEN_FLEMING, POCOCK, Spending
from xp_pipeline.stats.stagewise import stagewise
from xp_pipeline_tests.stats.shapes import shaped_boundary
from xp_pipeline_tests.stats.strategies import arms, binary

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


def observed(z: float, se: float = 1.0, *, control: float = 100.0, null: float = 0.0) -> Estimate:
    """An estimate at z standard errors from its null, with a control mean of little noise."""
    effect = null + z * se
    v_c = (se / 100) ** 2
    joint = (v_c, se**2 - v_c, 0.0)
    return contrast(
        "welch", (10**6, 10**6), (control, control + effect), joint, df=math.inf, alpha=0.05, null=null, variance=se**2
    )


def two_sided(times, uppers) -> list[Look]:
    return [Look(t, 0.0, upper, -upper) for t, upper in zip(times, uppers, strict=True)]


def test_rpacts_three_stage_example() -> None:
    """Unit test of rpact's getAnalysisResults: Wang-Tsiatis 0.25, one-sided 0.025, z = 2.9 after 38 events.

    The hazard ratio is exp(2 theta / sqrt(38)), theta the drift: final p 0.0074535505, interval 1.222663 to
    4.752454, median-unbiased 2.4764002.
    """
    looks = shaped_boundary((0.2, 0.4, 1.0), shape=0.25, alpha=0.025, two_sided=False)
    found = stagewise(looks, observed(2.9), alpha=0.025)
    assert found.p_value == pytest.approx(0.0074535505, abs=1e-10)
    ratios = [math.exp(2 * theta / math.sqrt(38)) for theta in (found.low, found.estimate, found.high)]
    assert ratios == pytest.approx([1.222663, 2.4764002, 4.752454], rel=1e-7)
    assert found.level == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("uppers", "p_value", "estimate", "low", "high"),
    [
        ((4.049, 4.049 / math.sqrt(2)), 0.001362486, 0.452, 0.157, 0.748),
        ((2.361, 2.361), 0.009819342, 0.419, 0.074, 0.729),
    ],
)
def test_wassmer_and_brannaths_four_stage_example(
    uppers, p_value: float, estimate: float, low: float, high: float
) -> None:
    """Group Sequential and Confirmatory Adaptive Designs (2016), section 4.1: z = 3 at 44 units, the second look.

    One-sided p-values as DelayedGSD's tests refine them; O'Brien-Fleming's and Pocock's boundary at 0.05.
    """
    found = stagewise(two_sided((0.25, 0.5), uppers), observed(3.0, 1 / math.sqrt(44)))
    assert found.p_value == pytest.approx(2 * p_value, rel=1e-6)
    assert (found.estimate, found.low, found.high) == pytest.approx((estimate, low, high), abs=5.5e-4)


@given(arms(), st.sampled_from([0.01, 0.05, 0.2]))
def test_a_first_look_is_a_fixed_horizon(pair, alpha: float) -> None:
    """Welch's interval and p-value, Fieller's lift, the estimate itself."""
    control, treatment = (Moments.of(arm[:, 0]) for arm in pair)
    estimate = welch(control, treatment, alpha=alpha)
    found = stagewise([Look(0.3, 0.01, 3.0, -3.0)], estimate, alpha=alpha)
    size = estimate.se + abs(estimate.effect)
    assert found.estimate == pytest.approx(estimate.effect, abs=1e-8 * size)
    assert (found.low, found.high) == pytest.approx((estimate.low, estimate.high), abs=1e-6 * size)
    assert found.p_value == pytest.approx(estimate.p_value, rel=1e-6, abs=1e-12)
    assert found.relative.status == estimate.relative.status
    if found.relative.status == Status.OK:
        scale = 1 + abs(estimate.relative.low) + abs(estimate.relative.high)
        ends = (found.relative.low, found.relative.high)
        assert ends == pytest.approx((estimate.relative.low, estimate.relative.high), abs=1e-5 * scale)


def test_a_reason_warns_of_the_naive_estimate_only_after_several_looks() -> None:
    looks = boundary(FIVE, spending=OBRIEN_FLEMING)
    assert stagewise(looks[:1], observed(5.0)).reason == ""
    later = stagewise(looks[:4], observed(2.6))
    assert "biased" in later.reason
    assert later.looks == 4


@given(st.floats(-6, 6), st.integers(1, 5), st.sampled_from([OBRIEN_FLEMING, POCOCK]), st.floats(0.5, 20))
def test_the_interval_and_the_p_value_are_dual_to_the_boundary(z: float, count: int, spending, control: float) -> None:
    """Crossing, p < alpha, and 0 outside the interval, on both scales, are one decision."""
    looks = boundary(FIVE, spending=spending)[:count]
    if count < 5:
        looks = (*looks[:-1], next_look(looks[:-1], information=looks[-1].information, spending=spending, final=True))
    assume(abs(abs(z) - looks[-1].upper) > 1e-6)
    found = stagewise(looks, observed(z, control=control))
    crossed = looks[-1].crossed(z) != 0
    assert crossed == (found.p_value < 0.05) == (not found.low <= 0 <= found.high)
    if found.relative.status == Status.OK:
        assert crossed == (not found.relative.low <= 0 <= found.relative.high)
    assert found.low < found.estimate < found.high


@given(st.floats(-6, 6), st.integers(1, 5))
def test_swapping_arms_flips_the_signs(z: float, count: int) -> None:
    looks = boundary(FIVE, spending=POCOCK)[:count]
    one, other = stagewise(looks, observed(z)), stagewise(looks, observed(-z))
    assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert (other.low, other.estimate, other.high) == pytest.approx((-one.high, -one.estimate, -one.low), abs=1e-8)


@given(st.floats(-5, 5), st.floats(1e-6, 1e6), st.floats(-3, 3))
def test_units_of_the_metric_and_the_null_do_not_matter(z: float, se: float, null: float) -> None:
    looks = boundary(FIVE, spending=OBRIEN_FLEMING)[:4]
    one, other = stagewise(looks, observed(z)), stagewise(looks, observed(z, se, control=100 * se, null=null * se))
    assert other.p_value == pytest.approx(one.p_value, rel=1e-6)
    shifted = [(value - null * se) / se for value in (other.low, other.estimate, other.high)]
    assert shifted == pytest.approx([one.low, one.estimate, one.high], abs=1e-6)


def test_a_negative_control_mean_keeps_more_on_the_right() -> None:
    looks = boundary(FIVE, spending=POCOCK)[:3]
    lift = stagewise(looks, observed(2.7, control=-50.0)).relative
    assert 0 < lift.low < lift.lift < lift.high
    mirrored = stagewise(looks, observed(-2.7, control=50.0)).relative
    assert (-lift.high, -lift.low) == pytest.approx((mirrored.low, mirrored.high), rel=1e-8)


def test_stopping_early_pulls_the_estimate_to_the_null_and_p_grows_with_the_look() -> None:
    looks = boundary(FIVE, spending=POCOCK)
    found = [stagewise(looks[:k], observed(2.5)) for k in (1, 2, 3)]
    assert found[0].estimate == pytest.approx(found[0].naive)
    assert found[2].estimate < found[1].estimate < found[1].naive
    assert found[0].p_value < found[1].p_value < found[2].p_value < 0.05


def test_a_one_sided_test_has_the_level_of_its_bound() -> None:
    looks = boundary(FIVE, spending=OBRIEN_FLEMING, two_sided=False)[:4]
    found = stagewise(looks, observed(looks[-1].upper + 1e-9))
    assert found.level == pytest.approx(0.9)
    assert found.p_value == pytest.approx(looks[-1].alpha_spent, rel=1e-6)
    at_alpha = stagewise(looks, observed(looks[-1].upper), alpha=looks[-1].alpha_spent)
    assert at_alpha.low == pytest.approx(0.0, abs=1e-6)


def test_after_an_overrun_the_past_counts_as_it_was() -> None:
    past = boundary((0.3, 0.6), spending=OBRIEN_FLEMING)
    final = next_look(past, information=1.4, spending=OBRIEN_FLEMING, final=True)
    looks = (*past, final)
    found = stagewise(looks, observed(final.upper))
    assert found.p_value == pytest.approx(0.05, rel=1e-8)
    assert found.low == pytest.approx(0.0, abs=1e-8)


def test_a_control_mean_in_the_noise_has_no_bounded_lift() -> None:
    estimate = contrast("welch", (50, 50), (1.0, 4.0), (1.0, 1.0, 0.0), df=math.inf, alpha=0.05, null=0.0)
    found = stagewise(boundary(FIVE, spending=POCOCK)[:2], estimate)
    assert found.relative.status == Status.UNBOUNDED
    assert math.isfinite(found.low)
    nothing = contrast("welch", (50, 50), (0.0, 4.0), (1.0, 1.0, 0.0), df=math.inf, alpha=0.05, null=0.0)
    assert stagewise(boundary(FIVE, spending=POCOCK)[:2], nothing).relative.status == Status.UNDEFINED_RELATIVE


@given(st.integers(1, 9), st.integers(1, 30))
def test_small_counts_decide_alike_on_both_scales(events_c: int, events_t: int) -> None:
    looks = boundary(FIVE, spending=POCOCK)
    estimate = proportion(binary(events_c, 60), binary(events_t, 60))
    found = stagewise(looks, estimate)
    assert (looks[-1].crossed(z_of(estimate)) != 0) == (not found.low <= 0 <= found.high)
    if found.relative.status == Status.OK:
        assert (not found.low <= 0 <= found.high) == (not found.relative.low <= 0 <= found.relative.high)


def test_what_is_undefined_says_why() -> None:
    undefined = welch(Moments.of([1.0]), Moments.of([1.0, 2.0]))
    found = stagewise(boundary(FIVE, spending=POCOCK), undefined)
    assert found.status == found.relative.status == Status.INSUFFICIENT_DATA
    assert found.reason
    assert math.isnan(found.p_value)
    with pytest.raises(EvidenceError, match="looks"):
        stagewise([], observed(1.0))


@pytest.mark.parametrize(("count", "z"), [(1, 60.0), (2, -60.0), (5, 60.0)])
def test_an_enormous_effect_has_finite_numbers(count: int, z: float) -> None:
    """Later than at the first look, p is at least what earlier looks had spent."""
    looks = boundary(FIVE, spending=OBRIEN_FLEMING)[:count]
    found = stagewise(looks, observed(z))
    spent = 2 * looks[-2].alpha_spent if count > 1 else 0.0
    assert spent <= found.p_value * (1 + 1e-9) < spent + 1e-4
    assert found.p_value > 0
    assert all(map(math.isfinite, (found.low, found.estimate, found.high)))


@pytest.mark.parametrize("drift", [0.0, 2.5])
@pytest.mark.parametrize("spending", [OBRIEN_FLEMING, POCOCK])
def test_coverage_and_median_over_stopped_tests(spending: Spending, drift: float) -> None:
    """300 tests at five unequal looks, within 3 Monte-Carlo errors (3.8 and 8.7 points)."""
    replicates, times = 300, np.array([0.15, 0.4, 0.5, 0.8, 1.0])
    looks = boundary(tuple(times.tolist()), spending=spending)
    rng = np.random.default_rng(zlib.crc32(f"stage-wise, {spending.family}, {drift}".encode()))
    steps = np.diff(times, prepend=0)
    z = (rng.standard_normal((replicates, 5)) * np.sqrt(steps) + drift * steps).cumsum(axis=1) / np.sqrt(times)
    crossed = np.abs(z) >= np.array([look.upper for look in looks])
    stops = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 4)
    found = [
        stagewise(looks[: at + 1], observed(row[at], 1 / math.sqrt(times[at])))
        for at, row in zip(stops.tolist(), z.tolist(), strict=True)
    ]
    assert covering([(f.low, f.high) for f in found], drift) == pytest.approx(
        0.95, abs=3 * math.sqrt(0.0475 / replicates)
    )
    assert np.mean([f.estimate > drift for f in found]) == pytest.approx(0.5, abs=1.5 / math.sqrt(replicates))
    lifts = [(f.relative.low * 100, f.relative.high * 100) for f in found]
    assert covering(lifts, drift) == pytest.approx(0.95, abs=3 * math.sqrt(0.0475 / replicates))


def test_the_naive_estimate_is_too_high_after_stopping() -> None:
    """At a drift of 2.5 Pocock's naive estimate exceeds the truth more than half of the time, by simulation."""
    drift, times = 2.5, np.array(FIVE)
    rng = np.random.default_rng(zlib.crc32(b"stage-wise, naive"))
    z = (rng.standard_normal((20_000, 5)) * math.sqrt(0.2) + drift * 0.2).cumsum(axis=1) / np.sqrt(times)
    crossed = np.abs(z) >= np.array([look.upper for look in boundary(FIVE, spending=POCOCK)])
    stops = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 4)
    naive = z[np.arange(20_000), stops] / np.sqrt(times[stops])
    assert np.mean(naive > drift) > 0.55


def covering(intervals: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))
