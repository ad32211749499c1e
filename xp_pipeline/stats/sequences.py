"""Asymptotic confidence sequences: bands that hold at every look at once."""

from __future__ import annotations

import math

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Relative, Status, without_lift
from xp_pipeline.stats.means import checked_level
from xp_pipeline.stats.relative import fieller


def boundary(n: float, planned_n: float, alpha: float) -> float:
    """Multiplier of the standard error, two-sided, after n of planned_n units.

    sqrt(2 (t + 1)/t log(sqrt(t + 1)/alpha)), t = n rho^2, rho^2 = (-2 log alpha + log(1 - 2 log alpha)) /
    planned_n: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024 (Ann. Stat. 52), eq. 9 over sigma / sqrt(n).
        It is tuned to
    planned_n, where the band is 1.55 times as wide as a fixed-horizon interval (alpha 0.05).
    """
    checked_level(alpha)
    if not (n > 0 and planned_n > 0):
        raise EvidenceError("a confidence sequence needs units, seen and planned", found=f"{n} of {planned_n}")
    t = n / planned_n * (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha)))
    return math.sqrt(2 * (t + 1) / t * (0.5 * math.log1p(t) - math.log(alpha)))


def confidence_band(
    estimate: Estimate, *, planned_n: int, alpha: float = 0.05, n: int | None = None
) -> tuple[float, float, Relative]:
    """Band that covers the effect at all looks together with probability 1 - alpha, and that of the lift.

    The lift's band is Fieller's set at the same boundary, so both scales decide alike. The guarantee is
    asymptotic: nothing should be claimed from it before some hundred units per arm.

    Args:
        estimate: A comparison at this look; its means with their variances and covariance are read.
        planned_n: Units of both arms that were planned.
        alpha: Error rate over all looks.
        n: Units of both arms at this look; those of the estimate unless given.

    Returns:
        Ends of the band of the effect, NaN where the estimate is undefined, and the lift.
    """
    checked_level(alpha)
    if estimate.status != Status.OK:
        return NAN, NAN, without_lift(estimate.status, estimate.reason)
    v_c, v_t, cov = estimate.var_mean_control, estimate.var_mean_treatment, estimate.cov_means
    q = boundary(n or estimate.n_control + estimate.n_treatment, planned_n, alpha)
    half = q * math.sqrt(max(v_c + v_t - 2 * cov, 0.0))
    lift = fieller(estimate.mean_control, estimate.mean_treatment, v_c, v_t, cov, q)
    return estimate.effect - half, estimate.effect + half, lift
