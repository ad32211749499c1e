"""The cell of margins: non-inferiority and equivalence exactly at them, C20."""

from __future__ import annotations

from numpy.random import Generator

from xp_pipeline.calibration.measures import collect
from xp_pipeline.calibration.model import Cell, Measures, Study, at_most, within
from xp_pipeline.stats.equivalence import equivalence
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.noninferiority import non_inferiority

MEAN, SD = 10.0, 3.0


def _non_inferior(n: int, *, relative: bool) -> Study:
    """The treatment is worse by just the margin: 5 %, or 0.5."""
    margin = 0.05 if relative else 0.5

    def simulate(rng: Generator, count: int) -> Measures:
        control, treatment = rng.normal(MEAN, SD, (count, n)), rng.normal(MEAN - 0.5, SD, (count, n))
        rows = []
        for c, t in zip(control, treatment, strict=True):
            found = non_inferiority(
                welch(Moments.of(c), Moments.of(t)), margin=margin, relative=relative, increase_is_good=True
            )
            rows.append({"undefined": float(found.holds is None)} | _held(found.holds))
        return collect(rows)

    kind = "relative" if relative else "absolute"
    return Study(f"non-inferiority, {kind} margin, n={n}", simulate, (within("rejected", 0.05, 0.005),), 20_000)


def _held(holds: bool | None) -> dict[str, float]:
    return {} if holds is None else {"rejected": float(holds)}


def _equivalent(n: int, *, relative: bool) -> Study:
    """Two one-sided tests, both of which must reject; the true difference is at the lower margin."""
    margin = 0.1 if relative else 1.0

    def simulate(rng: Generator, count: int) -> Measures:
        control, treatment = rng.normal(MEAN, SD, (count, n)), rng.normal(MEAN - 1, SD, (count, n))
        rows = []
        for c, t in zip(control, treatment, strict=True):
            found = equivalence(welch(Moments.of(c), Moments.of(t)), margin=margin, relative=relative)
            rows.append({"undefined": float(found.holds is None)} | _held(found.holds))
        return collect(rows)

    kind = "relative" if relative else "absolute"
    return Study(f"equivalence, {kind} margin, n={n}", simulate, (at_most("rejected", 0.05, 0.055),), 20_000)


C20 = Cell(
    "C20",
    "Non-inferiority and equivalence at the margin",
    "A treatment worse by exactly the margin passes 5 % of the time, whether the margin is absolute or "
    "relative to control.",
    "stats.noninferiority.non_inferiority, stats.equivalence.equivalence",
    tuple(
        make(n, relative=relative)
        for make in (_non_inferior, _equivalent)
        for relative in (False, True)
        for n in (200, 1000)
    ),
)
CELLS = (C20,)
