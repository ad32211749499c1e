"""The page: well-formed, offline, accessible, escaped, and silent about what must not be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from xp_pipeline.report import card, charts, html, markdown
from xp_pipeline.report.document import ReportDocument
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.tables import RESULTS
from xp_pipeline_tests.report import examples
from xp_pipeline_tests.report.examples import Row

VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "use", "path", "circle", "rect", "line"})
EVIL = "<script>alert('x')</script> \" ' & {{ 7*7 }} {% raw %} --> ]]>"
RTL = "\u202eتجربة واجهة الدفع 🛒👩🏽‍💻"
LONG = "a_metric_with_a_name_" * 30

Example = Callable[..., ReportDocument]


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, text, and whether everything closes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(params=["healthy", "blocked", "interim", "single"])
def page(request: pytest.FixtureRequest) -> Page:
    return Page(html.render(getattr(examples, request.param)()))


def everything(document: ReportDocument) -> tuple[str, ...]:
    """All that can be read of a document."""
    return (
        html.render(document),
        charts.forest_svg(document),
        markdown.scorecard(document),
        markdown.summary(document),
        serialize_to_json(card.experiment_card(document)),
    )


def test_the_page_asks_for_nothing(page: Page) -> None:
    assert not page.all("script")
    assert not page.all("img")
    assert not page.all("iframe")
    for name, attributes in page.tags:
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in ("src", "href", "data", "action", "poster", "srcset"):
                assert str(value).startswith(("#", "data:,")), (name, key, value)


def test_the_style_asks_for_nothing() -> None:
    style = re.findall(r"<style>(.*?)</style>", html.render(examples.healthy()), re.S)[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_requests_are_forbidden_even_to_what_should_slip_through(page: Page) -> None:
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_the_page_can_be_navigated(page: Page) -> None:
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for a in page.all("a")} <= set(ids)
    assert {a["aria-labelledby"] for a in page.all("section") if "aria-labelledby" in a} <= set(ids)
    assert len(page.all("h1")) == 1
    assert page.all("html")[0]["lang"] == "en"


def test_headings_descend_one_at_a_time(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_head_cell_has_a_scope_and_every_drawing_is_told_or_hidden(page: Page) -> None:
    assert all(cell.get("scope") for cell in page.all("th"))
    drawings = [a for a in page.all("svg") if "plot" in str(a.get("class"))]
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in drawings)


def test_rows_of_a_table_have_as_many_cells_as_its_head() -> None:
    for example in (examples.healthy, examples.blocked, examples.interim, examples.single):
        for table in re.findall(r"<table.*?</table>", html.render(example()), re.S):
            width = {
                sum(int(span or 1) for span in re.findall(r"<t[hd]\b(?:[^>]*?colspan=\"(\d+)\")?", row))
                for row in re.findall(r"<tr.*?</tr>", table, re.S)
            }
            assert len(width) == 1, table[:300]


def test_the_verdict_comes_before_every_number(page: Page) -> None:
    order = [a.get("class") or a.get("id") for _, a in page.tags]
    assert order.index("verdicts") < order.index("scorecard")


def test_sections_follow_the_reader() -> None:
    found = re.findall(r"<h2 id=\"([a-z]+)\">", html.render(examples.healthy()))
    assert found == ["scorecard", "forest", "segments", "looks", "health", "population", "plan", "method", "provenance"]


def test_of_a_blocked_experiment_the_cause_comes_first() -> None:
    source = html.render(examples.blocked())
    assert re.findall(r"<h2 id=\"([a-z]+)\">", source) == [
        "health",
        "scorecard",
        "population",
        "plan",
        "method",
        "provenance",
    ]
    assert "Where and when the imbalance arose" in source
    assert source.index("platform=ios") < source.index('id="scorecard"')
    assert "2026-01-09" in source


def test_equal_documents_give_equal_bytes() -> None:
    assert everything(examples.healthy()) == everything(examples.healthy())


@pytest.mark.parametrize("nasty", [EVIL, RTL, LONG, "\x00\x1b\ud800\uffff", "|`*_[x](javascript:alert(1))"])
def test_text_of_people_stays_text(nasty: str) -> None:
    spec = examples.bound(title=nasty, hypothesis=nasty, owner=nasty)
    rows = [
        r | {"arm": nasty, "reason": nasty, "segment_value": r["segment_value"] and nasty}
        for r in examples.healthy_results()
    ]
    health = [examples.check(nasty, nasty, "warned", nasty, hint=nasty, observed={nasty: 5}, expected={nasty: 4.5})]
    document = examples.healthy(
        bound=spec,
        results=[r | {"metric": nasty} if r["role"] == "exploratory" else r for r in rows],
        health=health,
        decisions=[examples.decision(nasty, "ship", [(True, nasty)], human_decision=nasty, human_reason=nasty)],
        flow=[{"name": nasty, "units": 3, "kind": "kept", "by_arm": {nasty: 3}}],
        rejected=[{"source": nasty, "reason": nasty, "count": 1}],
        amendments=[{"kind": nasty, "by": nasty, "reason": nasty, "at": nasty, "changes": [nasty]}],
        plan={"metrics": [{"metric": nasty, "arm": nasty, "n": 5, "baseline": nasty}], "assumptions": [nasty]},
        provenance=examples.provenance(sources=[{"source": nasty, "version": nasty, "digest": nasty}]),
    )
    source = html.render(document)
    source.encode("utf-8")
    page = Page(source)
    assert not page.all("script")
    assert all(key.islower() and not key.startswith("on") for _, a in page.tags for key in a)
    if nasty.isprintable() or nasty == RTL:
        assert page.text.count(nasty) > 20
    charts.forest_svg(document).encode("utf-8")
    assert "<script" not in markdown.scorecard(document) + markdown.summary(document)


def test_names_are_isolated_from_the_direction_of_what_surrounds_them() -> None:
    rows = [r | {"arm": RTL} for r in examples.healthy_results()[:1]]
    assert f'<bdi class="arm">{RTL}</bdi>' in html.render(examples.healthy(results=rows))


def numbers_of(row: Row, value: Any) -> Row:
    """The row with every number replaced."""
    kinds = {"number": value, "integer": value, "boolean": value is not None, "text": None}
    kept = {"schema_version", "look", "final", "decisive"}
    return {n: v if n in kept or RESULTS[n].kind == "text" else kinds.get(RESULTS[n].kind, v) for n, v in row.items()}


def test_a_blocked_page_shows_no_number_of_the_results() -> None:
    rows = examples.blocked_results()
    as_it_is = everything(examples.blocked(results=rows))
    for value in (None, 7.0, 123_456_789.0):
        assert everything(examples.blocked(results=[numbers_of(r, value) for r in rows])) == as_it_is


def test_a_blocked_page_does_not_trust_the_status_of_its_rows() -> None:
    careless = [r | {"status": "ok"} for r in examples.blocked_results()]
    for text in everything(examples.blocked(results=careless)):
        assert "66,412" not in text
        assert "66412" not in text
        assert "3.4%" not in text
        assert "31.4%" not in text


def test_an_interim_page_shows_bands_and_no_significance() -> None:
    rows = [r | {"interval_kind": "sequence"} for r in examples.healthy_results()]
    hidden = ("p_value", "p_adjusted", "significant", "margin_bound", "margin_p_value", "margin_holds", "power")
    without = [r | dict.fromkeys(hidden) for r in rows]
    assert everything(examples.interim(results=rows)) == everything(examples.interim(results=without))
    source = html.render(examples.interim())
    assert "95% confidence sequence" in source
    assert ">p</th>" not in source
    assert "No p-value and no verdict is shown before the planned end, 2026-02-02." in source


def test_an_interim_row_with_a_fixed_horizon_interval_loses_it() -> None:
    row = examples.result("conversion", "one_page", 0.004, 0.001, mean=0.1, role="primary", status="not_due")
    document = examples.interim(results=[row | {"interval_kind": "confidence"}])
    found = document.main.scorecards[0].estimates[0]
    assert (found.effect.value, found.effect_interval.text) == (0.004, "—")


@pytest.mark.parametrize("label", ["retrospective", "amended", "local"])
def test_labels_are_visible(label: str) -> None:
    page = Page(html.render(examples.healthy(experiment=examples.card(label=label))))
    assert f"{label} " in page.text


def test_clusters_are_counted_as_clusters() -> None:
    usual = {"role": "primary", "metric_type": "proportion"}
    units = examples.result("conversion", "one_page", 0.004, 0.001, mean=0.1, **usual)
    clusters = examples.result("conversion", "one_page", 0.004, 0.002, mean=0.1, **usual, n_arm=118, n_baseline=108)
    rows = [units, clusters | {"estimator": "clustered", "decisive": False}]
    assert "118 / 108 clusters" in Page(html.render(examples.healthy(results=rows))).text


def test_a_side_analysis_has_a_section_of_its_own() -> None:
    side = [r | {"run_id": "side", "label": "reanalysis"} for r in examples.healthy_results()]
    page = Page(html.render(examples.healthy(results=examples.healthy_results() + side)))
    assert "Scorecard: re-analysis" in page.text


def test_an_empty_document_is_a_page() -> None:
    page = Page(html.render(examples.healthy(results=[], decisions=[], health=[], flow=[], plan=None, rejected=[])))
    assert "There is no decision yet." in page.text
    assert "There is no result yet." in page.text
    assert "No check ran." in page.text
