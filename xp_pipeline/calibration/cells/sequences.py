"""Cells of always-valid methods, read after every unit: confidence sequences (C16) and the mSPRT (C17)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xp_pipeline.calibration.draws import Law, bernoulli, lognormal, normal, zero_heavy
from xp_pipeline.calibration.model import Agreement, Cell, Measures, Study, Vector, agreement, at_most, shown
from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detectable import minimum_detectable_effect
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.msprt import msprt
from xp_pipeline.stats.sequences import FEWEST_NONZERO, FEWEST_UNITS, boundary, confidence_sequence

UNITS = 5_000
LAWS = (normal(), bernoulli(0.2), bernoulli(0.02), lognormal(1.5), zero_heavy(0.05, 1.2))
LIFTS = (0.0, 0.2)
REPLICATES = 5_000
COMPARED = 300
TRIED = (-0.5, -0.2, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Lifts that a twin and its shipped function must both contain or both leave out."""


class Grown(NamedTuple):
    """Two arms after every unit.

    Attributes:
        values: Of control and treatment, shape (2, replicates, units).
        mean, variance: So far, of the mean and per unit, likewise; the variance of one unit is NaN.
        nonzero: Units other than 0 so far, likewise.
        ready: Whether the burn-in is over, shape (replicates, units).
    """

    values: Vector
    mean: Vector
    variance: Vector
    nonzero: NDArray[np.int64]
    ready: NDArray[np.bool_]

    @property
    def mean_variance(self) -> Vector:
        """Variance of the mean."""
        return np.asarray(self.variance / np.arange(1, UNITS + 1))

    @property
    def effect(self) -> Vector:
        """Difference of means."""
        return np.asarray(self.mean[1] - self.mean[0])

    def estimate(self, replicate: int, n: int, null: float) -> tuple[Estimate, tuple[float, float]]:
        """The shipped comparison after n units an arm, and its units other than 0."""
        control, treatment = (Moments.of(arm[replicate, :n]) for arm in self.values)
        counts = self.nonzero[:, replicate, n - 1].tolist()
        return welch(control, treatment, null=null), (counts[0], counts[1])


