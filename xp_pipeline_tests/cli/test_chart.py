"""The column chart in the terminal."""

from __future__ import annotations

from typing import Any

from xp_pipeline.cli.chart import HEIGHT, Columns, chart


def columns(**changes: Any) -> Columns:
    parts: dict[str, Any] = {
        "values": [None, 0.4, 0.2, 0.1], "positions": [1, 2, 3, 4], "line": 0.2, "dim": [False, False, False, True],
        "good": lambda value: value <= 0.2, "label": lambda value: f"{value:.2f}", "unit": "days",
    }  # fmt: skip
    return Columns(**(parts | changes))


def test_heights_are_to_scale_and_nothing_reaches_beyond() -> None:
    drawn = [line.plain for line in chart(columns())]
    bars = [line[8:] for line in drawn[:HEIGHT]]
    width = len(bars[0]) // 4
    filled = [sum(row[i * width] == "█" for row in bars) for i in range(4)]
    assert filled == [8, 8, 4, 2]
    assert drawn[0].startswith("   0.40 ")
    assert drawn[HEIGHT].split() == ["1", "2", "3", "4", "days"]
    assert max(map(len, drawn)) <= 80


def test_the_line_asked_for_is_drawn_and_labelled() -> None:
    drawn = [line.plain for line in chart(columns())]
    on_line = [line for line in drawn if "┄" in line]
    assert len(on_line) == 1
    assert on_line[0].startswith("   0.20 ")


def test_colours_tell_enough_from_not_enough_and_seen_from_extrapolated() -> None:
    styles = {str(span.style) for line in chart(columns()) for span in line.spans}
    assert {"cyan", "green", "dim green", "bright_black"} <= styles


def test_plain_characters_and_a_mark_on_either_side() -> None:
    for end in (1, 4):
        drawn = [line.plain for line in chart(columns(mark=(end, "planned end")), ascii_only=True)]
        assert all(character.isascii() for line in drawn for character in line)
        assert "^" in drawn[-1]
        assert "planned end" in drawn[-1]
    assert "^" not in "".join(line.plain for line in chart(columns(mark=(9, "planned end"))))


def test_high_columns_are_cut_where_they_would_flatten_the_rest() -> None:
    drawn = [line.plain for line in chart(columns(values=[100.0, 1.0, 0.5, 0.1], line=0.2))]
    assert drawn[0].startswith("   0.80 ")
    assert chart(columns(values=[None] * 4))[0].plain.count("█") > 0
