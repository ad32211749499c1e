"""Bootstrap and jackknife over buckets: against the closed forms, the textbook jackknife, and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats import resampling
from xp_pipeline.stats.buckets import BucketedMoments
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import t_quantile, welch
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.resampling import bootstrap, bootstrap_spread, jackknife, jackknife_spread

Rows = NDArray[np.float64]


def units(n: int, seed: int, effect: float = 0.0) -> Rows:
    """Outcome, denominator and covariate of n units."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return np.column_stack([10 + effect + 0.8 * x + 0.6 * rng.normal(size=n), 1 + rng.poisson(3, n), x])


def bucketed(rows: Rows, *, buckets: int = 128) -> BucketedMoments:
    return BucketedMoments.of(rows, np.arange(len(rows)) % buckets)


def pair(n: int = 6000) -> tuple[BucketedMoments, BucketedMoments]:
    return bucketed(units(n, 1)), bucketed(units(n, 2, 0.5))


CASES = [
    (resampling.means, [0], welch),
    (resampling.ratios, [0, 1], ratio),
    (resampling.adjusted_means, [0, 2], cuped),
]


@pytest.mark.parametrize(("functional", "variables", "closed"), CASES)
def test_resampling_agrees_with_the_closed_form(functional, variables, closed) -> None:
    """Relative standard deviation of a variance on 254 degrees of freedom: 0.089, of its root half of that."""
    control, treatment = (arm.take(variables) for arm in pair())
    wanted = closed(control.total(), treatment.total())
    for found in (
        bootstrap(control, treatment, pair=functional, seed=5),
        jackknife(control, treatment, pair=functional),
    ):
        assert found.status == Status.OK
        assert found.effect == pytest.approx(wanted.effect, rel=1e-9)
        assert found.se == pytest.approx(wanted.se, rel=0.15)
        assert found.df == 254
        assert found.high - found.effect == pytest.approx(t_quantile(0.975, 254) * found.se)
        assert found.relative.lift == pytest.approx(wanted.relative.lift, rel=1e-9)
        assert found.relative.low == pytest.approx(wanted.relative.low, rel=0.05)
        assert found.reason == ""


def test_the_mean_s_jackknife_over_single_units_is_welch_s_error() -> None:
    """Leaving out one unit in turn gives s / sqrt(n) exactly."""
    a, b = units(100, 3)[:, :1], units(120, 4)[:, :1]
    control, treatment = (BucketedMoments.of(x, np.arange(len(x))) for x in (a, b))
    found, wanted = jackknife(control, treatment), welch(control.total(), treatment.total())
    assert found.se == pytest.approx(wanted.se, rel=1e-10)
    assert found.replicates == 220


def test_jackknife_of_a_ratio_is_the_textbook_loop() -> None:
    rows, other = units(64, 5)[:, :2], units(64, 6)[:, :2]
    control, treatment = bucketed(rows, buckets=16), bucketed(other, buckets=16)
    found = jackknife_spread(control, treatment, resampling.ratios).covariance
    labels = np.arange(64) % 16
    left = np.array([rows[labels != i][:, 0].sum() / rows[labels != i][:, 1].sum() for i in range(16)])
    assert found[0, 0] == pytest.approx(15 / 16 * np.sum((left - left.mean()) ** 2), rel=1e-10)
    assert found[0, 1] == pytest.approx(0.0, abs=1e-15)


def test_bootstrap_of_a_functional_is_the_loop_over_weights() -> None:
    control, treatment = (bucketed(units(500, seed)[:, :1], buckets=20) for seed in (7, 8))
    lift = resampling.lift(resampling.means)
    found = bootstrap_spread(control, treatment, lift, replicates=50, seed=9)
    rng = np.random.default_rng(9)
    weights = [rng.poisson(1.0, (50, 20)) for _ in range(2)]
    lifts = []
    for w_c, w_t in zip(*weights, strict=True):
        c, t = (
            sum(w * m.n * m.mean[0] for w, m in zip(ws, arm.filled, strict=True))
            / sum(w * m.n for w, m in zip(ws, arm.filled, strict=True))
            for ws, arm in ((w_c, control), (w_t, treatment))
        )
        lifts.append((t - c) / c)
    assert found.covariance[0, 0] == pytest.approx(np.var(lifts, ddof=1), rel=1e-9)
    assert found.value[0] == pytest.approx(welch(control.total(), treatment.total()).relative.lift)


def test_a_seed_repeats_its_numbers_and_is_in_the_answer() -> None:
    control, treatment = (arm.take([0]) for arm in pair(400))
    one, same, other = (bootstrap(control, treatment, seed=seed) for seed in (3, 3, 4))
    assert one == same
    assert (one.seed, one.replicates, other.seed) == (3, 1000, 4)
    assert one.se != other.se


