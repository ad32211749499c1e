"""Commands about experiments that run at once: interactions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from xp_pipeline.errors import SpecError

if TYPE_CHECKING:
    import polars as pl
    from rich.text import Text

FORMATS = ("table", "json", "csv", "parquet")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(interactions)


def interactions(
    first: Annotated[str, typer.Argument(help="Experiment whose effect is compared.")],
    second: Annotated[str, typer.Argument(help="Experiment between whose arms it is compared.")],
    metric: Annotated[
        str | None, typer.Option(help="One metric that both measure; else those that either decides by.")
    ] = None,
    output: Annotated[str, typer.Option("--format", help="table, json, csv or parquet.")] = "table",
) -> None:
    """Whether two experiments on the same units are assigned independently, and change each other's effects."""
    if output not in FORMATS:
        raise SpecError("unknown format", found=output, allowed=", ".join(FORMATS))
    from xp_pipeline.lifecycle.inference.interacting import interactions as found
    from xp_pipeline.lifecycle.publish import tabular
    from xp_pipeline.lifecycle.workspace import Workspace
    from xp_pipeline.spec.tables import INTERACTIONS

    rows = tabular(INTERACTIONS, found(Workspace.open(), first, second, metric=metric))
    if output == "table":
        _show(rows)
    elif output == "json":
        from xp_pipeline.serialization import serialize_to_json

        typer.echo(serialize_to_json(rows.to_dicts(), indent=1))
    elif output == "csv":
        typer.echo(rows.write_csv(), nl=False)
    else:
        rows.write_parquet(sys.stdout.buffer)


def _show(rows: pl.DataFrame) -> None:
    """Independence as a sentence, interactions as a table."""
    from rich.console import Console
    from rich.table import Table

    independence, *tests = rows.to_dicts()
    console = Console(highlight=False)
    console.print(_sentence(independence), soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("interaction", no_wrap=True)
    for column in ("control", "treatment", "diff.", "interval", "p adj."):
        table.add_column(column, justify="right", overflow="fold", no_wrap=column == "interval")
    for row in tests:
        table.add_row(*_cells(row))
    console.print(table)
    console.print(
        f"Effects of {independence['first']} among units of either arm of {independence['second']}.", style="dim"
    )


def _sentence(row: dict[str, object]) -> str:
    units = f"{row['units']:,} units are in both experiments"
    if row["status"] != "ok":
        return f"{units}; whether their arms are independent cannot be tested: {row['reason']}."
    said = "[red]depend on each other[/]" if row["significant"] else "are independent as far as can be told"
    test = f"chi-square {row['statistic']:.2f} on {row['df']:.0f} df, p = {row['p_value']:.3g}"
    return f"{units}; their arms {said} ({test})."


def _cells(row: dict[str, object]) -> list[str | Text]:
    from rich.text import Text

    arms = f"{row['first_arm']} x {row['second_arm']}" if row["first_arm"] else ""
    named = Text.assemble((str(row["metric"]), "bold"), (f"\n{arms}" if arms else "", "dim"))
    if row["difference"] is None:
        return [named, "", "", "", f"{row['status']}: {row['reason']}", ""]
    numbers = [f"{row[key]:+.4g}" for key in ("effect_in_control", "effect_in_arm", "difference")]
    interval = f"[{row['ci_low']:.4g}, {row['ci_high']:.4g}]" if row["ci_low"] is not None else str(row["reason"])
    p = f"{row['p_adjusted']:.3g}" if row["p_adjusted"] is not None else "not yet"
    return [named, *numbers, interval, p]
