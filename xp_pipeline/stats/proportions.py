"""Two proportions: Welch where counts are large, the score method where they are small."""

from __future__ import annotations

import math

from xp_pipeline.stats.estimates import NAN, Estimate, Relative, Status, without_lift
from xp_pipeline.stats.means import checked_level, t_quantile, two_sided_p, unusable, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.score import Counts, difference_limits, difference_se, ratio_limits

FEW_EVENTS = 10
"""Fewest events, and non-events, that each arm needs for Welch."""


def proportion(control: Moments, treatment: Moments, *, alpha: float = 0.05, null: float = 0.0) -> Estimate:
    """Difference of two proportions.

    Welch, unless an arm has fewer than 10 events or fewer than 10 non-events. Then the score interval and its
    dual p-value (Miettinen, Nurminen 1985, Stat. Med. 4), and the score interval of the risk ratio (Koopman
    1984, Biometrics 40, with the same N / (N - 1)); ``se`` is the one under the null and ``df`` is infinite.
    Where no unit has the event, or every unit has it, the interval stands but no test can be made:
    ``degenerate``.

    Args:
        control, treatment: Moments whose variable 0 is 0 or 1 for every unit.
        alpha: One minus the level of the interval.
        null: The effect tested against.
    """
    control, treatment = control.take([0]), treatment.take([0])
    refused = unusable(control, treatment, "welch")
    if refused:
        return refused
    if not (_binary(control) and _binary(treatment)):
        status, reason = Status.INVALID_DATA, "a proportion has outcomes other than 0 and 1"
        return Estimate(status, reason, "welch", control.n, treatment.n, relative=without_lift(status, reason))
    counts = Counts.of_proportions(float(control.mean[0]), control.n, float(treatment.mean[0]), treatment.n)
    if counts.fewest >= FEW_EVENTS:
        return welch(control, treatment, alpha=alpha, null=null)
    return _score(counts, control, treatment, alpha=alpha, null=null)


def _binary(arm: Moments) -> bool:
    """Whether the second moment is that of zeros and ones, n p (1 - p)."""
    p = float(arm.mean[0])
    return 0 <= p <= 1 and abs(float(arm.comoment[0, 0]) - arm.n * p * (1 - p)) <= 1e-9 * arm.n + 1e-6


def _score(counts: Counts, control: Moments, treatment: Moments, *, alpha: float, null: float) -> Estimate:
    level, q = checked_level(alpha), t_quantile(1 - alpha / 2, math.inf)
    low, high = difference_limits(counts, q)
    status, reason = Status.OK, ""
    if counts.events in (0, counts.units) and not null:
        status = Status.DEGENERATE
        reason = f"{'every' if counts.events else 'no'} unit of both arms has the event"
    tested = status == Status.OK
    se = difference_se(counts, null)
    return Estimate(
        status,
        reason,
        "score",
        control.n,
        treatment.n,
        mean_control=float(control.mean[0]),
        mean_treatment=float(treatment.mean[0]),
        var_control=control.variance(),
        var_treatment=treatment.variance(),
        var_mean_control=control.variance() / control.n,
        var_mean_treatment=treatment.variance() / treatment.n,
        effect=counts.difference,
        se=se if tested else NAN,
        df=math.inf,
        null=null,
        p_value=two_sided_p(counts.z(counts.difference - null, se), math.inf) if tested else NAN,
        low=low,
        high=high,
        level=level,
        relative=_risk_ratio(counts, q),
        unadjusted_effect=counts.difference,
    )


def _risk_ratio(counts: Counts, q: float) -> Relative:
    """The lift p_t / p_c - 1 with the limits of its score interval."""
    if not counts.events_c:
        return without_lift(Status.UNDEFINED_RELATIVE, "no unit of the control arm has the event")
    low, high = ratio_limits(counts, q)
    lift = counts.difference / (counts.events_c / counts.n_c)
    return Relative(Status.OK, "", lift, low - 1, high - 1)
