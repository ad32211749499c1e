"""Bayesian read-outs: a Gaussian effect with a flat or proper prior, and Beta-Binomial proportions exactly.

They are not protected against peeking: of A/A experiments read at 50 equal looks, 32 % have at one of them a
chance to win above 97.5 % or below 2.5 % (100 000 simulated, flat prior).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.means import checked_level
from xp_pipeline.stats.relative import delta

CAUTION = "not protected against peeking: read it at the planned end"
Scale = Literal["absolute", "relative"]

_ROOT_2_PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class Prior:
    """A normal prior of the effect of treatment.

    Attributes:
        mean, sd: In the metric's unit, or as shares of |mean_control|.
        scale: Which of the two.
    """

    mean: float
    sd: float
    scale: Scale = "relative"

    def __post_init__(self) -> None:
        if not (0 < self.sd < math.inf and math.isfinite(self.mean)) or self.scale not in ("absolute", "relative"):
            raise EvidenceError(
                "a prior is a mean and a positive sd, absolute or relative", found=(self.mean, self.sd, self.scale)
            )

    def on(self, scale: Scale, mean_control: float) -> tuple[float, float]:
        """Mean and sd on a scale: a share r of |mean_control| is an absolute effect of r |mean_control|."""
        if scale == self.scale:
            return self.mean, self.sd
        unit = abs(mean_control) if scale == "absolute" else 1 / abs(mean_control)
        return self.mean * unit, self.sd * unit


@dataclass(frozen=True)
class Posterior:
    """What is believed of the effect after the data.

    Attributes:
        status, reason: Whether the numbers may be read; a reason beside ``ok`` is a caution.
        scale: Of the effect: in the metric's unit, or a share of |mean_control|.
        mean, sd: Of the posterior, which is normal in the Gaussian model.
        low, high: Equal-tailed credible interval at ``level``.
        level: Its probability.
        chance_to_win: Probability that treatment is better.
        loss_ship: Expected loss of choosing treatment: what it is worse by where it is worse, on average over all.
        loss_keep: Expected loss of keeping control.
        caution: That it does not stand peeking.
    """

    status: Status
    reason: str
    scale: Scale
    mean: float = NAN
    sd: float = NAN
    low: float = NAN
    high: float = NAN
    level: float = NAN
    chance_to_win: float = NAN
    loss_ship: float = NAN
    loss_keep: float = NAN
    caution: str = CAUTION


def gaussian_effect(
    estimate: Estimate,
    *,
    prior: Prior | None = None,
    scale: Scale = "absolute",
    increase_is_good: bool = True,
    alpha: float = 0.05,
) -> Posterior:
    """Posterior of the effect: precision 1/se^2 + 1/tau^2, mean weighted by precision.

    The likelihood of the absolute effect is N(effect, se^2); that of the lift has the delta method's variance, and
    there is none where Fieller's set is unbounded. Both are normal approximations: with a score estimate or few
    units prefer :func:`xp_pipeline.stats.beta_binomial.beta_binomial` or an interval.

    Args:
        estimate: Any comparison of two arms.
        prior: None for a flat one, whose credible interval is the confidence interval at infinite degrees of
            freedom; a proper one is carried to the scale of the posterior.
        increase_is_good: Direction of the metric; decides what winning and losing are.
        alpha: One minus the probability of the interval.
    """
    level = checked_level(alpha)
    if scale not in ("absolute", "relative"):
        raise EvidenceError("unknown scale", found=scale, allowed="absolute, relative")
    needs_lift = scale == "relative" or (prior is not None and prior.scale != scale)
    refused = _refused(estimate, needs_lift, scale)
    if refused:
        return refused
    effect, se = _likelihood(estimate, scale)
    if prior is None:
        mean, sd = effect, se
    else:
        before, tau = prior.on(scale, estimate.mean_control)
        share = tau**2 / (tau**2 + se**2)
        mean, sd = share * effect + (1 - share) * before, se * math.sqrt(share)
    half = -float(special.ndtri(alpha / 2)) * sd
    good = mean / sd if increase_is_good else -mean / sd
    return Posterior(
        Status.OK,
        estimate.reason,
        scale,
        mean,
        sd,
        mean - half,
        mean + half,
        level,
        chance_to_win=float(special.ndtr(good)),
        loss_ship=sd * _loss(good),
        loss_keep=sd * _loss(-good),
    )


def _refused(estimate: Estimate, needs_lift: bool, scale: Scale) -> Posterior | None:
    if estimate.status != Status.OK:
        return Posterior(estimate.status, estimate.reason, scale)
    if needs_lift and estimate.relative.status != Status.OK:
        return Posterior(estimate.relative.status, estimate.relative.reason, scale)
    return None


def _likelihood(estimate: Estimate, scale: Scale) -> tuple[float, float]:
    if scale == "absolute":
        return estimate.effect, estimate.se
    variances = estimate.var_mean_control, estimate.var_mean_treatment, estimate.cov_means
    lift = delta(estimate.mean_control, estimate.mean_treatment, *variances, q=1.0)
    return lift.lift, (lift.high - lift.low) / 2


def _loss(z: float) -> float:
    """E max(-X, 0) of X normal with mean z and sd 1: phi(z) - z Phi(-z), by the Mills ratio far out."""
    density = math.exp(-(z**2) / 2) / _ROOT_2_PI
    if z < 5:
        return density - z * float(special.ndtr(-z))
    mills = math.sqrt(math.pi / 2) * float(special.erfcx(z / math.sqrt(2)))
    return density * (1 - z * mills)
