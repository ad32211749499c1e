"""Commands about who gets which arm, before anybody does: assign, salt."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from xp_pipeline.errors import SpecError

Id = Annotated[str, typer.Argument(help="Experiment id.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(assign)
    app.command()(salt)


def assign(
    experiment: Id,
    units: Annotated[list[str], typer.Argument(help="Unit ids.")],
    field: Annotated[list[str] | None, typer.Option(help="A field that a program reads: name=value.")] = None,
    at: Annotated[
        str | None, typer.Option(help="Moment of first exposure, for a ramp (ISO 8601); now by default.")
    ] = None,
    shape: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """A dry run: bucket, branch and arm of units. Nobody is exposed, nothing is recorded."""
    from xp_pipeline.lifecycle.assignment.ask import ask
    from xp_pipeline.lifecycle.preview import previewed
    from xp_pipeline.lifecycle.workspace import Workspace

    if shape not in ("table", "json"):
        raise SpecError("unknown format", found=shape, allowed="table, json")
    workspace = Workspace.open()
    promise = previewed(workspace, experiment)
    answers = ask(workspace, promise, units, fields=_fields(field or []), at=_moment(at))
    if shape == "json":
        typer.echo(json.dumps([vars(answer) for answer in answers], indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    columns = ["unit", "bucket", *(["decided by"] if any(a.decided_by for a in answers) else []), "arm", "on record"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column == "bucket" else "left", overflow="fold")
    for answer in answers:
        number = f"{answer.bucket:.6f}" if answer.bucket is not None else ""
        by = [answer.decided_by] if "decided by" in columns else []
        table.add_row(answer.unit, number, *by, answer.arm or f"none: {answer.reason}", answer.recorded)
    Console(highlight=False).print(table)


def salt(
    experiment: Id,
    tries: Annotated[int, typer.Option(help="Salts to try; the best of 100 leaves 1 % of chance.")] = 100,
) -> None:
    """Search a salt that balances the columns under balance; to be declared before registration."""
    from xp_pipeline.lifecycle.assignment.salting import balanced_salt
    from xp_pipeline.lifecycle.preview import previewed
    from xp_pipeline.lifecycle.workspace import Workspace

    workspace = Workspace.open()
    found = balanced_salt(workspace, previewed(workspace, experiment), tries=tries)
    chance = found.distribution()
    typer.echo(
        f"salt: {found.salt}\n"
        f"Largest standardised difference {found.imbalance:.5f} over {found.units:,} units; "
        f"of {len(found.salts)} salts half were below {chance['median']:.5f}, the worst {chance['max']:.5f}."
    )
    for metric, arms in found.differences.items():
        typer.echo(f"  {metric}: " + ", ".join(f"{arm} {difference:+.5f}" for arm, difference in arms.items()))
    typer.echo(f"Next: put it under assignment, then xp register {experiment} --by YOU")


def _fields(given: list[str]) -> dict[str, str]:
    wrong = next((text for text in given if "=" not in text), None)
    if wrong is not None:
        raise SpecError("a field is given as name=value", found=wrong)
    return dict(text.split("=", 1) for text in given)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SpecError("not a moment", found=text, allowed="ISO 8601, such as 2026-03-05T12:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
