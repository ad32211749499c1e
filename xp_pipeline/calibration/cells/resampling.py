"""The cell of bootstrap and jackknife over buckets: C14."""

from __future__ import annotations

from numpy.random import Generator

from xp_pipeline.calibration.cells.ratios import pairs
from xp_pipeline.calibration.measures import absolute, collect
from xp_pipeline.calibration.model import Cell, Measures, Study, between
from xp_pipeline.stats.buckets import BucketedMoments
from xp_pipeline.stats.resampling import bootstrap, jackknife, ratios

UNITS, BUCKETS = 4000, 100


def _arms(rng: Generator) -> tuple[BucketedMoments, BucketedMoments]:
    """A ratio's two arms with units spread over buckets by chance, as a hash spreads them."""
    made = []
    for values in pairs(rng, (2, UNITS), 0.8, correlated=True):
        made.append(BucketedMoments.of(values, rng.integers(0, BUCKETS, UNITS), buckets=BUCKETS))
    return made[0], made[1]


def _bootstrap(rng: Generator, count: int) -> Measures:
    rows = []
    for _ in range(count):
        found = bootstrap(*_arms(rng), pair=ratios, seed=int(rng.integers(2**32)))
        rows.append(absolute(found, 0.0))
    return collect(rows)


def _jackknife(rng: Generator, count: int) -> Measures:
    return collect(absolute(jackknife(*_arms(rng), pair=ratios), 0.0) for _ in range(count))


CLAIMS = (between("covered", 0.95, 0.93, 0.97),)
C14 = Cell(
    "C14",
    "Bucket bootstrap and jackknife",
    "Standard errors from 100 buckets of units cover a ratio of 4,000 units an arm.",
    "stats.resampling.bootstrap, stats.resampling.jackknife",
    (
        Study(f"bootstrap, ratio, n={UNITS}", _bootstrap, CLAIMS, 1_000, batch=100),
        Study(f"jackknife, ratio, n={UNITS}", _jackknife, CLAIMS, 1_000, batch=100),
    ),
)
CELLS = (C14,)
