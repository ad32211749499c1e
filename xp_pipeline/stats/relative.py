"""Relative lift by Fieller's theorem."""

from __future__ import annotations

import math

from xp_pipeline.stats.estimates import UNDEFINED, Relative, Status, without_lift

Gap = tuple[float, float] | None


def fieller(mean_c: float, mean_t: float, var_mean_c: float, var_mean_t: float, cov: float, q: float) -> Relative:
    """The lifts r that the data cannot tell from the truth.

        { r : (m_t - (1 + r) m_c)^2 <= q^2 (v_t + (1 + r)^2 v_c - 2 (1 + r) c) }

    In units of m_c, with d = m_t - m_c, this is A r^2 - 2 B r + C <= 0 where A = 1 - q^2 v_c, B = d + q^2
    (v_c - c) and C = d^2 - q^2 (v_t + v_c - 2 c). It is bounded if and only if A > 0, and contains 0 if and
    only if C <= 0, which is when the interval of the difference does: the two decisions cannot disagree.
    Where A < 0 it is everything, or everything outside a gap. The lift divides by |m_c| and the ends are
    ordered, so a negative control mean keeps "more" on the right. Fieller 1954, J. R. Stat. Soc. B 16.

    Args:
        mean_c, mean_t: Means of control and treatment.
        var_mean_c, var_mean_t, cov: Variances and covariance of the two means.
        q: Critical value.
    """
    if mean_c == 0:
        return UNDEFINED
    v_c, v_t, c = (value / mean_c / mean_c for value in (var_mean_c, var_mean_t, cov))
    lift = (mean_t - mean_c) / mean_c
    if not all(math.isfinite(value) for value in (v_c, v_t, c, lift, q)):
        return without_lift(Status.INVALID_DATA, "means or variances are not finite in units of the control mean")
    low, high, gap = _solved(1 - q**2 * v_c, lift + q**2 * (v_c - c), lift**2 - q**2 * (v_t + v_c - 2 * c))
    if mean_c < 0:
        lift, low, high, gap = -lift, -high, -low, gap and (-gap[1], -gap[0])
    if math.isfinite(low) and math.isfinite(high):
        return Relative(Status.OK, "", lift, low, high)
    reason = "the control mean is not distinguishable from 0"
    if gap:
        reason += f"; every lift but those between {gap[0]:.4g} and {gap[1]:.4g} is compatible with the data"
    return Relative(Status.UNBOUNDED, reason, lift, low, high, gap)


def _solved(a: float, b: float, c: float) -> tuple[float, float, Gap]:
    """The set { r : a r^2 - 2 b r + c <= 0 } as its ends and the gap between them that it leaves out."""
    discriminant = b * b - a * c
    if a == 0 and b:
        return (c / (2 * b), math.inf, None) if b > 0 else (-math.inf, c / (2 * b), None)
    if a == 0 or (a < 0 and discriminant <= 0):
        return -math.inf, math.inf, None
    far = b + math.copysign(math.sqrt(max(discriminant, 0.0)), b)
    low, high = sorted((far / a, c / far if far else 0.0))
    return (low, high, None) if a > 0 else (-math.inf, math.inf, (low, high))
