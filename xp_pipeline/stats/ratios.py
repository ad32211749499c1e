"""Ratio metrics: sum over sum, by the delta method on all units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xp_pipeline.stats.estimates import Estimate, Status, without_lift
from xp_pipeline.stats.means import unusable, welch
from xp_pipeline.stats.moments import Moments

FEW_EFFECTIVE = 100


def linearise(moments: Moments) -> Moments:
    """Moments of z = R + (y - R d) / dbar and the covariates, R = ybar / dbar.

    The mean of z is the ratio and its variance over n the delta method's variance of the ratio (Deng,
    Knoblich, Lu 2018, KDD). Variables: numerator, denominator, covariates; d = 0 counts like any other value.
    """
    y, d = moments.mean[0], moments.mean[1]
    ratio = y / d
    k = moments.mean.size
    weights = np.zeros((k - 1, k))
    weights[0, 0], weights[0, 1] = 1 / d, -ratio / d
    weights[np.arange(1, k - 1), np.arange(2, k)] = 1.0
    constant = np.zeros(k - 1)
    constant[0] = ratio
    return moments.linear(weights, constant)


def unusable_ratio(control: Moments, treatment: Moments, estimator: str) -> Estimate | None:
    """The answer where a ratio cannot be formed."""
    refused = unusable(control, treatment, estimator)
    if refused:
        return refused
    if control.mean[1] == 0 or treatment.mean[1] == 0:
        status, reason = Status.DEGENERATE, "an arm's denominators sum to 0"
        return Estimate(status, reason, estimator, control.n, treatment.n, relative=without_lift(status, reason))
    return None


def few_denominators(*arms: Moments) -> str | None:
    """A caution when the denominator rests on few units: (sum d)^2 / sum d^2 < 100 in an arm."""
    for arm in arms:
        squares = arm.comoment[1, 1] + arm.n * arm.mean[1] ** 2
        effective = (arm.n * arm.mean[1]) ** 2 / squares if squares > 0 else 0.0
        if effective < FEW_EFFECTIVE:
            return f"the denominator rests on few units (effective {effective:.0f}); the interval is approximate"
    return None


def ratio(control: Moments, treatment: Moments, *, alpha: float = 0.05, null: float = 0.0) -> Estimate:
    """Difference of two ratios of sums.

    Args:
        control, treatment: Moments of numerator and denominator over all units.
    """
    refused = unusable_ratio(control, treatment, "ratio")
    if refused:
        return refused
    found = welch(linearise(control), linearise(treatment), alpha=alpha, null=null)
    return replace(found, estimator="ratio").cautioned(few_denominators(control, treatment))
