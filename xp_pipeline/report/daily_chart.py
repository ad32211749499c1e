"""The effect by days since exposure, drawn: each day with its interval, and the line through them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from xp_pipeline.report.axis import Axis, Tick, linear
from xp_pipeline.report.format import Unit, number
from xp_pipeline.report.svg import printable, share_of_width, tag

HEIGHT = 170
_TOP, _BOTTOM = 8, 146
_SEEN = 0.93


class Day(NamedTuple):
    """One day: its number, the effect, and the interval's ends, in the metric's unit."""

    day: int
    effect: float
    low: float
    high: float


class DailyChart(NamedTuple):
    """The chart of one metric and arm; positions are shares of the plot, from left and from below.

    Attributes:
        marks: Per day (x, effect, low, high).
        line: The fitted line as (start, end); None without one.
        zero: Height of zero.
        days, heights: Ticks along the bottom and the side.
        alternative: The chart as a sentence, for those who cannot see it.
    """

    marks: tuple[tuple[float, float, float, float], ...]
    line: tuple[float, float] | None
    zero: float
    days: tuple[Tick, ...]
    heights: tuple[Tick, ...]
    alternative: str


def daily_chart(title: str, days: Sequence[Day], fitted: tuple[float, float] | None, *, unit: Unit) -> DailyChart:
    """The chart of some days, in order.

    Args:
        title: What it is about.
        days: The days that have an effect, at least one.
        fitted: Intercept at day 0 and change a day of the fitted line.
        unit: Unit of effects.
    """
    ends = [] if fitted is None else [fitted[0], fitted[0] + fitted[1] * days[-1].day]
    axis = linear([*(day.effect for day in days), *ends], [(day.low, day.high) for day in days], unit=unit)
    last = max(days[-1].day, 1)
    every = -(-(last + 1) // 8)
    said = " to ".join(number(day.effect, unit=unit, signed=True) for day in (days[0], days[-1]))
    return DailyChart(
        marks=tuple(
            (_place(day.day, last), axis.position(day.effect), axis.position(day.low), axis.position(day.high))
            for day in days
        ),
        line=(axis.position(ends[0]), axis.position(ends[1])) if ends else None,
        zero=axis.zero,
        days=tuple(Tick(_place(day, last), f"day {day}" if not day else f"{day}") for day in range(0, last + 1, every)),
        heights=_heights(axis),
        alternative=f"Daily effect on {title}: {said}, from day {days[0].day} to day {days[-1].day} since exposure.",
    )


def daily_chart_svg(chart: DailyChart) -> Markup:
    """The plot, as wide as its container."""
    drawn = [_across("grid", tick.position) for tick in chart.heights] + [_across("zero", chart.zero)]
    drawn += list(_marks(chart))
    drawn += [_day(tick) for tick in chart.days] + [_size(tick) for tick in chart.heights]
    said = printable(chart.alternative)
    return tag("svg", *drawn, class_="plot daily", width="100%", height=HEIGHT, role="img", aria_label=said)


def _place(day: int, last: int) -> float:
    """Days stand clear of both edges, and of the sizes along the right one."""
    return 0.03 + 0.85 * day / last


def _heights(axis: Axis) -> tuple[Tick, ...]:
    """Four or so, of which none is at the very top, where it would not be seen whole."""
    every = max(1, len(axis.ticks) // 4)
    return tuple(tick for tick in axis.ticks[::every] if tick.position <= _SEEN)


def _marks(chart: DailyChart) -> Iterator[Markup]:
    if chart.line and chart.marks:
        ends = {"x1": share_of_width(chart.marks[0][0]), "x2": share_of_width(chart.marks[-1][0])}
        yield tag("line", class_="in-reach extrapolated", y1=_height(chart.line[0]), y2=_height(chart.line[1]), **ends)
    for x, effect, low, high in chart.marks:
        across = share_of_width(x)
        yield tag("line", class_="band", x1=across, x2=across, y1=_height(low), y2=_height(high))
        yield tag("circle", class_="point filled", cx=across, cy=_height(effect), r="3.5")


def _height(share: float) -> str:
    return f"{_BOTTOM - share * (_BOTTOM - _TOP):.1f}"


def _across(kind: str, share: float) -> Markup:
    return tag("line", class_=kind, x1="0%", x2="100%", y1=_height(share), y2=_height(share))


def _day(tick: Tick) -> Markup:
    anchor = "start" if tick.text.startswith("day") else "middle"
    return tag("text", tick.text, class_="label", x="0%" if anchor == "start" else share_of_width(tick.position),
               y=HEIGHT - 6, text_anchor=anchor)  # fmt: skip


def _size(tick: Tick) -> Markup:
    y = _BOTTOM - tick.position * (_BOTTOM - _TOP) - 3
    return tag("text", tick.text, class_="label", x="100%", y=f"{y:.1f}", text_anchor="end")
