"""Results as people hold them: a list, a frame, JSON, a plot, a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from xp_pipeline.experiment import MeanMetric
from xp_pipeline.experiment.results import SUMMARY
from xp_pipeline.results import MetricResult
from xp_pipeline_tests.experiment.frames import created, running, trial


def test_results_are_the_list_of_metric_results() -> None:
    results = running().run_analysis()
    assert isinstance(results, list) and len(results) == 4
    assert [r["metric_name"] for r in results] == ["Spend per user", "revenue", "converted", "ctr"]
    assert [r["metric_type"] for r in results] == ["Mean", "Revenue", "Proportion", "Ratio"]
    for result in results:
        assert set(result) == set(MetricResult.__annotations__)


def test_the_summary_is_a_row_a_metric_and_arm() -> None:
    summary = running().run_analysis().summary()
    assert summary.columns == list(SUMMARY)
    assert summary["metric"].to_list() == ["Spend per user", "revenue", "converted", "ctr"]
    assert summary["power"].null_count() == 4


def test_the_table_is_the_pipelines_raw_beside_adjusted() -> None:
    table = running().run_analysis().table()
    spend = table.filter(table["metric"] == "Spend_per_user")
    assert spend["estimator"].to_list() == ["welch", "cuped"]
    assert spend["decisive"].to_list() == [False, True]
    capped = table.filter(table["metric"] == "revenue")
    assert capped["estimator"].to_list() == ["welch", "capped_welch"]
    assert capped["capped_share"][1] == pytest.approx(0.01, abs=0.002)


def test_json_is_json_and_says_what_the_list_cannot() -> None:
    results = running().run_analysis()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    said = json.loads(results.to_json(), parse_constant=refuse)
    assert said == json.loads(results.to_json(indent=2)) == results.to_dict()
    assert said["label"] == "retrospective,local" and said["alpha"] == 0.05 and said["final"] is True
    first = said["results"][0]
    assert first["arm"] == "treatment" and first["cuped_applied"] is True and first["power"] == "nan"
    assert said["decisions"][0]["verdict"] in ("ship", "do_not_ship", "extend", "not_decidable")


def test_the_plot_is_a_forest_of_every_metric(tmp_path: Path) -> None:
    experiment = running(title="Bigger button")
    results = experiment.run_analysis()
    picture = results.plot()
    ElementTree.fromstring(picture.svg)
    for name in ("Spend_per_user", "converted", "ctr"):
        assert name in picture.svg
    assert picture.save(tmp_path / "forest.svg").read_text(encoding="utf-8") == picture._repr_svg_()
    side = experiment.run_analysis(alpha=0.2).plot()
    assert side.svg != picture.svg


class _Parsed(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_escaped() -> None:
    experiment = created().add_metrics(MeanMetric("<script>alert(1)</script>", value_col="spend"))
    experiment.design()
    parsed = _Parsed()
    parsed.feed(experiment.start().run_analysis()._repr_html_())
    assert "script" not in parsed.tags and "<script>alert(1)</script>" in parsed.text
    assert parsed.tags.count("tr") == 2


def test_every_table_shows_itself_in_a_notebook() -> None:
    experiment = created(covariates="age").register_metric("spend")
    plan = experiment.plan(mde="5%")
    experiment.design()
    health = experiment.start().validate()
    for shown in (plan, health, experiment.run_analysis(sequential=True), experiment.run_analysis()):
        parsed = _Parsed()
        parsed.feed(shown._repr_html_())
        assert parsed.tags.count("table") == 1 and "nan" not in parsed.text


def test_the_report_is_the_pipelines_page(tmp_path: Path) -> None:
    experiment = running(name="button", title="Bigger button", hypothesis="More is more.")
    experiment.run_analysis()
    experiment.run_analysis(alpha=0.2)
    page = experiment.report(tmp_path / "button.html")
    assert page.path is not None
    text = page.path.read_text(encoding="utf-8")
    assert text == page.html
    for said in ("Bigger button", "More is more.", "reported", "re-analysis", "Spend_per_user"):
        assert said in text
    assert "srcdoc" in page._repr_html_()


def test_a_metric_without_enough_data_has_a_reason_and_no_p_value() -> None:
    import polars as pl

    data = trial(100).with_columns(rare=pl.lit(None, dtype=pl.Float64))
    experiment = created(data).register_metric("rare")
    experiment.design()
    results = experiment.start().run_analysis()
    assert results[0]["p_value"] != results[0]["p_value"]
    (row,) = results.summary().to_dicts()
    assert row["status"] == "insufficient_data" and row["reason"] and row["p_value"] is None
    assert row["reason"] in results._repr_html_()
