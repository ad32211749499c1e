"""The examples are in order, and their data holds what their pages say: read with Polars, without the pipeline."""

from __future__ import annotations

import importlib.util
import math
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from scipy import stats

from xp_pipeline.spec.binding import bind
from xp_pipeline.spec.folder import load
from xp_pipeline_tests.projects import EXAMPLES

PROJECTS = sorted(path.parent.name for path in EXAMPLES.glob("*/xp.yaml"))
HALVES = {"control": 1 / 2, "treatment": 1 / 2}
THIRDS = {"control": 1 / 3, "one_page": 1 / 3, "guest": 1 / 3}
Logs = tuple[pl.DataFrame, pl.DataFrame]
"""Exposures and events."""
CLEAR = 1e-4
"""A sample ratio this unlikely or less is a fault; the logs are fixed, so these tests pass always or never."""


def _script(path: str) -> ModuleType:
    """A script of the examples as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, EXAMPLES / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _script("shop/generate.py")


@pytest.fixture(scope="module")
def shop() -> Logs:
    """The shop at full size."""
    logs: Logs = generate.make_tables(200_000)
    return logs


def _exposures(shop: Logs, experiment: str) -> pl.DataFrame:
    return shop[0].filter(pl.col("experiment") == experiment)


def _first(shop: Logs, experiment: str) -> pl.DataFrame:
    """Of every unit the exposure met first."""
    return _exposures(shop, experiment).sort("ts").unique("user_id", keep="first")


def _ratio_p(units: pl.DataFrame, shares: dict[str, float]) -> float:
    """Chi-square p-value of the arms of units against the designed shares."""
    counts = dict(units.group_by("variant").agg(pl.col("user_id").n_unique()).iter_rows())
    total = sum(counts[arm] for arm in shares)
    return float(stats.chisquare([counts[arm] for arm in shares], [total * s for s in shares.values()]).pvalue)


def _ratio_p_by(units: pl.DataFrame, column: str, shares: dict[str, float]) -> dict[Any, float]:
    return {key[0]: _ratio_p(part, shares) for key, part in units.group_by(column)}


def test_all_examples_are_here() -> None:
    assert PROJECTS == ["cookie_cats", "factorial", "fast_food", "hillstrom", "landing_page", "shop", "trials"]


@pytest.mark.parametrize("project", PROJECTS)
def test_an_example_loads_and_every_experiment_binds(project: str) -> None:
    folder = load(EXAMPLES / project)
    assert folder.problems == ()
    assert folder.experiments
    for name in folder.experiments:
        assert bind(folder, name).source_names


@pytest.mark.parametrize("project", PROJECTS)
def test_an_example_says_what_it_is(project: str) -> None:
    folder = load(EXAMPLES / project)
    for experiment in folder.experiments.values():
        said = (experiment.title, experiment.hypothesis, experiment.description, experiment.owner)
        assert all(said), experiment.id
    assert all(metric.title for metric in folder.metrics.values())
    assert all(source.description for source in folder.sources.values())
    used = {use.metric for e in folder.experiments.values() for _, use in e.metrics.items()}
    assert used == set(folder.metrics)
    text = (EXAMPLES / project / "README.md").read_text(encoding="utf-8")
    assert "xp run" in text
    assert f"({project}/README.md)" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("project", ["cookie_cats", "fast_food", "hillstrom", "landing_page"])
def test_published_files_are_found_through_the_environment(project: str) -> None:
    paths = [source.location.path or "" for source in load(EXAMPLES / project).sources.values()]
    assert paths
    assert all(path.startswith("${XP_DATA}/") for path in paths)


def test_the_generator_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    for run in ("first", "second"):
        generate.main(["--users", "2000", "--out", str(tmp_path / run)])
    for table in ("events.parquet", "exposures.parquet"):
        assert (tmp_path / "first" / table).read_bytes() == (tmp_path / "second" / table).read_bytes()


def test_the_logs_have_the_declared_columns_zones_and_span(shop: Logs) -> None:
    exposures, events = shop
    sources = load(EXAMPLES / "shop").sources
    assert set(exposures.columns) == set(sources["exposures"].columns)
    assert set(events.columns) == set(sources["events"].columns)
    assert exposures.schema["ts"] == events.schema["ts"] == pl.Datetime("us", "UTC")
    assert exposures.select(pl.min("user_id")).item() > 2**53
    days = _local_days(_first(shop, "checkout"))
    assert (days.min(), days.max()) == (date(2026, 3, 2), date(2026, 3, 29))
    assert days.n_unique() == generate.DAYS == 28
    first_event = events.select(pl.col("ts").dt.convert_time_zone("Europe/Berlin").dt.date().min()).item()
    assert first_event == date(2026, 3, 2) - timedelta(days=generate.DAYS_BEFORE)


def _local_days(exposures: pl.DataFrame) -> pl.Series:
    return exposures["ts"].dt.convert_time_zone("Europe/Berlin").dt.date()


def test_the_healthy_sibling_has_no_fault(shop: Logs) -> None:
    log = _exposures(shop, "checkout").with_columns(day=_local_days(_exposures(shop, "checkout")))
    assert set(log["variant"]) == set(THIRDS)
    assert log.group_by("user_id").agg(pl.col("variant").n_unique())["variant"].max() == 1
    first = log.sort("ts").unique("user_id", keep="first")
    assert len(first) == 200_000
    assert _ratio_p(first, THIRDS) > 0.01
    for column in ("country", "platform", "day"):
        assert min(_ratio_p_by(first, column, THIRDS).values()) > CLEAR


def test_the_sample_ratio_fault_is_of_one_platform_and_of_days_from_the_tenth(shop: Logs) -> None:
    log = _exposures(shop, "fault_srm").with_columns(day=_local_days(_exposures(shop, "fault_srm")))
    assert _ratio_p(log, HALVES) < CLEAR
    by_platform = _ratio_p_by(log, "platform", HALVES)
    assert {platform for platform, p in by_platform.items() if p < CLEAR} == {generate.SRM_PLATFORM}
    by_day = _ratio_p_by(log, "day", HALVES)
    tenth = date(2026, 3, 2) + timedelta(days=generate.SRM_FROM_DAY)
    assert {day for day, p in by_day.items() if p < CLEAR / 10} == {day for day in by_day if day >= tenth}


def test_the_other_planted_faults_are_there(shop: Logs) -> None:
    several = _exposures(shop, "fault_several_arms").group_by("user_id").agg(pl.col("variant").n_unique())
    assert several.select((pl.col("variant") > 1).mean()).item() == pytest.approx(generate.SEVERAL_ARMS, rel=0.1)
    leaked = _exposures(shop, "fault_leak").filter(pl.col("variant") == "retired")
    assert abs(len(leaked) - generate.LEAKED) < 4 * math.sqrt(generate.LEAKED)
    nulls = _exposures(shop, "fault_null_arm")["variant"].is_null()
    assert nulls.mean() == pytest.approx(generate.NO_ARM, rel=0.15)
    odd = _exposures(shop, "fault_undeclared_arm").filter(pl.col("variant") == "tretment")
    assert len(odd) / 200_000 == pytest.approx(generate.MISSPELT, rel=0.2)


def test_a_fault_is_planted_alone(shop: Logs) -> None:
    for name in ("fault_several_arms", "fault_leak", "fault_null_arm", "fault_undeclared_arm", "search_ranking"):
        first = _first(shop, name).filter(pl.col("variant").is_in(list(HALVES)))
        assert _ratio_p(first, HALVES) > CLEAR, name


def _orders(shop: Logs) -> pl.DataFrame:
    """Arm, and purchases in the two weeks before and the week after first exposure, of every user of ``checkout``."""
    users = _exposures(shop, "checkout").group_by("user_id").agg(pl.col("ts").min().alias("t0"), pl.first("variant"))
    age = (pl.col("ts") - pl.col("t0")).dt.total_microseconds() / 86_400e6
    counts = (
        shop[1]
        .filter(pl.col("event") == "purchase")
        .join(users, on="user_id")
        .group_by("user_id")
        .agg(age.is_between(-14, 0, closed="left").sum().alias("before"), age.is_between(0, 7, closed="left").sum())
        .rename({"ts": "after"})
    )
    return users.join(counts, on="user_id", how="left").with_columns(pl.col("before", "after").fill_null(0))


def test_the_known_effect_and_the_correlation_are_there(shop: Logs) -> None:
    users = _orders(shop)
    assert users.select(pl.corr("before", "after")).item() == pytest.approx(0.6, abs=0.03)
    arms = {
        arm: (mean, sd / math.sqrt(n) / mean, bought)
        for arm, mean, sd, n, bought in users.group_by("variant")
        .agg(
            pl.mean("after"),
            pl.std("after").alias("sd"),
            pl.len().alias("n"),
            (pl.col("after") > 0).mean().alias("bought"),
        )
        .iter_rows()
    }
    base, base_error, bought = arms["control"]
    assert base == pytest.approx(0.576, rel=4 * base_error)
    assert bought == pytest.approx(0.326, abs=0.008)
    for arm, factor in generate.LIFT.items():
        assert arms[arm][0] / base == pytest.approx(factor, rel=4 * math.hypot(base_error, arms[arm][1]))
    assert arms["one_page"][2] / bought == pytest.approx(1.046, abs=4 * 0.008)


def test_one_experiment_still_runs_and_one_is_a_draft(shop: Logs) -> None:
    folder = load(EXAMPLES / "shop")
    last: datetime = max(log.select(pl.max("ts")).item() for log in shop)
    ends = {name: end for name in folder.experiments if (end := bind(folder, name).end)}
    assert [name for name, end in ends.items() if end > last] == ["search_ranking"]
    assert [e.id for e in folder.experiments.values() if e.draft] == ["gift_wrap"]


def test_the_trials_are_written_as_published(tmp_path: Path) -> None:
    pytest.importorskip("causaldata")
    _script("trials/prepare.py").main(["--out", str(tmp_path)])
    thornton, nsw = (pl.read_csv(tmp_path / f"{name}.csv", infer_schema_length=None) for name in ("thornton", "nsw"))
    assert (len(thornton), thornton["any"].null_count()) == (4820, 1919)
    fetched = dict(thornton.drop_nulls("any").group_by("any").agg(pl.mean("got")).iter_rows())
    # Thornton 2008, abstract: 34 % without an incentive.
    assert (round(fetched[0], 2), round(fetched[1], 3)) == (0.34, 0.789)
    earned = dict(nsw.group_by("treat").agg(pl.mean("re78")).iter_rows())
    # Dehejia, Wahba 1999: 1,794 USD.
    assert round(earned[1] - earned[0]) == 1794
    declared = load(EXAMPLES / "trials").sources
    assert set(declared["thornton"].columns) <= set(thornton.columns)
    assert set(declared["nsw"].columns) <= set(nsw.columns)
