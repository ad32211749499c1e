"""What must not be seen: estimates behind a failed gate, and significance before its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xp_pipeline.errors import ContractError
from xp_pipeline.report.inputs import Row
from xp_pipeline.report.sequence import is_claimed
from xp_pipeline.spec.tables import READ_OUT, RESULTS

_BOOKKEEPING = frozenset({"schema_version", "look", "final"})
_ESTIMATES = frozenset(
    name
    for name, field in RESULTS.items()
    if field.kind in ("number", "integer", "boolean") and name not in _BOOKKEEPING
) | {"theta", "family", "interval_kind", "lift_status", "bayes_method", "bayes_prior", "bayes_reason"}
_SIGNIFICANCE = frozenset(
    {"p_value", "p_adjusted", "significant", "margin_bound", "margin_p_value", "margin_holds", "power"}
) | set(READ_OUT)
_BOUNDS = frozenset({"ci_low", "ci_high", "ci_adjusted_low", "ci_adjusted_high", "lift_low", "lift_high"})


def is_withheld(health: Sequence[Row]) -> bool:
    """Whether a blocking check failed; one that was overridden warns instead."""
    return any(row["blocking"] and row["verdict"] == "failed" for row in health)


def is_interim(row: Row) -> bool:
    """Whether an estimate is read before its time, when it has neither p-value nor significance."""
    return bool(row["status"] == "not_due" or (row["interval_kind"] == "sequence" and not is_claimed(row)))


def showable(rows: Sequence[Row], *, withheld: bool) -> tuple[Row, ...]:
    """The rows with every number removed that the reader must not see."""
    return tuple(_showable(row, withheld=withheld) for row in rows)


def refuse_verdict_on_withheld(decisions: Sequence[Row], *, withheld: bool) -> None:
    """A withheld experiment has no verdict.

    Raises:
        ContractError: a decision claims one.
    """
    for row in decisions:
        if withheld and row["verdict"] != "not_decidable":
            raise ContractError(
                "a blocking health check failed, yet there is a verdict",
                where=f"{row['experiment']}, arm {row['arm']}",
                found=row["verdict"],
                allowed="not_decidable",
                next_step=f"xp override {row['experiment']}, or decide anew",
            )


def _showable(row: Row, *, withheld: bool) -> Row:
    if withheld or row["status"] == "blocked":
        reason = row["reason"] if row["status"] == "blocked" else None
        return {
            **_without(row, _ESTIMATES),
            "decisive": row["decisive"],
            "status": "blocked",
            "reason": reason,
        }
    if is_interim(row):
        hidden = _SIGNIFICANCE if row["interval_kind"] == "sequence" else _SIGNIFICANCE | _BOUNDS
        return _without(row, hidden)
    return row


def _without(row: Row, names: frozenset[str]) -> dict[str, Any]:
    return {name: None if name in names else value for name, value in row.items()}
