"""Replay: what an experiment could tell after each day, and from which day on it tells enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xp_pipeline.design.aims import Aim, Shares
from xp_pipeline.design.history import History
from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.moments import Vector

LONGEST = 365
"""Days after which no plan looks for a run time any more."""


@dataclass(frozen=True, eq=False)
class Replay:
    """An experiment of several lengths.

    Attributes:
        days: Lengths, shape (D,).
        units: Units of both arms that are analysed, shape (D,).
        wanted: Effect or margin asked for, in the metric's unit, shape (D,); NaN without one.
        power: Power at it, shape (D,); NaN where undefined.
        least: Smallest effect detected, or margin ruled out, with the power asked for, shape (D,); NaN if none is.
        lift: The same as a share of |mean|, shape (D,).
        extrapolated: Whether the length is beyond what was observed, shape (D,).
    """

    days: Vector
    units: Vector
    wanted: Vector
    power: Vector
    least: Vector
    lift: Vector
    extrapolated: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class RunTime(NamedTuple):
    """When an experiment can tell enough.

    Attributes:
        days: First length from which on the power suffices; None where none up to a year does.
        extrapolated: Whether it is beyond what was observed.
        reason: Why there is none; empty where there is one.
    """

    days: int | None
    extrapolated: bool
    reason: str


def replay(history: History, aim: Aim, *, days: Sequence[int], shares: Shares = (0.5, 0.5)) -> Replay:
    """What experiments of some lengths could tell.

    Unlike a division of units by units a day, this counts a returning unit once, waits for windows to complete,
    and lets mean and variance change with the length.

    Args:
        shares: Parts of all units that go to control and treatment; with further arms they sum to less than 1.
    """
    _check(shares)
    rows = []
    for day in days:
        units, baseline = history.units(day), history.baseline(day)
        arms = units * shares[0], units * shares[1]
        reach = aim.least(baseline, *arms)
        rows.append((
            sum(arms), aim.wanted(baseline), aim.power(baseline, *arms), reach, baseline.lift(reach),
            history.extrapolated(day),
        ))  # fmt: skip
    analysed, wanted, power, least, lift, beyond = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    return Replay(np.asarray(days, dtype=np.float64), analysed, wanted, power, least, lift, beyond > 0)


def run_time(history: History, aim: Aim, *, shares: Shares = (0.5, 0.5), longest: int = LONGEST) -> RunTime:
    """The first whole day from which on the power suffices."""
    _check(shares)
    power = [_power(history, aim, day, shares) for day in range(1, longest + 1)]
    short = [day for day, found in enumerate(power, 1) if not found >= aim.rates.power]
    first = short[-1] + 1 if short else 1
    if first > longest:
        best = max((found for found in power if not math.isnan(found)), default=math.nan)
        said = "" if math.isnan(best) else f"; the best is {best:.2f}"
        return RunTime(None, False, f"{longest} days do not reach power {aim.rates.power:.3g}{said}")
    return RunTime(first, history.extrapolated(first), "")


def _power(history: History, aim: Aim, day: int, shares: Shares) -> float:
    units = history.units(day)
    return aim.power(history.baseline(day), units * shares[0], units * shares[1])


def _check(shares: Shares) -> None:
    if not min(shares) > 0 or sum(shares) > 1 + 1e-9:
        raise EvidenceError("both arms need a share of the units", found=shares, allowed="above 0, at most 1 together")
