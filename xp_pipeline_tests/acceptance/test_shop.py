"""The generated shop: every planted fault is found and named, and nothing is flagged where nothing is wrong."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from unittest import mock

import polars as pl
import pytest

from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import Outcome
from xp_pipeline_tests.projects import copied, run_everything

BLOCKED = {
    "fault_srm": "srm",
    "fault_several_arms": "multi_arm",
    "fault_leak": "leak",
    "fault_undeclared_arm": "undeclared_arm",
}


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Outcome]]:
    root = copied("shop", tmp_path_factory.mktemp("examples"))
    with mock.patch.object(sys, "argv", ["generate.py", "--out", str(root / "generated")]):
        runpy.run_path(str(root / "generate.py"), run_name="__main__")
    return root, run_everything(root)


def _table(shop: tuple[Path, dict[str, Outcome]], table: str, experiment: str) -> pl.DataFrame:
    return read(shop[0] / "lake", table, experiment)


@pytest.mark.parametrize(("experiment", "check"), BLOCKED.items())
def test_a_planted_fault_blocks_and_is_named(
    shop: tuple[Path, dict[str, Outcome]], experiment: str, check: str
) -> None:
    root, outcomes = shop
    assert outcomes[experiment].status == "blocked"
    assert f"check {check}" in str(outcomes[experiment].error)
    health = _table(shop, "health", experiment)
    assert check in health.filter(pl.col("verdict") == "failed")["check"].to_list()
    results = _table(shop, "results", experiment)
    assert set(results["status"]) == {"blocked"}
    assert results.select("effect", "mean_arm", "p_value", "lift", "n_arm").null_count().sum_horizontal()[0] == 5 * len(
        results
    )
    assert _table(shop, "decisions", experiment)["verdict"].to_list() == ["not_decidable"]
    page = (root / "lake" / "reports" / experiment / "report.html").read_text(encoding="utf-8")
    assert "not decidable" in page.lower() or "withheld" in page.lower()


def test_the_srm_is_traced_to_its_platform_and_days(shop: tuple[Path, dict[str, Outcome]]) -> None:
    flagged = _table(shop, "health", "fault_srm").filter(pl.col("verdict") == "warned")
    assert "platform=ios" in flagged["scope"].to_list()
    assert not {"platform=web", "platform=android"} & set(flagged["scope"])
    days = flagged.filter(pl.col("check") == "srm_day")["scope"].to_list()
    assert days == [f"2026-03-{day:02d}" for day in range(11, 30)]


def test_null_arms_warn_and_do_not_block(shop: tuple[Path, dict[str, Outcome]]) -> None:
    assert shop[1]["fault_null_arm"].status == "done"
    flagged = _table(shop, "health", "fault_null_arm").filter(pl.col("verdict") == "warned")
    assert flagged["check"].to_list() == ["null_arm"]


def test_the_healthy_sibling_is_not_flagged_and_the_truth_is_found(shop: tuple[Path, dict[str, Outcome]]) -> None:
    health = _table(shop, "health", "checkout")
    assert set(health["verdict"]) == {"passed"}
    rows = _table(shop, "results", "checkout").filter(pl.col("decisive"))
    orders = {row["arm"]: row for row in rows.filter(pl.col("metric") == "orders").to_dicts()}
    assert orders["one_page"]["lift_low"] < 0.08 < orders["one_page"]["lift_high"]
    assert orders["guest"]["lift_low"] < 0.0 < orders["guest"]["lift_high"]
    assert orders["one_page"]["variance_reduction"] > 0.1
    verdicts = dict(_table(shop, "decisions", "checkout").select("arm", "verdict").iter_rows())
    assert verdicts == {"one_page": "ship", "guest": "do_not_ship"}


def test_before_its_end_an_experiment_shows_bands_and_no_p_value(shop: tuple[Path, dict[str, Outcome]]) -> None:
    rows = _table(shop, "results", "search_ranking")
    assert not rows["final"].any()
    assert rows["p_value"].null_count() == rows["p_adjusted"].null_count() == len(rows)
    looked = (pl.col("metric") == "conversion") & pl.col("decisive")
    assert set(rows.filter(looked)["interval_kind"]) == {"repeated"}
    assert set(rows.filter(~looked)["interval_kind"]) == {"sequence"}
    for row in rows.to_dicts():
        assert row["ci_high"] - row["ci_low"] > 2 * 1.96 * row["se"]
    assert _table(shop, "decisions", "search_ranking")["verdict"].to_list() == ["running"]


def test_triggered_and_enrolled_stand_side_by_side(shop: tuple[Path, dict[str, Outcome]]) -> None:
    rows = _table(shop, "results", "checkout_visits")
    assert set(rows["population"]) == {"enrolled", "triggered"}
    assert set(rows.filter(pl.col("decisive"))["population"]) == {"triggered"}
    scopes = _table(shop, "health", "checkout_visits").filter(pl.col("check") == "srm")["scope"]
    assert set(scopes) == {"all", "triggered"}


def test_a_draft_is_not_registered(shop: tuple[Path, dict[str, Outcome]]) -> None:
    assert "gift_wrap" not in shop[1]
