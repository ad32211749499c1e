"""A column chart in the terminal, of block characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

HEIGHT = 8
WIDTH = 60
_BLOCKS = " ▁▂▃▄▅▆▇█"
_PLAIN = "    #####"


@dataclass(frozen=True)
class Columns:
    """What is drawn.

    Attributes:
        values: Height of every column; None where it has none, or more than any number.
        positions: What each stands for, on the axis below.
        line: A height to draw a line at, None for none.
        dim: Columns drawn dimmed.
        good: Whether a column of some height is one hoped for.
        label: A height as text, at most 7 characters.
        unit: What stands at the end of the axis.
        mark: Position to point out below the axis, with what it is.
    """

    values: Sequence[float | None]
    positions: Sequence[float]
    line: float | None
    dim: Sequence[bool]
    good: Callable[[float], bool]
    label: Callable[[float], str]
    unit: str
    mark: tuple[float, str] | None = None


def chart(columns: Columns, *, ascii_only: bool = False) -> list[Text]:
    """The lines of the chart, at most 70 characters wide."""
    top = _top(columns)
    repeat = max(1, WIDTH // max(len(columns.values), 1))
    lines = [_row(columns, top, row, repeat, ascii_only) for row in range(HEIGHT, 0, -1)]
    return [*lines, *_axis(columns, repeat)]


def _top(columns: Columns) -> float:
    """The height of the chart: all columns where they differ little, else some times the last and the line."""
    known = [value for value in columns.values if value is not None]
    if not known:
        return 1.0
    return min(max(known), 4 * max(known[-1], columns.line or 0.0)) or 1.0


def _row(columns: Columns, top: float, row: int, repeat: int, ascii_only: bool) -> Text:
    """One row of the chart, 1 at the bottom."""
    step = top / HEIGHT
    on_line = columns.line is not None and (row - 1) * step <= columns.line < row * step
    label = columns.label(columns.line) if on_line and columns.line else columns.label(top) if row == HEIGHT else ""
    text = Text(f"{label:>7} ", style="dim")
    for value, dimmed in zip(columns.values, columns.dim, strict=True):
        eighths = 8 if value is None else min(max(round((value / step - (row - 1)) * 8), 0), 8)
        symbol = (_PLAIN if ascii_only else _BLOCKS)[eighths]
        symbol = ("-" if ascii_only else "┄") if on_line and symbol == " " else symbol
        text.append(symbol * repeat, style=_style(columns, value, dimmed))
    return text


def _style(columns: Columns, value: float | None, dimmed: bool) -> str:
    colour = "bright_black" if value is None else "green" if columns.good(value) else "cyan"
    return f"dim {colour}" if dimmed else colour


def _axis(columns: Columns, repeat: int) -> list[Text]:
    """Positions below the columns, some ten characters apart, and the mark below them."""
    width = len(columns.positions) * repeat
    cells = [" "] * (width + 12)
    every = max(1, round(10 / repeat))
    for i in range(0, len(columns.positions), every):
        place = i * repeat
        text = f"{columns.positions[i]:g}"
        cells[place : place + len(text)] = text
    line = "".join(cells).rstrip()
    lines = [Text(f"{'':8}{line}  {columns.unit}", style="dim")]
    if columns.mark and columns.positions and columns.positions[0] <= columns.mark[0] <= columns.positions[-1]:
        place = sum(position < columns.mark[0] for position in columns.positions) * repeat
        lines.append(_pointed(place, columns.mark[1]))
    return lines


def _pointed(place: int, what: str) -> Text:
    """A caret below a place, with words to whichever side has room."""
    if place > WIDTH // 2:
        return Text(f"{f'{what} ^':>{place + 9}}", style="dim")
    return Text(f"{'':{place + 8}}^ {what}", style="dim")
