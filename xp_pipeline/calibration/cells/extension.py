"""The cell of extensions: C27."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.cells.stages import PER_LOOK, equal, schedule, sizes
from xp_pipeline.calibration.draws import normal
from xp_pipeline.calibration.looks import stops, watch, z_scores
from xp_pipeline.calibration.measures import collect, decided
from xp_pipeline.calibration.model import Cell, Measures, Study, at_most, shown, within
from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.sample_size import sample_size
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.spending import OBRIEN_FLEMING

LAW = normal()
GUESSED_VARIANCE = 4.0
EFFECT = 0.5
PROMISING = 1.0


def _remaining_looks(rng: Generator, count: int) -> Measures:
    """Ended after the third of five planned looks unless it looks promising; else it takes the other two."""
    fractions = equal(5)
    z = z_scores(watch(LAW, rng, count, sizes(fractions, 5 * PER_LOOK)))
    ends = stops(schedule(fractions, OBRIEN_FLEMING), z)
    kept = (ends.look <= 2) | (np.abs(z[:, 2]) >= PROMISING)
    return {"rejected": ((ends.crossed != 0) & kept).astype(float), "extended": (np.abs(z[:, 2]) >= PROMISING) * 1.0}


def _blinded(rng: Generator, count: int) -> Measures:
    """Planned with too small a variance; at half time the size is planned anew from both arms' pooled variance."""
    first = sample_size(Baseline(LAW.mean, GUESSED_VARIANCE), effect=EFFECT).control // 2
    rows = []
    for control, treatment in zip(*LAW.arms(rng, count, (first, first)), strict=True):
        pooled = Moments.of(np.concatenate([control, treatment])).variance()
        needed = max(sample_size(Baseline(LAW.mean, pooled), effect=EFFECT).control, first + 2)
        rest = (Moments.of(LAW.values(rng, (needed - first,))) for _ in range(2))
        arms = [
            Moments.merge(Moments.of(before), after) for before, after in zip((control, treatment), rest, strict=True)
        ]
        rows.append(decided(welch(*arms).p_value) | {"units": float(needed)})
    return collect(rows)


def _naive(rng: Generator, count: int) -> Measures:
    """Not significant at the end but nearly so (p below 0.2): half as many units more, tested at full alpha again."""
    z = np.abs(z_scores(watch(LAW, rng, count, [1000, 1500])))
    at, nearly = 1.959964, 1.281552
    extended = (z[:, 0] < at) & (z[:, 0] >= nearly)
    return {"rejected": ((z[:, 0] >= at) | (extended & (z[:, 1] >= at))).astype(float)}


C27 = Cell(
    "C27",
    "Extension",
    "An experiment may go on by looks that were planned, or to a size planned anew from blinded data, without more "
    "false positives; going on because the result is nearly significant has more (shown, not offered).",
    "stats.boundaries.next_look, design.sample_size.sample_size, stats.means.welch",
    (
        Study(
            "planned remaining looks, taken if promising",
            _remaining_looks,
            (at_most("rejected", 0.05, 0.055), shown("extended", 0.32)),
            20_000,
            batch=1000,
        ),
        Study(
            "size re-estimated from the blinded variance",
            _blinded,
            (within("rejected", 0.05, 0.005), shown("units", 567.0, "mean")),
            10_000,
        ),
        Study("half as many units more if nearly significant", _naive, (shown("rejected", 0.05),), 20_000, batch=1000),
    ),
)
CELLS = (C27,)
