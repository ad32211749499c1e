"""What is known of a metric before an experiment: its mean, and the variance that planning works with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from xp_pipeline.errors import EvidenceError

Kind = Literal["mean", "proportion", "ratio", "quantile"]


@dataclass(frozen=True)
class Baseline:
    """What is known of a metric before the experiment.

    Attributes:
        mean: Its mean; for a ratio, sum over sum; for a quantile, the quantile.
        variance: Per-unit variance; for a ratio that of the linearised residual, for a proportion p (1 - p), for
            a quantile n times the variance of the sample quantile (``quantile_variance``).
        kind: A proportion's variance moves with its mean.
        variance_explained: Share of variance that covariates will remove.
        design_effect: Units that carry as much as one independent unit, at least 1 (``design_effect``).
        scales: Whether treatment multiplies outcomes, so that its standard deviation grows with its mean.
    """

    mean: float
    variance: float
    kind: Kind = "mean"
    variance_explained: float = 0.0
    design_effect: float = 1.0
    scales: bool = False

    def __post_init__(self) -> None:
        if self.kind == "proportion" and not 0 <= self.mean <= 1:
            raise EvidenceError("a proportion's baseline is a share", found=self.mean, allowed="0 to 1")
        if not (math.isfinite(self.mean) and 0 <= self.variance < math.inf):
            raise EvidenceError("a baseline has a finite mean and variance", found=(self.mean, self.variance))
        if not 0 <= self.variance_explained < 1:
            raise EvidenceError(
                "covariates remove a share of the variance",
                found=self.variance_explained,
                allowed="0 to below 1",
            )
        if not 1 <= self.design_effect < math.inf:
            raise EvidenceError("clusters do not add information", found=self.design_effect, allowed="1 or more")
        if self.scales and (self.kind == "proportion" or self.mean == 0):
            raise EvidenceError("an effect scales a mean other than 0", found=f"{self.kind} with mean {self.mean:g}")

    def variances(self, effect: float) -> tuple[float, float]:
        """Per-unit variance of control and treatment at an absolute effect."""
        kept = 1 - self.variance_explained
        if self.kind != "proportion":
            factor = (1 + effect / self.mean) ** 2 if self.scales else 1.0
            return self.variance * kept, self.variance * kept * factor
        moved = self.mean + effect
        if not -1e-12 <= moved <= 1 + 1e-12:
            raise EvidenceError(
                "the effect takes the proportion out of its range",
                found=f"{self.mean:g} {effect:+g}",
                allowed="0 to 1",
            )
        return self.mean * (1 - self.mean) * kept, max(moved * (1 - moved), 0.0) * kept

    def absolute(self, lift: float) -> float:
        """The effect of a lift, in the metric's unit."""
        return lift * abs(self.mean)

    def lift(self, effect: float) -> float:
        """An effect as a share of |mean|; NaN where the mean is 0."""
        return effect / abs(self.mean) if self.mean else math.nan


def ratio_variance(
    *, numerator: float, denominator: float, var_numerator: float, var_denominator: float, covariance: float
) -> float:
    """Per-unit variance of a ratio of sums, [s_y^2 + R^2 s_d^2 - 2 R s_yd] / dbar^2 with R = ybar / dbar.

    The delta method's; Deng, Knoblich, Lu 2018, KDD.

    Args:
        numerator, denominator: Means per unit.
        var_numerator, var_denominator, covariance: Per-unit variances and covariance.
    """
    if denominator == 0:
        raise EvidenceError("a ratio's denominator has a mean other than 0", found=denominator)
    ratio = numerator / denominator
    return (var_numerator + ratio**2 * var_denominator - 2 * ratio * covariance) / denominator**2


def quantile_variance(probability: float, *, density: float) -> float:
    """n times the variance of a sample quantile, q (1 - q) / f^2, with the density f of the outcome at it."""
    if not 0 < probability < 1 or not density > 0:
        raise EvidenceError("a quantile has a probability in (0, 1) and a density", found=(probability, density))
    return probability * (1 - probability) / density**2


def normal_density(probability: float, *, sd: float) -> float:
    """Density of a normal at one of its quantiles, phi(z_q) / sd; 0 where nothing varies."""
    if not 0 < probability < 1 or not 0 <= sd < math.inf:
        raise EvidenceError("a quantile has a probability in (0, 1), a normal a deviation", found=(probability, sd))
    standard = NormalDist()
    return standard.pdf(standard.inv_cdf(probability)) / sd if sd else 0.0


def design_effect(*, cluster_size: float, correlation: float, size_variation: float = 0.0) -> float:
    """Factor by which clusters multiply a variance, 1 + ((cv^2 + 1) m - 1) rho.

    Kish 1965 for equal sizes; Eldridge, Ashby, Kerry 2006, Int. J. Epidemiol. 35, for unequal ones.

    Args:
        cluster_size: Mean units of a cluster.
        correlation: Intra-cluster correlation.
        size_variation: Coefficient of variation of the sizes.
    """
    if not cluster_size >= 1 or not 0 <= correlation <= 1 or not size_variation >= 0:
        raise EvidenceError(
            "clusters have a size of at least 1, a correlation in [0, 1] and a variation of sizes",
            found=(cluster_size, correlation, size_variation),
        )
    return 1 + ((size_variation**2 + 1) * cluster_size - 1) * correlation
