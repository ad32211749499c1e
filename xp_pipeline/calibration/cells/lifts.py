"""The cell of relative lifts: C5."""

from __future__ import annotations

from numpy.random import Generator

from xp_pipeline.calibration.cells.proportions import of_counts
from xp_pipeline.calibration.draws import Law, lognormal, normal, zero_heavy
from xp_pipeline.calibration.measures import collect, lifted
from xp_pipeline.calibration.model import Cell, Claim, Measures, Study, at_least, at_most, shown
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments

LIFTS = (0.0, 0.2, 0.5, 1.0)


def _claims(n: int) -> tuple[Claim, ...]:
    tails = tuple((at_most(tail, 0.025, 0.035) if n >= 500 else shown(tail, 0.025)) for tail in ("below", "above"))
    return at_least("covered", 0.95, 0.945), shown("covered when bounded", 0.95), *tails


def _mean(law: Law, n: int, lift: float) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        arms = zip(law.moments(rng, count, n), law.moments(rng, count, n, lift), strict=True)
        return collect(lifted(welch(*pair).relative, lift) for pair in arms)

    return Study(f"{law.name}, n={n}, lift {lift:g}", simulate, _claims(n), 20_000)


def _unequal_spread(lift: float) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        arms = zip(rng.normal(10, 1, (count, 900)), rng.normal(10 * (1 + lift), 4, (count, 60)), strict=True)
        return collect(lifted(welch(Moments.of(c), Moments.of(t)).relative, lift) for c, t in arms)

    return Study(f"normal, sd 1:4, n=900/60, lift {lift:g}", simulate, _claims(60), 20_000)


def _proportion(p: float, n: int, lift: float) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        events = zip(rng.binomial(n, p, count).tolist(), rng.binomial(n, p * (1 + lift), count).tolist(), strict=True)
        return collect(lifted(of_counts(c, n, t, n).relative, lift) for c, t in events)

    return Study(f"proportion {p:g}, n={n}, lift {lift:g}", simulate, _claims(n), 20_000, batch=5000)


C5 = Cell(
    "C5",
    "Relative lift by Fieller",
    "The set of lifts covers the true lift whatever its size; where the control mean cannot be told from 0 it "
    "is unbounded and says so.",
    "stats.means.welch, stats.proportions.proportion (their relative)",
    (
        *(_mean(law, n, lift) for law in (normal(), lognormal(1)) for n in (20, 200, 2000) for lift in LIFTS),
        *(_unequal_spread(lift) for lift in LIFTS),
        *(_mean(zero_heavy(0.05, 1.2), n, lift) for n in (500, 2000, 10_000) for lift in LIFTS),
        *(
            _proportion(p, n, lift)
            for p, n in ((0.1, 100), (0.01, 200), (0.01, 1000), (0.5, 50))
            for lift in LIFTS
            if p * (1 + lift) < 0.95
        ),
    ),
)
CELLS = (C5,)
