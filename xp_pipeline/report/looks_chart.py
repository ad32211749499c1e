"""The course of a test over its looks: the statistic beside its boundary, or the effect with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from xp_pipeline.report.axis import Tick, nice_step
from xp_pipeline.report.format import PLAIN, POINTS, Unit, finite, number
from xp_pipeline.report.svg import printable, share_of_width, tag
from xp_pipeline.spec.metric import Metric

HEIGHT = 190
_TOP, _BOTTOM = 10, 160
_DEEP = _BOTTOM - _TOP
_LABELLED = 0.95
"""Above this height a label would run into the one below it."""
_LEAST = 4.0
"""The scale of z reaches at least this far from zero."""
_ROOM = 1.3
"""Of a boundary, so much of the scale is above its lowest point."""


class Mark(NamedTuple):
    """A look on the chart; positions as shares of the plot, from left and from below.

    Attributes:
        x: The day.
        y: The statistic or the effect; None where it lies off the plot.
        low, high: Ends of the interval; None for a statistic.
        tone: ``good`` or ``bad`` where it crossed, else ``neutral``.
        filled: Whether it crossed.
    """

    x: float
    y: float | None
    low: float | None
    high: float | None
    tone: str
    filled: bool


class Chart(NamedTuple):
    """The course of one test.

    Attributes:
        marks: The looks, in order.
        upper, lower: The boundary, look by look, as (x, y); it may lie beyond the plot, where y is not in 0 to 1.
        upper_tone, lower_tone: What lies beyond either: ``good`` or ``bad``.
        zero: Height of zero.
        days, heights: Ticks along the bottom and the side.
        planned: The boundaries still to come, from the last look on, as (x, y).
        boundary: The last boundary as text, with its height; None where it is out of sight or nothing is to come.
        alternative: The chart as a sentence, for those who cannot see it.
    """

    marks: tuple[Mark, ...]
    upper: tuple[tuple[float, float], ...]
    lower: tuple[tuple[float, float], ...]
    upper_tone: str
    lower_tone: str
    zero: float
    days: tuple[Tick, ...]
    heights: tuple[Tick, ...]
    planned: tuple[tuple[float, float], ...]
    boundary: Tick | None
    alternative: str


class _Scale(NamedTuple):
    """The values at the bottom and the top of the plot."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def seen(self, value: float | None) -> bool:
        return value is not None and self.low <= value <= self.high


def unit_of(metric: Metric | None) -> Unit:
    """The unit that effects of a metric are printed in."""
    return POINTS if metric and metric.binary else PLAIN


def chart_of(
    title: str,
    course: Sequence[Mapping[str, Any]],
    *,
    days: Sequence[int],
    total: int,
    good: int,
    two_sided: bool,
    unit: Unit,
    ahead: Sequence[tuple[int, float]] = (),
) -> Chart | None:
    """The chart of a test.

    Args:
        title: What the test is about.
        course: The test at each look, as the ledger keeps it.
        days: Day of each look since the start, from 1.
        total: Last day of the plot.
        good: 1 where a crossing of the upper boundary is good, else -1.
        two_sided: Whether there is a lower boundary.
        unit: Unit of effects.
        ahead: Day and boundary of the looks still planned.
    """
    places = [day / total for day in days]
    if all("z" in test for test in course):
        to_come = [(day / total, bound) for day, bound in ahead]
        return _statistics(title, course, places, total, good=good, two_sided=two_sided, to_come=to_come)
    if all(finite(test.get("effect")) is not None for test in course):
        return _effects(title, course, places, total, good=good, unit=unit)
    return None


