"""The geometry of the forest plot: panels with one axis each, every position a share of its width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xp_pipeline.report import words
from xp_pipeline.report.axis import Axis, linear
from xp_pipeline.report.estimate import Estimate
from xp_pipeline.report.format import PERCENT, PLAIN, POINTS, Figure, Interval, Unit
from xp_pipeline.report.scorecard import Comparison, MetricBlock, Scorecard
from xp_pipeline.report.words import Tone
from xp_pipeline.spec.experiment import DECIDING


class Mark(NamedTuple):
    """One estimate on the axis.

    Attributes:
        name: The estimator's name.
        main: Whether the decision reads it; the others are drawn smaller below.
        point: Position of the estimate; None when it lies off the axis.
        low, high: Positions of the interval's ends.
        low_open, high_open: Whether that end lies off the axis, drawn as an arrow.
        tone: What it says.
        significant: Whether it is significant: a filled mark.
    """

    name: str
    main: bool
    point: float | None
    low: float
    high: float
    low_open: bool
    high_open: bool
    tone: Tone
    significant: bool


@dataclass(frozen=True)
class ForestRow:
    """One comparison.

    Attributes:
        metric: Metric name, said once for the rows of a metric.
        opens_metric: Whether the row is the first of its metric in the panel.
        role: Role of the metric.
        label: The arm, with its baseline where that is not the usual one.
        value: The estimate as text.
        interval: Its interval as text.
        reading: What it says in words.
        marks: The deciding estimate, then those beside it.
        margin_low, margin_high: Positions of the margins to the left and right of which harm, or too large a change,
            lies; None without one on this axis.
        alternative: The whole row as a sentence, for those who cannot see it.
    """

    metric: str
    opens_metric: bool
    role: str
    label: str
    value: str
    interval: str
    reading: str
    marks: tuple[Mark, ...]
    margin_low: float | None
    margin_high: float | None
    alternative: str


@dataclass(frozen=True)
class Panel:
    """Rows that share an axis."""

    title: str
    axis: Axis
    rows: tuple[ForestRow, ...]


@dataclass(frozen=True)
class Forest:
    """The whole plot.

    Attributes:
        interval_name: What the bars are.
        panels: Relative lifts first, then absolute effects by unit.
        undrawn: Comparisons without an estimate to draw, with their reason.
    """

    interval_name: str
    panels: tuple[Panel, ...]
    undrawn: tuple[str, ...]

    @property
    def has_others(self) -> bool:
        """Whether any comparison has a second estimate below the first."""
        return any(len(row.marks) > 1 for panel in self.panels for row in panel.rows)

    @property
    def has_margin(self) -> bool:
        """Whether any row has a margin."""
        rows = [row for panel in self.panels for row in panel.rows]
        return any(row.margin_low is not None or row.margin_high is not None for row in rows)

    @property
    def has_arrows(self) -> bool:
        """Whether any interval runs off its axis."""
        marks = [mark for panel in self.panels for row in panel.rows for mark in row.marks]
        return any(mark.low_open or mark.high_open for mark in marks)


class _Scale(NamedTuple):
    """Which numbers of an estimate a panel draws."""

    title: str
    unit: Unit
    relative: bool

    def figure(self, estimate: Estimate) -> Figure:
        return estimate.lift if self.relative else estimate.effect

    def interval(self, estimate: Estimate) -> Interval:
        return estimate.lift_interval if self.relative else estimate.effect_interval


class _Entry(NamedTuple):
    role: str
    block: MetricBlock
    comparison: Comparison
    scale: _Scale


RELATIVE = _Scale("Lift: effect relative to the baseline", PERCENT, True)


def build_forest(cards: Sequence[Scorecard], *, control: str) -> Forest:
    """The forest plot of some scorecards; relative lift where it is defined, else the absolute effect."""
    entries = [
        _Entry(card.role, block, comparison, _scale(block, comparison.main))
        for card in cards
        for block in card.blocks
        for comparison in block.comparisons
    ]
    drawn = [entry for entry in entries if entry.scale.figure(entry.comparison.main).value is not None]
    scales = sorted(dict.fromkeys(entry.scale for entry in drawn), key=lambda scale: not scale.relative)
    names = dict.fromkeys(card.interval_name for card in cards)
    return Forest(
        interval_name=next(iter(names)) if len(names) == 1 else "confidence interval",
        panels=tuple(_panel(scale, [e for e in drawn if e.scale == scale], control) for scale in scales),
        undrawn=tuple(_undrawn(entry) for entry in entries if entry not in drawn),
    )


def _scale(block: MetricBlock, main: Estimate) -> _Scale:
    absolute_margin = main.guard is not None and not main.guard.relative
    if main.lift_status == "ok" and main.lift.value is not None and not absolute_margin:
        return RELATIVE
    if block.kind in (words.TYPES["proportion"], words.TYPES["retention"]):
        return _Scale("Absolute effect in percentage points", POINTS, False)
    return _Scale(f"Absolute effect on {block.metric}{', log scale' if _is_log(main) else ''}", PLAIN, False)


def _undrawn(entry: _Entry) -> str:
    main = entry.comparison.main
    reason = main.notes[0] if main.notes else words.named(words.STATUS_NAMES, main.status)
    return f"{entry.block.metric}, {entry.comparison.arm}: {reason}"


def _panel(scale: _Scale, entries: list[_Entry], control: str) -> Panel:
    axis = _axis(entries, scale.unit)
    rows = []
    for place, entry in enumerate(entries):
        opens = place == 0 or entries[place - 1].block is not entry.block
        rows.append(_row(entry, axis, control=control, opens_metric=opens))
    return Panel(title=scale.title, axis=axis, rows=tuple(rows))


def _row(entry: _Entry, axis: Axis, *, control: str, opens_metric: bool) -> ForestRow:
    comparison, main, scale = entry.comparison, entry.comparison.main, entry.scale
    label = comparison.arm if comparison.baseline == control else f"{comparison.arm} vs {comparison.baseline}"
    value, interval = scale.figure(main).text, scale.interval(main).text
    low, high = (None if at is None else axis.position(at) for at in _margins(entry, scale))
    said = f", {main.reading.text}" if main.reading.text else ""
    return ForestRow(
        metric=entry.block.metric,
        opens_metric=opens_metric,
        role=entry.role,
        label=label,
        value=value,
        interval=interval,
        reading=main.reading.text,
        marks=tuple(_mark(e, axis, scale, main=e is main) for e in _drawable(comparison, scale)),
        margin_low=low,
        margin_high=high,
        alternative=f"{entry.block.metric}, {label} against {comparison.baseline}: {value}, {interval}{said}",
    )


def _drawable(comparison: Comparison, scale: _Scale) -> list[Estimate]:
    """The main estimate and those on the same scale; a log estimate is on a scale of its own."""
    main = comparison.main
    others = [e for e in comparison.others if scale.figure(e).value is not None and _is_log(e) == _is_log(main)]
    return [main, *others]


def _is_log(estimate: Estimate) -> bool:
    return words.estimator_parts(estimate.estimator)[0] == "log"


def _margins(entry: _Entry, scale: _Scale) -> tuple[float | None, float | None]:
    """The margins below and above zero that are drawn on a scale."""
    guard = entry.comparison.main.guard
    if guard is None or guard.relative != scale.relative or guard.margin.value is None:
        return None, None
    margin = guard.margin.value
    if guard.both:
        return -margin, margin
    return (margin, None) if entry.block.direction == "increase" else (None, margin)


def _mark(estimate: Estimate, axis: Axis, scale: _Scale, *, main: bool) -> Mark:
    point = scale.figure(estimate).value or 0.0
    low, high = _ends(scale.interval(estimate), point)
    return Mark(
        name=estimate.name,
        main=main,
        point=axis.position(point) if axis.holds(point) else None,
        low=axis.position(low),
        high=axis.position(high),
        low_open=low < axis.low,
        high_open=high > axis.high,
        tone=estimate.reading.tone if main else Tone.NEUTRAL,
        significant=bool(estimate.significant),
    )


def _ends(interval: Interval, point: float) -> tuple[float, float]:
    """The ends to draw: without an interval the point itself, an unbounded end at infinity."""
    if interval.low is None and interval.high is None and interval.text != "unbounded":
        return point, point
    low = -math.inf if interval.low is None else interval.low
    return low, math.inf if interval.high is None else interval.high


def _finite_ends(estimate: Estimate, scale: _Scale) -> list[float]:
    values = (scale.figure(estimate).value, *scale.interval(estimate)[:2])
    return [value for value in values if value is not None]


def _axis(entries: list[_Entry], unit: Unit) -> Axis:
    """An axis for what decides: an exploratory metric, or a secondary one far out, may run off it."""
    deciding = [entry for entry in entries if entry.role != "exploratory"]
    needed: list[float] = []
    intervals: list[list[float]] = []
    for entry in deciding or entries:
        main, scale = entry.comparison.main, entry.scale
        point = scale.figure(main).value or 0.0
        needed += [point] if entry.role in DECIDING else []
        needed += [margin for margin in _margins(entry, scale) if margin is not None]
        intervals += [_finite_ends(estimate, scale) for estimate in _drawable(entry.comparison, scale)]
    return linear(needed, intervals, unit=unit)
