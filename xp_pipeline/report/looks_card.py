"""The looks in the card, numbers unrounded."""

from __future__ import annotations

from typing import Any

from xp_pipeline.report.looks import LookRow, Looks
from xp_pipeline.report.sequence import Sequential


def looks_card(looks: Looks) -> dict[str, Any]:
    """The looks taken, each with its tests by metric and arm."""
    return {
        "schedule": looks.schedule,
        "reading": looks.reading,
        "taken": len(looks.rows),
        "planned": looks.planned,
        "looks": [_row(looks, row) for row in looks.rows],
        "deterioration": list(looks.harms),
    }


def sequential_card(sequential: Sequential) -> dict[str, Any]:
    """What an estimate owes to its looks."""
    return {
        "p_name": sequential.p_name,
        "stopped_look": sequential.stopped or None,
        "information": sequential.information.value,
        "alpha_spent": sequential.alpha_spent.value,
        "statistic": sequential.statistic.value,
        "boundary": sequential.boundary.value,
        "unbiased_effect": sequential.unbiased_effect.value,
        "unbiased_lift": sequential.unbiased_lift.value,
    }


def _row(looks: Looks, row: LookRow) -> dict[str, Any]:
    return {
        "look": row.number,
        "as_of": row.as_of,
        "final": row.final,
        "units": row.units.value,
        "information": row.information.value,
        "alpha_spent": row.alpha_spent.value,
        "tests": [
            {"metric": test.metric, "arm": test.arm, "purpose": test.purpose, "state": at.state, "crossed": at.crossed}
            | ({"statistic": at.statistic.value, "boundary": at.boundary.value} if looks.spends else {})
            | ({} if looks.spends else {"p": at.p.value, "interval": [at.interval.low, at.interval.high]})
            for test, at in zip(looks.tests, row.tests, strict=True)
        ],
    }
