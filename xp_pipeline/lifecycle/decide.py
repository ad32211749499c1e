"""From results and health to one decision an arm, each with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from xp_pipeline.decision.rule import Finding, decide
from xp_pipeline.decision.verdict import Decision
from xp_pipeline.lifecycle import checks
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.stats.means import t_sf

Row = dict[str, Any]


def decisions(
    promise: Sealed,
    results: Sequence[Row],
    health: Sequence[checks.Finding],
    *,
    final: bool,
    as_of: str | None,
) -> list[Decision]:
    """The decision about every treatment arm."""
    bound = promise.bound
    blocked = [f.message for f in health if f.blocks]
    warned = [f.message for f in health if f.verdict == "warned" and not f.check.startswith("srm_")]
    return [
        decide(
            arm,
            [_finding(row) for row in results if row["arm"] == arm and row.get("decisive")],
            final=final,
            blocked=blocked,
            warnings=warned,
            days_run=_days(bound.start, as_of),
            minimum_days=bound.experiment.analysis.minimum_days,
            days_to_end=_days_to(bound.end, as_of),
        )
        for arm in bound.experiment.assignment.treatments
    ]


def _finding(row: Row) -> Finding:
    return Finding(
        metric=row["metric"],
        role=row["role"],
        direction=row["direction"],
        status=row["status"],
        reason=row.get("reason") or "",
        effect=_number(row, "effect"),
        low=_number(row, "ci_low"),
        high=_number(row, "ci_high"),
        lift=_number(row, "lift"),
        p_adjusted=row.get("p_adjusted"),
        alpha=row["alpha"],
        margin=row.get("margin"),
        margin_relative=bool(row.get("margin_relative")),
        ni_holds=row.get("ni_holds"),
        ni_bound=row.get("ni_bound"),
        deterioration_p=_deterioration(row),
        power=row.get("power"),
        mde=row.get("mde"),
        planned_mde=row.get("planned_mde"),
        extend_days=None,
    )


def _number(row: Row, name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None else float(value)


def _deterioration(row: Row) -> float | None:
    """One-sided p-value of harm."""
    if row["status"] != "ok" or row.get("p_value") is None or not row.get("se"):
        return None
    harm = -row["effect"] if row["direction"] == "increase" else row["effect"]
    return t_sf(harm / row["se"], row["df"])


def _days(start: datetime | None, as_of: str | None) -> int | None:
    return (date.fromisoformat(as_of) - start.date()).days + 1 if start and as_of else None


def _days_to(end: datetime | None, as_of: str | None) -> int | None:
    return max((end.date() - date.fromisoformat(as_of)).days - 1, 0) if end and as_of else None
