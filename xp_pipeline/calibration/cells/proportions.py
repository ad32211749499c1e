"""The cell of proportions: C4."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.measures import absolute, collect
from xp_pipeline.calibration.model import Cell, Measures, Study, between, shown
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion


@lru_cache(maxsize=1 << 17)
def of_counts(events_c: int, n_c: int, events_t: int, n_t: int) -> Estimate:
    """The shipped comparison of two counts; replicates with the same counts have the same answer."""
    return proportion(moments(events_c, n_c), moments(events_t, n_t))


def moments(events: int, n: int) -> Moments:
    """Moments of that many ones among n units."""
    p = events / n
    spread = n * p * (1 - p)
    return Moments(n, np.array([p]), np.array([[spread]]), spread * (1 - 2 * p))


def _study(p: float, n: int) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        events = rng.binomial(n, p, (count, 2))
        rows = []
        for c, t in events.tolist():
            found = of_counts(c, n, t, n)
            rows.append(absolute(found, 0.0) | {"no test": float(np.isnan(found.p_value))})
        return collect(rows)

    claims = (between("covered", 0.95, 0.945, 0.985), shown("no test", 0.0), shown("rejected", 0.05))
    return Study(f"p={p:g}, n={n}", simulate, claims, 20_000, batch=5000)


C4 = Cell(
    "C4",
    "Proportion",
    "Welch where counts are large and the score interval where they are small cover, never much below 95 %.",
    "stats.proportions.proportion",
    tuple(_study(p, n) for p, n in ((0.1, 100), (0.01, 200), (0.01, 1000), (0.5, 50))),
)
CELLS = (C4,)
