"""Covariate adjustment with pooled within-arm slopes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xp_pipeline.stats.estimates import Estimate, Status, without_lift
from xp_pipeline.stats.means import difference, unusable
from xp_pipeline.stats.moments import Moments, Vector
from xp_pipeline.stats.ratios import few_denominators, linearise, unusable_ratio

_RANK_TOLERANCE = 1e-9


def cuped(
    control: Moments, treatment: Moments, *, alpha: float = 0.05, null: float = 0.0, ratio: bool = False
) -> Estimate:
    """Difference of adjusted means, m - theta (xbar - xbar_pooled), theta from within-arm products.

    With pooled within-arm slopes this is the analysis of covariance; see Deng, Xu, Kohavi, Walker 2013 (WSDM)
    for the total-slope form. The variance of the adjusted outcome is taken per arm and multiplied by
    (N - 2) / (N - 2 - k); the lift is Fieller's with the covariance that the shared pooled mean causes. A
    ratio is adjusted through its linearised residual. Collinear or constant covariates are left out of k, and
    said so.

    Args:
        control, treatment: Moments of outcome (and denominator, if ``ratio``), then covariates.
        ratio: Whether variable 1 is a denominator.
    """
    estimator = "ratio_cuped" if ratio else "cuped"
    refused = (unusable_ratio if ratio else unusable)(control, treatment, estimator)
    if refused:
        return refused
    caution = few_denominators(control, treatment) if ratio else None
    c, t = (linearise(control), linearise(treatment)) if ratio else (control, treatment)
    theta, rank = _slopes(c.comoment + t.comoment)
    n = c.n + t.n
    if n - 2 <= rank:
        status, reason = Status.INSUFFICIENT_DATA, f"{n} units are too few for {rank} covariates"
        return Estimate(status, reason, estimator, c.n, t.n, relative=without_lift(status, reason))
    factor = (n - 2) / (n - 2 - rank)
    x_gap = t.mean[1:] - c.mean[1:]
    means = (
        float(c.mean[0] + theta @ x_gap * (t.n / n)),
        float(t.mean[0] - theta @ x_gap * (c.n / n)),
    )
    variances = (_residual_variance(c, theta) * factor, _residual_variance(t, theta) * factor)
    found = difference(
        estimator, c, t, means=means, variances=variances, alpha=alpha, null=null,
        shared=_shared(c, t, theta, variances),
    )  # fmt: skip
    plain = c.variance() / c.n + t.variance() / t.n
    adjusted = variances[0] / c.n + variances[1] / t.n
    found = replace(
        found,
        unadjusted_effect=float(t.mean[0] - c.mean[0]),
        variance_reduction=float(1 - adjusted / plain) if plain > 0 else 0.0,
        theta=tuple(float(slope) for slope in theta),
    )
    dropped = theta.size - rank
    return found.cautioned(caution).cautioned(
        f"{dropped} covariate{'s' if dropped > 1 else ''} constant or collinear" if dropped else None
    )


def _slopes(comoment: Vector) -> tuple[Vector, int]:
    """Least-squares slopes from pooled within-arm products, and the rank of the covariates."""
    xx, xy = comoment[1:, 1:], comoment[1:, 0]
    scale = np.sqrt(np.maximum(xx.diagonal(), 0.0))
    scale = np.where(scale > 0, scale, np.inf)
    solved, _, rank, _ = np.linalg.lstsq(xx / np.outer(scale, scale), xy / scale, rcond=_RANK_TOLERANCE)
    return solved / scale, int(rank)


def _residual_variance(arm: Moments, theta: Vector) -> float:
    """Sample variance of y - theta x."""
    return arm.linear(np.concatenate([[1.0], -theta])).variance()


def _shared(c: Moments, t: Moments, theta: Vector, variances: tuple[float, float]) -> tuple[float, float, float]:
    """Variances of the two adjusted means and their covariance.

    A unit moves its own arm's mean by (y - theta x)/n_a + theta x / N, and the other's by theta x / N.
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
