"""Dunnett's comparison of several treatments with one control, from statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.means import SMALLEST_P, checked_level
from xp_pipeline.stats.moments import Vector

_NODES = 400
_SCALES = 96
_REACH = 9.0
_NORMAL_FROM = 1e6


def loadings(var_control: float, var_treatments: ArrayLike) -> Vector:
    """Dependence of each statistic on the shared control mean, l_k = sqrt(v_0 / (v_0 + v_k)); corr(j, k) = l_j l_k.

    Args:
        var_control, var_treatments: Variances of the means; 1/n where arms share a variance.
    """
    others = np.asarray(var_treatments, dtype=np.float64)
    if not var_control >= 0 or np.any(~(others > 0)):
        raise EvidenceError("variances of means are positive", found=(var_control, others.tolist()))
    return np.sqrt(var_control / (var_control + others))


def dunnett(statistics: Sequence[float], *, loadings: ArrayLike, df: float = math.inf) -> tuple[float, ...]:
    """Two-sided adjusted p-values P(max_k |T_k| >= |t|) under no effect anywhere.

    T_k = (sqrt(1 - l_k^2) X_k - l_k Z) / S, with X_k and Z standard normal and S^2 chi-square over its df: given Z
    and S the statistics are independent, so the probability is an integral over two variables, or over Z alone at
    infinite df (Dunnett 1955, J. Am. Stat. Assoc. 50). A NaN statistic is not tested and stays NaN, and leaves
    the family. With one treatment it is the ordinary two-sided p-value.

    Args:
        statistics: Effect over standard error of every treatment.
        loadings: Of :func:`loadings`, same length.
        df: Degrees of freedom of the standard errors; the smallest where they differ.
    """
    t, load = np.asarray(statistics, dtype=np.float64), _checked(loadings, df)
    tested = np.isfinite(t)
    family = load[tested]
    return tuple(_exceeds(abs(value), family, df) if np.isfinite(value) else math.nan for value in t)


def dunnett_critical(alpha: float, *, loadings: ArrayLike, df: float = math.inf) -> float:
    """Critical value c with P(max_k |T_k| >= c) = alpha; effect -+ c se are simultaneous intervals."""
    from scipy.optimize import brentq

    if not 0 < alpha < 1:
        raise EvidenceError("alpha is a probability", found=alpha, allowed="between 0 and 1, such as 0.05")
    load = _checked(loadings, df)
    low, high = _quantile(alpha, df), _quantile(alpha / load.size, df)
    if load.size == 1:
        return low
    return float(brentq(lambda c: _exceeds(c, load, df) - alpha, low - 1e-9, high + 1e-9, xtol=1e-12))


@dataclass(frozen=True)
class AgainstControl:
    """One treatment's comparison with the control that all share.

    Attributes:
        status, reason: Those of the estimate; a score estimate is left out, having no standard error.
        p_adjusted: Two-sided, over all treatments compared; NaN where undefined.
        low, high: Simultaneous interval of the effect; leaves out the null exactly when p_adjusted <= alpha.
    """

    status: Status
    reason: str
    p_adjusted: float
    low: float
    high: float


def dunnett_family(estimates: Sequence[Estimate], *, alpha: float = 0.05) -> tuple[AgainstControl, ...]:
    """Adjusted p-values and dual simultaneous intervals of several treatments against one control.

    Arms may differ in size and variance: dependence is that of the estimated variances, and each comparison is
    read at its own Welch degrees of freedom (the unequal-variance way of Dunnett 1980, J. Am. Stat. Assoc. 75).
    Undefined comparisons leave the family.

    Args:
        estimates: Of one metric, all against the same control arm.
        alpha: Error rate of the family.
    """
    checked_level(alpha)
    tested = [e for e in estimates if e.status == Status.OK and e.estimator != "score"]
    if len({e.n_control for e in tested}) > 1:
        raise EvidenceError("Dunnett's family has one control", found=[e.n_control for e in tested])
    load = np.array([math.sqrt(_shared(e)) for e in tested])
    return tuple(_against(e, load, alpha) if e in tested else _left(e) for e in estimates)


def _shared(e: Estimate) -> float:
    """Share of the comparison's variance that the control mean has; at most what a loading can be."""
    control, treatment = e.var_control / e.n_control, e.var_treatment / e.n_treatment
    if not math.isfinite(control + treatment):
        control, treatment = e.var_mean_control, e.var_mean_treatment
    return min(control / (control + treatment), 1 - 1e-9)


