"""Cells of group-sequential looks: C15, and margins over looks (C26)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.draws import Law, normal, zero_heavy
from xp_pipeline.calibration.looks import Watched, harm_z_scores, same_z_scores, stops, watch, z_scores
from xp_pipeline.calibration.measures import collect, covering
from xp_pipeline.calibration.model import (
    Agreement,
    Cell,
    Measures,
    Study,
    Vector,
    agreement,
    at_most,
    between,
    shown,
    within,
)
from xp_pipeline.stats.boundaries import Look, next_look, z_of, z_of_p
from xp_pipeline.stats.equivalence import equivalence
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.noninferiority import non_inferiority
from xp_pipeline.stats.spending import OBRIEN_FLEMING, POCOCK, Spending
from xp_pipeline.stats.stagewise import stagewise

PER_LOOK = 500
KIM_DEMETS = Spending("kim_demets", 2.0)
NAMES = {OBRIEN_FLEMING: "O'Brien-Fleming", POCOCK: "Pocock", KIM_DEMETS: "Kim-DeMets 2"}
UNEQUAL = (0.1, 0.25, 0.6, 0.7, 1.0)
UNDERRUN = (0.2, 0.4, 0.6, 0.83)
OVERRUN = (0.2, 0.4, 0.6, 0.9, 1.15)
MARGIN = 0.05


def equal(looks: int) -> tuple[float, ...]:
    """Looks at equal steps of information."""
    return tuple((i + 1) / looks for i in range(looks))


@cache
def schedule(fractions: tuple[float, ...], spending: Spending, *, two_sided: bool = True) -> tuple[Look, ...]:
    """The boundaries as looks arrive, each from those before it; the last one is final."""
    looks: list[Look] = []
    for i, information in enumerate(fractions):
        final = i + 1 == len(fractions)
        looks.append(
            next_look(looks, information=information, spending=spending, alpha=0.05, two_sided=two_sided, final=final)
        )
    return tuple(looks)


def sizes(fractions: Sequence[float], planned: int) -> list[int]:
    """Units of an arm at looks that have these shares of the planned ones."""
    return [round(planned * share) for share in fractions]


def z_twin(
    draw: Callable[[Generator, int], Watched], twin: Callable[[Watched], Vector], shipped: Callable[[Estimate], float]
) -> Callable[[Generator], Agreement]:
    """Compares vectorised z scores with those of the shipped functions at every look of 20 replicates."""

    def compare(rng: Generator) -> Agreement:
        watched = draw(rng, 20)
        looks = range(watched.n.size)
        found = np.array([[shipped(watched.estimate(i, k)) for k in looks] for i in range(20)])
        return agreement(found, twin(watched))

    return compare


def _false_positives(law: Law, spending: Spending, fractions: tuple[float, ...], label: str) -> Study:
    def draw(rng: Generator, count: int) -> Watched:
        return watch(law, rng, count, sizes(fractions, PER_LOOK * len(fractions)))

    def simulate(rng: Generator, count: int) -> Measures:
        ends = stops(schedule(fractions, spending), z_scores(draw(rng, count)))
        return {"rejected": (ends.crossed != 0).astype(float)}

    regular = law.name.startswith("normal")
    claim = between("rejected", 0.05, 0.04, 0.055) if regular else at_most("rejected", 0.05, 0.055)
    name = f"{NAMES[spending]}, {label}, {law.name}"
    return Study(name, simulate, (claim,), 20_000, batch=1000, twin=z_twin(draw, z_scores, z_of))


def _after_stopping(lift: float) -> Study:
    """Coverage and median of what is said after stopping; the effect is 0, or one that half of the tests find."""
    fractions, law = equal(5), normal()

    def simulate(rng: Generator, count: int) -> Measures:
        looks = schedule(fractions, OBRIEN_FLEMING)
        watched = watch(law, rng, count, sizes(fractions, PER_LOOK * 5), lift)
        truth, rows = law.effect(lift), []
        for i, last in enumerate(stops(looks, z_scores(watched)).look.tolist()):
            found = stagewise(looks[: last + 1], watched.estimate(i, last))
            high = {
                "estimate too high": float(found.estimate > truth),
                "naive too high": float(found.naive > truth),
            }
            rows.append(covering(found.low, found.high, truth) | high)
        return collect(rows)

    claims = (within("covered", 0.95, 0.005), within("estimate too high", 0.5, 0.01), shown("naive too high", 0.5))
    return Study(f"after stopping, O'Brien-Fleming, 5 looks, lift {lift:g}", simulate, claims, 4_000, batch=50)


def _guardrail(count_of_looks: int, *, spends: bool, relative: bool) -> Study:
    """The treatment is worse by exactly the margin, and passes if it does so at any look."""
    law, fractions = normal(), equal(count_of_looks)
    margin = MARGIN if relative else MARGIN * law.mean

    def draw(rng: Generator, count: int) -> Watched:
        return watch(law, rng, count, sizes(fractions, PER_LOOK * count_of_looks), -MARGIN)

    def z_twins(watched: Watched) -> Vector:
        return harm_z_scores(watched, margin=margin, relative=relative)

    def shipped(estimate: Estimate) -> float:
        return z_of_p(non_inferiority(estimate, margin=margin, relative=relative, increase_is_good=True).p_value)

    def simulate(rng: Generator, count: int) -> Measures:
        spending = schedule(fractions, OBRIEN_FLEMING, two_sided=False)
        full = tuple(Look(look.information, 0.05, z_of_p(0.05)) for look in spending)
        ends = stops(spending if spends else full, z_twins(draw(rng, count)))
        return {"passed": (ends.crossed == 1).astype(float)}

    kind = f"{'relative' if relative else 'absolute'} margin, {count_of_looks} looks"
    name = f"spending, {kind}" if spends else f"full alpha at every look, {kind}"
    claim = within("passed", 0.05, 0.005) if spends else shown("passed", 0.05)
    return Study(name, simulate, (claim,), 20_000, batch=500, twin=z_twin(draw, z_twins, shipped))


def _equivalence(count_of_looks: int, *, relative: bool) -> Study:
    """The treatment differs by exactly the margin, and passes if it is shown to be the same at any look."""
    law, fractions = normal(), equal(count_of_looks)
    margin = MARGIN if relative else MARGIN * law.mean

    def draw(rng: Generator, count: int) -> Watched:
        return watch(law, rng, count, sizes(fractions, PER_LOOK * count_of_looks), MARGIN)

    def z_twins(watched: Watched) -> Vector:
        return same_z_scores(watched, margin=margin, relative=relative)

    def shipped(estimate: Estimate) -> float:
        return z_of_p(equivalence(estimate, margin=margin, relative=relative).p_value)

    def simulate(rng: Generator, count: int) -> Measures:
        ends = stops(schedule(fractions, OBRIEN_FLEMING, two_sided=False), z_twins(draw(rng, count)))
        return {"passed": (ends.crossed == 1).astype(float)}

    name = f"equivalence, {'relative' if relative else 'absolute'} margin, {count_of_looks} looks"
    claim = at_most("passed", 0.05, 0.055)
    return Study(name, simulate, (claim,), 20_000, batch=500, twin=z_twin(draw, z_twins, shipped))


C15 = Cell(
    "C15",
    "Group-sequential looks",
    "Watched at every planned look, and when looks come early, late or beyond the plan, an A/A test is called 5 % "
    "of the time at most; what is said after stopping covers, and is too high half of the time.",
    "stats.boundaries.next_look, stats.boundaries.z_of, stats.stagewise.stagewise",
    (
        *(
            _false_positives(law, spending, equal(k), f"{k} equal looks")
            for law in (normal(), zero_heavy(0.05, 1.2))
            for spending in NAMES
            for k in (5, 10)
        ),
        *(
            _false_positives(normal(), spending, fractions, label)
            for spending in (OBRIEN_FLEMING, POCOCK)
            for fractions, label in ((UNEQUAL, "unequal looks"), (UNDERRUN, "underrun"), (OVERRUN, "overrun"))
        ),
        *(_after_stopping(lift) for lift in (0.0, 0.02)),
    ),
)
C26 = Cell(
    "C26",
    "Margins over looks",
    "Non-inferiority that spends its alpha over the looks passes harm at the margin 5 % of the time, equivalence a "
    "change at the margin 5 % at most; at full alpha at every look far more would pass (shown, not offered).",
    "stats.noninferiority.non_inferiority, stats.equivalence.equivalence, stats.boundaries.next_look(two_sided=False)",
    (
        *(_equivalence(k, relative=relative) for k in (5, 14) for relative in (False, True)),
        *(_guardrail(k, spends=True, relative=relative) for k in (5, 14) for relative in (False, True)),
        *(_guardrail(k, spends=False, relative=False) for k in (5, 14)),
    ),
)
CELLS = (C15, C26)
