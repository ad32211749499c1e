"""Commands that run and tell: run, status."""

from __future__ import annotations

from typing import Annotated

import typer

from xp_pipeline.errors import SpecError, nearest


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (run, status):
        app.command()(command)


def run(
    experiments: Annotated[
        list[str] | None, typer.Argument(help="Experiment ids; all unfinished ones if none.")
    ] = None,
    as_of: Annotated[str | None, typer.Option(help="Last day that counts (YYYY-MM-DD).")] = None,
) -> None:
    """Run the lifecycle through Dagster, in this process; its materialisations appear in the UI."""
    from xp_pipeline.cli.days import parsed
    from xp_pipeline.spec.folder import find_root, load

    project = load(find_root())
    day = parsed(as_of)
    for name in experiments or []:
        project.experiment(name)
    for problem in project.problems:
        typer.echo(f"xp: {problem}", err=True)
    runnable = [name for name, e in project.experiments.items() if not e.draft]
    if not runnable:
        raise SpecError("the project has no experiment to run", where=str(project.root))
    drafts = [name for name in experiments or [] if name not in runnable]
    if drafts:
        raise SpecError(f"{drafts[0]} is a draft", next_step="set draft: false", allowed=nearest(drafts[0], runnable))
    from xp_pipeline.cli.launch import launch

    raise typer.Exit(launch(project.root, experiments or [], day))


def status(
    tag: Annotated[str | None, typer.Option(help="Only experiments that carry this tag.")] = None,
    output: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Where every experiment stands."""
    from xp_pipeline.cli.tables import show_status
    from xp_pipeline.lifecycle.status import status as standings
    from xp_pipeline.lifecycle.workspace import Workspace
    from xp_pipeline.serialization import serialize_to_json

    found = [s for s in standings(Workspace.open()) if tag is None or tag in s.tags]
    if output == "json":
        typer.echo(serialize_to_json(found, indent=2))
    else:
        show_status(found)
