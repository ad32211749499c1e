"""Plan against actual: what was promised to be detectable by when, and what was reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from xp_pipeline.report.estimate import Estimate
from xp_pipeline.report.format import BLANK, PERCENT, PLAIN, POINTS, Figure, count, figure, number
from xp_pipeline.report.inputs import Plan, PlannedMetric, text_of
from xp_pipeline.report.planned_curve import Curve, curves_of
from xp_pipeline.report.scorecard import Scorecard
from xp_pipeline.spec.binding import Bound


@dataclass(frozen=True)
class PlannedRow:
    """One metric and arm.

    Attributes:
        metric, arm: Which.
        n_planned, n_actual: Units of the arm; actual is blank while estimates are withheld.
        reached: Actual over planned, held to 1, as the length of a bar; None when either is missing.
        effect: Absolute effect that the planned units are to detect, or harm that they are to rule out.
        mde_planned: Smallest of those in reach in the planned time, with its size relative to the baseline.
        mde_actual: Smallest absolute effect detectable with the observed n and variance.
        power: Power at the planned effect with the observed n and variance.
        days: Planned days until the units are reached.
        basis: Where the baseline comes from, or why there is none.
    """

    metric: str
    arm: str
    n_planned: Figure
    n_actual: Figure
    reached: float | None
    effect: str
    mde_planned: str
    mde_actual: Figure
    power: Figure
    days: Figure
    basis: str


@dataclass(frozen=True)
class Planned:
    """The plan and what came of it.

    Attributes:
        rows: One per metric and arm of the plan.
        curves: What was in reach by day, of each primary metric.
        days_planned, days_actual: Length of the experiment, and days from its start to the as-of.
        assumptions: What the plan rests on.
    """

    rows: tuple[PlannedRow, ...]
    curves: tuple[Curve, ...]
    days_planned: Figure
    days_actual: Figure
    assumptions: tuple[str, ...]


def build_planned(plan: Plan | None, cards: Sequence[Scorecard], bound: Bound, *, as_of: str) -> Planned | None:
    """The plan beside the observed numbers; None when there was no plan."""
    if plan is None:
        return None
    return Planned(
        rows=tuple(_row(entry, cards, bound) for entry in plan["metrics"]),
        curves=curves_of(plan["metrics"], bound),
        days_planned=figure(plan.get("run_days")),
        days_actual=count(_days(bound, as_of)),
        assumptions=tuple(text_of(line) for line in plan.get("assumptions", ())),
    )


def _row(entry: PlannedMetric, cards: Sequence[Scorecard], bound: Bound) -> PlannedRow:
    found = _main(cards, entry["metric"], entry["arm"])
    n_planned, n_actual = count(entry["n"]), found.n_arm if found else BLANK
    ratio = n_actual.value / n_planned.value if n_planned.value and n_actual.value is not None else None
    return PlannedRow(
        metric=entry["metric"],
        arm=entry["arm"],
        n_planned=n_planned,
        n_actual=n_actual,
        reached=None if ratio is None else min(1.0, ratio),
        effect=_asked(entry, bound),
        mde_planned=_mde(entry, bound),
        mde_actual=found.fine_print.mde if found else BLANK,
        power=found.fine_print.power if found else BLANK,
        days=count(entry.get("days")),
        basis=text_of(entry.get("baseline")),
    )


def _asked(entry: PlannedMetric, bound: Bound) -> str:
    margin = entry.get("margin")
    if margin is not None:
        size = _absolute(entry, margin, bound)
        return f"same within {size}" if entry.get("aim") == "equate" else f"harm of {size}"
    return _absolute(entry, entry.get("planned_effect"), bound)


def _mde(entry: PlannedMetric, bound: Bound) -> str:
    absolute = _absolute(entry, entry.get("mde"), bound)
    relative = entry.get("mde_relative")
    return absolute if relative is None else f"{absolute} ({number(relative, unit=PERCENT)})"


def _absolute(entry: PlannedMetric, value: float | None, bound: Bound) -> str:
    metric = bound.metrics.get(entry["metric"])
    return number(value, unit=POINTS if metric and metric.binary else PLAIN)


def _main(cards: Sequence[Scorecard], metric: str, arm: str) -> Estimate | None:
    blocks = [block for card in cards for block in card.blocks if block.metric == metric]
    return next((c.main for block in blocks for c in block.comparisons if c.arm == arm), None)


def _days(bound: Bound, as_of: str) -> int | None:
    if not bound.start or not as_of:
        return None
    return (date.fromisoformat(as_of) - bound.start.date()).days + 1
