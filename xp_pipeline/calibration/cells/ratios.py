"""Cells of ratio metrics, plain and covariate-adjusted: C6 and C10."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.measures import absolute, collect
from xp_pipeline.calibration.model import Cell, Claim, Measures, Study, Vector, at_least, between, shown, within
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import few_denominators, ratio


def pairs(rng: Generator, shape: tuple[int, ...], sigma: float, correlated: bool) -> Vector:
    """Numerator and denominator of every unit, shape (..., 2): the ratio is exp(0.125) either way.

    The denominator is log-normal with mean 1. Correlated, the numerator is a noisy multiple of it; else it is
    an independent log-normal.
    """
    denominator = rng.lognormal(-(sigma**2) / 2, sigma, shape)
    noise = rng.lognormal(0.0, 0.5, shape)
    return np.stack([denominator * noise if correlated else noise, denominator], axis=-1)


def _delta(n: int, correlated: bool, sigma: float, claim: Claim) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        rows = []
        for c, t in pairs(rng, (count, 2, n), sigma, correlated):
            control, treatment = Moments.of(c), Moments.of(t)
            guarded = float(bool(few_denominators(control, treatment)))
            rows.append(absolute(ratio(control, treatment), 0.0) | {"guarded": guarded})
        return collect(rows)

    others = tuple(shown(name, 0.95) for name in ("covered", "guarded") if name != claim.measure)
    return Study(f"n={n}, corr {correlated:d}, sigma {sigma:g}", simulate, (claim, *others), 20_000)


def _adjusted(n: int, rho: float) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        arms = _before_and_after(rng, (count, 2, n), rho)
        return collect(absolute(cuped(Moments.of(c), Moments.of(t), ratio=True), 0.0) for c, t in arms)

    return Study(f"n={n}, rho {rho:g}", simulate, (between("covered", 0.95, 0.945, 0.96),), 5_000)


def _before_and_after(rng: Generator, shape: tuple[int, ...], rho: float) -> Vector:
    """Numerator and denominator after, then before: the unit's rate persists with correlation rho."""
    before, fresh = rng.normal(size=(2, *shape))
    after = rho * before + np.sqrt(1 - rho**2) * fresh
    sizes = 1.0 + rng.poisson(4.0, (2, *shape))
    return np.stack([sizes[0] * (1 + 0.3 * after), sizes[0], sizes[1] * (1 + 0.3 * before), sizes[1]], axis=-1)


C6 = Cell(
    "C6",
    "Ratio, delta method",
    "The delta method holds from 100 units on moderate denominators; where few units carry the denominator it warns.",
    "stats.ratios.ratio, stats.ratios.few_denominators",
    (
        *(_delta(100, corr, 0.8, at_least("covered", 0.95, 0.935)) for corr in (False, True)),
        *(_delta(1000, corr, 0.8, within("covered", 0.95, 0.007)) for corr in (False, True)),
        *(_delta(200, corr, 1.5, at_least("guarded", 0.95)) for corr in (False, True)),
    ),
)
C10 = Cell(
    "C10",
    "Ratio with covariates",
    "The linearised ratio adjusted by the pre-period's numerator and denominator covers.",
    "stats.cuped.cuped(ratio=True)",
    tuple(_adjusted(n, rho) for n in (400, 2000) for rho in (0.3, 0.8)),
    version=2,
)
CELLS = (C6, C10)
