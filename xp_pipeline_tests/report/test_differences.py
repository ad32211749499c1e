"""The section on differing effects and the Bayesian read-outs: sentences, chart, card; silent where withheld."""

from __future__ import annotations

from typing import Any

import pytest

from xp_pipeline.report import card, html
from xp_pipeline.report.daily_chart import Day, daily_chart, daily_chart_svg
from xp_pipeline.report.document import ReportDocument
from xp_pipeline.report.format import PLAIN
from xp_pipeline_tests.report import examples
from xp_pipeline_tests.report.examples import Row
from xp_pipeline_tests.report.test_html import EVIL, Page

ABOUT = {"metric": "conversion", "role": "primary", "direction": "increase", "arm": "one_page", "baseline": "control"}
BAYES = {
    "bayes_method": "beta_binomial", "bayes_prior": "flat", "posterior_mean": 0.0041, "posterior_low": 0.0023,
    "posterior_high": 0.0059, "chance_to_win": 1.0, "expected_loss": 3.2e-9, "bayes_reason": "not protected",
}  # fmt: skip


def _row(kind: str, **values: Any) -> Row:
    return examples.row("heterogeneity", **{**ABOUT, "kind": kind, "status": "ok", "ci_level": 0.95, **values})


def _segments(*, differs: bool = True, level: str = "ios") -> list[Row]:
    p = 0.0031 if differs else 0.41
    compared = {"segment": "platform", "segment_value": level, "effect": 0.0061, "effect_against": 0.0009}
    compared |= {"difference": 0.0052, "ci_low": 0.0018, "ci_high": 0.0086, "p_value": p, "n_arm": 16_702}
    compared |= {"n_baseline": 33_311, "p_adjusted": p, "differs": differs}
    return [
        _row("cochran_q", segment="platform", statistic=11.64, df=2.0, p_value=p, p_adjusted=p, differs=differs),
        _row("largest_smallest", **compared, against="web", family_size=3),
        _row("scan", **compared, against="(rest)", family_size=3),
    ]


def _novelty(*, differs: bool = True) -> list[Row]:
    p = 0.00002 if differs else 0.6
    slope = {"effect": 0.009, "difference": -0.0006, "ci_low": -0.0009, "ci_high": -0.0003, "differs": differs}
    reason = "100,000 of 200,143 units were seen on all of the first 5 days"
    days = [
        _row("novelty_day", day=d, effect=0.009 - 0.0006 * d, ci_low=0.006 - 0.0006 * d, ci_high=0.012 - 0.0006 * d)
        for d in range(5)
    ]
    return [
        _row("novelty_slope", **slope, p_value=p, p_adjusted=p, reason=reason),
        _row("novelty_early_late", difference=-0.0018, p_value=0.004),
        *days,
    ]


def _document(rows: list[Row], **changes: Any) -> ReportDocument:
    return examples.healthy(heterogeneity=rows, **changes)


def test_the_summary_says_in_a_sentence_whether_effects_differ() -> None:
    found = _document([*_segments(), *_novelty()]).differences
    assert found.summary == (
        "The effect differs on conversion (one_page) between levels of platform. "
        "Unlike everybody else: platform ios on conversion (one_page). "
        "The effect changes with the days since exposure on conversion (one_page)."
    )
    same = _document([*_segments(differs=False), *_novelty(differs=False)]).differences
    assert same.summary == (
        "No difference of effects is shown between the levels of platform. "
        "No change of effects with the days since exposure is shown."
    )


def test_an_answer_names_its_test_and_the_two_extremes() -> None:
    (metric,) = _document(_segments()).differences.metrics
    assert metric.sentences == (
        "platform: effects differ (Q = 11.6 on 2 df, adjusted p = 0.0031); largest in ios (+0.61 pp), "
        "smallest in web (+0.09 pp), adjusted p = 0.0031.",
    )
    (level,) = metric.levels
    assert (level.difference.text, level.interval.text) == ("+0.52 pp", "+0.18 to +0.86 pp")


