"""Confidence sequences: the published boundary, and coverage at every look together."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from scipy.stats import norm

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.sequences import boundary, confidence_band

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


@pytest.mark.parametrize("lift", [0.0, 0.2])
def test_effect_and_lift_are_covered_at_every_look_together(lift: float) -> None:
    """400 experiments, 30 looks from 100 units per arm: at most 5 % ever miss, up to three Monte-Carlo errors."""
    replicates, name = 400, f"confidence sequence, exponential, lift {lift}"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    missed = 0
    for _ in range(replicates):
        control, treatment = rng.exponential(1.0, 3000), rng.exponential(1 + lift, 3000)
        daily = zip(control.reshape(30, 100), treatment.reshape(30, 100), strict=True)
        missed += ever_missed([(Moments.of(c), Moments.of(t)) for c, t in daily], lift)
    assert missed / replicates <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / replicates)


def ever_missed(parts: list[tuple[Moments, Moments]], lift: float) -> bool:
    control, treatment = Moments.empty(1), Moments.empty(1)
    for more_control, more_treatment in parts:
        control, treatment = Moments.merge(control, more_control), Moments.merge(treatment, more_treatment)
        low, high, relative = confidence_band(welch(control, treatment), planned_n=6000)
        if not low <= lift <= high or not relative.contains(lift):
            return True
    return False