def _against(e: Estimate, load: Vector, alpha: float) -> AgainstControl:
    p = _exceeds(abs(e.effect - e.null) / e.se, load, e.df)
    half = dunnett_critical(alpha, loadings=load, df=e.df) * e.se
    return AgainstControl(e.status, e.reason, p, e.effect - half, e.effect + half)


def _left(e: Estimate) -> AgainstControl:
    reason = "a score interval has no standard error to compare with" if e.status == Status.OK else e.reason
    status = Status.NOT_TESTABLE if e.status == Status.OK else e.status
    return AgainstControl(status, reason, NAN, NAN, NAN)


def dunnett_level(alpha: float, *, shares: Sequence[float]) -> float:
    """Level of each comparison of a large experiment, between alpha/k and alpha, for planning.

    Args:
        shares: Relative sizes of the arms, control first.
    """
    if len(shares) < 2 or not min(shares) > 0:
        raise EvidenceError("every arm needs a share of the units, control first", found=tuple(shares))
    critical = dunnett_critical(alpha, loadings=loadings(1 / shares[0], [1 / share for share in shares[1:]]))
    return float(2 * special.ndtr(-critical))


def _checked(found: ArrayLike, df: float) -> Vector:
    load = np.atleast_1d(np.asarray(found, dtype=np.float64))
    if load.size == 0 or np.any(~((load >= 0) & (load < 1))):
        raise EvidenceError("a loading is the root of a share of variance", found=load.tolist(), allowed="0 to below 1")
    if not df > 0:
        raise EvidenceError("degrees of freedom are positive", found=df)
    return load


def _quantile(tail: float, df: float) -> float:
    """Two-sided critical value of one comparison."""
    return float(-special.ndtri(tail / 2) if df > _NORMAL_FROM else -special.stdtrit(df, tail / 2))


def _exceeds(t: float, load: Vector, df: float) -> float:
    """P(max |T| >= t), as the integral of 1 - prod(1 - tail_k), without cancellation far out."""
    scales, weights = _scale_nodes(df)
    reach = _REACH + float(load.max()) * t * float(scales.max())
    z, w = _gauss_legendre(-reach, reach, _NODES)
    root = np.sqrt(1 - load**2)
    at = t * scales[:, None, None]
    shift = load * z[:, None]
    tails = special.ndtr((shift - at) / root) + special.ndtr((-shift - at) / root)
    beyond = -np.expm1(np.log1p(-np.minimum(tails, 1.0 - 1e-16)).sum(axis=2))
    density = w * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return min(max(float(weights @ (beyond @ density)), SMALLEST_P), 1.0)


def _scale_nodes(df: float) -> tuple[Vector, Vector]:
    """Nodes and weights of S = sqrt(chi-square / df); the point 1 at infinite df."""
    if df > _NORMAL_FROM:
        return np.ones(1), np.ones(1)
    half = df / 2
    ends = np.sqrt([special.gammaincinv(half, 1e-18) / half, special.gammainccinv(half, 1e-18) / half])
    s, w = _gauss_legendre(ends[0], ends[1], _SCALES)
    log_density = math.log(2) + half * math.log(half) - special.gammaln(half) + (df - 1) * np.log(s) - half * s**2
    return s, w * np.exp(log_density)


def _gauss_legendre(low: float, high: float, nodes: int) -> tuple[Vector, Vector]:
    x, w = special.roots_legendre(nodes)
    return (high - low) / 2 * x + (high + low) / 2, (high - low) / 2 * w
