"""The cell of randomised clusters: C11."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.measures import absolute, collect
from xp_pipeline.calibration.model import Cell, Claim, Measures, Study, Vector, at_least, shown, within
from xp_pipeline.stats.clusters import FEW_CLUSTERS, clustered


def _sums(rng: Generator, clusters: int, icc: float) -> tuple[Vector, Vector]:
    """Sums of outcome and units by cluster, half of the clusters treated; sizes from 1 to about 100, mean 20."""
    sizes = 1.0 + rng.geometric(1 / 20, clusters)
    shared = rng.normal(0, np.sqrt(icc), clusters)
    totals = sizes * (5 + shared) + rng.normal(0, np.sqrt((1 - icc) * sizes))
    sums, treated = np.column_stack([totals, sizes]), (np.arange(clusters) % 2 == 1)[:, None]
    return np.where(treated, 0.0, sums), np.where(treated, sums, 0.0)


def _study(clusters: int, icc: float, claim: Claim) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        return collect(absolute(clustered(*_sums(rng, clusters, icc)), 0.0) for _ in range(count))

    warned = (within("cautioned", float(clusters < FEW_CLUSTERS), 0.0),)
    tails = (shown("below", 0.025), shown("above", 0.025))
    return Study(f"G={clusters}, ICC {icc:g}", simulate, (claim, *warned, *tails), 4_000)


C11 = Cell(
    "C11",
    "Randomised clusters",
    "The delta method on cluster sums covers from 20 clusters on, nearly; below 40 it warns.",
    "stats.clusters.clustered",
    tuple(
        _study(clusters, icc, claim)
        for clusters, claim in (
            (20, at_least("covered", 0.95, 0.93)),
            (50, at_least("covered", 0.95, 0.935)),
            (200, within("covered", 0.95, 0.008)),
        )
        for icc in (0.0, 0.2)
    ),
)
CELLS = (C11,)
