"""Small tables for people: as a frame of the caller's library, and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Literal

Rows = Iterable[Mapping[str, Any]]

Kind = Literal["pandas", "pyarrow", "polars"]
STYLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"


def as_frame(rows: Rows, columns: Sequence[str], *, kind: Kind) -> Any:
    """Rows as a frame with just these columns; a missing value is null.

    Args:
        kind: Library of the frame.
    """
    import narwhals as nw
    import polars as pl

    data = [{name: row.get(name) for name in columns} for row in rows]
    frame = pl.DataFrame(data, schema=list(columns), infer_schema_length=None)
    if kind == "polars":
        return frame
    return nw.from_dict(frame.to_dict(as_series=False), backend=kind).to_native()


def html_table(rows: Rows, columns: Sequence[str], *, title: str = "", notes: Iterable[str] = ()) -> str:
    """Rows as an HTML table, every text escaped, numbers to four significant digits."""
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cell(row.get(name)) for name in columns)}</tr>" for row in rows)
    said = "".join(f"<p>{escape(note)}</p>" for note in notes)
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return f'<table style="{STYLE}">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{said}'


def _cell(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f'<td style="text-align:{"right" if number else "left"}">{escape(_text(value))}</td>'


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