def _statistics(
    title: str,
    course: Sequence[Mapping[str, Any]],
    places: Sequence[float],
    total: int,
    *,
    good: int,
    two_sided: bool,
    to_come: Sequence[tuple[float, float]],
) -> Chart:
    z = [float(test["z"]) for test in course]
    bounds = [float(test["upper"]) for test in course]
    reach = max(_LEAST, _ROOM * min(bounds), 1.1 * max(map(abs, z)))
    scale = _Scale(-reach if two_sided or min(z) < -1 else -0.4 * reach, reach)
    tones = ("good", "bad") if good > 0 else ("bad", "good")
    marks = [
        Mark(x, scale(value), None, None, _tone(test["crossed"] * good), bool(test["crossed"]))
        for x, value, test in zip(places, z, course, strict=True)
    ]
    last, end = bounds[-1], to_come[-1][1] if to_come else None
    return Chart(
        marks=tuple(marks),
        upper=tuple((x, scale(b)) for x, b in zip(places, bounds, strict=True)),
        lower=tuple((x, scale(-b)) for x, b in zip(places, bounds, strict=True)) if two_sided else (),
        upper_tone=tones[0],
        lower_tone=tones[1],
        zero=scale(0.0),
        days=_days(total),
        heights=_heights(scale, PLAIN),
        planned=tuple((x, scale(b)) for x, b in ((places[-1], last), *to_come)) if to_come else (),
        boundary=Tick(scale(end), number(end, decimals=2)) if end is not None and scale.seen(end) else None,
        alternative=f"{title}: z {number(z[-1], decimals=2, signed=True)} at the last of {len(z)} looks, "
        f"boundary {number(last, decimals=2)}" + (f", {number(end, decimals=2)} at the end." if end else "."),
    )


def _effects(
    title: str, course: Sequence[Mapping[str, Any]], places: Sequence[float], total: int, *, good: int, unit: Unit
) -> Chart:
    effects = [float(test["effect"]) for test in course]
    ends = [(finite(test.get("low")), finite(test.get("high"))) for test in course]
    last = [end for end in ends[-1] if end is not None]
    reach = max(abs(value) for value in (*effects, *(2 * end for end in last))) or 1.0
    low, high = min([0.0, *effects, *last]), max([0.0, *effects, *last])
    room = max(0.25 * (high - low), 0.1 * reach)
    scale = _Scale(low - room, high + room)
    marks = [
        Mark(x, scale(effect), *_reach(scale, below, above), _tone(test["crossed"] * good), bool(test["crossed"]))
        for x, effect, (below, above), test in zip(places, effects, ends, course, strict=True)
    ]
    shown = number(effects[-1], unit=unit, signed=True)
    said = " to ".join(number(end, unit=unit, signed=True) for end in last)
    return Chart(
        marks=tuple(marks),
        upper=(),
        lower=(),
        upper_tone="neutral",
        lower_tone="neutral",
        zero=scale(0.0),
        days=_days(total),
        heights=_heights(scale, unit),
        planned=(),
        boundary=None,
        alternative=f"{title}: effect {shown} at the last of {len(effects)} looks" + (f", {said}." if said else "."),
    )


def _reach(scale: _Scale, low: float | None, high: float | None) -> tuple[float, float]:
    """Ends of an interval within the plot; an unbounded one fills it."""
    bottom = 0.0 if low is None else scale(low)
    return max(0.0, min(1.0, bottom)), max(0.0, min(1.0, 1.0 if high is None else scale(high)))


def _tone(good: int) -> str:
    return "good" if good > 0 else "bad" if good < 0 else "neutral"


def _days(total: int) -> tuple[Tick, ...]:
    """Whole days, weeks or months of days, at most eight of them."""
    step = next(s for s in (1, 2, 7, 14, 28, 56, 7 * math.ceil(total / 49)) if total / s <= 8)
    return tuple(Tick(day / total, f"{day}") for day in range(0, total + 1, step))


def _heights(scale: _Scale, unit: Unit) -> tuple[Tick, ...]:
    step = nice_step((scale.high - scale.low) / 7)
    places = max(0, -math.floor(math.log10(step * unit.factor) + 1e-9))
    return tuple(
        Tick(scale(i * step), number(i * step, decimals=places, unit=unit, signed=True))
        for i in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1)
        if scale(i * step) < _LABELLED
    )


