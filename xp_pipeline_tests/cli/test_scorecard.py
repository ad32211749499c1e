"""Results in the terminal: what is read first fits 80 columns uncut, a wide terminal shows more."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from xp_pipeline.cli.scorecard import show_scorecard
from xp_pipeline.cli.tables import _COLOURS
from xp_pipeline.decision.verdict import Verdict
from xp_pipeline_tests.report import examples, sequential_examples

NEAREST = "Would ship if the margin of page_load were 2.4 % instead of 2 %."


def shown(rows: list[examples.Row], *decisions: examples.Row, width: int = 80, every: bool = False) -> str:
    """What the terminal prints."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show_scorecard(rows, decisions, every=every, console=console)
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    return printed


def line_of(text: str, start: str) -> str:
    """The line that begins with some words."""
    return next(line for line in text.splitlines() if line.strip().startswith(start))


@pytest.mark.parametrize("every", [False, True])
def test_eighty_columns_are_enough(every: bool) -> None:
    text = shown(examples.healthy_results(), every=every)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text
    first = line_of(text, "one_page ")
    assert first.split() == ["one_page", "+3.4%", "+2.0", "to", "+4.9%", "p", "<", "0.0001", "better"]


def test_a_wide_terminal_shows_means_and_units() -> None:
    narrow, wide = (shown(examples.healthy_results(), width=width) for width in (80, 140))
    assert "66,412 / 66,871" in wide
    assert "baseline" in wide
    assert "66,412" not in narrow


def test_the_verdict_and_its_nearest_change_come_first() -> None:
    decisions = [
        examples.decision("one_page", "running", [], nearest_change=NEAREST),
        examples.decision("guest", "rerun", [], spec_hash="0" * 64),
    ]
    lines = shown(sequential_examples.rows(2), *decisions, width=100).splitlines()
    assert lines[0].split() == ["checkout_redesign", "as", "of", "2026-02-01,", "final", "look"]
    assert lines[1].split() == ["Running", "one_page"]
    assert lines[2].strip() == f"Nearest change: {NEAREST}"
    assert lines[3].split() == ["Rerun", "guest", "(as", "promised)"]


def test_a_test_along_the_looks_shows_its_boundary_and_a_stop_its_unbiased_estimate() -> None:
    assert "z +2.41 < 2.96" in shown(sequential_examples.rows(2))
    assert "95% repeated interval" in shown(sequential_examples.rows(2))
    stopped = shown(sequential_examples.rows(3))
    assert "p 0.0071" in stopped
    assert "Stopped at look 3. Median-unbiased: +2.4%" in " ".join(stopped.split())


def test_guardrails_show_the_bound_and_whether_it_holds() -> None:
    text = shown(examples.healthy_results())
    assert "bound +2.5%" in text
    assert "harm not excluded" in text


def test_a_column_that_no_row_fills_is_left_out() -> None:
    rows: list[dict[str, Any]] = [sequential_examples.rows(2)[2]]
    assert "test" not in shown(rows).splitlines()[2].split()


def test_interim_significance_stays_hidden() -> None:
    row = sequential_examples.rows(2)[2] | {"p_value": 0.01, "p_adjusted": 0.012, "significant": True}
    text = shown([row])
    assert "interim reading" not in text, "the row says it is final"
    assert "0.012" not in text
    assert "better" not in text
    assert "interim reading" in shown([row | {"final": False}])


def test_a_status_is_told_with_its_reason() -> None:
    text = shown(examples.healthy_results())
    assert "no variation" in text
    assert "Every value is the same in both arms." in text


def test_numbers_can_be_pasted() -> None:
    text = shown(examples.healthy_results(), every=True)
    assert "−" not in text
    assert "—" not in text


def test_every_verdict_has_a_colour() -> None:
    assert set(Verdict) <= set(_COLOURS)