def test_the_trend_says_slope_and_cohort() -> None:
    (trend,) = _document(_novelty()).differences.trends
    assert trend.sentence == (
        "The effect changes: −0.060 pp a day (−0.090 to −0.030 pp, adjusted p < 0.0001); later half less the earlier "
        "−0.180 pp (p = 0.0040). 100,000 of 200,143 units were seen on all of the first 5 days."
    )
    assert trend.chart is not None
    assert len(trend.chart.marks) == 5


def test_the_tables_of_segments_carry_the_test_of_difference() -> None:
    rows = examples.healthy_results()
    untested = [row for row in rows if not (row["segment"] and not row["segment_value"])]
    document = _document(_segments(), results=untested)
    platform = next(table for table in document.main.segments if table.name == "platform")
    assert platform.differing == ("conversion",)
    country = next(table for table in document.main.segments if table.name == "country")
    assert not country.is_tested


def test_before_the_end_it_says_when_and_shows_no_number() -> None:
    reason = "tests between segments wait for the final look; until then each level has its band"
    waiting = [_row("cochran_q", segment="platform", status="not_due", reason=reason, ci_level=None)]
    document = examples.interim(heterogeneity=waiting)
    assert not document.differences.tested
    page = Page(html.render(document)).text
    assert "Tests between segments wait for the final look" in page
    assert "Each level against everybody else" not in page


@pytest.mark.parametrize("status", ["ok", "blocked"])
def test_a_withheld_page_has_no_such_section_and_no_number_of_it(status: str) -> None:
    rows = [{**row, "status": status} for row in [*_segments(), *_novelty()]]
    results = [{**row, **BAYES} for row in examples.blocked_results()]
    document = examples.blocked(heterogeneity=rows, results=results)
    page = Page(html.render(document))
    assert "Do effects differ?" not in page.text
    assert "0.61 pp" not in page.text
    assert "Chance to win" not in page.text
    said = card.experiment_card(document)
    assert said["differences"] == {"summary": "", "segments": [], "novelty": []}
    assert not any("bayes" in row for row in said["results"])


def test_the_page_and_the_card_tell_the_same() -> None:
    document = _document([*_segments(), *_novelty()])
    page = Page(html.render(document))
    said = card.experiment_card(document)["differences"]
    assert said["summary"] in page.text
    assert said["segments"][0]["levels"][0]["difference"] == 0.0052
    assert said["novelty"][0]["changes"] is True
    assert "Exploratory" in page.text
    assert any(a.get("aria-label", "").startswith("Daily effect on conversion") for a in page.all("svg"))  # type: ignore[union-attr]


def test_names_of_levels_are_escaped() -> None:
    page = html.render(_document(_segments(level=EVIL)))
    Page(page)
    assert "<script>" not in page


def test_read_outs_stand_in_the_fine_print_with_their_caution() -> None:
    results = [row | BAYES if row["metric"] == "conversion" else row for row in examples.healthy_results()]
    document = examples.healthy(results=results)
    page = Page(html.render(document)).text
    assert "Not protected against peeking" in page
    shown = document.main.scorecards[0].blocks[0].comparisons[0].main.read_out
    assert shown is not None
    assert (shown.chance_to_win.text, shown.expected_loss.text) == (">99.9%", "<0.001 pp")
    first = card.experiment_card(document)["results"][0]
    assert first["bayes"]["chance_to_win"] == 1.0
    assert first["bayes"]["caution"] == "not protected against peeking"


def test_an_interim_page_hides_read_outs_even_where_rows_have_them() -> None:
    results = [row | BAYES | {"interval_kind": "sequence", "final": False} for row in examples.healthy_results()]
    document = examples.interim(results=results)
    assert "Chance to win" not in Page(html.render(document)).text


def test_a_chart_of_equal_days_is_drawn_and_equal_documents_give_equal_bytes() -> None:
    chart = daily_chart("flat", [Day(d, 0.0, 0.0, 0.0) for d in range(3)], (0.0, 0.0), unit=PLAIN)
    assert daily_chart_svg(chart) == daily_chart_svg(chart)
    assert all(0 <= value <= 1 for mark in chart.marks for value in mark)
