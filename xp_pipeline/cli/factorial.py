"""A factorial design in the terminal: its runs, and what each effect cannot be told from."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

MOST_SHOWN = 40


def equal_runs(plan: dict[str, Any]) -> str:
    """The shares of a factorial design in short, where all are alike; empty otherwise."""
    shares = list(plan["shares"].values())
    if not plan.get("factorial") or max(shares) - min(shares) > 1e-9:
        return ""
    return f"{len(shares)} arms of {100 * shares[0]:.3g}% each"


def show_factorial(console: Console, plan: dict[str, Any]) -> None:
    """The alias table of a plan; nothing where arms are no runs of a design."""
    design = plan.get("factorial")
    if not design:
        return
    asked = [effect["effect"] for effect in design["effects"]]
    console.print()
    console.print(Text.assemble(("factors ", "bold"), f"{design['notation']}, {len(design['runs'])} arms"))
    for factor in design["factors"]:
        low, *others = factor["levels"]
        console.print(Text(f"  {factor['factor']}: {', '.join(others)} against {low}"))
    if design["defining_relation"]:
        console.print(Text(f"  {', '.join(design['generators'])}; {design['defining_relation']}"))
    console.print()
    console.print(_aliases(design))
    if len(design["aliases"]) > MOST_SHOWN:
        console.print(Text(f"… and {len(design['aliases']) - MOST_SHOWN} more: --format json", style="dim"))
    console.print(Text(f"Estimated: {', '.join(asked)}.", style="dim"))


def _aliases(design: dict[str, Any]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("effect", "aliased with", "can be asked for"):
        table.add_column(column, overflow="fold")
    for row in design["aliases"][:MOST_SHOWN]:
        table.add_row(row["effect"], ", ".join(row["aliased_with"]) or "nothing", "yes" if row["estimable"] else "no")
    return table
