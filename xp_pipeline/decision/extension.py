"""Blinded re-estimation: how long a plan may go on, from the variance of all units, arms unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.cuped import residual, slopes
from xp_pipeline.stats.estimates import NAN, Status
from xp_pipeline.stats.moments import Moments

_MOST = 1e15


@dataclass(frozen=True)
class Reestimate:
    """The units that the planned effect needs at the variance found.

    Attributes:
        status, reason: ``ok``, or why nothing can be said; then the plan stays.
        variance: Per unit, after covariates, over both arms together.
        needed: Of both arms, whatever was planned or is allowed; 0 where nothing can be said.
        units: Of both arms, at least the planned and at most the allowed ones.
        extra: How many of them were not planned.
        capped: Whether more than the allowed would be needed.
    """

    status: Status
    reason: str
    variance: float
    needed: int
    units: int
    extra: int
    capped: bool


def blinded_reestimate(
    pooled: Moments,
    *,
    effect: float,
    planned_units: int,
    most_units: int,
    share: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
    control_weight: float = 1.0,
) -> Reestimate:
    """N = (z_(1-alpha/2) + z_power)^2 s^2 (1 / f + k^2 / (1 - f)) / effect^2, never below the plan; k is 1 mostly.

    s^2 is that of both arms in one, which holds the effect too, f (1 - f) effect^2 of it, so N errs on the high
    side; as it does not say which arm is ahead, the error rate of the final test stays (Kieser, Friede 2003,
    Stat. Med. 22; nearly so for margins, Friede, Kieser 2003, ibid.). Only for a fixed-horizon test whose plan
    provides for it, and before any comparison is seen.

    Args:
        pooled: Moments over all units of both arms: the outcome (linearised for a ratio), then covariates.
        effect: The planned effect, in the metric's unit; 0 where it is a share of a mean of 0.
        planned_units, most_units: Units of both arms in the plan, and the most it allows.
        share: Of the units in treatment, of those in both arms.
        alpha: Two-sided, of one comparison.
        control_weight: k, the weight of the control mean in what is tested: 1 +- m of a relative margin m.
    """
    if not (0 < share < 1 and 0 < alpha < 1 and 0.5 <= power < 1):
        raise EvidenceError("a plan has an alpha, a power and a split", found=(alpha, power, share))
    if not 0 < planned_units <= most_units:
        raise EvidenceError("a plan allows at least its own units", found=f"{planned_units} of at most {most_units}")
    if effect == 0 or not math.isfinite(effect):
        return _as_planned(Status.UNDEFINED_RELATIVE, "the planned effect has no size, as a share of 0", planned_units)
    theta, rank = slopes(pooled.comoment)
    left = pooled.n - 1 - rank
    if left < 1:
        return _as_planned(Status.INSUFFICIENT_DATA, "too few units for a variance", planned_units)
    variance = residual(pooled, theta).variance() * (pooled.n - 1) / left
    if not 0 < variance < math.inf:
        status = Status.DEGENERATE if variance == 0 else Status.INVALID_DATA
        return _as_planned(status, "no variance over all units" if variance == 0 else "not finite", planned_units)
    z = -special.ndtri(alpha / 2) + special.ndtri(power)
    exact = z**2 * variance * (1 / share + control_weight**2 / (1 - share)) / effect**2
    needed = math.ceil(min(exact, _MOST))
    units = max(planned_units, min(needed, most_units))
    return Reestimate(Status.OK, "", variance, needed, units, units - planned_units, needed > most_units)


def _as_planned(status: Status, reason: str, planned_units: int) -> Reestimate:
    return Reestimate(status, reason, NAN, 0, planned_units, 0, False)
