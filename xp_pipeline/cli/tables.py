"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import polars as pl

    from xp_pipeline.lifecycle.status import Standing

_COLOURS = {
    "ship": "green", "do_not_ship": "red", "not_decidable": "red", "extend": "yellow", "not_due": "cyan",
    "passed": "green", "warned": "yellow", "failed": "red",
}  # fmt: skip


def _coloured(word: str) -> Text:
    return Text(word.replace("_", " "), style=_COLOURS.get(word, ""))


def show_status(standings: Sequence[Standing], reports: Path | None = None) -> None:
    """Experiments, their state, health and verdicts."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("experiment", "state", "as of", "units", "health", "verdict"):
        table.add_column(column, justify="right" if column == "units" else "left", overflow="fold")
    for s in standings:
        verdict = Text(", ").join(Text.assemble(f"{arm}: ", _coloured(v)) for arm, v in s.verdicts.items())
        units = f"{s.units:,}" if s.units is not None else ""
        note = Text.assemble(verdict, ("\n" + s.note, "yellow")) if s.note else verdict
        table.add_row(s.experiment, s.state, s.as_of, units, _coloured(s.health), note)
    console = Console(highlight=False)
    console.print(table)
    for s in standings:
        page = reports / s.experiment / "report.html" if reports else None
        if page and page.is_file():
            console.print(f"[dim]{page}[/]", soft_wrap=True)


def show_results(rows: pl.DataFrame, *, every: bool = False) -> None:
    """The scorecard by role: decisive rows, or every row; what there is to say of a row stands under it."""
    shown = [r for r in rows.to_dicts() if every or r["decisive"] or r["status"] != "ok"]
    console = Console(highlight=False)
    for role in ("primary", "secondary", "guardrail", "exploratory"):
        of_role = [row for row in shown if row["role"] == role]
        if of_role:
            console.print(_scorecard(of_role, role))


def _scorecard(rows: Sequence[dict[str, Any]], role: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (f"[bold]{role}[/]", "arm", "baseline", "mean", "lift", "interval", "p adj."):
        table.add_column(column, justify="right" if column in ("baseline", "mean", "lift", "p adj.") else "left",
                         overflow="fold")  # fmt: skip
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: dict[str, Any]) -> list[str | Text]:
    lift, interval = _effect(row)
    p = f"{row['p_adjusted']:.3g}" if row["p_adjusted"] is not None else ""
    return [
        _named(row), row["arm"], _number(row["mean_baseline"]), _number(row["mean_arm"]), lift, interval, p,
    ]  # fmt: skip


def _named(row: dict[str, Any]) -> Text:
    """The metric; under it, dimmed, the part of the population, the estimator and any caution."""
    segment = f"{row['segment']}={row['segment_value'] or 'differences'}" if row["segment"] else ""
    population = row["population"] if row["population"] != "enrolled" else ""
    status = "" if row["status"] == "ok" else str(row["status"])
    said = [part for part in (segment, population, row["estimator"] or "", status, row["reason"] or "") if part]
    return Text.assemble((row["metric"], "bold"), ("\n" + ", ".join(said), "dim") if said else "")


def _effect(row: dict[str, Any]) -> tuple[str, str]:
    """Relative where it is defined and bounded, absolute otherwise."""
    if row["lift_status"] == "ok" and row["lift"] is not None:
        return f"{row['lift']:+.2%}", f"[{row['lift_low']:+.2%}, {row['lift_high']:+.2%}]"
    if row["effect"] is None:
        return "", ""
    return f"{row['effect']:+.4g}", f"[{_number(row['ci_low'])}, {_number(row['ci_high'])}] abs."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
