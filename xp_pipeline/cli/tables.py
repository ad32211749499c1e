"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from xp_pipeline.lifecycle.status import Standing

_COLOURS = {
    "ship": "green", "do_not_ship": "red", "not_decidable": "red", "extend": "yellow", "rerun": "yellow",
    "running": "cyan", "not_due": "cyan",
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
