"""Results in the terminal: the verdict, then each metric by arm, legible at 80 columns; a wide terminal shows more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xp_pipeline.report import words
from xp_pipeline.report.estimate import Estimate, Precision, estimate, on_log_scale
from xp_pipeline.report.format import DASH, MINUS
from xp_pipeline.report.inputs import labels_of, text_of
from xp_pipeline.report.sequence import interval_words, telling
from xp_pipeline.report.withholding import is_interim, showable
from xp_pipeline.report.words import Tone

Row = Mapping[str, Any]
WIDE = 110
"""Columns from which on means and units have room."""

_STYLES = {Tone.GOOD: "green", Tone.BAD: "red", Tone.CAUTION: "yellow", Tone.NEUTRAL: ""}


def show_scorecard(
    rows: Sequence[Row], decisions: Sequence[Row], *, every: bool = False, console: Console | None = None
) -> None:
    """What an analyst reads, in this order: the verdicts, then the metrics by role.

    Args:
        rows: Rows of the results of one look.
        decisions: Its rows of decisions.
        every: Segments and every estimator too.
        console: Where to print.
    """
    console = console or Console(highlight=False)
    shown = showable(rows, withheld=False)
    for line in _head(rows, decisions):
        console.print(line)
    wide = console.width >= WIDE
    picked = [row for row in shown if every or row["decisive"] or row["status"] != "ok"]
    for role in words.ROLES:
        mine = [row for row in picked if row["role"] == role]
        if mine:
            console.print()
            console.print(_table(mine, shown, role, wide=wide))
            for line in _remarks(mine, shown):
                console.print(Padding(line, (0, 0, 0, 2)))


def _head(rows: Sequence[Row], decisions: Sequence[Row]) -> Iterator[RenderableType]:
    """The experiment, and its verdicts with their nearest change; those of the spec in force come first."""
    row = rows[0]
    interim = all(is_interim(r) for r in rows if r["decisive"])
    look = "final look" if row["final"] else "interim reading" if interim else "look"
    labels = [label for label in labels_of(row) if label in words.LABELS]
    said = ", ".join(part for part in (row["as_of"] and f"as of {row['as_of']}", look, *labels) if part)
    yield Text.assemble((row["experiment"], "bold"), (f"  {said}", "dim"))
    for decision in decisions:
        heading = words.VERDICTS.get(decision["verdict"])
        phrase = heading.phrase if heading else text_of(decision["verdict"])
        style = f"bold {_STYLES[heading.tone] if heading else ''}".strip()
        mine = decision["spec_hash"] == row["spec_hash"]
        yield Text.assemble((phrase, style), f"  {decision['arm']}", ("" if mine else "  (as promised)", "dim"))
        if decision["nearest_change"]:
            yield Padding(Text(f"Nearest change: {decision['nearest_change']}"), (0, 0, 0, 2))


def _table(rows: Sequence[Row], all_rows: Sequence[Row], role: str, *, wide: bool) -> Table:
    """A line per metric, and under it one per arm; what no row has to say has no column."""
    printed = [_printed(row, all_rows) for row in rows]
    kind = interval_words(telling(rows))
    lines = [_cells(row, one, kind, wide=wide) for row, one in zip(rows, printed, strict=True)]
    kept = [place for place in range(len(lines[0])) if any(line[place].plain for line in lines)]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for place in kept:
        name, justify = _columns(role, kind, wide=wide)[place]
        table.add_column(name, justify=justify, overflow="fold", no_wrap=place not in (0, len(lines[0]) - 1))
    for (metric, segment), group in groupby(range(len(rows)), key=lambda i: (rows[i]["metric"], rows[i]["segment"])):
        table.add_row(Text(f" by {segment}", style="italic") if segment else Text(metric, style="bold"))
        for i in group:
            table.add_row(*(lines[i][place] for place in kept))
    return table


def _columns(role: str, kind: str, *, wide: bool) -> list[tuple[str, Literal["left", "right"]]]:
    """Names and sides of the columns, the kind of intervals in as few words as it takes."""
    interval = kind.replace("confidence ", "")
    more: list[tuple[str, Literal["left", "right"]]] = [("baseline", "right"), ("mean", "right"), ("units", "right")]
    return [
        (role, "left"),
        *(more if wide else []),
        ("effect", "right"),
        (interval, "left"),
        ("test", "left"),
        ("", "left"),
    ]


def _printed(row: Row, all_rows: Sequence[Row]) -> Estimate:
    """The row as the page prints it: with the decimals of its metric."""
    alike = [r for r in all_rows if r["metric"] == row["metric"] and not r["segment"]]
    alike = [r for r in alike if on_log_scale(r) == on_log_scale(row)] or [row]
    return estimate(row, Precision.of(alike))


def _cells(row: Row, one: Estimate, kind: str, *, wide: bool) -> list[Text]:
    """The cells of a row, in the order of the columns."""
    relative = one.lift_status == "ok" and one.lift.value is not None
    effect, interval = (one.lift, one.lift_interval) if relative else (one.effect, one.effect_interval)
    test, tone = _test(one), one.reading.tone
    units = f"{one.n_arm.text} / {one.n_baseline.text}" if one.n_arm.value is not None else ""
    more = [_plain(one.mean_baseline.text), _plain(one.mean_arm.text), _plain(units)]
    return [
        Text(f" {' ' if row['segment'] else ''}{_about(row, kind)}", style="" if row["decisive"] else "dim"),
        *(more if wide else []),
        _plain(effect.text),
        _plain(interval.text),
        Text(test),
        Text("" if test.startswith("z") and one.significant is False else one.reading.text, style=_STYLES[tone]),
    ]


def _about(row: Row, kind: str = "") -> str:
    """The arm, and what distinguishes the row from its like."""
    population = "" if row["population"] in (None, "enrolled") else str(row["population"])
    estimator = "" if row["decisive"] else text_of(row["estimator"])
    own = interval_words([row])
    mixed = kind and row["decisive"] and row["interval_kind"] and own != kind
    other = own.replace(" confidence interval", "").replace("confidence ", "") if mixed else ""
    level = text_of(row["segment_value"]) or ("differences" if row["segment"] else "")
    return ", ".join(part for part in (level, row["arm"], population, estimator, other) if part)


def _test(one: Estimate) -> str:
    """The p-value, the bound of a guardrail, or how near the statistic came to its boundary."""
    if one.guard and not one.guard.both and one.guard.bound.value is not None:
        return _ascii(f"bound {one.guard.bound.text}")
    p = one.p_adjusted if one.p_adjusted.value is not None else one.p
    if p.value is not None and not (one.guard and not one.guard.both):
        return f"{'p same' if one.guard else 'p'} {p.text}".replace("p <", "p < ").replace("same <", "same < ")
    found = one.sequential
    if found and found.statistic.value is not None:
        sign = ">" if found.crossed_now else "<"
        shown = f"z {found.statistic.text}"
        return _ascii(f"{shown} {sign} {found.boundary.text}" if found.boundary.value is not None else shown)
    if one.guard and one.guard.p.value is not None:
        return f"p {one.guard.p.text}".replace("p <", "p < ")
    return ""


def _remarks(rows: Sequence[Row], all_rows: Sequence[Row]) -> Iterator[Text]:
    """What there is to say of a row, once for rows that say the same."""
    said: dict[str, list[str]] = {}
    for row in rows:
        one = _printed(row, all_rows)
        for line in (*(one.sequential.sentences if one.sequential else ()), *one.notes):
            said.setdefault(line, []).append(f"{row['metric']}, {_about(row)}")
    for line, about in said.items():
        names = "; ".join(dict.fromkeys(about[:3])) + (f" and {len(about) - 3} more" if len(about) > 3 else "")
        yield Text(_ascii(f"{names}: {line}"), style="dim")


def _plain(text: str) -> Text:
    return Text(_ascii(text))


def _ascii(text: str) -> str:
    """With a hyphen for a minus, and nothing for an absent number: what is copied from a terminal is pasted."""
    return "" if text == DASH else text.replace(MINUS, "-")
