"""Segments: effects within each level of a dimension, and whether the levels differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xp_pipeline.report.estimate import Estimate, Precision, estimate
from xp_pipeline.report.format import Figure, p_value
from xp_pipeline.report.inputs import Row, text_of
from xp_pipeline.report.scorecard import interval_name
from xp_pipeline.report.withholding import is_interim
from xp_pipeline.report.words import estimator_parts


@dataclass(frozen=True)
class LevelEffect:
    """The effect within one level of a segment."""

    level: str
    arm: str
    baseline: str
    estimate: Estimate


@dataclass(frozen=True)
class Difference:
    """The test that the effect is the same at every level.

    Attributes:
        arm: Arm whose effect is compared between levels.
        p: p-value, adjusted within its family where it has one.
        differs: Whether the levels differ significantly; None without a test.
        note: Why there is no test, or a caution.
    """

    arm: str
    p: Figure
    differs: bool | None
    note: str


@dataclass(frozen=True)
class SegmentMetric:
    """One metric by level, and the tests of difference."""

    metric: str
    levels: tuple[LevelEffect, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class SegmentTable:
    """One dimension.

    Attributes:
        name: Name of the segment dimension.
        interval_name: What the intervals are.
        interim: Whether it is read before its time.
        metrics: The metrics measured by it.
    """

    name: str
    interval_name: str
    interim: bool
    metrics: tuple[SegmentMetric, ...]

    @property
    def is_tested(self) -> bool:
        """Whether any metric has a test of difference between levels."""
        return any(d.p.value is not None for m in self.metrics for d in m.differences)

    @property
    def differing(self) -> tuple[str, ...]:
        """Metrics whose effect differs between levels."""
        return tuple(m.metric for m in self.metrics if any(d.differs for d in m.differences))


def build_segments(rows: Sequence[Row], tests: Sequence[Row] = ()) -> tuple[SegmentTable, ...]:
    """One table per dimension; ``tests`` are those of difference between levels, as is a row without a level.

    Of several estimates within a level, the one is shown that decides for everybody.
    """
    mine = [row for row in rows if text_of(row["segment"])]
    deciding = {_about(row): row for row in rows if row["decisive"] and not text_of(row["segment"])}
    return tuple(
        _table(name, [r for r in mine if r["segment"] == name], deciding, [t for t in tests if t["segment"] == name])
        for name in _distinct(mine, "segment")
    )


def _table(name: str, rows: list[Row], deciding: Mapping[tuple[str, ...], Row], tests: Sequence[Row]) -> SegmentTable:
    return SegmentTable(
        name=name,
        interval_name=interval_name(rows),
        interim=any(is_interim(row) for row in rows),
        metrics=tuple(
            _metric(m, [r for r in rows if r["metric"] == m], deciding, [t for t in tests if t["metric"] == m])
            for m in _distinct(rows, "metric")
        ),
    )


def _metric(
    name: str, rows: list[Row], deciding: Mapping[tuple[str, ...], Row], separate: Sequence[Row]
) -> SegmentMetric:
    levels: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if text_of(row["segment_value"]):
            levels.setdefault((*_about(row), row["segment_value"]), []).append(row)
    shown = [max(found, key=lambda row: _likeness(row, deciding.get(_about(row)))) for found in levels.values()]
    precision = Precision.of(shown) if shown else None
    effects = [
        LevelEffect(row["segment_value"], row["arm"], row["baseline"], estimate(row, precision))
        for row in shown
        if precision
    ]
    tests = [*(row for row in rows if not text_of(row["segment_value"])), *separate]
    return SegmentMetric(metric=name, levels=tuple(effects), differences=tuple(_difference(row) for row in tests))


def _about(row: Row) -> tuple[str, ...]:
    return (row["metric"], row["arm"], row["baseline"])


def _likeness(row: Row, model: Row | None) -> tuple[bool, ...]:
    """How much an estimate is like the deciding one: its population, its scale, its estimator."""
    if model is None:
        return (bool(row["decisive"]), bool(row["family"]))
    mine, its = (estimator_parts(text_of(r["estimator"])) for r in (row, model))
    return (
        row["population"] == model["population"],
        mine[0] == its[0],
        mine[1] == its[1],
        bool(row["family"]),
    )


def _difference(row: Row) -> Difference:
    adjusted = row["p_adjusted"] if row["p_adjusted"] is not None else row["p_value"]
    return Difference(arm=row["arm"], p=p_value(adjusted), differs=row["significant"], note=text_of(row["reason"]))


def _distinct(rows: Iterable[Row], column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows))
