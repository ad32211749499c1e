"""Adaptively collected data: one batch is Welch, weights are the published ones, intervals cover, ratios are tested."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from xp_pipeline.delivery.algorithms import ThompsonGaussian
from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.adaptive import adaptive_estimates, adaptively_weighted, batched
from xp_pipeline.stats.adaptive_batches import AdaptiveBatch, sample_ratio
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.stats.strategies import arms

READINGS = [adaptively_weighted, batched]
EVEN = {"control": 0.5, "treatment": 0.5}


def batch(control, treatment, share=0.5) -> AdaptiveBatch:
    moments = {"control": Moments.of(control), "treatment": Moments.of(treatment)}
    return AdaptiveBatch(moments, {"control": 1 - share, "treatment": share})


def drawn(random, shares, units, means=(0.0, 0.0)) -> list[AdaptiveBatch]:
    """Batches of normal outcomes at these shares of treatment."""
    found = []
    for share in shares:
        n = random.binomial(units, share)
        found.append(batch(random.normal(means[0], 1, units - n), random.normal(means[1], 1, n), share))
    return found


# --- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", READINGS)
@given(arms(), st.floats(0.05, 0.95))
def test_one_batch_is_welch(read, pair, share) -> None:
    wanted = welch(*(Moments.of(arm) for arm in pair), alpha=0.1, null=1.0)
    found = read([batch(*pair, share)], alpha=0.1, null=1.0)
    for name in ("status", "n_control", "n_treatment", "level", "null"):
        assert getattr(found, name) == getattr(wanted, name)
    for name in ("effect", "se", "df", "p_value", "low", "high", "var_control", "var_treatment"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-9), name
    assert (found.relative.low, found.relative.high) == pytest.approx(
        (wanted.relative.low, wanted.relative.high), nan_ok=True, rel=1e-6
    )


def test_weighted_scores_unit_by_unit() -> None:
    """The formulas of Hadad et al. 2021 written over units, with a third arm and an arm that misses a batch."""
    random = np.random.default_rng(2021)
    shares = [(0.4, 0.4, 0.2), (0.2, 0.5, 0.3), (0.1, 0.8, 0.1), (0.3, 0.6, 0.1)]
    counts = [(8, 9, 4), (3, 12, 6), (0, 18, 3), (6, 11, 4)]
    values = [[random.normal(w, 1 + w, n) for w, n in enumerate(row)] for row in counts]
    names = ("control", "treatment", "third")
    batches = [
        AdaptiveBatch(
            {name: Moments.of(y) for name, y in zip(names, row, strict=True)}, dict(zip(names, e, strict=True))
        )
        for row, e in zip(values, shares, strict=True)
    ]
    for weighting in ("contrast", "constant"):
        scores, weights, alone = [], [], []
        for t, (row, e) in enumerate(zip(values, shares, strict=True)):
            unit_arm = np.repeat(np.arange(3), [len(y) for y in row])
            y = np.concatenate(row)
            h = np.sqrt(e[:2]) if weighting == "constant" else np.full(2, (1 / e[0] + 1 / e[1]) ** -0.5)
            for w in (0, 1):
                past = np.concatenate([values[s][w] for s in range(t)] or [[]])
                if len(past):
                    g = past.mean() + (unit_arm == w) * (y - past.mean()) / e[w]
                else:
                    g = np.full(len(y), row[w].mean())
                scores.append(g)
                weights.append(np.full(len(y), h[w]))
                alone.append(row[w].var(ddof=1) / len(row[w]) if t == 0 else None)
        g = [np.concatenate(scores[w::2]) for w in (0, 1)]
        h = [np.concatenate(weights[w::2]) for w in (0, 1)]
        q = [(h[w] * g[w]).sum() / h[w].sum() for w in (0, 1)]
        d = [h[w] * (g[w] - q[w]) / h[w].sum() for w in (0, 1)]
        first = len(scores[0])
        variance = ((d[1] - d[0])[first:] ** 2).sum()
        variance += sum(alone[w] * (first * weights[w][0] / h[w].sum()) ** 2 for w in (0, 1))
        found = adaptively_weighted(batches, weighting=weighting)
        assert (found.mean_control, found.mean_treatment) == pytest.approx(q, rel=1e-12)
        assert found.se == pytest.approx(math.sqrt(variance), rel=1e-12)


def test_batched_by_hand() -> None:
    """Two batches: means 1 and 3, then 2 and 5; pooled variances 2 and 2 with 4 and 2 degrees of freedom."""
    batches = [
        batch([0, 1, 1, 2], [2, 4], 0.3),
        batch([1, 3, 2, 2], [4, 6], 0.3),
    ]
    s0, s1 = (2 + 2) / 6, (2 + 2) / 2
    v = s0 / 4 + s1 / 2
    found = batched(batches)
    assert found.effect == pytest.approx((2 + 3) / 2)
    assert found.se == pytest.approx(math.sqrt(v) / math.sqrt(2))
    z = sum(d / math.sqrt(v) for d in (2, 3)) / math.sqrt(2)
    assert found.effect / found.se == pytest.approx(z)
    assert found.df == pytest.approx(v**2 / ((s0 / 4) ** 2 / 6 + (s1 / 2) ** 2 / 2))


def test_batches_are_weighted_by_their_precision_not_its_square() -> None:
    """Effects 1 and 2 with variances 4 : 1 weigh 1 : 2; inverse variances would weigh them 1 : 4."""
    random = np.random.default_rng(3)
    small, large = random.normal(size=(2, 25)), random.normal(size=(2, 100))

    def centred(values, mean):
        return values - values.mean() + mean

    batches = [
        batch(centred(small[0], 0), centred(small[1], 1)),
        batch(centred(large[0], 0), centred(large[1], 2)),
    ]
    assert batched(batches).effect == pytest.approx((1 + 2 * 2) / 3)


def test_constant_propensities_agree_with_welch_in_large_samples() -> None:
    random = np.random.default_rng(11)
    found = adaptive_estimates(drawn(random, [0.3] * 20, 5000, means=(1.0, 1.05)))
    for reading in (found.weighted, found.batched):
        assert reading.se == pytest.approx(found.naive.se, rel=0.01)
        assert abs(reading.effect - found.naive.effect) < 0.1 * found.naive.se
        assert reading.unadjusted_effect == found.naive.effect


# --- invariants -----------------------------------------------------------------------------------------------------

some_batches = st.lists(st.tuples(arms(), st.floats(0.1, 0.9)), min_size=1, max_size=4)


@pytest.mark.parametrize("read", READINGS)
@settings(deadline=None, max_examples=50)
@given(some_batches)
def test_swapping_the_arms_flips_the_sign(read, given_batches) -> None:
    batches = [batch(*pair, share) for pair, share in given_batches]
    one, other = read(batches), read(batches, control="treatment", treatment="control")
    assert other.effect == pytest.approx(-one.effect, abs=1e-9)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), rel=1e-9, abs=1e-9)
    assert other.p_value == pytest.approx(one.p_value)


@pytest.mark.parametrize("read", READINGS)
@settings(deadline=None, max_examples=50)
@given(some_batches, st.sampled_from([0.25, -2.0, 1000.0]), st.sampled_from([0.0, 7.0, -1e6]))
def test_scale_and_shift_equivariance(read, given_batches, scale, shift) -> None:
    plain = read([batch(*pair, share) for pair, share in given_batches])
    moved = read([batch(*(scale * arm + shift for arm in pair), share) for pair, share in given_batches])
    size = abs(scale) * (1 + abs(plain.effect))
    assert moved.effect == pytest.approx(scale * plain.effect, abs=1e-7 * size)
    assert moved.se == pytest.approx(abs(scale) * plain.se, rel=1e-6, abs=1e-7 * size)
    assert moved.df == pytest.approx(plain.df, rel=1e-5)


@pytest.mark.parametrize("read", READINGS)
def test_a_far_away_mean_loses_no_digits(read) -> None:
    batches = drawn(np.random.default_rng(5), [0.5, 0.7, 0.9], 200)
    moved = [
        AdaptiveBatch({w: replace(m, mean=m.mean + 1e9) for w, m in b.moments.items()}, b.propensities) for b in batches
    ]
    assert read(moved).effect == pytest.approx(read(batches).effect, abs=1e-5)
    assert read(moved).se == pytest.approx(read(batches).se, rel=1e-5)


@pytest.mark.parametrize("read", READINGS)
@settings(deadline=None, max_examples=50)
@given(some_batches, st.floats(-20, 20))
def test_p_value_and_interval_are_dual(read, given_batches, null) -> None:
    found = read([batch(*pair, share) for pair, share in given_batches], null=null)
    if min(abs(null - found.low), abs(null - found.high)) > 1e-9 * found.se:
        assert (found.p_value <= 0.05) == (null < found.low or null > found.high)


def test_batches_without_units_say_nothing() -> None:
    batches = drawn(np.random.default_rng(8), [0.5, 0.8], 100)
    padded = [AdaptiveBatch({}, EVEN), batches[0], AdaptiveBatch({}, EVEN), batches[1]]
    assert adaptive_estimates(padded) == adaptive_estimates(batches)


# --- edges ----------------------------------------------------------------------------------------------------------


def test_a_batch_that_lacks_an_arm() -> None:
    random = np.random.default_rng(9)
    lacking = [*drawn(random, [0.5, 0.5], 100), batch(random.normal(size=50), [], 0.02)]
    found = adaptive_estimates(lacking)
    assert found.weighted.status == found.batched.status == Status.OK
    assert found.batched.reason == "1 of 3 batches lack an arm and are left out"
    assert found.weighted.n_control == found.batched.n_control


def test_an_arm_that_could_not_be_given_in_a_batch_has_no_weight_there() -> None:
    random = np.random.default_rng(10)
    batches = drawn(random, [0.5, 0.5], 100)
    never = AdaptiveBatch({"control": Moments.of(random.normal(50, 1, 80))}, {"control": 1.0, "treatment": 0.0})
    alone = adaptively_weighted(batches)
    assert adaptively_weighted([*batches, never]).effect == alone.effect
    assert adaptively_weighted([*batches, never]).se == alone.se


def test_an_arm_that_comes_later() -> None:
    random = np.random.default_rng(12)
    before = AdaptiveBatch({"control": Moments.of(random.normal(size=90))}, {"control": 0.5, "other": 0.5})
    found = adaptive_estimates([before, *drawn(random, [0.4, 0.6], 100)])
    assert found.weighted.status == found.batched.status == Status.OK


def _invalid(moments, propensities) -> list[AdaptiveBatch]:
    return [*drawn(np.random.default_rng(1), [0.5], 50), AdaptiveBatch(moments, propensities)]


UNITS = {"control": Moments.of([1.0, 2.0]), "treatment": Moments.of([1.0, 3.0])}


@pytest.mark.parametrize("read", READINGS)
@pytest.mark.parametrize(
    ("moments", "propensities", "told"),
    [
        (UNITS, {"control": 1.0, "treatment": 0.0}, "propensity 0"),
        (UNITS, {"control": 1.0}, "propensity 0"),
        (UNITS, {"control": math.nan, "treatment": 0.5}, "not a probability"),
        (UNITS, {"control": 1.5, "treatment": -0.5}, "not a probability"),
        (UNITS, {"control": 0.4, "treatment": 0.4}, "sum to 1"),
        (UNITS, {}, "sum to 1"),
        ({**UNITS, "control": Moments.of([1.0, math.nan])}, EVEN, "not a number"),
        ({**UNITS, "control": Moments.of([1.0, math.inf])}, EVEN, "infinite"),
    ],
)
def test_invalid_evidence_is_a_status(read, moments, propensities, told) -> None:
    found = read(_invalid(moments, propensities))
    assert found.status == Status.INVALID_DATA and told in found.reason
    assert math.isnan(found.p_value) and math.isnan(found.low) and math.isnan(found.relative.low)


@pytest.mark.parametrize("read", READINGS)
@pytest.mark.parametrize(
    "batches",
    [
        [],
        [AdaptiveBatch({}, EVEN)],
        [batch([1.0, 2.0], [])],
        [batch([1.0, 2.0], [1.0])],
        [batch([1.0, 2.0], [], 0.1), batch([], [1.0, 2.0], 0.9)],
    ],
)
def test_too_little_evidence_is_a_status(read, batches) -> None:
    found = read(batches)
    assert found.status == Status.INSUFFICIENT_DATA
    assert found.reason and math.isnan(found.p_value)


@pytest.mark.parametrize("read", READINGS)
def test_outcomes_that_do_not_vary_are_degenerate(read) -> None:
    found = read([batch([1.0] * 5, [2.0] * 5), batch([1.0] * 5, [2.0] * 5)])
    assert found.status == Status.DEGENERATE and math.isnan(found.p_value)
    assert found.effect == 1.0


@pytest.mark.parametrize("read", READINGS)
@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_an_alpha_that_is_none_is_refused(read, alpha) -> None:
    with pytest.raises(EvidenceError, match="alpha"):
        read(drawn(np.random.default_rng(1), [0.5], 50), alpha=alpha)


# --- simulations ----------------------------------------------------------------------------------------------------


def chance(control: Moments, treatment: Moments) -> float:
    """Thompson's share of treatment with normal posteriors, floored at 5 %."""
    if min(control.n, treatment.n) < 4:
        return 0.5
    error = math.sqrt(control.variance() / control.n + treatment.variance() / treatment.n)
    return 0.05 + 0.9 * float(special.ndtr((treatment.mean[0] - control.mean[0]) / error))


