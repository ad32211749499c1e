"""The cell of a change of split while the baseline drifts: C28."""

from __future__ import annotations

from numpy.random import Generator

from xp_pipeline.calibration.measures import absolute, collect
from xp_pipeline.calibration.model import Cell, Measures, Study, shown, within
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.stratified import Stratum, stratified

UNITS, SD = 5_000, 3.0
RAMP = ((0.9, 10.0), (0.5, 10.6))
"""Share of control and mean of either arm, phase by phase."""


def _phases(rng: Generator) -> list[Stratum]:
    """A ramp from 90/10 to 50/50 during which everybody's mean rises by a fifth of a standard deviation."""
    made = []
    for share, mean in RAMP:
        control = rng.binomial(UNITS, share)
        made.append(Stratum(*(Moments.of(rng.normal(mean, SD, n)) for n in (control, UNITS - control))))
    return made


def _ramp(*, by_phase: bool) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        rows = []
        for _ in range(count):
            phases = _phases(rng)
            pooled = (Moments.merge(*(p.control for p in phases)), Moments.merge(*(p.treatment for p in phases)))
            rows.append(absolute(stratified(phases) if by_phase else welch(*pooled), 0.0))
        return collect(rows)

    name = "stratified by phase" if by_phase else "pooled over phases"
    claims = (within("rejected", 0.05, 0.005) if by_phase else shown("rejected", 0.05), shown("covered", 0.95))
    return Study(f"90/10 to 50/50 with a drift, {name}", simulate, claims, 10_000)


C28 = Cell(
    "C28",
    "Change of split",
    "Stratified by allocation phase, a ramp with a drifting baseline keeps its false-positive rate; pooled, "
    "the drift passes for an effect (shown, not offered).",
    "stats.stratified.stratified",
    (_ramp(by_phase=True), _ramp(by_phase=False)),
)
CELLS = (C28,)
