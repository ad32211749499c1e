"""Covariate adjustment: pooled within-arm slopes, or Lin's slopes by arm."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from xp_pipeline.errors import EvidenceError, nearest
from xp_pipeline.stats.estimates import Estimate, Status, without_lift
from xp_pipeline.stats.means import Joint, difference, satterthwaite, unusable
from xp_pipeline.stats.moments import Moments, Vector
from xp_pipeline.stats.ratios import few_denominators, linearise, unusable_ratio

Method = Literal["pooled", "lin"]

_RANK_TOLERANCE = 1e-9


def cuped(
    control: Moments,
    treatment: Moments,
    *,
    alpha: float = 0.05,
    null: float = 0.0,
    ratio: bool = False,
    method: Method = "pooled",
) -> Estimate:
    """Difference of adjusted means, m - theta (xbar - xbar_pooled).

    ``pooled``: theta from within-arm products, which is the analysis of covariance; see Deng, Xu, Kohavi,
    Walker 2013 (WSDM) for the total-slope form. The variance of the adjusted outcome is taken per arm and
    multiplied by (N - 2) / (N - 2 - k), and for the slopes' own noise by ``slope_factor``. The lift is Fieller's
    with the covariance that the shared pooled mean causes. A ratio is adjusted through its linearised residual.
    Collinear or constant covariates are left out of k, and said so. ``lin``: see ``lin``.

    Args:
        control, treatment: Moments of outcome (and denominator, if ``ratio``), then covariates; a covariate
            with missing values is its imputed mean and an indicator, as two covariates.
        ratio: Whether variable 1 is a denominator.
        method: One slope for both arms, or one for each.
    """
    if method not in get_args(Method):
        raise EvidenceError("unknown adjustment", found=method, allowed=nearest(method, get_args(Method)))
    name = "cuped" if method == "pooled" else "lin"
    estimator = f"ratio_{name}" if ratio else name
    refused = (unusable_ratio if ratio else unusable)(control, treatment, estimator)
    if refused:
        return refused
    c, t = (linearise(control), linearise(treatment)) if ratio else (control, treatment)
    found = (_pooled if method == "pooled" else _lin)(c, t, estimator, alpha, null)
    if found.status == Status.INSUFFICIENT_DATA:
        return found
    plain = c.variance() / c.n + t.variance() / t.n
    adjusted = found.var_control / c.n + found.var_treatment / t.n
    found = replace(
        found,
        unadjusted_effect=float(t.mean[0] - c.mean[0]),
        variance_reduction=float(1 - adjusted / plain) if plain > 0 else 0.0,
    )
    dropped = c.mean.size - 1 - slopes(c.comoment + t.comoment)[1]
    return found.cautioned(few_denominators(control, treatment) if ratio else None).cautioned(
        f"{dropped} covariate{'s' if dropped > 1 else ''} constant or collinear" if dropped else None
    )


def _pooled(c: Moments, t: Moments, estimator: str, alpha: float, null: float) -> Estimate:
    theta, rank = slopes(c.comoment + t.comoment)
    n = c.n + t.n
    if n - 2 <= rank:
        return _too_few(c, t, estimator, rank)
    x_gap = t.mean[1:] - c.mean[1:]
    factor = (n - 2) / (n - 2 - rank) * slope_factor(x_gap, c.comoment + t.comoment, 1 / c.n + 1 / t.n)
    means = (
        float(c.mean[0] + theta @ x_gap * (t.n / n)),
        float(t.mean[0] - theta @ x_gap * (c.n / n)),
    )
    variances = (residual(c, theta).variance() * factor, residual(t, theta).variance() * factor)
    found = difference(
        estimator, c, t, means=means, variances=variances, alpha=alpha, null=null,
        shared=joint_variances(c, t, theta, variances),
    )  # fmt: skip
    return replace(found, theta=tuple(float(slope) for slope in theta))


def _lin(c: Moments, t: Moments, estimator: str, alpha: float, null: float) -> Estimate:
    """Slopes of each arm: the coefficient of T in least squares on T, x - xbar and their products (Lin 2013).

    Ann. Appl. Stat. 7. The variance of m_a is RSS_a/(n_a - 1 - k) (1/n_a + g' Sxx_a^-1 g), g = xbar_a -
    xbar: what HC2 averages to when an arm's residuals have one variance, and equal to it to first order
    otherwise (HC2 itself needs fourth moments). Given x, like HC2: the effect over the units of the
    experiment. The lift lets the pooled mean move both means by theta_c' Sxx theta_t / N. ``theta`` is the
    slope that the effect is adjusted by, (n_c theta_t + n_t theta_c) / N.
    """
    n = c.n + t.n
    centre = (c.n * c.mean + t.n * t.mean) / n
    parts = []
    for arm in (c, t):
        theta, rank = slopes(arm.comoment)
        if arm.n - 1 <= rank:
            return _too_few(c, t, estimator, rank)
        gap = arm.mean[1:] - centre[1:]
        spread = residual(arm, theta).comoment[0, 0] / (arm.n - 1 - rank)
        leverage = 1 + arm.n * float(gap @ _inverse(arm.comoment[1:, 1:]) @ gap)
        parts.append((theta, rank, float(arm.mean[0] - theta @ gap), float(spread) * leverage))
    (theta_c, rank_c, mean_c, var_c), (theta_t, rank_t, mean_t, var_t) = parts
    common = max(float(theta_c @ (c.comoment + t.comoment)[1:, 1:] @ theta_t), 0.0) / (n - 2) / n
    v_c, v_t = var_c / c.n, var_t / t.n
    found = difference(
        estimator, c, t, means=(mean_c, mean_t), variances=(var_c, var_t), alpha=alpha, null=null,
        shared=(v_c + common, v_t + common, common),
        df=satterthwaite(v_c, c.n - rank_c, v_t, t.n - rank_t) if v_c + v_t > 0 else None,
    )  # fmt: skip
    return replace(found, theta=tuple(float(slope) for slope in (c.n * theta_t + t.n * theta_c) / n))


def _too_few(c: Moments, t: Moments, estimator: str, rank: int) -> Estimate:
    s = "s" if rank != 1 else ""
    status, reason = Status.INSUFFICIENT_DATA, f"{c.n + t.n} units are too few for {rank} covariate{s}"
    return Estimate(status, reason, estimator, c.n, t.n, relative=without_lift(status, reason))


def slopes(comoment: Vector) -> tuple[Vector, int]:
    """Least-squares slopes of variable 0 on the others, from central products, and the rank of the others."""
    xx, xy = comoment[1:, 1:], comoment[1:, 0]
    scale = np.sqrt(np.maximum(xx.diagonal(), 0.0))
    scale = np.where(scale > 0, scale, np.inf)
    solved, _, rank, _ = np.linalg.lstsq(xx / np.outer(scale, scale), xy / scale, rcond=_RANK_TOLERANCE)
    return solved / scale, int(rank)


def slope_factor(gap: Vector, comoment: Vector, spread: float) -> float:
    """1 + g' Sxx^-1 g / spread: the variance of an adjusted contrast of means, per that with the true slopes.

    Estimated slopes multiply the gap g that chance has left between the covariates' means, as in the classical
    analysis of covariance: 1.11 on average at 10 units an arm and one covariate, 1.01 at 100.

    Args:
        gap: The same contrast of the covariates' means, shape (k,).
        comoment: Central products pooled within arms, of outcome and covariates.
        spread: Sum of the contrast's squared weights, each over its arm's units.
    """
    return 1 + float(gap @ _inverse(comoment[1:, 1:]) @ gap) / spread


def _inverse(products: Vector) -> Vector:
    """Inverse of central products, zero in the directions that do not vary."""
    scale = np.sqrt(np.maximum(products.diagonal(), 0.0))
    scale = np.where(scale > 0, scale, np.inf)
    outer = np.outer(scale, scale)
    inverse = np.linalg.pinv(products / outer, rcond=_RANK_TOLERANCE, hermitian=True)
    return np.asarray(inverse / outer, dtype=np.float64)


def residual(arm: Moments, theta: Vector) -> Moments:
    """Moments of y - theta x."""
    return arm.linear(np.concatenate([[1.0], -theta]))


def joint_variances(c: Moments, t: Moments, theta: Vector, variances: tuple[float, float]) -> Joint:
    """Variances of the two adjusted means and their covariance.

    A unit moves its own arm's mean by (y - theta x)/n_a + theta x / N, and the other's by theta x / N.

    Args:
        variances: Per-unit variances of y - theta x, control first.
    """
    n = c.n + t.n
    own, common, cov = [], 0.0, 0.0
    for arm, variance in zip((c, t), variances, strict=True):
        explained = float(theta @ arm.comoment[1:, 1:] @ theta) / (arm.n - 1)
        mixed = float(theta @ arm.comoment[1:, 0]) / (arm.n - 1) - explained
        own.append(variance / arm.n + 2 * mixed / n)
        common += arm.n * explained / n**2
        cov += mixed / n
    return own[0] + common, own[1] + common, cov + common
