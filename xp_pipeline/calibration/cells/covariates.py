"""Cells of covariate adjustment: C7, C8 and C9."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.measures import absolute, collect, lifted
from xp_pipeline.calibration.model import Cell, Measures, Study, Vector, at_most, between, shown, within
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.moments import Moments

TAILS = (shown("below", 0.025), shown("above", 0.025))


def correlated(rng: Generator, shape: tuple[int, ...], rho: float) -> Vector:
    """Standard normal outcome and covariate with that correlation, shape (..., 2)."""
    x, noise = rng.normal(size=(2, *shape))
    return np.stack([rho * x + np.sqrt(1 - rho**2) * noise, x], axis=-1)


def _absolute(sizes: tuple[int, int], rho: float) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        arms = zip(*(correlated(rng, (count, n), rho) for n in sizes), strict=True)
        return collect(absolute(cuped(Moments.of(c), Moments.of(t)), 0.0) for c, t in arms)

    size = f"{sizes[0]}" if sizes[0] == sizes[1] else f"{sizes[0]}/{sizes[1]}"
    return Study(f"n={size}, rho {rho:g}", simulate, (between("covered", 0.95, 0.945, 0.96), *TAILS), 20_000)


def _two_slopes(n: int) -> Study:
    """The covariate explains the treated arm's outcome with another slope."""

    def simulate(rng: Generator, count: int) -> Measures:
        control, treatment = (correlated(rng, (count, n), rho) for rho in (0.3, 0.9))
        arms = zip(control, treatment, strict=True)
        return collect(absolute(cuped(Moments.of(c), Moments.of(t)), 0.0) for c, t in arms)

    return Study(f"n={n}, slopes .3 and .9", simulate, (between("covered", 0.95, 0.945, 0.96), *TAILS), 20_000)


def _relative(n: int, lift: float) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        both = 1 + 0.5 * correlated(rng, (count, 2, n), 0.9)
        both[:, 1, :, 0] *= 1 + lift
        return collect(lifted(cuped(Moments.of(c), Moments.of(t)).relative, lift) for c, t in both)

    tails = (at_most("below", 0.025, 0.032), at_most("above", 0.025, 0.032))
    return Study(f"n={n}, rho 0.9, lift {lift:g}", simulate, (within("covered", 0.95, 0.008), *tails), 10_000)


def _variance(rho: float) -> Study:
    n, kept = 2000, 1 - rho**2

    def simulate(rng: Generator, count: int) -> Measures:
        found = [cuped(Moments.of(c), Moments.of(t)) for c, t in correlated(rng, (count, 2, n), rho)]
        return {"variance kept": np.array([1 - estimate.variance_reduction for estimate in found])}

    return Study(f"n={n}, rho {rho:g}", simulate, (within("variance kept", kept, 0.02 * kept, "mean"),), 2_000)


C7 = Cell(
    "C7",
    "CUPED, absolute effect",
    "Adjustment by pooled within-arm slopes covers with unequal arms and slopes too, and with few units.",
    "stats.cuped.cuped",
    (
        *(_absolute((n, n), rho) for n in (5, 10, 20, 50, 200) for rho in (0.0, 0.7, 0.95)),
        *(_absolute((20, 180), rho) for rho in (0.0, 0.7, 0.95)),
        _two_slopes(200),
    ),
    version=2,
)
C8 = Cell(
    "C8",
    "CUPED, relative lift",
    "Fieller's set with the covariance that adjustment causes covers small lifts and large ones alike.",
    "stats.cuped.cuped (its relative)",
    tuple(_relative(n, lift) for n in (50, 200) for lift in (0.0, 0.5, 1.0)),
    version=2,
)
C9 = Cell(
    "C9",
    "CUPED, variance",
    "Adjustment leaves 1 - rho² of the variance, to 2 %.",
    "stats.cuped.cuped (its variance_reduction)",
    tuple(_variance(rho) for rho in (0.0, 0.3, 0.5, 0.7, 0.9, 0.95)),
    version=2,
)
CELLS = (C7, C8, C9)
