"""A plan in the terminal: units, run times, and the curve of what is in reach by when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xp_pipeline.cli.chart import Columns, chart
from xp_pipeline.cli.factorial import equal_runs, show_factorial

Entry = dict[str, Any]
_SHOWN = ("baseline_mean", "planned_effect", "margin", "n", "days", "n_at_end", "mde", "power_at_end", "reason")
_SHARES = ("proportion", "retention")
_SAME = ("metric", *_SHOWN)
_WANTED = {"detect": "detect", "rule_out": "rule out", "equate": "same within"}
_REACHED = {
    "detect": "smallest effect detected",
    "rule_out": "smallest margin ruled out",
    "equate": "smallest margin held both ways",
}


def show_plan(plan: dict[str, Any]) -> None:
    """A table for each role, a chart for each primary metric, and what the plan rests on."""
    console = Console(highlight=False)
    console.print(_headline(plan))
    entries = _merged(plan["metrics"])
    for role, members in groupby(entries, key=lambda e: e["role"]):
        of_role = list(members)
        console.print()
        console.print(_table(of_role, role, plan))
        for entry in of_role:
            if why := _why(entry):
                console.print(Text(f"  {entry['metric']}: {why}", style="yellow"))
    for entry in entries:
        if entry["role"] == "primary" or len(entries) == 1:
            for line in _drawn(entry, ascii_only=console.options.ascii_only):
                console.print(line, soft_wrap=True)
    show_factorial(console, plan)
    console.print()
    for sentence in _sentences(plan, entries):
        console.print(Text(sentence, style="dim"))


def _headline(plan: dict[str, Any]) -> Text:
    shares = equal_runs(plan) or ", ".join(f"{100 * share:.3g}% {arm}" for arm, share in plan["shares"].items())
    days = f"{plan['run_days']:g} days, " if plan["run_days"] else ""
    return Text.assemble((f"{plan['experiment'] or 'plan'}: ", "bold"), days + shares)


def _merged(entries: Sequence[Entry]) -> list[Entry]:
    """Entries of a metric whose arms have the same numbers, as one."""
    found: list[Entry] = []
    for entry in entries:
        same = next((e for e in found if all(e.get(key) == entry.get(key) for key in _SAME)), None)
        if same:
            same["arm"] += f", {entry['arm']}"
        else:
            found.append(dict(entry))
    return found


def _table(entries: Sequence[Entry], role: str, plan: dict[str, Any]) -> Table:
    ends = any(entry.get("n_at_end") is not None for entry in entries)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(role, overflow="fold", min_width=14)
    wanted = " / ".join(dict.fromkeys(_WANTED[entry["aim"]] for entry in entries if "aim" in entry)) or "detect"
    for column in ("baseline", wanted, "units in arm", "days"):
        table.add_column(column, justify="right")
    if ends:
        table.add_column(_when(plan), justify="right")
    for entry in entries:
        table.add_row(*_cells(entry, ends=ends))
    return table


def _when(plan: dict[str, Any]) -> str:
    """When the last column will be true."""
    return f"with {plan['units']:,.0f}" if plan.get("units") else f"after {plan['run_days']:g} d"


def _cells(entry: Entry, *, ends: bool) -> list[str | Text]:
    named = Text.assemble((entry["metric"], "bold"), "\n", (entry["arm"], "dim"))
    days = entry.get("days")
    cells: list[str | Text] = [
        named,
        _amount(entry.get("baseline_mean"), entry),
        _wanted(entry),
        f"{entry['n']:,}" if "planned_effect" in entry or "margin" in entry else "",
        "" if days is None else f"{days}{'*' if entry.get('days_extrapolated') else ''}",
    ]
    return [*cells, _in_reach(entry)] if ends else cells


def _why(entry: Entry) -> str:
    """Why there is no plan, or no run time."""
    return entry.get("reason") or ("" if "baseline_mean" in entry else entry["baseline"])


def _wanted(entry: Entry) -> str:
    size = entry.get("planned_effect") or entry.get("margin")
    if size is None:
        return ""
    relative = entry.get("wanted_relative")
    return _amount(size, entry) if relative is None else f"{relative:.3%}".rstrip("0%").rstrip(".") + "%"


def _in_reach(entry: Entry) -> str:
    """The smallest effect at the end of the plan, and the power at the one asked for."""
    if entry.get("mde") is None:
        return ""
    relative = entry.get("mde_relative")
    least = _amount(entry["mde"], entry) if relative is None else f"{relative:.2%}"
    power = entry.get("power_at_end")
    lines = [least + ("*" if entry.get("end_extrapolated") else "")]
    return "\n".join([*lines, f"power {power:.2f}"] if power is not None else lines)


def _amount(value: float | None, entry: Entry) -> str:
    if value is None:
        return ""
    return f"{100 * value:.3g}%" if entry.get("type") in _SHARES else f"{value:,.4g}"


def _drawn(entry: Entry, *, ascii_only: bool) -> Iterator[Text]:
    """The entry's curve: what is in reach by day, or the power by effect."""
    curve, powers = entry.get("curve"), entry.get("power_curve")
    if curve and any(value is not None for value in curve["least"]):
        found = _by_day(entry, curve)
        title = f"{_REACHED[entry['aim']]} by day"
    elif powers and powers["effects"]:
        found, title = _by_effect(entry, powers), "power by true effect"
    else:
        return
    yield Text()
    yield Text.assemble((entry["metric"], "bold"), f", {entry['arm']}: {title}")
    yield from chart(found, ascii_only=ascii_only)


