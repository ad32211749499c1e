"""The mixture test: its likelihood ratio by integration, its running minimum, and its error rate under peeking."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import contrast, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.msprt import MixtureTest, Running, msprt


def observed(effect: float, variance: float, *, n: int = 1000, control: float = 10.0, null: float = 0.0) -> Estimate:
    """An estimate past the burn-in with a variance of the difference, half of it from either arm."""
    joint = (variance / 2, variance / 2, 0.0)
    return contrast("welch", (n, n), (control, control + effect), joint, df=math.inf, alpha=0.05, null=null)


def looked(effects: list[float], variances: list[float], *, tau: float = 0.5, alpha: float = 0.05) -> list[MixtureTest]:
    """The tests of successive looks."""
    found: list[MixtureTest] = []
    for effect, variance in zip(effects, variances, strict=True):
        previous = found[-1].running if found else None
        counted = (1000.0, 1000.0)
        found.append(msprt(observed(effect, variance), tau=tau, alpha=alpha, previous=previous, nonzero=counted))
    return found


@pytest.mark.parametrize(
    ("effect", "variance", "tau", "null"), [(0.3, 0.04, 0.2, 0.0), (-1.0, 0.1, 0.5, 0.2), (0.0, 1.0, 3.0, 0.0)]
)
def test_the_ratio_is_the_mean_likelihood_ratio_over_the_mixture(
    effect: float, variance: float, tau: float, null: float
) -> None:
    """The integral of N(d; null + x, V) over x ~ N(0, tau^2), divided by N(d; null, V)."""
    root = math.sqrt(variance)

    def mixed(x: float) -> float:
        return float(norm.pdf(effect, null + x, root) * norm.pdf(x, 0, tau))

    wanted = quad(mixed, -20 * tau, 20 * tau, points=[effect - null], limit=300)[0] / norm.pdf(effect, null, root)
    found = msprt(observed(effect, variance, null=null), tau=tau, nonzero=(1e3, 1e3))
    assert found.log_ratio == pytest.approx(math.log(wanted), abs=1e-8)
    assert found.p_value == pytest.approx(min(1.0, 1 / wanted), rel=1e-8)


looks = st.lists(st.tuples(st.floats(-2, 2), st.floats(0.001, 1)), min_size=1, max_size=12)


@given(looks, st.floats(0.01, 5), st.sampled_from([0.01, 0.05, 0.2]))
def test_p_never_rises_the_interval_never_grows_and_both_decide_alike(found, tau: float, alpha: float) -> None:
    tests = looked([e for e, _ in found], [v for _, v in found], tau=tau, alpha=alpha)
    for before, after in pairwise(test for test in tests if test.running):
        assert after.running.p_value <= before.running.p_value
        assert after.running.low >= before.running.low
        assert after.running.high <= before.running.high
    last = tests[-1].running
    assume(abs(last.p_value - alpha) > 1e-9)
    assert (last.p_value < alpha) == (not last.low <= 0 <= last.high)


@given(st.floats(-2, 2), st.floats(0.001, 1), st.floats(0.05, 3))
def test_a_look_decides_alike_on_both_scales(effect: float, variance: float, tau: float) -> None:
    found = msprt(observed(effect, variance), tau=tau)
    assume(abs(found.p_value - 0.05) > 1e-9)
    assert found.relative.contains(0.0) == (found.low <= 0 <= found.high) == (found.p_value > 0.05)


@given(st.floats(-2, 2), st.floats(0.001, 1), st.floats(1e-3, 1e3))
def test_units_of_the_metric_do_not_matter_and_arms_may_swap(effect: float, variance: float, unit: float) -> None:
    one = msprt(observed(effect, variance), tau=0.4)
    scaled = msprt(observed(effect * unit, variance * unit**2, control=10 * unit), tau=0.4 * unit)
    assert scaled.p_value == pytest.approx(one.p_value, rel=1e-6)
    assert (scaled.low, scaled.high) == pytest.approx((one.low * unit, one.high * unit), rel=1e-6, abs=1e-9 * unit)
    swapped = msprt(observed(-effect, variance), tau=0.4)
    assert (swapped.low, swapped.high) == pytest.approx((-one.high, -one.low), rel=1e-9, abs=1e-12)


def test_effects_that_no_look_shares_are_said_to_have_changed() -> None:
    tests = looked([1.0, -1.0], [0.01, 0.0001])
    assert tests[-1].status == Status.DEGENERATE
    assert "changed" in tests[-1].reason
    assert math.isnan(tests[-1].low)
    assert tests[-1].p_value <= tests[0].p_value


def test_looks_of_the_burn_in_do_not_count() -> None:
    early = msprt(observed(5.0, 0.01, n=99), tau=0.5)
    assert early.status == Status.INSUFFICIENT_DATA
    assert "100" in early.reason
    assert math.isnan(early.p_value)
    assert early.running is None
    later = msprt(observed(5.0, 0.01, n=101), tau=0.5, previous=early.running)
    assert later.status == Status.OK
    assert later.p_value < 1e-10


def test_few_units_other_than_zero_are_waited_for() -> None:
    found = msprt(observed(1.0, 0.01), tau=0.5, nonzero=(400.0, 24.0))
    assert found.status == Status.INSUFFICIENT_DATA
    assert "treatment arm has 24 of the 25 units other than 0" in found.reason


def test_a_look_that_is_undefined_keeps_what_was_known() -> None:
    first = msprt(observed(1.0, 0.01), tau=0.5)
    undefined = welch(Moments.of([1.0]), Moments.of([1.0, 2.0]))
    found = msprt(undefined, tau=0.5, previous=first.running)
    assert found.status == Status.INSUFFICIENT_DATA
    assert found.p_value == first.p_value
    assert found.running == first.running


def test_a_far_tail_has_a_positive_p_value() -> None:
    assert 0 < msprt(observed(100.0, 1e-6), tau=0.5).p_value < 1e-300


@pytest.mark.parametrize("tau", [0.0, -1.0, math.nan, math.inf])
def test_the_mixture_needs_a_size(tau: float) -> None:
    with pytest.raises(EvidenceError, match="size"):
        msprt(observed(1.0, 0.01), tau=tau)


def test_the_mixture_stays_the_same_over_the_looks() -> None:
    with pytest.raises(EvidenceError, match="same"):
        msprt(observed(1.0, 0.01), tau=0.5, previous=Running(0.5, -1.0, 1.0, 0.4))


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(EvidenceError, match="alpha"):
        msprt(observed(1.0, 0.01), tau=0.5, alpha=alpha)


def peeked(replicates: int, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Difference of two arms' means of N(0, 1) and its variance at every n from 100 to 2 000 per arm, A/A."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    n = np.arange(1, 2001)
    means = [rng.standard_normal((replicates, 2000)).cumsum(axis=1) / n for _ in range(2)]
    return (means[1] - means[0])[:, 99:], np.broadcast_to(2.0 / n[99:], (replicates, 1901))


def ever(effects: NDArray[np.float64], variances: NDArray[np.float64], tau: float) -> float:
    """Share of replicates whose ratio exceeds 20 at any n."""
    log_ratio = tau**2 * effects**2 / (2 * variances * (variances + tau**2)) - 0.5 * np.log1p(tau**2 / variances)
    return float(np.mean((log_ratio >= math.log(20)).any(axis=1)))


def test_peeking_at_every_unit_keeps_the_error_with_the_variance_of_the_difference_only() -> None:
    """1 500 A/A tests, tau 0.1: at most 5 % with both arms' variance; with one arm's above 15 %."""
    replicates = 1_500
    effects, variances = peeked(replicates, "msprt, A/A")
    assert ever(effects, variances, 0.1) <= 0.05 + 3 * math.sqrt(0.0475 / replicates)
    assert ever(effects, variances / 2, 0.1) > 0.15


def test_the_vectorised_ratio_is_the_functions() -> None:
    effects, variances = peeked(3, "msprt, same")
    found = msprt(observed(float(effects[1, 500]), float(variances[1, 500])), tau=0.1)
    tau, effect, variance = 0.1, effects[1, 500], variances[1, 500]
    wanted = tau**2 * effect**2 / (2 * variance * (variance + tau**2)) - 0.5 * math.log1p(tau**2 / variance)
    assert found.log_ratio == pytest.approx(wanted, rel=1e-12)


def test_the_interval_covers_at_all_looks_together() -> None:
    """150 experiments of 25 looks, exponential units, lift 0.2: the running interval misses 5 % of the time at most."""
    replicates, missed = 150, 0
    rng = np.random.default_rng(zlib.crc32(b"msprt, exponential, lift 0.2"))
    for _ in range(replicates):
        control, treatment = rng.exponential(1.0, 2500), rng.exponential(1.2, 2500)
        running = None
        for n in range(100, 2501, 100):
            estimate = welch(Moments.of(control[:n]), Moments.of(treatment[:n]))
            running = msprt(estimate, tau=0.2, previous=running).running or running
        assert running is not None
        missed += not running.low <= 0.2 <= running.high
    assert missed / replicates <= 0.05 + 3 * math.sqrt(0.0475 / replicates)


def test_a_reason_of_the_estimate_is_passed_on() -> None:
    cautioned = replace(observed(1.0, 0.01), reason="tails unreliable")
    assert msprt(cautioned, tau=0.5).reason == "tails unreliable"
