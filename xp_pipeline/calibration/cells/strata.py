"""The cell of strata and segments: C22."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.cells import segments
from xp_pipeline.calibration.measures import absolute, collect
from xp_pipeline.calibration.model import Cell, Measures, Study, Vector, shown, within
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.stratified import Stratum, stratified

PER_ARM = 300
MEANS = np.array([5.0, 8.0, 10.0, 20.0])
RATES = np.array([0.05, 0.1, 0.2, 0.5])


def _level(name: str, draw: str, *, ratio: bool = False) -> Study:
    """Four strata of different means without an effect in any; units fall into arms by chance."""

    def simulate(rng: Generator, count: int) -> Measures:
        return collect(absolute(stratified(_strata(rng, draw), ratio=ratio), 0.0) for _ in range(count))

    claims = (within("rejected", 0.05, 0.007), shown("covered", 0.95))
    return Study(f"{name}, 4 strata of about {PER_ARM} units an arm", simulate, claims, 10_000)


def _strata(rng: Generator, draw: str) -> list[Stratum]:
    made = []
    for i in range(MEANS.size):
        control = int(rng.binomial(2 * PER_ARM, 0.5))
        made.append(Stratum(*(Moments.of(_values(rng, n, i, draw)) for n in (control, 2 * PER_ARM - control))))
    return made


def _values(rng: Generator, n: int, stratum: int, draw: str) -> Vector:
    if draw == "proportion":
        return np.asarray(rng.random(n) < RATES[stratum], dtype=np.float64)
    outcome = rng.normal(MEANS[stratum], 3.0, n)
    if draw == "mean":
        return outcome
    return np.column_stack([outcome, 1.0 + rng.poisson(4.0, n)])


def _gain() -> Study:
    """How much of the variance stratification removes, where strata explain most of it."""

    def simulate(rng: Generator, count: int) -> Measures:
        found = [stratified(_strata(rng, "mean")) for _ in range(count)]
        return {"variance kept": np.array([1 - estimate.variance_reduction for estimate in found])}

    between = float(MEANS.var())
    kept = 9.0 / (9.0 + between)
    claims = (within("variance kept", kept, 0.02 * kept, "mean"),)
    return Study("mean, variance that strata leave", simulate, claims, 2_000)


C22 = Cell(
    "C22",
    "Strata, segments, interactions",
    "Stratified after the fact, a test keeps its level and loses the variance between strata. Where segments, crossed "
    "experiments and days have one effect, the tests that they differ reject 5 % of the time.",
    "stats.stratified.stratified, stats.heterogeneity.cochran_q, stats.interactions.interaction, "
    "stats.interactions.assignment_independence, stats.novelty.novelty, stats.scan.scan",
    (
        _level("mean", "mean"),
        _level("proportion", "proportion"),
        _level("ratio", "ratio", ratio=True),
        _gain(),
        *segments.STUDIES,
    ),
)
CELLS = (C22,)
