"""The scorecard as Markdown."""

from __future__ import annotations

import pytest

from xp_pipeline.report import markdown
from xp_pipeline_tests.report import examples


def cells(line: str) -> list[str]:
    """The cells of a table row."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_every_row_has_a_cell_per_column() -> None:
    for example in (examples.healthy, examples.interim, examples.single):
        lines = markdown.scorecard(example()).splitlines()
        assert len({len(cells(line)) for line in lines}) == 1


def test_one_row_per_deciding_estimate() -> None:
    lines = markdown.scorecard(examples.healthy()).splitlines()
    assert len(lines) == 2 + 18
    assert cells(lines[2]) == [
        "conversion", "primary", "one_page", "control 11.93%", "12.34%", "+3.4%", "+2.0 to +4.9%", "&lt;0.0001",
        "66,412 / 66,871", "✓ better",
    ]  # fmt: skip


def test_an_interim_table_has_no_p_value() -> None:
    head, *_ = markdown.scorecard(examples.interim()).splitlines()
    assert "p adj." not in head
    assert "95% confidence sequence" in head


def test_a_blocked_table_is_the_reason() -> None:
    text = markdown.scorecard(examples.blocked())
    assert text.startswith("**Estimates are withheld.**")
    assert "not the designed split" in text


def test_nothing_measured_yet() -> None:
    assert markdown.scorecard(examples.healthy(results=[])) == "There is no result yet.\n"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("one_page", "one_page"),
        ("_private_", "\\_private\\_"),
        ("a|b\nc", "a\\|b c"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("[x](y)", "\\[x\\](y)"),
    ],
)
def test_text_of_people_is_disarmed(text: str, escaped: str) -> None:
    assert markdown.escaped(text) == escaped


def test_the_summary_gives_verdicts_reasons_labels_and_findings() -> None:
    text = markdown.summary(examples.healthy(experiment=examples.card(label="retrospective")))
    assert "**Ship**: one_page" in text
    assert "- ✗ Guardrail page_load rose by 3.33%: a significant harm." in text
    assert "- ✓ No metric got significantly worse." in text
    assert "- retrospective: " in text
    assert "- ! Rows without an arm: " in text
