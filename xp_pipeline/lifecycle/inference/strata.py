"""Effects where shares changed: within each phase of a ramp or branch of a program, then averaged over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xp_pipeline.design.assigning import Rule
from xp_pipeline.engine.predicates import literal
from xp_pipeline.lifecycle.assignment.designed import is_designed
from xp_pipeline.lifecycle.assignment.versions import Versions
from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.measurement.measure import Cell, Reading
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.order import OrderStatistics
from xp_pipeline.stats.stratified import Stratum, stratified

SEGMENT = "stratum"
NOWHERE = "(none)"
"""Units that were logged though no phase or branch of the design takes them."""

_BETWEEN = "\x1f"
Strata = Mapping[str, Mapping[str, float]]


def designed_strata(bound: Bound) -> dict[str, dict[str, float]] | None:
    """Designed shares by phase, branch or published version, or of everybody; None when the split is unknown."""
    found = Rule(bound).strata if is_designed(bound) else None
    return Versions(found) if found and bound.allocations else found


def is_divided(bound: Bound) -> bool:
    """Whether units were drawn by different shares."""
    return is_designed(bound) and Rule(bound).stratified


def population(bound: Bound, relation: str) -> str:
    """The analysed units with every segment within its stratum, where there are several."""
    if not is_divided(bound):
        return relation
    stratum = f"coalesce(stratum, {literal(NOWHERE)})"
    segments = [f"seg_{i}" for i in range(len(bound.experiment.segments))]
    within = [f"{name} || {literal(_BETWEEN)} || {stratum} AS {name}" for name in segments]
    return f"(SELECT * REPLACE ({', '.join([*within, f'{stratum} AS stratum'])}) FROM {relation})"


def segments(bound: Bound) -> list[str]:
    """The columns that a measurement breaks down by."""
    names = [f"seg_{i}" for i in range(len(bound.experiment.segments))]
    return [*names, SEGMENT] if is_divided(bound) else names


def gathered(bound: Bound, reading: Reading) -> Reading:
    """The reading under the segments' own names, its strata apart from the cells that they add up to."""
    names = {f"seg_{i}": s.name for i, s in enumerate(bound.experiment.segments)}
    parts: dict[Cell, list[Moments]] = {}
    strata: dict[str, dict[Cell, Moments]] = {}
    nonzero: dict[Cell, int] = {}
    for cell, moments in reading.cells.items():
        own, stratum = _own(cell, names)
        if cell.segment != SEGMENT:
            parts.setdefault(own, []).append(moments)
            nonzero[own] = nonzero.get(own, 0) + reading.nonzero.get(cell, 0)
        if stratum:
            strata.setdefault(stratum, {})[own] = moments
    orders: dict[Cell, list[OrderStatistics]] = {}
    for cell, order in reading.orders.items():
        if cell.segment != SEGMENT:
            orders.setdefault(_own(cell, names)[0], []).append(order)
    return replace(
        reading,
        cells={cell: Moments.merge(*found) for cell, found in parts.items()},
        orders={cell: OrderStatistics.merge(*found) for cell, found in orders.items()},
        strata=strata,
        nonzero=nonzero,
    )


def _own(cell: Cell, names: Mapping[str, str]) -> tuple[Cell, str]:
    """The cell under its segment's name, and its stratum; empty where it is of all of them."""
    if cell.segment == SEGMENT:
        return Cell(cell.arm), cell.level
    level, _, stratum = cell.level.rpartition(_BETWEEN) if _BETWEEN in cell.level else (cell.level, "", "")
    return Cell(cell.arm, names.get(cell.segment, ""), level), stratum


def stratified_estimates(
    metric: Metric, reading: Reading, comparison: Comparison, segment: str, level: str, *, alpha: float, shares: Strata
) -> list[Estimate]:
    """The raw and, with covariates, the adjusted estimate, averaged over strata that drew both sides by chance.

    A stratum that could not have given a unit to either side compares nothing; its units are left out, and counted.
    """
    size = len(metric.quantities) + len(reading.covariates)
    sides = comparison.against, comparison.arms
    strata, left = [], 0
    for name, cells in sorted(reading.strata.items()):
        pair = [Moments.merge(*(cells.get(Cell(a, segment, level), Moments.empty(size)) for a in s)) for s in sides]
        drawn = all(any(shares.get(name, {}).get(arm, 0) > 0 for arm in side) for side in sides)
        if drawn:
            strata.append(Stratum(*pair))
        else:
            left += pair[0].n + pair[1].n
    outcome = list(range(len(metric.quantities)))
    raw = [Stratum(s.control.take(outcome), s.treatment.take(outcome)) for s in strata]
    kinds: Sequence[list[Stratum]] = [raw, strata] if reading.covariates else [raw]
    caution = f"{left:,} units of phases or branches that do not choose between these arms are left out" if left else ""
    found = [stratified(kind or [_nobody(len(outcome))], alpha=alpha, ratio=metric.type == "ratio") for kind in kinds]
    return [estimate.cautioned(caution or None) for estimate in found]


def _nobody(size: int) -> Stratum:
    return Stratum(Moments.empty(size), Moments.empty(size))
