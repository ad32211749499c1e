"""Two proportions with Beta priors: chance to win, expected losses and their difference's interval, exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.bayes import Posterior
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import checked_level
from xp_pipeline.stats.moments import Vector

_STEPS_PER_SD = 8.0
_TAIL = 46.0
"""Logarithm of 1e20: mass beyond a density that has fallen so far is left out."""

WEAKEST = 0.1
"""Prior successes and failures below which nearly all prior mass is at 0 and 1."""

_FEW = 0.1
"""Standard deviation of log odds above which the ends 0 and 1 are not far away: some 100 events or fewer."""

_BEYOND = 1.01
"""A little more than the reach of an inequality that can be sharp."""


@dataclass(frozen=True)
class Beta:
    """A Beta distribution of a proportion.

    Attributes:
        a, b: Prior successes and failures plus those seen; both positive.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        if not (0 < self.a < math.inf and 0 < self.b < math.inf):
            raise EvidenceError("a Beta distribution has two positive parameters", found=(self.a, self.b))

    @property
    def mean(self) -> float:
        """Mean of the proportion."""
        return self.a / (self.a + self.b)

    @property
    def variance(self) -> float:
        """Variance of the proportion."""
        return self.a * self.b / ((self.a + self.b) ** 2 * (self.a + self.b + 1))

    @property
    def log_odds(self) -> float:
        """Log odds of the mean, where the density of the log odds is highest."""
        return math.log(self.a) - math.log(self.b)

    @property
    def log_odds_sd(self) -> float:
        """Standard deviation of the log odds, sqrt(psi'(a) + psi'(b))."""
        return math.sqrt(float(special.polygamma(1, self.a) + special.polygamma(1, self.b)))

    def cdf(self, p: Vector, q: Vector) -> Vector:
        """Distribution function at p, with q = 1 - p so that neither end is rounded away."""
        below = np.clip(p, 0.0, 1.0) < 0.5
        left = special.betainc(self.a, self.b, np.where(below, np.clip(p, 0.0, 1.0), 0.5))
        found: Vector = np.where(below, left, special.betaincc(self.b, self.a, np.clip(q, 0.0, 0.5)))
        return found

    def sf(self, p: Vector, q: Vector) -> Vector:
        """One minus the distribution function, without cancellation."""
        return Beta(self.b, self.a).cdf(q, p)


def beta_binomial(
    events_control: int,
    n_control: int,
    events_treatment: int,
    n_treatment: int,
    *,
    prior: tuple[float, float] = (1.0, 1.0),
    increase_is_good: bool = True,
    alpha: float = 0.05,
) -> Posterior:
    """Posterior of p_t - p_c under independent Beta priors.

    P(p_t > p_c) is the integral of one density times the other's distribution function, and E max(p_c - p_t, 0) that of
    F_t (1 - F_c), which is positive throughout, so that small losses do not cancel. Over the log odds these are
    analytic functions that fall off exponentially, so the trapezoidal rule converges geometrically (Trefethen,
    Weideman 2014, SIAM Rev. 56); the step follows the narrower of the two distributions. Without any units the
    posterior is the prior.

    Args:
        events_control, n_control, events_treatment, n_treatment: Units with the event, and units.
        prior: a and b of both arms; (1, 1) is flat, (0.5, 0.5) Jeffreys'.
        increase_is_good: Whether the event is wanted.
        alpha: One minus the probability of the interval.
    """
    level = checked_level(alpha)
    control = _updated(events_control, n_control, prior)
    treatment = _updated(events_treatment, n_treatment, prior)
    above, short, over = _above(control, treatment), _shortfall(control, treatment), _shortfall(treatment, control)
    low, high = (_quantile(control, treatment, p) for p in (alpha / 2, 1 - alpha / 2))
    wins = above if increase_is_good else _above(treatment, control)
    return Posterior(
        Status.OK,
        "",
        "absolute",
        treatment.mean - control.mean,
        math.sqrt(treatment.variance + control.variance),
        low,
        high,
        level,
        chance_to_win=wins,
        loss_ship=short if increase_is_good else over,
        loss_keep=over if increase_is_good else short,
    )


def _updated(events: int, n: int, prior: tuple[float, float]) -> Beta:
    if min(prior) < WEAKEST:
        raise EvidenceError("a prior is worth some units", found=prior, allowed=f"{WEAKEST:g} or more of each kind")
    if not 0 <= events <= n:
        raise EvidenceError("events are some of the units", found=f"{events} of {n}")
    return Beta(prior[0] + events, prior[1] + n - events)


def _above(control: Beta, treatment: Beta) -> float:
    """P(p_t > p_c), over the density of the narrower."""
    if control.log_odds_sd <= treatment.log_odds_sd:
        return _expectation(control, treatment.sf)
    return _expectation(treatment, control.cdf)


