"""A linear axis: its reach, its ticks, and where a value lies on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from xp_pipeline.report.format import Unit, number

REACH = 3.0
"""Intervals that reach more than this many times as far from zero as the median one run off the axis as arrows."""


class Tick(NamedTuple):
    """A labelled position on an axis."""

    position: float
    text: str


class Axis(NamedTuple):
    """A linear axis.

    Attributes:
        low, high: Values at its ends; zero lies between them.
        zero: Position of zero.
        ticks: Labelled positions.
    """

    low: float
    high: float
    zero: float
    ticks: tuple[Tick, ...]

    def position(self, value: float) -> float:
        """Where a value lies, as a share of the width, held within the axis."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def holds(self, value: float) -> bool:
        """Whether a value lies on the axis."""
        return self.low <= value <= self.high


def linear(needed: Sequence[float], intervals: Sequence[Sequence[float]], *, unit: Unit) -> Axis:
    """An axis that holds zero, all of ``needed``, and the intervals as far as they do not reach far out."""
    low, high = _limits([0.0, *needed], intervals)
    step = nice_step((high - low) / 7)
    places = max(0, -math.floor(math.log10(step * unit.factor) + 1e-9))
    ticks = [
        Tick((i * step - low) / (high - low), number(i * step, decimals=places, unit=unit, signed=True))
        for i in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]
    return Axis(low, high, -low / (high - low), tuple(ticks))


def _limits(needed: Sequence[float], intervals: Sequence[Sequence[float]]) -> tuple[float, float]:
    reaches = [reach for ends in intervals if (reach := max(map(abs, ends)))]
    limit = max(REACH * median(reaches) if reaches else 0.0, 1.1 * max(map(abs, needed)))
    held = [*needed, *(min(max(end, -limit), limit) for ends in intervals for end in ends)]
    low, high = min(held), max(held)
    if low == high:
        low, high = -1.0, 1.0
    room = 0.04 * (high - low)
    return low - room, high + room


def nice_step(raw: float) -> float:
    """The step 1, 2 or 5 times a power of ten at or above ``raw``."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
