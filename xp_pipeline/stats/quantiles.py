"""The difference of two quantiles, by the order statistics around them."""

from __future__ import annotations

import math
from dataclasses import replace

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.clusters import few_clusters
from xp_pipeline.stats.estimates import Estimate, Status, without_lift
from xp_pipeline.stats.means import contrast, satterthwaite
from xp_pipeline.stats.order import OrderStatistics, ThresholdCounts
from xp_pipeline.stats.ratios import linearise

FEW_BEYOND = 20
"""Fewest observations that a quantile needs on either side; with fewer the interval is far too wide (measured)."""

TIED = 0.01
"""Share of observations with one value at the quantile from which it has no standard error."""

_Z = 1.959963984540054
"""Of the 95 % interval that the standard error is read from, whatever the level of the answer."""


def quantile(
    control: OrderStatistics,
    treatment: OrderStatistics,
    *,
    p: float,
    alpha: float = 0.05,
    null: float = 0.0,
    clusters: tuple[ThresholdCounts, ThresholdCounts] | None = None,
) -> Estimate:
    """Difference of the p-quantiles (type 7) of two arms.

    se of an arm = (X_U - X_L) / (2 z) with the outer ranks L = floor(n p - z s), U = ceil(n p + z s) + 1, s =
    sqrt(n p (1 - p)), z = 1.96: Deng, Knoblich, Lu 2018 (KDD), section 4. Where units have several
    observations, times sqrt(Var_ratio / (p (1 - p) / n)), Var_ratio being the delta method's variance of the
    share at or below the quantile; n in the answer and its degrees of freedom then count units. The lift is
    Fieller's. ``insufficient_data`` with fewer than 20 (effective) observations on a side of the quantile,
    ``degenerate`` where observations tie at it.

    Args:
        control, treatment: All observations of each arm.
        p: Which quantile, between 0 and 1.
        clusters: Counts at or below each arm's own quantile by unit, where observations are not units.
    """
    if not 0 < p < 1:
        raise EvidenceError("a quantile is a share", found=p, allowed="between 0 and 1, such as 0.9")
    estimator = "clustered_quantile" if clusters else "quantile"
    arms = (control, treatment)
    units = (clusters[0].moments.n, clusters[1].moments.n) if clusters else (control.n, treatment.n)
    effects = _design_effects(arms, p, clusters)
    refused = _refusal(arms, p, effects)
    places = (control.quantile(p), treatment.quantile(p))
    if refused:
        return _refused(*refused, estimator, units, places)
    v_c, v_t = (_squared_error(arm, p) * deff for arm, deff in zip(arms, effects, strict=True))
    df = satterthwaite(v_c, units[0], v_t, units[1]) if clusters and v_c + v_t > 0 else math.inf
    found = contrast(estimator, units, places, (v_c, v_t, 0.0), df=df, alpha=alpha, null=null)
    found = replace(found, var_control=v_c * units[0], var_treatment=v_t * units[1])
    return found.cautioned(few_clusters(min(units)) if clusters else None)


def _design_effects(
    arms: tuple[OrderStatistics, OrderStatistics], p: float, clusters: tuple[ThresholdCounts, ThresholdCounts] | None
) -> tuple[float, float]:
    """Variance of the share at or below the quantile over that of as many independent observations."""
    if not clusters:
        return 1.0, 1.0
    c, t = (_design_effect(arm, p, counts) for arm, counts in zip(arms, clusters, strict=True))
    return c, t


def _design_effect(arm: OrderStatistics, p: float, counts: ThresholdCounts) -> float:
    observed = counts.moments.n * float(counts.moments.mean[1])
    if abs(observed - arm.n) > 1e-6 * max(arm.n, 1):
        raise EvidenceError("counts by unit are of other observations", found=f"{observed:.0f} against {arm.n}")
    if counts.moments.n < 2 or not observed:
        return math.nan
    share = linearise(counts.moments)
    return share.variance() / share.n / (p * (1 - p) / arm.n)


def _refusal(
    arms: tuple[OrderStatistics, OrderStatistics], p: float, effects: tuple[float, float]
) -> tuple[Status, str] | None:
    """Why there can be no interval, if so."""
    if min(arm.n for arm in arms) == 0:
        return Status.INSUFFICIENT_DATA, "an arm has no observation"
    if not all(arm.finite for arm in arms):
        return Status.INVALID_DATA, "a value is infinite or not a number"
    if any(math.isnan(deff) for deff in effects):
        return Status.INSUFFICIENT_DATA, "an arm has fewer than two units"
    beyond = min(min(p, 1 - p) * arm.n / max(deff, 1.0) for arm, deff in zip(arms, effects, strict=True))
    if beyond < FEW_BEYOND - 1e-9:
        return Status.INSUFFICIENT_DATA, f"{beyond:.0f} observations beyond the quantile are too few ({FEW_BEYOND})"
    for arm in arms:
        tied = arm.ties(p)
        if tied > max(1, min(TIED * arm.n, _rank_error(arm.n, p))):
            return (
                Status.DEGENERATE,
                f"{tied / arm.n:.1%} of an arm have the value at the quantile: ties hide its error",
            )
    return None


def _refused(
    status: Status, reason: str, estimator: str, units: tuple[int, int], places: tuple[float, float]
) -> Estimate:
    """No interval; the quantiles themselves stay where they are numbers."""
    if not all(math.isfinite(place) for place in places):
        return Estimate(status, reason, estimator, *units, relative=without_lift(status, reason))
    effect = places[1] - places[0]
    return Estimate(
        status, reason, estimator, *units, *places, effect=effect, unadjusted_effect=effect,
        relative=without_lift(status, reason, effect / abs(places[0]) if places[0] else math.nan),
    )  # fmt: skip


def _rank_error(n: int, p: float) -> float:
    """Standard deviation of the rank of the true quantile."""
    return math.sqrt(n * p * (1 - p))


def _squared_error(arm: OrderStatistics, p: float) -> float:
    half = _Z * _rank_error(arm.n, p)
    low, high = arm.at(math.floor(arm.n * p - half)), arm.at(math.ceil(arm.n * p + half) + 1)
    return ((high - low) / (2 * _Z)) ** 2