def chart_svg(chart: Chart) -> Markup:
    """The plot, as wide as its container."""
    drawn = [*_zones(chart)]
    drawn += [_across("grid", tick.position) for tick in chart.heights]
    drawn.append(_across("zero", chart.zero))
    drawn += [_curves(chart)]
    drawn += list(_marks(chart))
    drawn += [_end(chart.boundary)] if chart.boundary else []
    drawn += [_day(tick) for tick in chart.days] + [_height_label(tick) for tick in chart.heights]
    said = printable(chart.alternative)
    return tag("svg", *drawn, class_="plot looks", width="100%", height=HEIGHT, role="img", aria_label=said)


def _zones(chart: Chart) -> Iterator[Markup]:
    """What lies beyond either boundary, from the first look to the last."""
    for line, edge, tone in ((chart.upper, 0, chart.upper_tone), (chart.lower, _DEEP, chart.lower_tone)):
        if len(line) > 1:
            points = [
                *((100 * x, _DEEP * (1 - y)) for x, y in line),
                (100 * line[-1][0], edge),
                (100 * line[0][0], edge),
            ]
            shape = tag("polygon", class_=f"zone {tone}", points=_points(points))
            yield _stretched([shape])


def _curves(chart: Chart) -> Markup:
    lines = []
    for line, tone in ((chart.upper, chart.upper_tone), (chart.lower, chart.lower_tone)):
        shown = line if len(line) > 1 else [(x + dx, y) for x, y in line for dx in (-0.02, 0.02)]
        points = _points([(100 * x, _DEEP * (1 - y)) for x, y in shown])
        lines += [tag("polyline", class_=f"boundary {tone}", points=points)] if line else []
    for sign in (1, -1) if chart.lower else (1,):
        to_come = [(100 * x, _DEEP * (1 - (chart.zero + sign * (y - chart.zero)))) for x, y in chart.planned]
        lines += [tag("polyline", class_="planned-boundary", points=_points(to_come))] if to_come else []
    course = [(100 * mark.x, _DEEP * (1 - mark.y)) for mark in chart.marks if mark.y is not None]
    lines += [tag("polyline", class_="course", points=_points(course))] if len(course) > 1 else []
    return _stretched(lines)


def _stretched(children: Sequence[Markup]) -> Markup:
    """Lines in a frame of 100 by its height, stretched to the width and cut off at its edges."""
    return tag(
        "svg", *children, y=_TOP, width="100%", height=_DEEP, viewBox=f"0 0 100 {_DEEP}", preserveAspectRatio="none",
        overflow="hidden",
    )  # fmt: skip


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.1f}" for x, y in points)


def _marks(chart: Chart) -> Iterator[Markup]:
    small = len(chart.marks) > 14
    for mark in chart.marks:
        x = share_of_width(mark.x)
        if mark.low is not None and mark.high is not None:
            yield tag(
                "line", class_=f"band {mark.tone}", x1=x, x2=x, y1=_height(mark.low), y2=_height(mark.high)
            )  # fmt: skip
        if mark.y is not None:
            kind = f"point {'filled' if mark.filled else 'hollow'} {mark.tone}"
            yield tag("circle", class_=kind, cx=x, cy=_height(mark.y), r=3 if small and not mark.filled else 4.5)


def _height(share: float) -> str:
    return f"{_BOTTOM - share * _DEEP:.1f}"


def _across(kind: str, share: float) -> Markup:
    return tag("line", class_=kind, x1="0%", x2="100%", y1=_height(share), y2=_height(share))


def _day(tick: Tick) -> Markup:
    anchor = "start" if tick.position < 0.02 else "end" if tick.position > 0.98 else "middle"
    return tag("text", tick.text, class_="label", x=share_of_width(tick.position), y=HEIGHT - 10, text_anchor=anchor)


def _end(tick: Tick) -> Markup:
    y = _BOTTOM - tick.position * _DEEP - 5
    return tag("text", tick.text, class_="label", x="100%", y=f"{y:.1f}", text_anchor="end")


def _height_label(tick: Tick) -> Markup:
    y = _BOTTOM - tick.position * _DEEP - 3
    return tag("text", tick.text, class_="label", x="0%", y=f"{max(y, _TOP + 8):.1f}")
