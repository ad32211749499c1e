"""Calibrations as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from xp_pipeline.calibration import numbers
from xp_pipeline.calibration.findings import Calibration, Verdict
from xp_pipeline.calibration.replay import BINS, Replayed
from xp_pipeline.calibration.replayed import blocks, limits, rate

COLOURS = {Verdict.IN_BAND: "green", Verdict.OUT: "red", Verdict.SHOWN: "dim"}


def show_cells(calibration: Calibration, console: Console) -> None:
    """One line a cell."""
    table = _table(cell="left", subject="left", studies="right", replicates="right", claims="right", verdict="left")
    for cell in calibration.cells:
        claims = [f.verdict for study in cell.studies for f in study.findings if f.verdict != Verdict.SHOWN]
        out = sum(not study.in_band for study in cell.studies)
        replicates = sum(study.replicates for study in cell.studies)
        verdict = "[green]in band[/]" if cell.in_band else f"[red]{out} studies out[/]"
        table.add_row(cell.id, cell.title, str(len(cell.studies)), f"{replicates:,}", str(len(claims)), verdict)
    console.print(table)


def show_claims(calibration: Calibration, console: Console) -> None:
    """One line a claim: value, Monte-Carlo error, band, verdict."""
    table = _table(
        cell="left", study="left", measure="left", promised="right", found="right", band="left", verdict="left"
    )
    for cell in calibration.cells:
        for study in cell.studies:
            for f in study.findings:
                verdict = f"[{COLOURS[f.verdict]}]{f.verdict}[/]"
                figures = numbers.promised(f), numbers.found(f), numbers.band(f)
                table.add_row(cell.id, study.name, f.measure, *figures, verdict)
    console.print(table)


def show_replays(found: Sequence[Replayed], console: Console) -> None:
    """One line a metric and arm: false-positive rate, its band, and the histogram of p-values."""
    words = dict.fromkeys(("experiment", "metric", "arm"), "left")
    figures = dict.fromkeys(("splits", "significant", "band", "uniform p"), "right")
    table = _table(**words, **figures)
    table.add_column("p, 0 to 1", no_wrap=True, min_width=BINS)
    table.add_column("verdict")
    for entry in found:
        colour = "green" if entry.verdict == "in band" else "red" if entry.replays else "dim"
        told = f"{entry.replays:,}", rate(entry), limits(entry), f"{entry.uniform_p:.3f}", blocks(entry)
        table.add_row(entry.experiment, entry.metric, entry.arm, *told, f"[{colour}]{entry.verdict}[/]")
    console.print(table)


def _table(**columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, justify in columns.items():
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    return table
