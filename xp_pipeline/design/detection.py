"""Power: the probability that a test of given arms detects a given effect."""

from __future__ import annotations

import math

from scipy import special

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.levels import bonferroni_level
from xp_pipeline.errors import EvidenceError

_NORMAL_FROM = 1e6


def power_of(
    baseline: Baseline,
    *,
    effect: float,
    n_control: float,
    n_treatment: float,
    alpha: float = 0.05,
    comparisons: int = 1,
    two_sided: bool = True,
    inflation: float = 1.0,
    pooled: bool = False,
) -> float:
    """Probability of a significant result at a true absolute effect, by the noncentral t distribution.

    Proportions keep the variance of either arm (unpooled), as their analysis does. NaN where an arm has fewer
    than two units or nothing varies. A test of the lift decides as this one does, so its power is the same.

    Args:
        effect: True difference; without ``two_sided`` the direction that is tested for.
        n_control, n_treatment: Units by arm.
        comparisons: Size of the family; each test runs at alpha / comparisons.
        inflation: Units that looks cost: a group-sequential design of n units has the power of n / inflation in
            one look, exactly so where it has the power it was designed for.
        pooled: Whether the test pools the two proportions under its null, as R's power.prop.test does.
    """
    level = bonferroni_level(alpha, comparisons)
    units = effective_units(baseline, (n_control, n_treatment), inflation)
    if pooled:
        return _pooled(baseline, effect, units, level, two_sided=two_sided)
    return _welch(abs(effect), baseline.variances(effect), units, level, two_sided=two_sided)


def non_inferiority_power(
    baseline: Baseline,
    *,
    margin: float,
    n_control: float,
    n_treatment: float,
    relative: bool = False,
    increase_is_good: bool = True,
    effect: float = 0.0,
    alpha: float = 0.05,
    comparisons: int = 1,
    inflation: float = 1.0,
) -> float:
    """Probability that harm as large as the margin is ruled out, one-sided, at a true effect.

    The statistic is m_t - k m_c with k = 1 for an absolute margin, 1 - margin (1 + margin where an increase
    is bad) for a relative one, whose variance v_t + k^2 v_c counts the noise of the control mean.

    Args:
        margin: Harm tolerated, positive: in the metric's unit, or a share of |mean| when ``relative``.
        effect: True difference, 0 for a change that does nothing.
        inflation: As in :func:`power_of`.
    """
    if not 0 < margin < math.inf:
        raise EvidenceError("a margin is the harm tolerated", found=margin, allowed="a positive number")
    good = 1 if increase_is_good else -1
    k = 1 - good * math.copysign(margin, baseline.mean) if relative else 1.0
    distance = (margin * abs(baseline.mean) if relative else margin) + good * effect
    v_c, v_t = baseline.variances(effect)
    units = effective_units(baseline, (n_control, n_treatment), inflation)
    return _welch(distance, (k**2 * v_c, v_t), units, bonferroni_level(alpha, comparisons), two_sided=False)


def power_with(
    *,
    effect: float,
    var_mean_control: float,
    var_mean_treatment: float,
    df: float,
    alpha: float,
    two_sided: bool = True,
) -> float:
    """Power at an effect, given the variances of the two means an experiment ended with."""
    shift = abs(effect) / math.sqrt(var_mean_control + var_mean_treatment)
    return _tails(shift, df, alpha, two_sided=two_sided)


def effective_units(baseline: Baseline, units: tuple[float, float], inflation: float) -> tuple[float, float]:
    """Independent units in one look that carry as much as these do."""
    if not 1 <= inflation < math.inf:
        raise EvidenceError("looks cost units", found=inflation, allowed="an inflation factor of 1 or more")
    factor = inflation * baseline.design_effect
    return units[0] / factor, units[1] / factor


def _welch(
    distance: float,
    variances: tuple[float, float],
    units: tuple[float, float],
    alpha: float,
    *,
    two_sided: bool,
) -> float:
    """Power of Welch's test at a distance from the null, Satterthwaite's df at the true variances."""
    if min(units) < 2:
        return math.nan
    v_c, v_t = variances[0] / units[0], variances[1] / units[1]
    if not v_c + v_t > 0:
        return math.nan
    share = v_c / (v_c + v_t)
    df = 1 / (share**2 / (units[0] - 1) + (1 - share) ** 2 / (units[1] - 1))
    return _tails(distance / math.sqrt(v_c + v_t), df, alpha, two_sided=two_sided)


def _pooled(baseline: Baseline, effect: float, units: tuple[float, float], alpha: float, *, two_sided: bool) -> float:
    """Power of the z test whose error is sqrt(p q (1/n_c + 1/n_t)) at the pooled p (Fleiss, Levin, Paik 2003)."""
    if baseline.kind != "proportion":
        raise EvidenceError("only proportions are pooled", found=baseline.kind)
    if min(units) < 2:
        return math.nan
    p = baseline.mean + effect * units[1] / sum(units)
    null = math.sqrt(p * (1 - p) * (1 - baseline.variance_explained) * sum(1 / n for n in units))
    true = math.sqrt(sum(v / n for v, n in zip(baseline.variances(effect), units, strict=True)))
    if not true > 0:
        return math.nan
    limit = -special.ndtri(alpha / 2 if two_sided else alpha) * null / true
    shift = abs(effect) / true
    return float(special.ndtr(shift - limit) + (special.ndtr(-shift - limit) if two_sided else 0.0))


def _tails(shift: float, df: float, alpha: float, *, two_sided: bool) -> float:
    """P(T > q) of the noncentral t, and P(T < -q) beside it when two-sided.

    Normal beyond 10^6 df, where they differ by less than 1e-6.
    """
    tail = alpha / 2 if two_sided else alpha
    if df > _NORMAL_FROM:
        q = -special.ndtri(tail)
        return float(special.ndtr(shift - q) + (special.ndtr(-shift - q) if two_sided else 0.0))
    q = -special.stdtrit(df, tail)
    return 1 - _below(q, shift, df) + (_below(-q, shift, df) if two_sided else 0.0)


def _below(value: float, shift: float, df: float) -> float:
    """P(T < value) of the noncentral t; SciPy gives NaN far out, where it is 0 or 1 to 18 digits."""
    probability = float(special.nctdtr(df, shift, value))
    return float(value > shift) if math.isnan(probability) else probability