def _by_day(entry: Entry, curve: dict[str, Any]) -> Columns:
    relative = all(lift is not None for lift, least in zip(curve["lift"], curve["least"], strict=True) if least)
    wanted = entry.get("wanted_relative") if relative else entry.get("planned_effect") or entry.get("margin")
    limit = wanted or 0.0
    return Columns(
        values=curve["lift"] if relative else curve["least"],
        positions=curve["days"],
        line=wanted,
        dim=curve["extrapolated"],
        good=lambda value: value <= limit,
        label=(lambda value: f"{value:.1%}") if relative else (lambda value: _amount(value, entry)),
        unit="days",
        mark=(curve["end"], "planned end, windows complete") if curve["end"] else None,
    )


def _by_effect(entry: Entry, powers: dict[str, Any]) -> Columns:
    asked, mean = entry["power"], abs(entry["baseline_mean"])
    scale = 100 / mean if mean else 1.0
    return Columns(
        values=powers["power"],
        positions=[float(f"{scale * effect:.2g}") for effect in powers["effects"]],
        line=asked,
        dim=[False] * len(powers["power"]),
        good=lambda value: value >= asked,
        label=lambda value: f"{value:.2f}",
        unit="% of baseline" if mean else "effect",
    )


def _sentences(plan: dict[str, Any], entries: Sequence[Entry]) -> Iterator[str]:
    if any(entry.get("days_extrapolated") or entry.get("end_extrapolated") for entry in entries):
        yield "* beyond the days of history (dimmed in the chart): traffic is extrapolated."
    if any(entry.get("days") for entry in entries):
        yield "Days run from the start until enough windows are complete, under the effect asked for."
    needed = max((entry["units"] for entry in entries if entry.get("units")), default=None)
    if needed:
        yield f"{needed:,} units of all arms show everything that is asked for."
    origins = {entry["baseline"]: None for entry in entries if "baseline_mean" in entry}
    for origin in origins:
        names = dict.fromkeys(e["metric"] for e in entries if e["baseline"] == origin)
        if plan["experiment"]:
            yield f"Baseline of {', '.join(names)}: {origin}."
    explained = {e["metric"]: e["variance_explained"] for e in entries if e.get("variance_explained")}
    for name, share in explained.items():
        yield f"Covariates remove {share:.0%} of the variance of {name}."
    alike = {e["metric"]: e["design_effect"] for e in entries if e.get("design_effect", 1.0) > 1.0}
    for name, effect in alike.items():
        yield f"Clusters multiply the variance of {name} by {effect:.2f}."
    yield from plan["assumptions"]