def served(control: Moments, treatment: Moments) -> float:
    """The share of treatment that the package's Thompson sampling gives."""
    algorithm = ThompsonGaussian()
    rewards = [(arm.n, float(arm.mean[0]), float(arm.comoment[0, 0])) for arm in (control, treatment)]
    return algorithm.propensities(algorithm.consume(algorithm.initial(2), "so far", rewards))[1]


def experiment(random, times, units, share=chance) -> list[AdaptiveBatch]:
    """An experiment without an effect, outcomes standard normal, allocated by what it has seen so far."""
    found, seen = [], [Moments.empty(1), Moments.empty(1)]
    for _ in range(times):
        treated = share(*seen)
        found += drawn(random, [treated], units)
        seen = [Moments.merge(arm, found[-1].arm(name)) for arm, name in zip(seen, EVEN, strict=True)]
    return found


def covered(experiments) -> dict[str, float]:
    """Coverage by reading."""
    found = [adaptive_estimates(batches) for batches in experiments]
    names = ("naive", "weighted", "batched")
    return {name: float(np.mean([getattr(e, name).low <= 0 <= getattr(e, name).high for e in found])) for name in names}


def test_intervals_under_thompson_sampling_cover() -> None:
    """400 experiments of 20 x 40: a standard error of 1.1 points; the band is three of them."""
    random = np.random.default_rng(19_330_125)
    shares = covered(experiment(random, 20, 40) for _ in range(400))
    assert abs(shares["weighted"] - 0.95) < 0.033
    assert abs(shares["batched"] - 0.95) < 0.033


@pytest.mark.slow
def test_naive_intervals_under_cover_and_the_others_do_not() -> None:
    """1,000 experiments of 40 x 50 under the package's own: a standard error of 0.7 points, bands of two and a half."""
    random = np.random.default_rng(19_330_125)
    shares = covered(experiment(random, 40, 50, served) for _ in range(1000))
    assert shares["naive"] < 0.95 - 0.0175
    assert abs(shares["weighted"] - 0.95) < 0.0175
    assert abs(shares["batched"] - 0.95) < 0.0175


def test_the_ratio_test_keeps_its_level_under_thompson_sampling() -> None:
    """400 experiments at 5 %: a standard error of 1.1 points; pooled batches may make it quieter, not louder."""
    random = np.random.default_rng(19_000_101)
    tested = [sample_ratio(experiment(random, 8, 40)).p_value <= 0.05 for _ in range(400)]
    assert np.mean(tested) < 0.05 + 3 * 0.011
