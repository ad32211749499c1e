"""The plan as a table in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def show_plan(plan: dict[str, Any]) -> None:
    """One line a metric and arm, then what it rests on."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (
        "metric",
        "role",
        "arm",
        "baseline",
        "effect",
        "units in arm",
        "days",
        "detectable",
        "from",
    ):
        table.add_column(column, justify="left" if column in ("metric", "role", "arm", "from") else "right")
    for entry in plan["metrics"]:
        table.add_row(
            entry["metric"],
            entry["role"],
            entry["arm"],
            _number(entry.get("baseline_mean")),
            _number(entry.get("planned_effect")),
            f"{entry['n']:,}" if entry["n"] else "",
            str(entry.get("days") or ""),
            _number(entry.get("mde")),
            entry["baseline"],
        )
    console = Console(highlight=False)
    console.print(table)
    for sentence in plan["assumptions"]:
        console.print(f"[dim]{sentence}[/]")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
