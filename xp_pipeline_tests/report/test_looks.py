"""The looks on page, card and Markdown: the ledger's numbers, boundaries to scale, words for each kind of interval."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from xp_pipeline.report import card, markdown, words
from xp_pipeline.report.document import ReportDocument
from xp_pipeline.report.estimate import Estimate
from xp_pipeline.report.html import render
from xp_pipeline.report.looks_chart import chart_svg
from xp_pipeline.report.schedule import SPENDING
from xp_pipeline.report.words import Tone
from xp_pipeline.stats.spending import Spending
from xp_pipeline_tests.report import examples, sequential_examples
from xp_pipeline_tests.report.sequential_examples import (
    BOUNDARIES,
    LOOKS,
    READING,
    SPENT,
    STATISTICS,
    always_valid,
    at_look,
)
from xp_pipeline_tests.report.test_html import Page


def deciding(document: ReportDocument, metric: str) -> Estimate:
    """The deciding estimate of a metric."""
    blocks = [block for scorecard in document.main.scorecards for block in scorecard.blocks]
    return next(block.comparisons[0].main for block in blocks if block.metric == metric)


def test_rows_are_the_looks_of_the_ledger() -> None:
    looks = at_look(3).looks
    assert [row.number for row in looks.rows] == [1, 2, 3]
    assert [row.as_of for row in looks.rows] == list(sequential_examples.DAYS)
    assert [row.information.value for row in looks.rows] == [0.25, 0.5, 0.75]
    assert [row.tests[0].statistic.value for row in looks.rows] == list(STATISTICS)
    assert [row.tests[0].boundary.value for row in looks.rows] == list(BOUNDARIES)
    assert [row.tests[0].state for row in looks.rows] == ["not crossed", "not crossed", "crossed"]
    assert [row.tests[1].state for row in looks.rows] == ["not crossed", "crossed", "stopped before"]
    assert [row.alpha_spent.value for row in looks.rows] == [2 * spent for spent in SPENT]
    assert looks.planned == 4


def test_the_numbers_of_a_look_are_those_of_its_published_row() -> None:
    for at in (1, 2, 3):
        document = at_look(at)
        row, last = sequential_examples.rows(at)[0], document.looks.rows[-1]
        assert last.tests[0].statistic.value == row["statistic"]
        assert last.tests[0].boundary.value == row["boundary"]
        assert last.alpha_spent.value == row["alpha_spent"]
        assert last.information.value == row["information"]
        assert bool(last.tests[0].crossed) == row["significant"]
        found = deciding(document, "conversion").sequential
        assert found is not None
        assert (found.statistic, found.boundary) == (last.tests[0].statistic, last.tests[0].boundary)


def test_the_page_prints_the_table_and_the_course() -> None:
    page = Page(render(at_look(3)))
    for text in ("+2.41", "2.96", "+2.75", "2.36", "crossed at look 3", "margin held at look 2", "stopped before"):
        assert text in page.text
    shown = [svg for svg in page.all("svg") if svg.get("class") == "plot looks"]
    assert len(shown) == 2
    assert all(svg["aria-label"] for svg in shown)


def test_the_chart_is_to_scale_and_marks_what_crossed() -> None:
    (primary, guard) = at_look(3).looks.tests
    chart = primary.chart
    assert chart is not None
    assert guard.chart is not None
    assert [mark.filled for mark in chart.marks] == [False, False, True]
    assert chart.marks[-1].tone == "good"
    assert [mark.x for mark in chart.marks] == pytest.approx([7 / 35, 14 / 35, 21 / 35])
    (_, y2), (_, y3) = chart.upper[1:]
    scale = (y2 - y3) / (BOUNDARIES[1] - BOUNDARIES[2])
    for mark, z in zip(chart.marks, STATISTICS, strict=True):
        assert mark.y == pytest.approx(chart.zero + scale * z)
    assert chart.lower[2][1] == pytest.approx(2 * chart.zero - y3)
    assert guard.chart.lower == ()
    root = ElementTree.fromstring(str(chart_svg(chart)))
    assert len(list(root.iter("circle"))) == 3
    assert [line.get("class") for line in root.iter("polygon")] == ["zone good", "zone bad"]


def test_a_metric_that_should_fall_is_good_below() -> None:
    falling = examples.bound(analysis={"looks": "group_sequential"})
    metrics = {
        **falling.metrics,
        "conversion": falling.metrics["conversion"].model_copy(update={"direction": "decrease"}),
    }
    chart = at_look(3, bound=falling.model_copy(update={"metrics": metrics})).looks.tests[0].chart
    assert chart is not None
    assert (chart.upper_tone, chart.lower_tone) == ("bad", "good")
    assert chart.marks[-1].tone == "bad"


def test_boundaries_still_to_come_are_drawn_from_the_last_look_on() -> None:
    ahead = {"conversion|one_page|benefit": [(28, 2.2), (35, 2.05)]}
    chart = at_look(2, boundaries_ahead=ahead).looks.tests[0].chart
    assert chart is not None
    assert [x for x, _ in chart.planned] == pytest.approx([14 / 35, 28 / 35, 1.0])
    assert chart.planned[0] == chart.upper[-1]
    assert chart.boundary is not None
    assert chart.boundary.text == "2.05"
    assert "boundaries of the looks still planned" in render(at_look(2, boundaries_ahead=ahead))


def test_a_boundary_that_nothing_crosses_is_no_number() -> None:
    test = {**LOOKS[0]["tests"]["conversion|one_page|benefit"], "upper": 20.0}
    first = {**LOOKS[0], "tests": {"conversion|one_page|benefit": test}}
    document = at_look(1, looks=[first])
    assert document.looks.rows[0].tests[0].boundary.text == "—"
    assert document.looks.tests[0].state.endswith("no boundary yet")
    ElementTree.fromstring(str(chart_svg(document.looks.tests[0].chart)))  # type: ignore[arg-type]


def test_a_reading_between_looks_is_none_and_says_so() -> None:
    document = at_look(2, results=sequential_examples.rows(2, reading=True), looks=[*LOOKS[:2], READING], looks_left=2)
    assert len(document.looks.rows) == 2
    assert document.looks.readings == 1
    assert document.looks.standing == "between looks"
    page = Page(render(document)).text
    assert "after look 2 of 4 planned: it spends no alpha" in page
    assert "1 other reading spent nothing" in page


@pytest.mark.parametrize(("at", "standing"), [(1, "number 1 of 4"), (2, "number 2 of 4"), (3, "number 3 of 4")])
def test_the_head_of_the_page_says_which_look_it_is(at: int, standing: str) -> None:
    document = at_look(at)
    assert document.looks.standing == standing
    assert f"<dd>{standing}</dd>" in render(document)


def test_deterioration_that_crossed_is_said() -> None:
    harm = {**LOOKS[0]["tests"]["conversion|one_page|harm"], "crossed": 1}
    first = {**LOOKS[0], "tests": {**LOOKS[0]["tests"], "conversion|one_page|harm": harm}}
    document = at_look(2, looks=[first, LOOKS[1]])
    assert document.looks.harms == ("conversion got significantly worse in one_page at look 1.",)
    assert "conversion got significantly worse" in render(document)


def test_a_harmed_metric_reads_worse_whatever_else_it_is() -> None:
    rows = sequential_examples.rows(2)
    rows[2] |= {"harmed": True}
    assert deciding(at_look(2, results=rows), "orders").reading == (Tone.BAD, "worse")


def test_one_look_is_a_sentence() -> None:
    looks = at_look(1, schedule="fixed", results=examples.healthy_results()[:1]).looks
    assert (looks.rows, looks.tests, looks.reading, looks.standing) == ((), (), "", "")
    assert looks.sentences == (
        "One look is planned, at the end, 2026-02-02: readings before it show estimates without significance.",
    )


def test_a_withheld_experiment_shows_no_statistic() -> None:
    spec = examples.bound(analysis={"looks": "group_sequential"})
    document = examples.blocked(looks=LOOKS, bound=spec)
    assert document.withheld
    assert document.looks.rows == ()
    assert "2.96" not in render(document)
    assert card.experiment_card(document)["looks"]["looks"] == []


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (at_look(2), "95% repeated confidence interval"),
        (at_look(3), "95% stage-wise confidence interval"),
        (always_valid(), "95% always-valid confidence interval"),
    ],
)
def test_the_scorecard_names_its_intervals(document: ReportDocument, name: str) -> None:
    assert document.main.scorecards[0].interval_name == name
    assert f"Intervals: {name} (" in render(document)
    assert card.experiment_card(document)["results"][0]["interval_name"] == name


def test_an_estimate_of_another_kind_than_its_scorecard_is_named() -> None:
    contrast = {**sequential_examples.rows(2)[0], "arm": "both", "interval_kind": "sequence", "significant": None}
    contrast |= dict.fromkeys(("information", "statistic", "boundary", "alpha_spent"))
    document = at_look(2, results=[*sequential_examples.rows(2), contrast])
    first, second = document.main.scorecards[0].blocks[0].comparisons
    assert (first.main.interval_kind, second.main.interval_kind) == ("", "95% confidence sequence")
    assert not document.main.scorecards[0].is_mixed
    stopped = {**sequential_examples.rows(3, reading=True)[0], "arm": "other"}
    mixed = at_look(3, results=[*sequential_examples.rows(3), stopped])
    assert mixed.main.scorecards[0].is_mixed
    assert "Intervals: as named in each row." in render(mixed)


def test_after_a_stop_the_unbiased_estimate_stands_beside_the_naive_one() -> None:
    document = at_look(3)
    found = deciding(document, "conversion").sequential
    assert found is not None
    assert (found.stopped, found.unbiased_lift.value, found.unbiased_effect.value) == (3, 0.0243, 0.0029)
    (sentence,) = found.sentences
    assert sentence.startswith("Stopped at look 3. Median-unbiased: +2.4% (as observed +3.4%)")
    assert "too large on average" in sentence
    assert sentence in Page(render(document)).text
    shown = next(r for r in card.experiment_card(document)["results"] if r["metric"] == "conversion")
    assert (shown["stopped_look"], shown["unbiased_lift"], shown["p"], shown["p_name"]) == (
        3,
        0.0243,
        0.0071,
        "stage-wise",
    )


def test_a_claim_that_stands_keeps_its_p_value_beside_a_band() -> None:
    document = at_look(3, results=sequential_examples.rows(3, reading=True))
    main = deciding(document, "conversion")
    assert main.p_adjusted.value == 0.0071
    assert main.significant is True
    assert main.sequential is not None
    assert "The interval is of what the data say now." in main.sequential.sentences[0]
    assert not document.title.interim


def test_a_band_between_looks_shows_neither_p_value_nor_significance_whatever_its_row_says() -> None:
    rows = sequential_examples.rows(2, reading=True)
    rows[0] |= {"p_value": 0.004, "p_adjusted": 0.004, "significant": True}
    document = at_look(2, results=rows, looks=[*LOOKS[:2], READING])
    main = deciding(document, "conversion")
    assert (main.p.value, main.significant, main.sequential) == (None, None, None)


def test_what_is_not_tested_along_the_looks_waits_beside_what_is() -> None:
    document = at_look(2)
    cards = {scorecard.role: scorecard for scorecard in document.main.scorecards}
    assert (cards["primary"].interim, cards["secondary"].interim) == (False, True)
    assert not document.title.interim
    assert deciding(document, "page_load").reading == (Tone.GOOD, "margin held")
    assert deciding(document, "conversion").reading == (Tone.NEUTRAL, "boundary not crossed")


def test_always_valid_looks_show_intervals_and_p_values() -> None:
    document = always_valid()
    assert [row.tests[0].p.value for row in document.looks.rows] == [0.31, 0.041, 0.012]
    assert [row.tests[0].interval.text for row in document.looks.rows] == [
        "−0.61 to +1.41 pp", "+0.02 to +0.98 pp", "+0.11 to +0.85 pp",
    ]  # fmt: skip
    assert [row.alpha_spent.value for row in document.looks.rows] == [None] * 3
    chart = document.looks.tests[0].chart
    assert chart is not None
    assert [mark.filled for mark in chart.marks] == [False, True, True]
    for mark in chart.marks:
        assert mark.low is not None
        assert mark.high is not None
        assert mark.y is not None
        assert mark.low < mark.y < mark.high
    assert "+0.11 to +0.85 pp" in Page(render(document)).text


def test_an_unbounded_sequence_fills_the_plot() -> None:
    looks = [{**LOOKS[0], "tests": {"conversion|one_page|benefit": {
        "look": 1, "units": 300, "crossed": 0, "p": 1.0, "effect": 0.01, "low": "-inf", "high": "inf"}}}]  # fmt: skip
    (test,) = always_valid(looks=looks).looks.tests
    assert test.chart is not None
    assert (test.chart.marks[0].low, test.chart.marks[0].high) == (0.0, 1.0)


def test_the_card_holds_the_looks_unrounded() -> None:
    made = card.experiment_card(at_look(3))["looks"]
    assert (made["schedule"], made["taken"], made["planned"]) == ("group_sequential", 3, 4)
    first = made["looks"][1]["tests"][0]
    assert first["statistic"] == STATISTICS[1]
    assert first["boundary"] == BOUNDARIES[1]
    assert made["looks"][1]["alpha_spent"] == 2 * SPENT[1]


def test_the_markdown_shows_how_near_the_boundary_a_test_is() -> None:
    assert "z +2.41 of 2.96" in markdown.scorecard(at_look(2))
    lines = markdown.scorecard(at_look(2)).splitlines()
    assert len({line.count(" | ") for line in lines if line.startswith("| ") and ":--" not in line}) == 1


def test_the_nearest_change_stands_apart_from_the_reasons() -> None:
    document = at_look(2)
    (verdict,) = document.main.verdicts
    assert verdict.nearest_change.startswith("Would not ship")
    assert all("Would not ship" not in reason.sentence for reason in verdict.reasons)
    assert render(document).count(verdict.nearest_change) == 1
    assert card.experiment_card(document)["verdicts"][0]["nearest_change"] == verdict.nearest_change
    assert f"Nearest change: {verdict.nearest_change}" in markdown.summary(document)


@pytest.mark.parametrize(("verdict", "tone"), [("running", Tone.NEUTRAL), ("rerun", Tone.CAUTION)])
def test_every_verdict_has_a_phrase(verdict: str, tone: Tone) -> None:
    made = at_look(2, decisions=[examples.decision("one_page", verdict, [(False, "x")])])
    assert made.main.verdicts[0].phrase == words.VERDICTS[verdict].phrase
    assert made.main.verdicts[0].tone == tone
    expected = Tone.NEUTRAL if verdict == "running" else Tone.BAD
    assert made.main.verdicts[0].reasons[0].tone == expected


def test_every_verdict_of_the_engine_has_words() -> None:
    from xp_pipeline.decision.verdict import Verdict

    assert set(words.VERDICTS) == set(Verdict)


@pytest.mark.parametrize("family", SPENDING)
def test_the_method_names_every_spending_function(family: Any) -> None:
    parameter = 2.0 if family in ("kim_demets", "hwang_shih_decani") else None
    assert Spending(family, parameter).family == family
    looks = {"schedule": "group_sequential", "spending": family, "every": "7d"}
    looks |= {"parameter": parameter} if parameter else {}
    general = " ".join(at_look(1, schedule=looks).method.general)
    assert SPENDING[family].format(parameter) in general
    assert "looks are taken every 7 days" in general


def test_the_method_says_what_the_looks_rest_on() -> None:
    general = " ".join(at_look(1).method.general)
    for said in (
        "Each guardrail is tested one-sided at 5%, spent along the same looks",
        "Deterioration has a one-sided budget of its own, 1% an arm",
        "No claim is made before each arm has 100 units",
        "the median-unbiased one stands beside it",
        "What is not tested along the looks has a confidence sequence",
    ):
        assert said in general
    assert "Holm" not in general
    kept = " ".join(always_valid().method.general)
    assert "kept at any number of looks by an asymptotic confidence sequence" in kept


def test_no_number_is_printed_that_neither_ledger_nor_rows_hold() -> None:
    table = render(at_look(3)).split('class="plain looks-table"')[1].split("</table>")[0]
    printed = set(re.findall(r"[+−]?\d+\.\d\d(?!\d|%)", table))
    held = {f"{z:+.2f}" for z in (*STATISTICS, 1.9, 2.8)} | {f"{b:.2f}" for b in (*BOUNDARIES, 2.5)}
    assert printed == held