def _expectation(beta: Beta, function: Callable[[Vector, Vector], Vector]) -> float:
    """E function(p), the density normalised on the grid itself so that no constant's rounding enters."""
    p, q, weight = _nodes(beta)
    return float(weight @ function(p, q))


def _nodes(beta: Beta) -> tuple[Vector, Vector, Vector]:
    """Proportions p and 1 - p at equal steps of log odds around the mode, and weights by the density of the log odds.

    log density is a log(p / m) + b log((1 - p) / (1 - m)) with the mode m = a / (a + b); it falls at least like
    the tails a x and b x, and like the square near the mode.
    """
    a, b = beta.a, beta.b
    reach = math.sqrt(2 * _TAIL) * beta.log_odds_sd
    left, right = reach + 2 * _TAIL / a, reach + 2 * _TAIL / b
    step = min(beta.log_odds_sd, 1.0) / _STEPS_PER_SD
    x = np.arange(-math.ceil(left / step), math.ceil(right / step) + 1) * step
    with np.errstate(over="ignore"):
        log_density = -a * np.log1p(b / (a + b) * np.expm1(-x)) - b * np.log1p(a / (a + b) * np.expm1(x))
    kept = log_density > -2 * _TAIL
    density: Vector = np.exp(log_density[kept])
    log_odds = beta.log_odds + x[kept]
    return special.expit(log_odds), special.expit(-log_odds), density / density.sum()


def _shortfall(control: Beta, treatment: Beta) -> float:
    """E max(p_c - p_t, 0), the integral of F_t (1 - F_c) over p, dp = p (1 - p) d(log odds)."""
    narrow = min(control.log_odds_sd, treatment.log_odds_sd)
    wide = max(control.log_odds_sd, treatment.log_odds_sd)
    reach = min(math.sqrt(4 * _TAIL) * wide, 2 * _TAIL) + min(4 * wide, 1.0)
    ends = sorted((control.log_odds, treatment.log_odds))
    step = min(narrow, 1.0) / _STEPS_PER_SD
    x = np.arange(ends[0] - reach, ends[1] + reach + step, step)
    p, q = special.expit(x), special.expit(-x)
    return float(step * np.sum(treatment.cdf(p, q) * control.sf(p, q) * p * q))


def _quantile(control: Beta, treatment: Beta, probability: float) -> float:
    """The d with P(p_t - p_c <= d) = probability.

    It lies no further below the mean than sqrt((1 - probability) / probability) standard deviations, nor above it
    than the inverse (Cantelli's inequality).
    """
    from scipy.optimize import brentq

    few = min(control.log_odds_sd, treatment.log_odds_sd) > _FEW
    distribution = _difference_of_few if few else _difference_of_many
    below = distribution(control, treatment)
    mean, sd = treatment.mean - control.mean, math.sqrt(treatment.variance + control.variance)
    reach = _BEYOND * math.sqrt((1 - probability) / probability)
    low, high = max(mean - reach * sd, -1.0), min(mean + _BEYOND**2 / reach * sd, 1.0)
    return float(brentq(lambda d: below(d) - probability, low, high, xtol=1e-11))


def _difference_of_many(control: Beta, treatment: Beta) -> Callable[[float], float]:
    """d -> P(p_t - p_c <= d) over the density of the narrower, whose mass is away from 0 and 1."""
    fixed, moving = (control, treatment) if control.log_odds_sd <= treatment.log_odds_sd else (treatment, control)
    p, q, weight = _nodes(fixed)
    return lambda d: float(weight @ (moving.cdf(p + d, q - d) if fixed is control else moving.sf(p - d, q + d)))


def _difference_of_few(control: Beta, treatment: Beta) -> Callable[[float], float]:
    """d -> P(p_t - p_c <= d) where mass at 0 and 1 counts.

    Over the p_c from which p_c + d is a proportion, by the log odds of the place between these two ends, which turns
    powers of the distance from an end into exponentials.
    """
    step = min(control.log_odds_sd, treatment.log_odds_sd, 1.0) / _STEPS_PER_SD
    y = np.arange(-_TAIL / min(control.a, 1.0), _TAIL / min(control.b, 1.0), step)
    w, rest = special.expit(y), special.expit(-y)
    constant = special.betaln(control.a, control.b)

    def below(d: float) -> float:
        if abs(d) >= 1:
            return float(d > 0)
        low, high = max(0.0, -d), min(1.0, 1.0 - d)
        p, q = low + (high - low) * w, (1 - high) + (high - low) * rest
        with np.errstate(divide="ignore", under="ignore"):
            density = np.exp((control.a - 1) * np.log(p) + (control.b - 1) * np.log(q) - constant)
        moved, left = max(d, 0.0) + (high - low) * w, max(-d, 0.0) + (high - low) * rest
        inner = float(step * np.sum(density * treatment.cdf(moved, left) * (high - low) * w * rest))
        return inner + float(special.betaincc(control.a, control.b, high))

    return below
