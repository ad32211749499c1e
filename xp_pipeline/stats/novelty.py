"""Novelty and primacy: whether the effect of treatment changes with the days since exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.heterogeneity import Difference, difference_of
from xp_pipeline.stats.means import SMALLEST_P, satterthwaite, unusable, welch
from xp_pipeline.stats.moments import Moments, Vector

UNITS_PER_DAY = 10
"""Degrees of freedom for each day that its covariances are estimated with."""

_RANK = 1e-10


@dataclass(frozen=True)
class Novelty:
    """How the daily effect moves in the same units from day to day.

    Attributes:
        status, reason: Whether the trend may be read; a reason beside ``ok`` is a caution.
        daily: The effect on each day since exposure.
        slope: Change of the effect a day, with its test: generalised least squares on the covariance of the days.
        start: The fitted effect on the first day.
        early_late: Mean effect of the later half of the days less that of the earlier half; of an odd number of
            days the middle one is in neither.
        curved_p: p-value of the test that a line suffices; small where the effect moves otherwise.
    """

    status: Status
    reason: str
    daily: tuple[Estimate, ...]
    slope: Difference
    start: float
    early_late: Difference
    curved_p: float


def novelty(control: Moments, treatment: Moments, *, days: ArrayLike | None = None, alpha: float = 0.05) -> Novelty:
    """Trend of the daily effect, weighted by the inverse of the covariance that days have in common units.

    Daily effects d have S = C_c / (n_c (n_c - 1)) + C_t / (n_t (n_t - 1)), and b = (X' S^-1 X)^-1 X' S^-1 d on
    X = (1, day). S is estimated, which makes (X' S^-1 X)^-1 too small: with Q the quadratic form of the residuals and
    nu degrees of freedom behind S, the variance is multiplied by (1 + Q / nu) nu / (nu - K + 2) and the test is
    Student's with nu - K + 2, exact for normal data of equal covariance (Rao 1967, Proc. 5th Berkeley Symp. 1;
    Grizzle, Allen 1969, Biometrics 25); Q itself is Hotelling's, Q (nu - K + 3) / (nu (K - 2)) on F. Here nu is
    Satterthwaite's of the plain slope. Early against late is Welch's test of the contrast, which needs no line.

    Args:
        control, treatment: Moments whose variables are the outcome on each day since exposure, at least three of
            them, of units that were observed on all (a cohort: later days of other units would be another group).
        days: Their days; 0, 1, 2 ... unless given.
    """
    k = control.mean.size
    x = np.arange(k, dtype=np.float64) if days is None else np.asarray(days, dtype=np.float64)
    if x.shape != (k,) or treatment.mean.size != k or k < 3 or np.any(np.diff(x) <= 0):
        raise EvidenceError("novelty needs the outcome on three or more increasing days", found=x.tolist())
    daily = tuple(welch(control.take([i]), treatment.take([i]), alpha=alpha) for i in range(k))
    contrast = np.where(np.arange(k) >= k - k // 2, 1.0, 0.0) / (k // 2) - (np.arange(k) < k // 2) / (k // 2)
    early_late = _contrast(control, treatment, contrast, alpha)
    refused = _refused(control, treatment)
    if refused:
        nothing = Difference(*refused)
        return Novelty(*refused, daily, nothing, math.nan, early_late, math.nan)
    slope, start, curved_p = _trend(control, treatment, x, alpha)
    return Novelty(slope.status, slope.reason, daily, slope, start, early_late, curved_p)


def _contrast(control: Moments, treatment: Moments, weights: Vector, alpha: float) -> Difference:
    """Welch's test of a combination of the days."""
    found = welch(control.linear(weights), treatment.linear(weights), alpha=alpha)
    if found.status != Status.OK:
        return Difference(found.status, found.reason)
    return difference_of(found.effect, found.se, found.df, alpha=alpha)


def _refused(control: Moments, treatment: Moments) -> tuple[Status, str] | None:
    found = unusable(control, treatment, "novelty")
    if found:
        return found.status, found.reason
    needed = UNITS_PER_DAY * control.mean.size
    if min(control.n, treatment.n) < needed:
        return Status.INSUFFICIENT_DATA, f"an arm has fewer than {needed} units for the covariance of its days"
    return None


def _trend(control: Moments, treatment: Moments, x: Vector, alpha: float) -> tuple[Difference, float, float]:
    parts = [arm.comoment / (arm.n * (arm.n - 1.0)) for arm in (control, treatment)]
    s = parts[0] + parts[1]
    scale = np.sqrt(s.diagonal())
    if not np.all(scale > 0):
        return Difference(Status.DEGENERATE, "a day has no variance"), math.nan, math.nan
    values, vectors = np.linalg.eigh(s / np.outer(scale, scale))
    if values[0] < _RANK * values[-1]:
        return Difference(Status.DEGENERATE, "a day follows from the others"), math.nan, math.nan
    whiten = (vectors / np.sqrt(values)).T / scale
    centre = float(x.mean())
    design = whiten @ np.column_stack([np.ones_like(x), x - centre])
    effect = whiten @ (treatment.mean - control.mean)
    information = np.linalg.inv(design.T @ design)
    b = information @ (design.T @ effect)
    left = float(np.sum((effect - design @ b) ** 2))
    plain = (x - centre) / np.sum((x - centre) ** 2)
    nu = satterthwaite(float(plain @ parts[0] @ plain), control.n, float(plain @ parts[1] @ plain), treatment.n)
    df = nu - (x.size - 2)
    variance = information[1, 1] * (1 + left / nu) * nu / df
    slope = difference_of(float(b[1]), math.sqrt(variance), df, alpha=alpha)
    extra = x.size - 2
    curved_p = float(special.fdtrc(extra, df + 1, left * (df + 1) / (nu * extra)))
    return slope, float(b[0] + b[1] * (x[0] - centre)), max(curved_p, SMALLEST_P)
