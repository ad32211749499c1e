"""The cell of quantiles: C12."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.measures import Row, collect, covering
from xp_pipeline.calibration.model import Cell, Measures, Study, Vector, at_least, between, shown
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.order import OrderStatistics, ThresholdCounts
from xp_pipeline.stats.quantiles import quantile

PER_UNIT = 5


def _measured(estimate: Estimate) -> Row:
    """Coverage of no difference; safe is covered, or refused with a reason."""
    row = covering(estimate.low, estimate.high, 0.0)
    return row | {"safe": 1.0 if row["undefined"] else row["covered"]}


def _continuous(n: int, p: float, *, refused: bool = False) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        values = rng.lognormal(0, 1, (count, 2, n))
        return collect(_measured(quantile(OrderStatistics.of(c), OrderStatistics.of(t), p=p)) for c, t in values)

    claim = at_least("undefined", 1.0) if refused else between("covered", 0.95, 0.94, 0.975)
    return Study(f"lognormal, n={n}, p{100 * p:g}", simulate, (claim,), 4_000)


def _grid(n: int, p: float) -> Study:
    """Durations of some hundred, recorded in steps of 5."""

    def simulate(rng: Generator, count: int) -> Measures:
        values = 5 * np.round(rng.normal(100, 15, (count, 2, n)) / 5)
        return collect(_measured(quantile(OrderStatistics.of(c), OrderStatistics.of(t), p=p)) for c, t in values)

    return Study(
        f"grid 5, n={n}, p{100 * p:g}", simulate, (at_least("safe", 0.95, 0.93), shown("covered", 0.95)), 4_000
    )


def _clustered(units: int, p: float) -> Study:
    """Five observations a unit, correlated within it."""

    def simulate(rng: Generator, count: int) -> Measures:
        own = rng.normal(0, 0.7, (count, 2, units, 1))
        values = np.exp(own + rng.normal(0, 0.7, (count, 2, units, PER_UNIT)))
        return collect(_measured(_of_units(c, t, p)) for c, t in values)

    claims = (between("covered", 0.95, 0.94, 0.975),)
    return Study(f"{units} units of {PER_UNIT} observations, p{100 * p:g}", simulate, claims, 4_000)


def _of_units(control: Vector, treatment: Vector, p: float) -> Estimate:
    arms = [OrderStatistics.of(values) for values in (control, treatment)]
    counts = []
    for values, arm in zip((control, treatment), arms, strict=True):
        threshold = arm.quantile(p)
        below = (values <= threshold).sum(axis=1)
        counts.append(ThresholdCounts.of(below, np.full(len(values), PER_UNIT), threshold=threshold))
    return quantile(arms[0], arms[1], p=p, clusters=(counts[0], counts[1]))


C12 = Cell(
    "C12",
    "Quantiles by order statistics",
    "Intervals of quantiles cover on continuous data; too few observations beyond the quantile, or ties at it, "
    "are refused.",
    "stats.quantiles.quantile",
    (
        *(_continuous(n, p) for n in (1000, 5000) for p in (0.5, 0.9)),
        _continuous(1000, 0.99, refused=True),
        _continuous(5000, 0.99),
        *(_grid(n, p) for n in (1000, 5000) for p in (0.5, 0.9)),
        *(_clustered(1000, p) for p in (0.5, 0.9)),
    ),
)
CELLS = (C12,)
