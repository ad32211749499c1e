"""The command that proves the figures: calibrate, by simulation or on the project's own history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xp_pipeline.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from xp_pipeline.calibration.findings import Calibration
    from xp_pipeline.calibration.model import Cell


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    experiments: Annotated[
        list[str] | None, typer.Argument(help="With --project: experiments whose data to split anew; all if none.")
    ] = None,
    cells: Annotated[str, typer.Option(help="Cells of the benchmark, such as C1,C5; all if none.")] = "",
    full: Annotated[bool, typer.Option("--full/--subset", help="All replicates, or a tenth of them.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for calibration.md and calibration.csv.")] = None,
    processes: Annotated[int | None, typer.Option(help="Processes at once; the number changes no figure.")] = None,
    project: Annotated[bool, typer.Option("--project", help="Replay A/A splits of this project's own data.")] = False,
    replays: Annotated[int, typer.Option(help="With --project: how many splits.")] = 200,
) -> None:
    """Hold every method to its promise by simulation; with --project, on your own data by A/A splits."""
    if project:
        _on_own_data(experiments or [], replays, out)
        return
    if experiments:
        raise SpecError("experiments are calibrated on their own data", found=experiments[0], next_step="add --project")
    import os

    from xp_pipeline.calibration.runner import chosen

    names = [name.strip() for name in cells.split(",") if name.strip()]
    workers = processes or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0, 1])
    found = _simulated(chosen(names), full=full, processes=workers)
    _tell(found, detailed=bool(names), out=out)
    if any(text.startswith("Not explained") for cell in found.cells for text in cell.explanations.values()):
        raise typer.Exit(1)


def _simulated(cells: Sequence[Cell], *, full: bool, processes: int) -> Calibration:
    """Run the cells under a bar that counts their batches."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from xp_pipeline.calibration import runner

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console(stderr=True)) as bar:
        tasks = {cell.id: bar.add_task(f"{cell.id:>4} {cell.title}", total=None) for cell in cells}

        def told(cell: str, done: int, of: int) -> None:
            bar.update(tasks[cell], completed=done, total=of)

        return runner.calibrate(cells, full=full, processes=processes, progress=told)


def _tell(found: Calibration, *, detailed: bool, out: Path | None) -> None:
    from xp_pipeline.calibration.tables import show_cells, show_claims

    console = _console()
    if detailed:
        show_claims(found, console)
    show_cells(found, console)
    for cell, study in found.out:
        console.print(f"[red]out of band[/] {cell.id}, {study.name}. {cell.explanations[study.name]}")
    for path in _written(found, out) if out else []:
        console.print(str(path))


def _written(found: Calibration, out: Path) -> list[Path]:
    """Page and table of what was run now, beside what the folder's table keeps of other cells."""
    from dataclasses import replace

    from xp_pipeline.calibration.kept import kept, together
    from xp_pipeline.calibration.page import write

    others = kept(out, full=found.run == "full", besides=[cell.id for cell in found.cells])
    return write(replace(found, cells=together([*others, *found.cells])), out)


def _on_own_data(experiments: Sequence[str], replays: int, out: Path | None) -> None:
    """Replay A/A splits of the experiments that have a population, under a bar an experiment."""
    from rich.progress import Progress

    from xp_pipeline.calibration.replay import Replayed, replay, replayable
    from xp_pipeline.calibration.replayed import write
    from xp_pipeline.calibration.tables import show_replays
    from xp_pipeline.errors import XpError
    from xp_pipeline.lifecycle.workspace import Workspace

    if replays < 1:
        raise SpecError("a replay is one split or more", found=replays, next_step="--replays 200")
    workspace, found = Workspace.open(), list[Replayed]()
    with Progress(console=_console(stderr=True)) as bar:
        for name, promise in replayable(workspace, experiments):
            if isinstance(promise, XpError):
                if experiments:
                    raise promise
                typer.echo(f"not replayed: {promise}", err=True)
                continue
            task = bar.add_task(name, total=replays)
            found += replay(workspace, promise, replays=replays, progress=_teller(bar, task))
    show_replays(found, _console())
    for path in write(found, replays, out) if out else []:
        typer.echo(str(path))
    if any(entry.verdict in ("out", "not uniform") for entry in found):
        raise typer.Exit(1)


def _teller(bar: Progress, task: TaskID) -> Callable[[int, int], None]:
    return lambda done, _: bar.update(task, completed=done)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(highlight=False, stderr=stderr)
