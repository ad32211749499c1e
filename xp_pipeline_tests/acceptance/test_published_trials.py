"""Published trials, run from their specs, give the published numbers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xp_pipeline.lifecycle.publish import read
from xp_pipeline_tests.projects import copied, real_data, run_everything


def _row(root: Path, experiment: str, **wanted: Any) -> dict[str, Any]:
    rows = read(root / "lake", "results", experiment)
    for name, value in {"segment": "", **wanted}.items():
        rows = rows.filter(pl.col(name) == value)
    assert len(rows) == 1, rows
    return rows.to_dicts()[0]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """An example project on real data, run."""
    monkeypatch.setenv("XP_DATA", str(real_data()))
    root = copied(request.param, tmp_path)
    outcomes = run_everything(root)
    assert {o.status for o in outcomes.values()} == {"done"}, outcomes
    return root


@pytest.mark.parametrize("example", ["cookie_cats"], indirect=True)
def test_cookie_cats(example: Path) -> None:
    # Counts and retention as published with the data set (DataCamp, Kaggle): 44,700 and 45,489 players,
    # 44.8 % and 44.2 % after a day, 19.0 % and 18.2 % after seven.
    day_7 = _row(example, "gate_40", metric="retention_7")
    assert (day_7["n_baseline"], day_7["n_arm"]) == (44_700, 45_489)
    assert round(day_7["mean_baseline"], 3) == 0.190
    assert round(day_7["mean_arm"], 3) == 0.182
    assert day_7["p_value"] == pytest.approx(0.00156, abs=5e-5)
    day_1 = _row(example, "gate_40", metric="retention_1")
    assert (round(day_1["mean_baseline"], 3), round(day_1["mean_arm"], 3)) == (0.448, 0.442)
    capped = _row(example, "gate_40", metric="rounds", estimator="capped_welch")
    assert capped["cap_value"] < 49_854
    health = read(example / "lake", "health", "gate_40").filter(pl.col("check") == "srm").to_dicts()[0]
    assert health["p_value"] == pytest.approx(0.0086, abs=1e-4)
    assert read(example / "lake", "decisions", "gate_40")["verdict"].to_list() == ["do_not_ship"]


@pytest.mark.parametrize("example", ["landing_page"], indirect=True)
def test_landing_page(example: Path) -> None:
    # 294,478 rows; dropping the 3,893 rows with the other group's page leaves 290,584 users; 12.04 % and 11.88 %.
    row = _row(example, "new_page", metric="converted")
    assert row["n_arm"] + row["n_baseline"] == 290_584
    assert (round(row["mean_baseline"], 4), round(row["mean_arm"], 4)) == (0.1204, 0.1188)
    assert row["p_value"] == pytest.approx(0.19, abs=0.005)
    health = read(example / "lake", "health", "new_page").filter(pl.col("check") == "mismatch").to_dicts()[0]
    assert health["statistic"] == 3_893
    countries = read(example / "lake", "results", "new_page").filter(pl.col("segment") == "country")
    assert set(countries["segment_value"]) == {"UK", "US", "CA"}


@pytest.mark.parametrize("example", ["hillstrom"], indirect=True)
def test_hillstrom(example: Path) -> None:
    # Visits 10.6 %, 18.3 %, 15.1 %; spend 0.65, 1.42, 1.08 dollars (MineThatData 2008).
    mens = _row(example, "email", metric="visit", arm="Mens E-Mail")
    womens = _row(example, "email", metric="visit", arm="Womens E-Mail")
    assert [round(x, 3) for x in (mens["mean_baseline"], mens["mean_arm"], womens["mean_arm"])] == [0.106, 0.183, 0.151]
    spend = _row(example, "email", metric="spend", arm="Mens E-Mail", estimator="welch")
    assert (round(spend["mean_baseline"], 2), round(spend["mean_arm"], 2)) == (0.65, 1.42)
    assert mens["family"] == "primary:holm"
    assert mens["family_size"] == 4
    assert _row(example, "email", metric="visit", arm="any_email")["family"] == "contrasts:fdr_bh"
    adjusted = _row(example, "email", metric="spend", arm="Mens E-Mail", estimator="capped_cuped")
    assert adjusted["decisive"]
    assert adjusted["cuped_applied"]


@pytest.mark.parametrize("example", ["fast_food"], indirect=True)
def test_fast_food_counts_stores_not_weeks(example: Path) -> None:
    # Means of the weekly rows 58.10, 47.33, 55.36; 137 stores of four weeks each.
    second = _row(example, "promotion", metric="weekly_sales", arm="promotion_2")
    third = _row(example, "promotion", metric="weekly_sales", arm="promotion_3")
    means = (second["mean_baseline"], second["mean_arm"], third["mean_arm"])
    assert [round(x, 2) for x in means] == [58.10, 47.33, 55.36]
    assert second["n_baseline"] + second["n_arm"] + third["n_arm"] == 137
    ratio = _row(example, "promotion", metric="sales_a_week", arm="promotion_2")
    assert ratio["mean_arm"] == pytest.approx(second["mean_arm"], rel=1e-12)


def test_trials_of_causaldata(tmp_path: Path) -> None:
    pytest.importorskip("causaldata")
    import runpy
    import sys
    from unittest import mock

    root = copied("trials", tmp_path)
    with mock.patch.object(sys, "argv", ["prepare.py", "--out", str(root / "generated")]):
        runpy.run_path(str(root / "prepare.py"), run_name="__main__")
    outcomes = run_everything(root)
    assert {o.status for o in outcomes.values()} == {"done"}, outcomes
    # Dehejia, Wahba 1999: 1,794 USD, standard error 671 (Neyman), by difference of means.
    raw = _row(root, "nsw_training", estimator="welch")
    assert raw["effect"] == pytest.approx(1794.34, abs=0.01)
    assert raw["se"] == pytest.approx(671.0, abs=0.1)
    assert _row(root, "nsw_training", estimator="cuped")["decisive"]
    # Thornton 2008: 33.9 % without an incentive fetched their result; the raw difference is 45.1 points (table 4,
    # column 1, gives 43.1 with controls).
    plain = _row(root, "thornton_incentive", estimator="welch")
    assert round(plain["mean_baseline"], 3) == pytest.approx(0.339, abs=0.002)
    assert plain["effect"] == pytest.approx(0.45, abs=0.01)
    clustered = _row(root, "thornton_incentive", estimator="clustered")
    assert clustered["effect"] == pytest.approx(plain["effect"], rel=0.01)
    assert "without a cluster" in clustered["reason"]
    assert clustered["se"] != pytest.approx(plain["se"], rel=1e-3)
    for experiment in outcomes:
        rows = read(root / "lake", "results", experiment)
        assert all("retrospective" in label for label in rows["label"])
        health = read(root / "lake", "health", experiment).filter(pl.col("check") == "srm")
        assert health["verdict"].to_list() == ["not_testable"]


@pytest.mark.parametrize("example", ["cookie_cats"], indirect=True)
def test_running_again_and_rebuilding_the_lake_change_nothing(example: Path) -> None:
    timely = ["run_id", "computed_at"]
    first = read(example / "lake", "results", "gate_40").drop(timely)
    assert run_everything(example)["gate_40"].status == "done"
    assert read(example / "lake", "results", "gate_40").drop(timely).equals(first, null_equal=True)
    shutil.rmtree(example / "lake")
    assert run_everything(example)["gate_40"].status == "done"
    rebuilt = read(example / "lake", "results", "gate_40").drop(timely)
    assert rebuilt.equals(first, null_equal=True)