@pytest.mark.parametrize("method", [jackknife, lambda c, t: bootstrap(c, t, seed=1)])
def test_swapping_arms_flips_signs_and_decisions_agree(method) -> None:
    control, treatment = (arm.take([0]) for arm in pair(300))
    one, other = method(control, treatment), method(treatment, control)
    assert other.effect == pytest.approx(-one.effect)
    assert (one.p_value <= 0.05) == (one.low > 0 or one.high < 0)
    assert one.relative.contains(0.0) == (one.low <= 0 <= one.high)


@pytest.mark.parametrize("method", [jackknife, lambda c, t: bootstrap(c, t, seed=1)])
def test_scale_and_shift_equivariance(method) -> None:
    rows, other = units(300, 10)[:, :1], units(300, 11)[:, :1]
    plain = method(bucketed(rows), bucketed(other))
    moved = method(bucketed(-8 * rows + 1e6), bucketed(-8 * other + 1e6))
    assert moved.effect == pytest.approx(-8 * plain.effect, rel=1e-6)
    assert moved.se == pytest.approx(8 * plain.se, rel=1e-6)


def test_few_buckets_are_a_caution() -> None:
    found = jackknife(bucketed(units(500, 12), buckets=20).take([0]), bucketed(units(500, 13), buckets=20).take([0]))
    assert found.status == Status.OK
    assert "only 20 buckets" in found.reason
    assert found.df == 38


def test_resamples_without_units_are_left_out_and_counted() -> None:
    found = bootstrap(bucketed(units(9, 14), buckets=3).take([0]), bucketed(units(9, 15), buckets=3).take([0]), seed=1)
    assert found.status == Status.OK
    assert "resamples were undefined" in found.reason
    assert math.isfinite(found.se)


def test_collinear_and_constant_covariates_change_nothing() -> None:
    arms = [units(900, seed, effect)[:, [0, 2]] for seed, effect in ((16, 0.0), (17, 0.4))]
    plain = jackknife(*(bucketed(arm) for arm in arms), pair=resampling.adjusted_means)
    more = [np.column_stack([arm, 2 * arm[:, 1] + 5, np.full(900, 7.0)]) for arm in arms]
    found = jackknife(*(bucketed(arm) for arm in more), pair=resampling.adjusted_means)
    assert (found.effect, found.se) == pytest.approx((plain.effect, plain.se), rel=1e-6)


@pytest.mark.parametrize(("arm", "status"), [
    (BucketedMoments.empty(1), Status.INSUFFICIENT_DATA),
    (BucketedMoments.of([1.0], [0]), Status.INSUFFICIENT_DATA),
    (BucketedMoments.of([1.0, 2.0, 5.0], [4, 4, 4]), Status.INSUFFICIENT_DATA),
    (BucketedMoments.of([1.0, math.nan, 2.0], [0, 1, 2]), Status.INVALID_DATA),
    (BucketedMoments.of([1.0, math.inf, 2.0], [0, 1, 2]), Status.INVALID_DATA),
])  # fmt: skip
def test_what_cannot_be_resampled_has_a_status(arm: BucketedMoments, status: Status) -> None:
    other = bucketed(units(200, 18)[:, :1])
    for found in (jackknife(arm, other), bootstrap(other, arm, seed=1)):
        assert found.status == status
        assert found.relative.status == status
        assert found.reason
        assert math.isnan(found.p_value)
    assert bootstrap(arm, other, seed=6).seed == 6


def test_constant_arms_are_degenerate() -> None:
    arm = BucketedMoments.of(np.full(300, 2.5), np.arange(300) % 100)
    for found in (jackknife(arm, arm), bootstrap(arm, arm, seed=1)):
        assert found.status == Status.DEGENERATE
        assert math.isnan(found.p_value)


def test_one_replicate_is_refused() -> None:
    with pytest.raises(EvidenceError, match="at least two replicates"):
        bootstrap(*(arm.take([0]) for arm in pair(300)), replicates=1, seed=1)


@pytest.mark.slow
def test_ratio_intervals_cover_their_level() -> None:
    """C14: 0.93 to 0.97 with 100 buckets of 4000 units; Monte-Carlo error 0.011 at 400 data sets."""
    rng = np.random.default_rng(19)
    hits = np.zeros(2)
    labels = np.arange(4000) % 100
    for i in range(400):
        arms = []
        for _ in range(2):
            views = 1.0 + rng.poisson(rng.gamma(2.0, 2.0, 4000))
            rows = np.column_stack([views * rng.beta(2, 8, 4000), views])
            arms.append(BucketedMoments.of(rows, labels, buckets=100))
        found = (
            bootstrap(*arms, pair=resampling.ratios, replicates=300, seed=i),
            jackknife(*arms, pair=resampling.ratios),
        )
        hits += [f.low <= 0 <= f.high for f in found]
    assert np.all((hits / 400 > 0.917) & (hits / 400 < 0.983))
