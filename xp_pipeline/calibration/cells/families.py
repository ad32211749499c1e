"""The cell of families of tests: C19."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xp_pipeline.calibration.model import Cell, Measures, Study, at_most
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.multiplicity import Method, adjusted

UNITS, METRICS = 500, 10
EFFECT = 0.2


def _p_values(rng: Generator, rho: float, affected: int) -> list[float]:
    """Ten metrics of one experiment, correlated by a shared factor; the first ones have an effect."""
    shared = rng.normal(size=(2, UNITS, 1))
    values = np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=(2, UNITS, METRICS))
    values[1, :, :affected] += EFFECT
    control, treatment = Moments.of(values[0]), Moments.of(values[1])
    return [welch(control.take([i]), treatment.take([i])).p_value for i in range(METRICS)]


def _rejected(rng: Generator, count: int, rho: float, affected: int, method: Method) -> NDArray[np.bool_]:
    """Which metrics are significant after adjustment, shape (count, metrics)."""
    return adjusted([_p_values(rng, rho, affected) for _ in range(count)], method=method) <= 0.05


def _family_wise(method: Method, rho: float, affected: int) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        rejected = _rejected(rng, count, rho, affected, method)
        return {"any false": rejected[:, affected:].any(axis=1).astype(float)}

    claims = (at_most("any false", 0.05, 0.055),)
    return Study(f"{method}, rho {rho:g}, {affected} true effects", simulate, claims, 10_000)


def _discovery(method: Method, rho: float, affected: int) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        rejected = _rejected(rng, count, rho, affected, method)
        false = rejected[:, affected:].sum(axis=1)
        return {"false share": false / np.maximum(rejected.sum(axis=1), 1)}

    claims = (at_most("false share", 0.05, 0.055, "mean"),)
    return Study(f"{method}, rho {rho:g}, {affected} true effects", simulate, claims, 10_000)


C19 = Cell(
    "C19",
    "Families of ten metrics",
    "Holm keeps the chance of any false rejection at 5 %, Benjamini-Hochberg the expected share of false ones "
    "among the rejected.",
    "stats.multiplicity.adjusted",
    (
        *(_family_wise("holm", rho, affected) for rho in (0.0, 0.5) for affected in (0, 3)),
        *(_family_wise("hommel", rho, 3) for rho in (0.0, 0.5)),
        *(_discovery("fdr_bh", rho, affected) for rho in (0.0, 0.5) for affected in (0, 5)),
    ),
)
CELLS = (C19,)
