"""Studies of heterogeneity without any: segments, crossed experiments and days since exposure (part of C22)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.measures import Row, collect, decided
from xp_pipeline.calibration.model import Claim, Measures, Study, at_most, within
from xp_pipeline.stats.heterogeneity import cochran_q
from xp_pipeline.stats.interactions import assignment_independence, interaction
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.novelty import novelty
from xp_pipeline.stats.scan import scan
from xp_pipeline.stats.stratified import Stratum

PER_CELL = 300
MEANS, SPREADS = (5.0, 8.0, 10.0, 20.0), (1.0, 2.0, 3.0, 4.0)
EFFECT = 0.5
DAYS = 7
DIMENSIONS = (4, 3)
LEVEL = within("rejected", 0.05, 0.007)


def _arms(rng: Generator, mean: float, sd: float) -> Stratum:
    """A segment whose treatment has the effect that all segments have."""
    return Stratum(*(Moments.of(rng.normal(mean + effect, sd, PER_CELL)) for effect in (0.0, EFFECT)))


def _cochran(rng: Generator) -> Row:
    segments = [_arms(rng, mean, sd) for mean, sd in zip(MEANS, SPREADS, strict=True)]
    return decided(cochran_q([welch(*segment) for segment in segments]).p_value)


def _interaction(rng: Generator) -> Row:
    """Two experiments whose effects add up."""
    cells = {
        (first, second): Moments.of(rng.normal(10 + EFFECT * (first == "b") - (second == "b"), sd, PER_CELL))
        for (first, second), sd in zip((("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")), SPREADS, strict=True)
    }
    return decided(interaction(cells, first=("a", "b"), second=("a", "b")).interaction.p_value)


def _independence(rng: Generator) -> Row:
    """Arms of two experiments, three by two, that units get independently."""
    shares = np.outer((0.5, 0.3, 0.2), (0.9, 0.1))
    counts = rng.multinomial(4 * PER_CELL, shares.ravel()).reshape(shares.shape)
    return decided(assignment_independence(counts).p_value)


def _novelty(rng: Generator) -> Row:
    """The same units on seven days, with the same effect on each."""
    own = rng.normal(0.0, 1.0, (2, PER_CELL, 1))
    days = 5 + own + rng.normal(0.0, 1.0, (2, PER_CELL, DAYS))
    days[1] += EFFECT
    found = novelty(Moments.of(days[0]), Moments.of(days[1]))
    early_late = {"later half against earlier": float(found.early_late.p_value <= 0.05)}
    return decided(found.slope.p_value) | early_late


def _scan(rng: Generator) -> Row:
    """Seven segments of two crossed dimensions, each against the rest."""
    units = 8 * PER_CELL
    arms = rng.normal(10.0, 3.0, (2, units))
    arms[1] += EFFECT
    levels = [rng.integers(0, size, (2, units)) for size in DIMENSIONS]
    segments = {
        f"{d}/{level}": Stratum(*(Moments.of(arms[i, found[i] == level]) for i in (0, 1)))
        for d, found in enumerate(levels)
        for level in range(DIMENSIONS[d])
    }
    whole = Stratum(*(Moments.of(arm) for arm in arms))
    return {"a segment differs": float(any(found.differs for found in scan(whole, segments).segments))}


def _study(name: str, measure: Callable[[Generator], Row], *claims: Claim) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        return collect(measure(rng) for _ in range(count))

    return Study(name, simulate, claims or (LEVEL,), 10_000)


STUDIES = (
    _study(f"Cochran's Q, 4 segments of {PER_CELL} an arm", _cochran),
    _study(f"interaction of two experiments, {PER_CELL} a cell", _interaction),
    _study(f"independence of two assignments, n={4 * PER_CELL:,}", _independence),
    _study(
        f"novelty over {DAYS} days, n={PER_CELL}",
        _novelty,
        LEVEL,
        within("later half against earlier", 0.05, 0.007),
    ),
    _study(f"scan of 7 overlapping segments, n={8 * PER_CELL:,}", _scan, at_most("a segment differs", 0.05, 0.055)),
)
