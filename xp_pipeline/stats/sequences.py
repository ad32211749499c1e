"""Asymptotic confidence sequences: bands that hold at every look at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Relative, Status, without_lift
from xp_pipeline.stats.means import SMALLEST_P, checked_level
from xp_pipeline.stats.relative import fieller

FEWEST_UNITS = 100
"""Units of an arm before which an always-valid method makes no claim."""

FEWEST_NONZERO = 25
"""Units of an arm with a value other than 0 before which it makes none."""

_QUANTILES = ("quantile", "clustered_quantile")


@dataclass(frozen=True)
class Band:
    """A confidence sequence at one look.

    Attributes:
        status, reason: ``insufficient_data`` during the burn-in, otherwise that of the estimate.
        low, high: Ends of the band of the effect; NaN where the status is not ``ok``.
        relative: The band of the lift: Fieller's set at the same boundary.
    """

    status: Status
    reason: str
    low: float
    high: float
    relative: Relative


def boundary(n: float, planned_n: float, alpha: float) -> float:
    """Multiplier of the standard error, two-sided, after n of planned_n units.

    sqrt(2 (t + 1)/t log(sqrt(t + 1)/alpha)), t = n rho^2, rho^2 = (-2 log alpha + log(1 - 2 log alpha)) /
    planned_n: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024 (Ann. Stat. 52), eq. 9 over sigma / sqrt(n).
    It is tuned to planned_n, where the band is 1.55 times as wide as a fixed-horizon interval (alpha 0.05).
    """
    checked_level(alpha)
    if not (n > 0 and planned_n > 0):
        raise EvidenceError("a confidence sequence needs units, seen and planned", found=f"{n} of {planned_n}")
    t = n / planned_n * (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha)))
    return math.sqrt(2 * (t + 1) / t * (0.5 * math.log1p(t) - math.log(alpha)))


def confidence_sequence(
    estimate: Estimate,
    *,
    planned_n: int,
    alpha: float = 0.05,
    n: int | None = None,
    nonzero: tuple[float, float] | None = None,
) -> Band:
    """Band that covers the effect at all looks together with probability 1 - alpha, and that of the lift.

    The guarantee is asymptotic: there is no band during the burn-in.

    Args:
        estimate: A comparison at this look; its means with their variances and covariance are read.
        planned_n: Units of both arms that were planned.
        alpha: Error rate over all looks.
        n: Units of both arms at this look; those of the estimate unless given.
        nonzero: As for ``burn_in``.
    """
    checked_level(alpha)
    status, reason = estimate.status, estimate.reason
    if status == Status.OK and (missing := burn_in(estimate, nonzero=nonzero)):
        status, reason = Status.INSUFFICIENT_DATA, missing
    if status != Status.OK:
        return Band(status, reason, NAN, NAN, without_lift(status, reason))
    v_c, v_t, cov = estimate.var_mean_control, estimate.var_mean_treatment, estimate.cov_means
    q = boundary(n or estimate.n_control + estimate.n_treatment, planned_n, alpha)
    half = q * math.sqrt(max(v_c + v_t - 2 * cov, 0.0))
    lift = fieller(estimate.mean_control, estimate.mean_treatment, v_c, v_t, cov, q)
    return Band(status, reason, estimate.effect - half, estimate.effect + half, lift)


def confidence_band(
    estimate: Estimate, *, planned_n: int, alpha: float = 0.05, n: int | None = None
) -> tuple[float, float, Relative]:
    """Low, high and lift of ``confidence_sequence``."""
    band = confidence_sequence(estimate, planned_n=planned_n, alpha=alpha, n=n)
    return band.low, band.high, band.relative


def always_valid_p(estimate: Estimate, *, planned_n: int, alpha: float = 0.05, n: int | None = None) -> float:
    """The smallest level whose band leaves out the null, with the tuning of ``alpha``; NaN where nothing varies.

    sqrt(t + 1) exp(-z^2 t / (2 (t + 1))), at most 1: the band's inequality solved for its level, t as in
    ``boundary``. It may be read at every look; the smallest of all looks so far may be kept.
    """
    if estimate.status != Status.OK:
        return NAN
    held = estimate.n_control + estimate.n_treatment if n is None else n
    t = held / planned_n * (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha)))
    variance = estimate.var_mean_control + estimate.var_mean_treatment - 2 * estimate.cov_means
    if not variance > 0:
        return NAN
    z = (estimate.effect - estimate.null) / math.sqrt(variance)
    return min(1.0, max(math.exp(0.5 * math.log1p(t) - z**2 * t / (2 * (t + 1))), SMALLEST_P))


def burn_in(estimate: Estimate, *, nonzero: tuple[float, float] | None = None) -> str:
    """What an always-valid method still waits for in either arm: 100 units, 25 of them not 0; empty when nothing.

    Args:
        estimate: The comparison at this look.
        nonzero: Units of control and treatment with a value other than 0. Unless given, (sum x)^2 / sum x^2 from
            the estimate's means and unadjusted variances, which never exceeds their number (Cauchy-Schwarz):
            exact for a proportion, 0 for a metric that balances around 0, whose caller must count. Those of a
            ratio are of its linearised units.
    """
    units = estimate.n_control, estimate.n_treatment
    told = "" if nonzero else ", as far as its mean and variance tell,"
    for arm, n, found in zip(("control", "treatment"), units, nonzero or _nonzero(estimate), strict=True):
        if n < FEWEST_UNITS:
            return f"the {arm} arm has {n} of the {FEWEST_UNITS} units before which no sequential claim is made"
        if round(found, 6) < FEWEST_NONZERO:
            counted = f"{found:.0f} of the {FEWEST_NONZERO} units other than 0{told}"
            return f"the {arm} arm has {counted} before which no sequential claim is made"
    return ""


def _nonzero(estimate: Estimate) -> tuple[float, float]:
    """Lower bounds for control and treatment; unbounded for a quantile, which refuses itself where data are few."""
    e = estimate
    if e.estimator in _QUANTILES:
        return math.inf, math.inf
    kept = max(1 - e.variance_reduction, 1e-12)
    return (
        _effective(e.n_control, e.mean_control, _variance(e.var_control, e.var_mean_control, e.n_control) / kept),
        _effective(
            e.n_treatment, e.mean_treatment, _variance(e.var_treatment, e.var_mean_treatment, e.n_treatment) / kept
        ),
    )


def _variance(per_unit: float, of_mean: float, n: int) -> float:
    """Variance per unit, from that of the mean where an estimator has none (per cluster then)."""
    return n * of_mean if math.isnan(per_unit) else per_unit


def _effective(n: int, mean: float, variance: float) -> float:
    """(sum x)^2 / sum x^2; 0 where all values are 0."""
    total = (n - 1) * variance + n * mean**2
    return (n * mean) ** 2 / total if total > 0 else 0.0
