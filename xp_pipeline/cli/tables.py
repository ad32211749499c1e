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
    """The scorecard: decisive rows, or every row."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (
        "metric",
        "role",
        "arm",
        "segment",
        "estimator",
        "baseline",
        "mean",
        "lift",
        "interval",
        "p adj.",
        "note",
    ):
        table.add_column(column, justify="right" if column in ("baseline", "mean", "lift", "p adj.") else "left")
    for row in rows.to_dicts():
        if every or row["decisive"] or row["status"] != "ok":
            table.add_row(*_cells(row))
    Console(highlight=False).print(table)


def _cells(row: dict[str, Any]) -> list[str]:
    segment = f"{row['segment']}={row['segment_value']}" if row["segment"] else ""
    lift, interval = _effect(row)
    p = f"{row['p_adjusted']:.3g}" if row["p_adjusted"] is not None else ""
    note = row["reason"] if row["status"] == "ok" else f"{row['status']}: {row['reason']}"
    return [
        row["metric"], row["role"], row["arm"], segment, row["estimator"] or "", _number(row["mean_baseline"]),
        _number(row["mean_arm"]), lift, interval, p, note or "",
    ]  # fmt: skip


def _effect(row: dict[str, Any]) -> tuple[str, str]:
    """Relative where it is defined and bounded, absolute otherwise."""
    if row["lift_status"] == "ok" and row["lift"] is not None:
        return f"{row['lift']:+.2%}", f"[{row['lift_low']:+.2%}, {row['lift_high']:+.2%}]"
    if row["effect"] is None:
        return "", ""
    return f"{row['effect']:+.4g}", f"[{_number(row['ci_low'])}, {_number(row['ci_high'])}] abs."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
