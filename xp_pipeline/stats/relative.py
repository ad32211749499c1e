"""Relative lift: Fieller's set, and by name the delta method's and the log ratio's intervals."""

from __future__ import annotations

import math
from typing import Literal, get_args

from xp_pipeline.errors import EvidenceError, nearest
from xp_pipeline.stats.estimates import UNDEFINED, Relative, Status, without_lift

Gap = tuple[float, float] | None
Method = Literal["fieller", "delta", "log"]

_NOT_FINITE = "means or variances are not finite in units of the control mean"


def relative_lift(
    mean_c: float, mean_t: float, var_mean_c: float, var_mean_t: float, cov: float, q: float, *, method: Method
) -> Relative:
    """The lift by the method named; arguments as ``fieller``'s.

    Only Fieller's decisions are those of the absolute effect, and only it was near its level in every bounded
    cell of the calibration; the others are here for comparison with tools that use them.
    """
    methods = {"fieller": fieller, "delta": delta, "log": log_ratio}
    if method not in methods:
        raise EvidenceError("unknown method of the lift", found=method, allowed=nearest(method, get_args(Method)))
    return methods[method](mean_c, mean_t, var_mean_c, var_mean_t, cov, q)


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
        return without_lift(Status.INVALID_DATA, _NOT_FINITE)
    low, high, gap = _solved(1 - q**2 * v_c, lift + q**2 * (v_c - c), lift**2 - q**2 * (v_t + v_c - 2 * c))
    if gap and gap[0] <= lift <= gap[1]:
        gap = None  # the lift itself is compatible with the data: a gap around it is rounding
    if mean_c < 0:
        lift, low, high, gap = -lift, -high, -low, gap and (-gap[1], -gap[0])
    if math.isfinite(low) and math.isfinite(high):
        return _bounded(lift, low, high)
    return Relative(Status.UNBOUNDED, _unbounded(low, high, gap), lift, low, high, gap)


def delta(mean_c: float, mean_t: float, var_mean_c: float, var_mean_t: float, cov: float, q: float) -> Relative:
    """lift +- q sqrt((v_t + k^2 v_c - 2 k c) / m_c^2), k = m_t / m_c: the ratio's first-order variance.

    Symmetric where the truth is not: it covers less than its level on small or zero-heavy control means.
    """
    if mean_c == 0:
        return UNDEFINED
    k, lift = mean_t / mean_c, (mean_t - mean_c) / abs(mean_c)
    variance = (var_mean_t + k * k * var_mean_c - 2 * k * cov) / mean_c / mean_c
    if not (math.isfinite(lift) and math.isfinite(variance)):
        return without_lift(Status.INVALID_DATA, _NOT_FINITE)
    half = q * math.sqrt(max(variance, 0.0))
    return _bounded(lift, lift - half, lift + half)


def log_ratio(mean_c: float, mean_t: float, var_mean_c: float, var_mean_t: float, cov: float, q: float) -> Relative:
    """(m_t / m_c) exp(+- q sqrt(v_t/m_t^2 + v_c/m_c^2 - 2 c/(m_t m_c))) - 1, for two means of one sign."""
    if mean_c == 0:
        return UNDEFINED
    k, lift = mean_t / mean_c, (mean_t - mean_c) / abs(mean_c)
    if not k > 0:
        return without_lift(Status.UNDEFINED_RELATIVE, "the means do not have the same sign: no log ratio", lift)
    variance = var_mean_t / mean_t / mean_t + var_mean_c / mean_c / mean_c - 2 * cov / mean_t / mean_c
    if not (math.isfinite(lift) and math.isfinite(variance)):
        return without_lift(Status.INVALID_DATA, _NOT_FINITE)
    factor = math.exp(min(q * math.sqrt(max(variance, 0.0)), 700.0))
    low, high = sorted(math.copysign(1, mean_c) * (ratio - 1) for ratio in (k / factor, k * factor))
    return Relative(Status.OK, "", lift, low, high)


def _bounded(lift: float, low: float, high: float) -> Relative:
    """An interval; none where the quotient does not vary, as with a treatment of zeros alone, whose lift is -1."""
    if low == high:
        return without_lift(Status.DEGENERATE, "the quotient of the means has no variance", lift)
    return Relative(Status.OK, "", lift, low, high)


def _unbounded(low: float, high: float, gap: Gap) -> str:
    """Why the set has no ends, and what it holds."""
    reason = "the control mean is not distinguishable from 0"
    if gap:
        return f"{reason}; every lift but those between {gap[0]:.4g} and {gap[1]:.4g} is compatible with the data"
    if math.isfinite(low) or math.isfinite(high):
        side, end = ("above", low) if math.isfinite(low) else ("below", high)
        return f"{reason}; every lift {side} {end:.4g} is compatible with the data"
    return f"{reason}; every lift is compatible with the data"


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
