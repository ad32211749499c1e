"""Bisection on a condition that starts to hold somewhere and then goes on holding."""

from __future__ import annotations

import math
from collections.abc import Callable

_STEPS = 200


def smallest(reached: Callable[[float], bool], *, low: float, start: float, largest: float) -> float:
    """Smallest number up to ``largest`` at which a monotone condition holds; NaN where it never does."""
    high = start
    while not reached(high):
        if high >= largest:
            return math.nan
        low, high = high, min(2 * high, largest)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
