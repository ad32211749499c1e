"""The cell of sample ratio mismatch: C18."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import gammaln

from xp_pipeline.calibration.model import Agreement, Cell, Measures, Study, Vector, agreement, at_most, within
from xp_pipeline.stats.srm import chi_square, sequential

UNITS = 20_000
CONCENTRATION = 1000.0
DESIGNS: Mapping[str, tuple[float, ...]] = {
    "50/50": (0.5, 0.5),
    "90/10": (0.9, 0.1),
    "3 arms": (1 / 3, 1 / 3, 1 / 3),
}
LEVELS = {"alarm at 0.05": 0.05, "alarm at 0.01": 0.01, "alarm at 0.001": 0.001}


def _named(numbers: tuple[float, ...] | list[int]) -> dict[str, float]:
    return {str(arm): number for arm, number in enumerate(numbers)}


def _once(name: str, shares: tuple[float, ...]) -> Study:
    """The shipped test on every distinct outcome of the multinomial, weighted by how often it was drawn."""

    def simulate(rng: Generator, count: int) -> Measures:
        outcomes, times = np.unique(rng.multinomial(UNITS, shares, count), axis=0, return_counts=True)
        weights = _named(shares)
        alarms = [
            chi_square({k: int(v) for k, v in _named(row).items()}, weights).p_value < 0.001
            for row in outcomes.tolist()
        ]
        return {"alarm": np.repeat(np.array(alarms, dtype=float), times)}

    claims = (within("alarm", 0.001, 1e-4),)
    return Study(f"chi-square once, {name}, n={UNITS}", simulate, claims, 1_000_000, fewest=100_000, batch=100_000)


def _counts(rng: Generator, shares: tuple[float, ...], count: int) -> NDArray[np.int64]:
    """Units by arm after every unit, shape (count, units, arms)."""
    arms = np.searchsorted(np.cumsum(shares)[:-1], rng.random((count, UNITS)), side="right")
    return np.stack([np.cumsum(arms == arm, axis=1) for arm in range(len(shares))], axis=-1)


def _log_e(counts: NDArray[np.int64], shares: tuple[float, ...]) -> Vector:
    """The log e-value after every unit, by tables of the log-gamma function."""
    steps = np.arange(UNITS + 1)
    total = gammaln(CONCENTRATION + steps) - gammaln(CONCENTRATION)
    log_e = -total[counts.sum(axis=-1)]
    for arm, share in enumerate(shares):
        prior = CONCENTRATION * share
        log_e += (gammaln(prior + steps) - gammaln(prior) - steps * math.log(share))[counts[..., arm]]
    return np.asarray(log_e, dtype=np.float64)


def _watched(name: str, shares: tuple[float, ...]) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        highest = _log_e(_counts(rng, shares, count), shares).max(axis=1)
        return {name: (highest >= -math.log(alpha)).astype(float) for name, alpha in LEVELS.items()}

    def twin(rng: Generator) -> Agreement:
        counts = _counts(rng, shares, 200)
        looks = rng.integers(0, UNITS, 200)
        seen = counts[np.arange(200), looks]
        shipped = [
            sequential({k: int(v) for k, v in _named(row).items()}, _named(shares)).log_e_value for row in seen.tolist()
        ]
        return agreement(np.array(shipped), _log_e(counts, shares)[np.arange(200), looks])

    claims = tuple(at_most(measure, alpha) for measure, alpha in LEVELS.items())
    return Study(f"sequential at every unit, {name}, to n={UNITS}", simulate, claims, 2_000, batch=50, twin=twin)


C18 = Cell(
    "C18",
    "Sample ratio mismatch",
    "Chi-square alarms once in 1,000 healthy experiments; the sequential test may be read after every unit and "
    "still keeps its alpha.",
    "stats.srm.chi_square, stats.srm.sequential",
    (
        *(_once(name, shares) for name, shares in DESIGNS.items()),
        *(_watched(name, shares) for name, shares in DESIGNS.items()),
    ),
)
CELLS = (C18,)