def grow(law: Law, rng: Generator, count: int, lift: float) -> Grown:
    """Replicates of an experiment that gets a unit an arm at a time."""
    values = np.stack(law.arms(rng, count, (UNITS, UNITS), lift))
    n = np.arange(1, UNITS + 1)
    centred = values - law.mean
    total, squares = np.cumsum(centred, axis=-1), np.cumsum(centred**2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.maximum(squares - total**2 / n, 0.0) / (n - 1)
    nonzero = np.cumsum(values != 0, axis=-1)
    ready = (n >= FEWEST_UNITS) & (nonzero >= FEWEST_NONZERO).all(axis=0)
    return Grown(values, law.mean + total / n, variance, nonzero, ready)


@cache
def _boundaries(planned: int) -> Vector:
    """The multiplier of the standard error after every unit an arm."""
    return np.array([boundary(2 * n, planned, 0.05) for n in range(1, UNITS + 1)])


def _misses(grown: Grown, planned: int, effect: float, lift: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """After which units the band leaves out the true effect, and Fieller's set the true lift."""
    v_c, v_t = grown.mean_variance
    m_c, m_t = grown.mean
    q = _boundaries(planned)
    with np.errstate(invalid="ignore"):
        absolute = np.abs(m_t - m_c - effect) > q * np.sqrt(v_c + v_t)
        relative = np.abs(m_t - (1 + lift) * m_c) > q * np.sqrt(v_t + (1 + lift) ** 2 * v_c)
    return absolute & grown.ready, relative & grown.ready


def _sequence(law: Law, lift: float, planned: int) -> Study:
    truth = law.effect(lift)

    def simulate(rng: Generator, count: int) -> Measures:
        misses = _misses(grow(law, rng, count, lift), planned, truth, lift)
        absolute, relative = (found.any(axis=1).astype(float) for found in misses)
        return {"effect ever missed": absolute, "lift ever missed": relative}

    def shipped(grown: Grown, i: int, n: int) -> list[float]:
        estimate, nonzero = grown.estimate(i, n, 0.0)
        band = confidence_sequence(estimate, planned_n=planned, nonzero=nonzero)
        known = band.status == Status.OK
        effects = [known and not band.low <= law.effect(r) <= band.high for r in TRIED]
        return [*map(float, effects), *(float(known and not band.relative.contains(r)) for r in TRIED)]

    def twin(grown: Grown) -> Vector:
        found = [_misses(grown, planned, law.effect(r), r) for r in TRIED]
        return np.stack([f[0] for f in found] + [f[1] for f in found], axis=-1).astype(float)

    name = f"{law.name}, lift {lift:g}" + ("" if planned == 2 * UNITS else f", tuned to {planned:,} units")
    claims = (at_most("effect ever missed", 0.05, 0.06), at_most("lift ever missed", 0.05, 0.06))
    return Study(name, simulate, claims, REPLICATES, batch=50, twin=_compared(law, lift, twin, shipped))


def _compared(
    law: Law, lift: float, twin: Callable[[Grown], Vector], shipped: Callable[[Grown, int, int], list[float]]
) -> Callable[[Generator], Agreement]:
    """Compares what a vectorised twin and a shipped function say after random units of 50 replicates."""

    def compare(rng: Generator) -> Agreement:
        grown = grow(law, rng, 50, lift)
        rows, units = rng.integers(0, 50, COMPARED), rng.integers(2, UNITS + 1, COMPARED)
        found = [shipped(grown, i, n) for i, n in zip(rows.tolist(), units.tolist(), strict=True)]
        return agreement(np.array(found), twin(grown)[rows, units - 1])

    return compare


def _log_ratios(grown: Grown, tau: float, effect: float) -> Vector:
    """Logarithm of the mixture's likelihood ratio against the true effect; NaN during the burn-in."""
    variance = grown.mean_variance.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (tau * (grown.effect - effect)) ** 2 / (2 * variance * (variance + tau**2))
        return np.where(grown.ready, ratio - 0.5 * np.log1p(tau**2 / variance), np.nan)


def _mixture(law: Law, lift: float) -> Study:
    truth = law.effect(lift)
    tau = minimum_detectable_effect(Baseline(law.mean, law.variance), n_control=UNITS, n_treatment=UNITS)

    def simulate(rng: Generator, count: int) -> Measures:
        ratios = _log_ratios(grow(law, rng, count, lift), tau, truth)
        return {
            "truth ever rejected": (np.nan_to_num(ratios, nan=-np.inf).max(axis=1) >= -math.log(0.05)).astype(float)
        }

    def shipped(grown: Grown, i: int, n: int) -> list[float]:
        estimate, nonzero = grown.estimate(i, n, truth)
        return [msprt(estimate, tau=tau, nonzero=nonzero).log_ratio]

    def twin(grown: Grown) -> Vector:
        return _log_ratios(grown, tau, truth)[..., None]

    claims = (at_most("truth ever rejected", 0.05, 0.06),)
    return Study(
        f"{law.name}, lift {lift:g}", simulate, claims, REPLICATES, batch=50, twin=_compared(law, lift, twin, shipped)
    )


def _fixed(law: Law) -> Study:
    """What no tool should do: the fixed-horizon interval, read after every unit."""

    def simulate(rng: Generator, count: int) -> Measures:
        grown = grow(law, rng, count, 0.0)
        with np.errstate(invalid="ignore"):
            outside = np.abs(grown.effect) > 1.96 * np.sqrt(grown.mean_variance.sum(axis=0))
        return {"effect ever missed": (outside & grown.ready).any(axis=1).astype(float)}

    return Study(
        f"{law.name}, fixed-horizon intervals", simulate, (shown("effect ever missed", 0.05),), REPLICATES, batch=50
    )


C16 = Cell(
    "C16",
    "Confidence sequences, read after every unit",
    "From the burn-in to 5,000 units an arm, the band leaves out the true effect at any time, and Fieller's band the "
    "true lift, in at most 5 % of experiments; intervals of a fixed horizon do so in a third or more (shown, not "
    "offered).",
    "stats.sequences.confidence_sequence",
    (
        *(_sequence(law, lift, 2 * UNITS) for law in LAWS for lift in LIFTS),
        *(_sequence(law, 0.0, 1_000) for law in (normal(), bernoulli(0.02), zero_heavy(0.05, 1.2))),
        *(_fixed(law) for law in (normal(), zero_heavy(0.05, 1.2))),
    ),
)
C17 = Cell(
    "C17",
    "mSPRT, read after every unit",
    "With the variance of the difference, the mixture test rejects the truth at any time in at most 5 % of "
    "experiments, whether there is an effect or none.",
    "stats.msprt.msprt",
    tuple(_mixture(law, lift) for law in LAWS for lift in LIFTS),
)
CELLS = (C16, C17)
