"""Gaussian posteriors: the conjugate formulas by numerical integration, priors on both scales, calibration, peeking."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.bayes import CAUTION, Prior, gaussian_effect
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments

CONTROL = Moments.of(np.random.default_rng(1).normal(20.0, 4.0, 400))
TREATMENT = Moments.of(np.random.default_rng(2).normal(20.6, 5.0, 300))
ESTIMATE = welch(CONTROL, TREATMENT)


@pytest.mark.parametrize("prior", [Prior(0.0, 0.4, "absolute"), Prior(-0.3, 1.0, "absolute"), Prior(0.01, 0.02)])
@pytest.mark.parametrize("good", [True, False])
def test_the_posterior_is_prior_times_likelihood(prior: Prior, good: bool) -> None:
    """Mean, sd, chance and both losses by quadrature of the unnormalised product."""
    found = gaussian_effect(ESTIMATE, prior=prior, increase_is_good=good)
    before, tau = prior.on("absolute", ESTIMATE.mean_control)

    def expected(function) -> float:
        def product(x: float) -> float:
            return function(x) * stats.norm.pdf(x, before, tau) * stats.norm.pdf(ESTIMATE.effect, x, ESTIMATE.se)

        ends = found.mean - 12 * found.sd, found.mean + 12 * found.sd
        return float(integrate.quad(product, *ends, epsabs=1e-16, epsrel=1e-13, points=[0.0, found.mean], limit=400)[0])

    total = expected(lambda x: 1.0)
    sign = 1 if good else -1
    assert found.mean == pytest.approx(expected(lambda x: x) / total, rel=1e-10)
    assert found.sd**2 == pytest.approx(expected(lambda x: (x - found.mean) ** 2) / total, rel=1e-9)
    assert found.chance_to_win == pytest.approx(expected(lambda x: float(sign * x > 0)) / total, rel=1e-9)
    assert found.loss_ship == pytest.approx(expected(lambda x: max(-sign * x, 0.0)) / total, rel=1e-8)
    assert found.loss_keep == pytest.approx(expected(lambda x: max(sign * x, 0.0)) / total, rel=1e-8)


def test_a_flat_prior_gives_the_confidence_interval() -> None:
    found = gaussian_effect(replace(ESTIMATE, df=math.inf))
    z = stats.norm.ppf(0.975)
    assert (found.low, found.high) == pytest.approx(
        (ESTIMATE.effect - z * ESTIMATE.se, ESTIMATE.effect + z * ESTIMATE.se)
    )
    assert found.chance_to_win == pytest.approx(stats.norm.cdf(ESTIMATE.effect / ESTIMATE.se))
    assert found.caution == CAUTION
    wide = gaussian_effect(ESTIMATE, prior=Prior(0.0, 1e9, "absolute"))
    assert (wide.mean, wide.sd) == pytest.approx((found.mean, found.sd))


def test_one_prior_on_two_scales_is_one_belief() -> None:
    """A lift of 3 % of a control mean of 20 is an effect of 0.6: either way of writing it gives the same posterior."""
    unit = ESTIMATE.mean_control
    written = [Prior(0.01, 0.03, "relative"), Prior(0.01 * unit, 0.03 * unit, "absolute")]
    for scale in ("absolute", "relative"):
        one, other = (gaussian_effect(ESTIMATE, prior=prior, scale=scale) for prior in written)
        for name in ("mean", "sd", "low", "high", "chance_to_win", "loss_ship"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-12)


@given(st.floats(1e-3, 1e3), st.booleans())
def test_a_change_of_unit_scales_absolute_and_leaves_relative_read_outs(unit: float, negative: bool) -> None:
    k = -unit if negative else unit
    scaled = welch(CONTROL.linear([[k]]), TREATMENT.linear([[k]]))
    prior = Prior(0.01, 0.03)
    before = gaussian_effect(ESTIMATE, prior=prior, scale="absolute", increase_is_good=True)
    if negative:
        prior = Prior(-0.01, 0.03)
    after = gaussian_effect(scaled, prior=prior, scale="absolute", increase_is_good=not negative)
    assert after.mean == pytest.approx(k * before.mean, rel=1e-9)
    assert after.chance_to_win == pytest.approx(before.chance_to_win, rel=1e-9)
    assert after.loss_ship == pytest.approx(unit * before.loss_ship, rel=1e-8)


def test_swapping_arms_swaps_the_losses() -> None:
    one, other = gaussian_effect(ESTIMATE), gaussian_effect(welch(TREATMENT, CONTROL))
    assert one.chance_to_win == pytest.approx(1 - other.chance_to_win)
    assert one.loss_ship == pytest.approx(other.loss_keep)
    assert one.loss_keep - one.loss_ship == pytest.approx(one.mean)


@pytest.mark.parametrize("z", [-40.0, -6.0, -1.0, 0.0, 1.0, 4.999, 5.001, 12.0, 29.9, 37.0])
def test_the_loss_far_out_does_not_cancel(z: float) -> None:
    """Against the integral of Phi(-t) from z on, which has no difference in it, scaled by exp(z^2 / 2) beyond 0."""
    origin = max(z, 0.0)

    def tail(t: float) -> float:
        scaled = 0.5 * special.erfcx(t / math.sqrt(2)) if t > 0 else special.ndtr(-t)
        return float(scaled * (math.exp(-(t - origin) * (t + origin) / 2) if t > 0 else math.exp(origin**2 / 2)))

    parts = [(z, 0.0), (0.0, 40.0)] if z < 0 else [(z, z + 40 / max(z, 1.0))]
    area = math.fsum(integrate.quad(tail, *part, epsabs=0, epsrel=1e-12, limit=200)[0] for part in parts)
    found = gaussian_effect(replace(ESTIMATE, effect=z, se=1.0)).loss_ship
    assert found == pytest.approx(area * math.exp(-(origin**2) / 2), rel=1e-9)


def test_against_a_large_simulation() -> None:
    """2 000 000 draws: standard errors 0.0004 of the chance and below 0.0003 of the losses."""
    found = gaussian_effect(ESTIMATE, prior=Prior(0.0, 0.5, "absolute"))
    draws = np.random.default_rng(3).normal(found.mean, found.sd, 2_000_000)
    assert found.chance_to_win == pytest.approx((draws > 0).mean(), abs=0.0012)
    assert found.loss_ship == pytest.approx(np.maximum(-draws, 0).mean(), abs=0.0009)
    assert found.loss_keep == pytest.approx(np.maximum(draws, 0).mean(), abs=0.0009)


def test_chances_are_calibrated_when_effects_come_from_the_prior() -> None:
    """20 000 effects from the prior: of those given a chance in a tenth, that share wins, within 4 standard errors."""
    rng = np.random.default_rng(4)
    tau, se, n = 0.1, 0.08, 20_000
    truth = rng.normal(0, tau, n)
    prior = Prior(0.0, tau, "absolute")
    found = [gaussian_effect(replace(ESTIMATE, effect=e, se=se), prior=prior) for e in rng.normal(truth, se)]
    chance = np.array([f.chance_to_win for f in found])
    covered = np.array([f.low <= t <= f.high for f, t in zip(found, truth, strict=True)])
    assert covered.mean() == pytest.approx(0.95, abs=4 * 0.00154)
    for low in np.arange(0, 1, 0.1):
        inside = (chance >= low) & (chance < low + 0.1)
        error = 4 * math.sqrt(0.25 / inside.sum())
        assert (truth[inside] > 0).mean() == pytest.approx(chance[inside].mean(), abs=error)


def test_a_chance_watched_at_every_look_finds_what_is_not_there() -> None:
    """The caution: 1000 A/A experiments with 50 looks pass a chance of 97.5 % or 2.5 % far too often."""
    steps = np.random.default_rng(5).normal(size=(1000, 50)).cumsum(axis=1) / np.sqrt(np.arange(1, 51))
    chances = stats.norm.cdf(steps)
    assert ((chances > 0.975) | (chances < 0.025)).any(axis=1).mean() == pytest.approx(0.32, abs=3 * 0.015)


@pytest.mark.parametrize(("control", "scale", "status"), [
    ([1.0], "absolute", Status.INSUFFICIENT_DATA),
    ([2.0, 2.0], "absolute", Status.DEGENERATE),
    ([1.0, math.nan], "absolute", Status.INVALID_DATA),
    ([-1.0, 1.0, 0.0], "relative", Status.UNDEFINED_RELATIVE),
    ([-10.0, 11.0, 0.0], "relative", Status.UNBOUNDED),
])  # fmt: skip
def test_undefined_is_a_status(control: list[float], scale, status: Status) -> None:
    treatment = [3.0, 3.0] if status == Status.DEGENERATE else [1.0, 2.0, 4.0]
    found = gaussian_effect(welch(Moments.of(control), Moments.of(treatment)), scale=scale)
    assert found.status == status
    assert found.reason
    assert math.isnan(found.chance_to_win)


def test_a_relative_prior_needs_a_control_mean() -> None:
    estimate = welch(Moments.of([-1.0, 1.0, 0.0]), Moments.of([1.0, 2.0, 4.0]))
    assert gaussian_effect(estimate, prior=Prior(0.0, 0.1)).status == Status.UNDEFINED_RELATIVE
    assert gaussian_effect(estimate, prior=Prior(0.0, 0.1, "absolute")).status == Status.OK


def test_what_is_no_prior_or_scale() -> None:
    for mean, sd, scale in ((0.0, 0.0, "relative"), (math.nan, 1.0, "relative"), (0.0, 1.0, "log")):
        with pytest.raises(EvidenceError, match="prior"):
            Prior(mean, sd, scale)  # type: ignore[arg-type]
    with pytest.raises(EvidenceError, match="scale"):
        gaussian_effect(ESTIMATE, scale="log")  # type: ignore[arg-type]
