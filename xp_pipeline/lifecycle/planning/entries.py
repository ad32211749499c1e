"""One entry of a plan: units, run time, and what is in reach by when, of one metric and arm."""

from __future__ import annotations

import math
from typing import Any

from xp_pipeline.design.aims import Aim, Detect, Equate, RuleOut, Shares
from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.history import History
from xp_pipeline.design.replay import LONGEST, replay, run_time
from xp_pipeline.errors import EvidenceError

SHORTEST_CURVE = 14
POINTS = 60

_AIMS = {Detect: "detect", RuleOut: "rule_out", Equate: "equate"}

Entry = dict[str, Any]


def entry(aim: Aim, *, shares: Shares, history: History | Baseline, days: float | None) -> Entry:
    """Everything that can be said of one metric and arm; what cannot is absent, and ``reason`` says why."""
    try:
        return planned(aim, shares=shares, history=history, days=days)
    except EvidenceError as problem:
        return _rates(aim) | {"reason": str(problem)}


def planned(aim: Aim, *, shares: Shares, history: History | Baseline, days: float | None = None) -> Entry:
    """The same, where what cannot be planned is an error.

    Args:
        shares: Parts of all units that go to control and treatment.
        history: The metric by day; only a baseline where traffic is unknown.
        days: Days of enrolment that are planned.

    Raises:
        EvidenceError: The effect, the margin or the baseline cannot be.
    """
    if isinstance(history, Baseline):
        return _rates(aim) | _described(history) | _sized(aim, history, shares)
    return _rates(aim) | _timed(aim, history, shares, days)


def at_units(aim: Aim, baseline: Baseline, *, shares: Shares, units: float) -> Entry:
    """Power, and the smallest effect in reach, with some units of all arms."""
    arms = units * shares[0], units * shares[1]
    least = aim.least(baseline, *arms)
    return {
        "n_at_end": round(arms[1]),
        "power_at_end": _number(aim.power(baseline, *arms)),
        "mde": _number(least),
        "mde_relative": _number(baseline.lift(least)),
    }


def _rates(aim: Aim) -> Entry:
    return {
        "n": None,
        "aim": _AIMS[type(aim)],
        "alpha": aim.rates.alpha,
        "power": aim.rates.power,
        "inflation": aim.rates.inflation,
        "reason": "",
    }


def _timed(aim: Aim, history: History, shares: Shares, days: float | None) -> Entry:
    read_out = None if days is None else max(days + history.delay, 1.0)
    asked = not math.isnan(aim.wanted(history.baseline(read_out or 1.0)))
    needed = run_time(history, aim, shares=shares) if asked else None
    at = next((day for day in (needed.days if needed else None, read_out) if day), float(history.durations[-1]))
    timed = _described(history.baseline(at)) | _sized(aim, history.baseline(at), shares)
    if needed:
        timed |= {"days": needed.days, "days_extrapolated": needed.extrapolated, "reason": needed.reason}
    if read_out:
        timed |= at_units(aim, history.baseline(read_out), shares=shares, units=history.units(read_out))
        timed["end_extrapolated"] = history.extrapolated(read_out)
    return timed | {"curve": _curve(aim, history, shares, read_out, needed.days if needed else None)}


def _described(baseline: Baseline) -> Entry:
    return {
        "baseline_mean": baseline.mean,
        "baseline_sd": math.sqrt(baseline.variance),
        "variance_explained": baseline.variance_explained,
        "design_effect": baseline.design_effect,
    }


def _sized(aim: Aim, baseline: Baseline, shares: Shares) -> Entry:
    """Units for the effect asked for."""
    wanted = aim.wanted(baseline)
    if math.isnan(wanted):
        return {}
    size = aim.size(baseline, shares)
    named = {"planned_effect": wanted} if isinstance(aim, Detect) else {"margin": wanted}
    relative = baseline.lift(wanted)
    return named | {
        "wanted_relative": None if math.isnan(relative) else relative,
        "n": size.treatment,
        "n_control": size.control,
        "units": math.ceil(size.treatment / shares[1]),
    }


def _curve(aim: Aim, history: History, shares: Shares, read_out: float | None, needed: int | None) -> Entry:
    """The smallest effect in reach by day, on at most 60 days up to a little past the last that matters."""
    last = max(SHORTEST_CURVE, math.ceil(read_out or 0), math.ceil(1.1 * (needed or 0)))
    last = min(last, LONGEST)
    step = math.ceil(last / POINTS)
    found = replay(history, aim, days=range(step, last + 1, step), shares=shares)
    return {
        "days": [int(day) for day in found.days],
        "units": [round(float(units)) for units in found.units],
        "least": [_number(float(value)) for value in found.least],
        "lift": [_number(float(value)) for value in found.lift],
        "power": [_number(float(value)) for value in found.power],
        "extrapolated": [bool(beyond) for beyond in found.extrapolated],
        "end": read_out,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
