"""The curve of a plan: the smallest effect in reach by day, where that was asked for, and where the plan ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from xp_pipeline.report.axis import Tick
from xp_pipeline.report.format import PERCENT, PLAIN, POINTS, Unit, number
from xp_pipeline.report.inputs import PlannedCurve, PlannedMetric
from xp_pipeline.report.svg import printable, share_of_width, tag
from xp_pipeline.spec.binding import Bound

HEIGHT = 150
_TOP, _BOTTOM = 8, 128
_CLEAR = 4.0
"""Heights of more than this many times the last one, or the one asked for, are cut off."""


class Point(NamedTuple):
    """A day on the curve: its position from left, its height from below, and whether it is extrapolated."""

    x: float
    y: float
    extrapolated: bool


class Curve(NamedTuple):
    """The curve of one metric.

    Attributes:
        title: Metric and arms.
        points: Days with something in reach, in order; positions and heights as shares of the plot.
        wanted: Height of what was asked for; None without it.
        wanted_text: That as text; empty without it.
        end: Position of the planned end with its windows complete; None without one.
        days: Days along the bottom.
        heights: Sizes along the side.
        alternative: The curve as a sentence, for those who cannot see it.
    """

    title: str
    points: tuple[Point, ...]
    wanted: float | None
    wanted_text: str
    end: float | None
    days: tuple[Tick, ...]
    heights: tuple[Tick, ...]
    alternative: str


def curves_of(entries: Sequence[PlannedMetric], bound: Bound) -> tuple[Curve, ...]:
    """The curves of the primary metrics, arms with the same curve as one."""
    drawn: list[tuple[PlannedMetric, list[str]]] = []
    for entry in entries:
        if entry.get("role") != "primary" or not entry.get("curve"):
            continue
        same = next((arms for e, arms in drawn if _same(e, entry)), None)
        if same is None:
            drawn.append((entry, [entry["arm"]]))
        else:
            same.append(entry["arm"])
    return tuple(curve for entry, arms in drawn if (curve := _curve(entry, arms, bound)))


def curve_svg(curve: Curve) -> Markup:
    """The plot of a curve, as wide as its container."""
    drawn = [_across("grid", tick.position) for tick in curve.heights]
    drawn += list(_steps(curve.points))
    if curve.wanted is not None:
        drawn.append(_across("wanted", curve.wanted))
    if curve.end is not None:
        x = share_of_width(curve.end)
        drawn.append(tag("line", class_="end", x1=x, x2=x, y1=_TOP, y2=_BOTTOM))
    drawn += [_day(tick) for tick in curve.days] + [_size(tick) for tick in curve.heights]
    said = printable(curve.alternative)
    return tag("svg", *drawn, class_="plot curve", width="100%", height=HEIGHT, role="img", aria_label=said)


def _same(one: PlannedMetric, other: PlannedMetric) -> bool:
    return one["metric"] == other["metric"] and one.get("curve") == other.get("curve")


def _curve(entry: PlannedMetric, arms: Sequence[str], bound: Bound) -> Curve | None:
    found = entry["curve"]
    relative = all((lift is None) == (least is None) for lift, least in zip(found["lift"], found["least"], strict=True))
    heights = found["lift"] if relative else found["least"]
    known = [
        (day, y, beyond) for day, y, beyond in zip(found["days"], heights, found["extrapolated"], strict=True) if y
    ]
    if not known:
        return None
    unit, wanted = _unit(entry, bound, relative=relative), _wanted(entry, relative=relative)
    top = min(max(y for _, y, _ in known), _CLEAR * max(known[-1][1], wanted or 0.0))
    last = float(found["days"][-1])
    cut = next((i for i, (_, y, _) in enumerate(known) if y <= top), 0)
    known = known[max(cut - 1, 0) :]
    title = f"{entry['metric']}, {', '.join(arms)}"
    return Curve(
        title=title,
        points=tuple(Point(day / last, min(y / top, 1.0), beyond) for day, y, beyond in known),
        wanted=None if wanted is None else wanted / top,
        wanted_text="" if wanted is None else number(wanted, unit=unit),
        end=_end(found, last),
        days=tuple(Tick(day / last, f"{day}") for day in _days(last)),
        heights=tuple(Tick(i / 4, number(i / 4 * top, unit=unit)) for i in range(5)),
        alternative=f"Smallest effect detected of {title}: {number(known[0][1], unit=unit)} after {known[0][0]} days, "
        f"{number(known[-1][1], unit=unit)} after {known[-1][0]} days.",
    )


def _unit(entry: PlannedMetric, bound: Bound, *, relative: bool) -> Unit:
    if relative:
        return PERCENT
    metric = bound.metrics.get(entry["metric"])
    return POINTS if metric and metric.binary else PLAIN


def _wanted(entry: PlannedMetric, *, relative: bool) -> float | None:
    return entry.get("wanted_relative") if relative else entry.get("planned_effect")


def _end(found: PlannedCurve, last: float) -> float | None:
    end = found.get("end")
    return end / last if end and end <= last else None


def _days(last: float) -> range:
    """Whole weeks, at most eight of them."""
    return range(0, int(last) + 1, 7 * max(1, math.ceil(last / 56)))


def _steps(points: Sequence[Point]) -> Iterator[Markup]:
    """The curve, as lines from day to day, those that are extrapolated broken."""
    for one, other in pairwise(points):
        yield tag(
            "line",
            class_="in-reach extrapolated" if other.extrapolated else "in-reach",
            x1=share_of_width(one.x), x2=share_of_width(other.x), y1=_height(one.y), y2=_height(other.y),
        )  # fmt: skip


def _height(share: float) -> str:
    return f"{_BOTTOM - share * (_BOTTOM - _TOP):.1f}"


def _across(kind: str, share: float) -> Markup:
    return tag("line", class_=kind, x1="0%", x2="100%", y1=_height(share), y2=_height(share))


def _day(tick: Tick) -> Markup:
    anchor = "start" if tick.position < 0.02 else "end" if tick.position > 0.98 else "middle"
    return tag("text", tick.text, class_="label", x=share_of_width(tick.position), y=HEIGHT - 6, text_anchor=anchor)


def _size(tick: Tick) -> Markup:
    y = _BOTTOM - tick.position * (_BOTTOM - _TOP) + (12 if tick.position > 0.98 else -3)
    return tag("text", tick.text, class_="label", x="100%", y=f"{y:.1f}", text_anchor="end")
