"""The scan of segments: every level against everybody else, whose evidence is had by subtraction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from xp_pipeline.lifecycle.inference.rows import Row
from xp_pipeline.lifecycle.inference.subjects import Subject
from xp_pipeline.lifecycle.measurement.measure import Cell, Reading
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.heterogeneity import effect_difference
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.order import OrderStatistics
from xp_pipeline.stats.scan import without

REST = "(rest)"
Cells = Mapping[Cell, Moments]


def scanned(subject: Subject, names: Sequence[str]) -> Iterator[Row]:
    """A row a level of every named segment, its effect against that of the rest.

    Both effects are estimated as the decision's is: adjusted, stratified, of factors or of quantiles alike.
    """
    places = sorted({(c.segment, c.level) for c in subject.reading.cells if c.segment in names})
    for segment, level in places:
        yield _against_rest(subject, segment, level)


def _against_rest(subject: Subject, segment: str, level: str) -> Row:
    inside = subject.effect(segment, level)
    rest = subject.effect(segment, REST, rest_of(subject.reading, segment, level))
    found = effect_difference(rest, inside, alpha=subject.setting.level_alpha)
    if found.status != Status.OK and inside.status == Status.OK:
        found = replace(found, reason=f"the rest: {found.reason}")
    return subject.compared("scan", inside, rest, found, segment=segment, segment_value=level, against=REST)


def rest_of(reading: Reading, segment: str, level: str) -> Reading:
    """The reading of everybody outside a level, as a level of its own."""
    return replace(
        reading,
        cells=_rest(reading.cells, segment, level),
        strata={name: _rest(cells, segment, level) for name, cells in reading.strata.items()},
        orders=_other_levels(reading.orders, segment, level),
    )


def _rest(cells: Cells, segment: str, level: str) -> dict[Cell, Moments]:
    """Everybody less the level, by arm."""
    return {
        Cell(cell.arm, segment, REST): without(whole, cells[part]) if part in cells else whole
        for cell, whole in cells.items()
        for part in [Cell(cell.arm, segment, level)]
        if not cell.segment
    }


def _other_levels(orders: Mapping[Cell, OrderStatistics], segment: str, level: str) -> dict[Cell, OrderStatistics]:
    """Order statistics of the segment's other levels together, by arm."""
    parts: dict[str, list[OrderStatistics]] = {}
    for cell, order in orders.items():
        if cell.segment == segment and cell.level != level:
            parts.setdefault(cell.arm, []).append(order)
    return {Cell(arm, segment, REST): OrderStatistics.merge(*found) for arm, found in parts.items()}
