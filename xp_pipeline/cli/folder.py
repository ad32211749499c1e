"""Commands about the folder: init, validate, schema, explain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from xp_pipeline.errors import SpecError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, validate, schema, explain):
        app.command()(command)


def init(name: Annotated[Path, typer.Argument(help="Folder to create.")]) -> None:
    """Create a project that runs as it is."""
    from xp_pipeline.cli.init import create

    for path in create(name):
        typer.echo(f"  {path}")
    typer.echo(f"Next: cd {name} && xp validate && xp run")


def validate() -> None:
    """Check every file of the project; one line a problem, with file and line."""
    from xp_pipeline.errors import AliasError
    from xp_pipeline.lifecycle.promisable import promisable
    from xp_pipeline.spec.assigned import program_warnings
    from xp_pipeline.spec.folder import find_root, load

    project = load(find_root())
    problems: list[AliasError | SpecError] = list(project.problems)
    for name in project.experiments:
        try:
            promisable(project, name)
        except (AliasError, SpecError) as problem:
            problems.append(problem)
    for experiment in project.experiments.values():
        program, source = experiment.assignment.program, project.sources[experiment.population.source]
        for line in program_warnings(experiment, source, project.programs[program]) if program else ():
            typer.echo(f"warning: {line}", err=True)
    for found in problems:
        typer.echo(str(found), err=True)
    if problems:
        raise typer.Exit(2)
    counts = (len(project.sources), len(project.metrics), len(project.experiments))
    typer.echo("{} sources, {} metrics, {} experiments: all in order.".format(*counts))


def schema(
    kind: Annotated[str, typer.Argument(help="project, source, metrics or experiment.")] = "experiment",
) -> None:
    """Print the JSON Schema of one kind of file, for editors."""
    from xp_pipeline.spec.schema import json_schema

    typer.echo(json.dumps(json_schema(kind), indent=2))


def explain(
    kind: Annotated[str, typer.Argument(help="metric, experiment or assignment.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
) -> None:
    """Say a metric, an experiment or its assignment in words; a metric as SQL too."""
    from xp_pipeline.lifecycle.explain import explain_experiment, explain_metric
    from xp_pipeline.spec.folder import find_root, load

    if kind == "assignment":
        from xp_pipeline.lifecycle.assignment.ask import explain_assignment
        from xp_pipeline.lifecycle.preview import previewed
        from xp_pipeline.lifecycle.workspace import Workspace

        typer.echo(explain_assignment(previewed(Workspace.open(), name)))
        return
    project = load(find_root())
    if kind == "metric":
        typer.echo(explain_metric(project, name))
    elif kind == "experiment":
        typer.echo(explain_experiment(project, name))
    else:
        raise SpecError(f"cannot explain {kind!r}", allowed="metric, experiment, assignment")
