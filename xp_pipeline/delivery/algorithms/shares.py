"""Shares of traffic: whole multiples of 2^-40, so that they sum to 1 exactly in any order, none below the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xp_pipeline.errors import DataError

Shares = tuple[float, ...]

UNITS = 2**40
"""Parts into which traffic is divided; sums of multiples of 1/UNITS up to 1 are exact."""


def floored(wanted: Sequence[float], floor: float) -> Shares:
    """floor + (1 - K floor) p for each of K arms: never below the floor, and summing to exactly 1.

    Args:
        wanted: One finite number >= 0 for each arm, at least one above 0; read as proportions p.
        floor: Least share of an arm.

    Raises:
        DataError: the floor leaves no room for this many arms.
    """
    least = math.ceil(floor * UNITS)
    free = UNITS - least * len(wanted)
    if free < 0:
        allowed = f"at most 1/{len(wanted)}"
        raise DataError("the floors of the arms exceed the traffic", found=floor, allowed=allowed)
    total = math.fsum(wanted)
    parts = [least + int(free * (p / total)) for p in wanted]
    largest = max(range(len(parts)), key=lambda i: (wanted[i], -i))
    parts[largest] += UNITS - sum(parts)
    return tuple(part / UNITS for part in parts)


def equal(arms: int) -> Shares:
    """The same for all."""
    return (1.0,) * arms


def split_among_best(values: Sequence[float]) -> Shares:
    """1 for the largest value, divided where several are the largest."""
    best = max(values)
    return tuple(float(value == best) for value in values)
