"""Commands that show: results, report."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from xp_pipeline.errors import PhaseOrderError, SpecError

Id = Annotated[str, typer.Argument(help="Experiment id.")]
FORMATS = ("table", "json", "csv", "parquet")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (results, report):
        app.command()(command)


def results(
    experiment: Id,
    output: Annotated[str, typer.Option("--format", help="table, json, csv or parquet.")] = "table",
    every: Annotated[bool, typer.Option("--all", help="Segments and every estimator too.")] = False,
    table: Annotated[str, typer.Option(help="results, heterogeneity, health, decisions or experiments.")] = "results",
) -> None:
    """The published rows of an experiment's latest look."""
    if output not in FORMATS:
        raise SpecError("unknown format", found=output, allowed=", ".join(FORMATS))
    from xp_pipeline.lifecycle.publish import read
    from xp_pipeline.lifecycle.workspace import Workspace
    from xp_pipeline.spec.tables import TABLES

    if table not in TABLES:
        raise SpecError("unknown table", found=table, allowed=", ".join(TABLES))
    workspace = Workspace.open()
    workspace.folder.experiment(experiment)
    rows = read(workspace.folder.lake, table, experiment)
    if rows.is_empty():
        raise PhaseOrderError("there are no results yet", where=experiment, next_step=f"xp run {experiment}")
    if output == "table":
        from xp_pipeline.cli.scorecard import show_scorecard

        if table == "results":
            decisions = read(workspace.folder.lake, "decisions", experiment)
            show_scorecard(rows.to_dicts(), decisions.to_dicts(), every=every)
        else:
            typer.echo(rows.to_init_repr())
    elif output == "json":
        from xp_pipeline.serialization import serialize_to_json

        typer.echo(serialize_to_json(rows.to_dicts(), indent=1))
    elif output == "csv":
        typer.echo(rows.write_csv(), nl=False)
    else:
        rows.write_parquet(sys.stdout.buffer)


def report(experiment: Id) -> None:
    """Where the newest page and card of an experiment are."""
    from xp_pipeline.lifecycle.report import report_folder
    from xp_pipeline.lifecycle.workspace import Workspace

    workspace = Workspace.open()
    workspace.folder.experiment(experiment)
    folder = report_folder(workspace, experiment)
    if not (folder / "report.html").is_file():
        raise PhaseOrderError("there is no report yet", where=experiment, next_step=f"xp run {experiment}")
    for path in sorted(folder.iterdir()):
        typer.echo(str(path))
