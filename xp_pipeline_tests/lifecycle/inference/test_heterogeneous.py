"""Whether effects differ between segments: the published tests against numbers from the raw rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from xp_pipeline.errors import SpecError, SRMError
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.projects import METRICS, SOURCE, project, visitors

PLATFORMS = ("android", "ios", "web")
SEGMENTS: list[Any] = ["country", "platform", {"cross": ["country", "platform"]}]
MEAN = {"name": "plain", "type": "mean", "source": "visitors", "value": "spend"}
PRIMARY = {"primary": ["plain"], "guardrail": [{"metric": "converted", "margin": "5%"}], "secondary": ["spend"]}


def _people() -> list[dict[str, Any]]:
    """Treatment adds a lot on ios, nothing elsewhere."""
    rows = []
    for row in visitors(2400, seed=3):
        platform = PLATFORMS[row["id"] % 7 % 3]
        added = 0.9 if platform == "ios" and row["arm"] == "treatment" else 0.0
        rows.append({**row, "platform": platform, "spend": row["spend"] + added})
    return rows


PEOPLE = _people()


def _project(root: Path, **experiment: Any) -> Path:
    return project(
        root,
        rows=PEOPLE,
        source={"columns": {**SOURCE["columns"], "platform": "text"}},
        metrics=[*METRICS, MEAN],
        experiment={"metrics": PRIMARY, "segments": SEGMENTS, **experiment},
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = _project(tmp_path_factory.mktemp("segments"))
    assert run(Workspace.open(root, by="test"), "trial").error is None
    return root


def _rows(root: Path, kind: str, metric: str = "plain", **match: str) -> list[dict[str, Any]]:
    found = read(root / "lake", "heterogeneity", "trial").to_dicts()
    wanted = {"kind": kind, "metric": metric, **match}
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


def _effect(inside: Any) -> tuple[float, float, float]:
    """Effect on plain spend of some rows, its variance and Welch's degrees of freedom."""
    arms = [np.array([r["spend"] for r in PEOPLE if inside(r) and r["arm"] == arm]) for arm in ("control", "treatment")]
    parts = [arm.var(ddof=1) / arm.size for arm in arms]
    df = sum(parts) ** 2 / sum(part**2 / (arm.size - 1) for part, arm in zip(parts, arms, strict=True))
    return arms[1].mean() - arms[0].mean(), sum(parts), df


def _difference(one: Any, other: Any) -> tuple[float, float, float]:
    """Difference of two effects, its standard error and p-value."""
    (e, v, d), (e2, v2, d2) = _effect(one), _effect(other)
    df = (v + v2) ** 2 / (v**2 / d + v2**2 / d2)
    se = float(np.sqrt(v + v2))
    return e - e2, se, float(2 * stats.t.sf(abs(e - e2) / se, df))


@pytest.mark.parametrize(
    ("segment", "level_of"),
    [
        ("country", lambda r: r["country"]),
        ("platform", lambda r: r["platform"]),
        ("country x platform", lambda r: f"{r['country']} x {r['platform']}"),
    ],
)
def test_cochrans_q_and_the_extremes_are_those_of_the_raw_rows(root: Path, segment: str, level_of: Any) -> None:
    levels = sorted({level_of(r) for r in PEOPLE})
    effects = {level: _effect(lambda r, level=level: level_of(r) == level) for level in levels}
    weights = np.array([1 / effects[level][1] for level in levels])
    values = np.array([effects[level][0] for level in levels])
    common = weights @ values / weights.sum()
    q = float(weights @ (values - common) ** 2)
    (row,) = _rows(root, "cochran_q", segment=segment)
    assert row["statistic"] == pytest.approx(q, rel=1e-9)
    assert (row["df"], row["effect"]) == pytest.approx((len(levels) - 1, common), rel=1e-9)
    assert row["p_value"] == pytest.approx(stats.chi2.sf(q, len(levels) - 1), rel=1e-9)
    (extremes,) = _rows(root, "largest_smallest", segment=segment)
    largest, smallest = levels[int(values.argmax())], levels[int(values.argmin())]
    assert (extremes["segment_value"], extremes["against"]) == (largest, smallest)
    expected = _difference(lambda r: level_of(r) == largest, lambda r: level_of(r) == smallest)
    assert (extremes["difference"], extremes["se"]) == pytest.approx(expected[:2], rel=1e-9)
    assert extremes["p_value"] == pytest.approx(expected[2], rel=1e-6)


def test_the_scan_is_each_level_against_everybody_else(root: Path) -> None:
    rows = _rows(root, "scan")
    assert len(rows) == 2 + 3 + 6
    for row in rows:
        keys = row["segment"].split(" x ")
        level = tuple(row["segment_value"].split(" x "))

        def inside(r: dict[str, Any], keys: Any = keys, level: Any = level) -> bool:
            return bool(tuple(r[key] for key in keys) == level)

        expected = _difference(inside, lambda r, inside=inside: not inside(r))
        assert (row["difference"], row["se"]) == pytest.approx(expected[:2], rel=1e-7)
        assert row["p_value"] == pytest.approx(expected[2], rel=1e-5)
    assert {(r["segment"], r["segment_value"]) for r in rows if r["differs"]} >= {("platform", "ios")}


PAIRS = {"country": 1, "platform": 3, "country x platform": 15}


@pytest.mark.parametrize(
    ("kind", "size", "factor"),
    [("cochran_q", 6, {}), ("largest_smallest", 6, PAIRS), ("scan", 22, {})],
)
def test_all_questions_of_a_kind_are_one_family(root: Path, kind: str, size: int, factor: dict[str, int]) -> None:
    rows = _rows(root, kind) + _rows(root, kind, "converted")
    assert len(rows) == size
    assert {row["family_size"] for row in rows} == {size}
    raw = [min(1.0, row["p_value"] * factor.get(row["segment"], 1)) for row in rows]
    adjusted = stats.false_discovery_control(raw, method="bh")
    assert [row["p_adjusted"] for row in rows] == pytest.approx(list(adjusted), rel=1e-9)
    assert {row["segment"] for row in rows if row["differs"]} >= {"platform"}
    assert [row["differs"] for row in rows] == [row["p_adjusted"] <= 0.05 for row in rows]
    assert all(row["label"].endswith("exploratory") for row in rows)


def test_metrics_that_do_not_decide_are_not_asked_about(root: Path) -> None:
    assert set(read(root / "lake", "heterogeneity", "trial")["metric"]) == {"plain", "converted"}


def test_a_crossed_segment_is_a_segment_everywhere(root: Path) -> None:
    """Its levels are in the results, as raw rows give them, and the sample ratio is checked by them."""
    found = read(root / "lake", "results", "trial").filter(pl.col("segment") == "country x platform")
    for row in found.filter(pl.col("metric") == "plain").to_dicts():
        country, platform = row["segment_value"].split(" x ")
        expected = _effect(lambda r, c=country, p=platform: (r["country"], r["platform"]) == (c, p))
        assert row["effect"] == pytest.approx(expected[0], rel=1e-9)
    health = read(root / "lake", "health", "trial").filter(pl.col("check") == "srm_segment")
    assert sum(scope.startswith("country x platform=") for scope in health["scope"]) == 6


def test_one_level_and_constant_effects_are_statuses(tmp_path: Path) -> None:
    rows = [{**r, "country": "DE", "converted": 0} for r in visitors(400)]
    root = project(tmp_path, rows=rows, experiment={"segments": ["country"]})
    assert run(Workspace.open(root, by="test"), "trial").error is None
    assert {row["status"] for row in _rows(root, "cochran_q", "converted")} == {"not_testable"}
    assert {row["status"] for row in _rows(root, "largest_smallest", "converted")} == {"not_testable"}
    (scanned,) = _rows(root, "scan", "converted")
    assert scanned["status"] != "ok"
    assert (scanned["p_value"], scanned["p_adjusted"], scanned["differs"]) == (None, None, None)


def test_quantiles_are_scanned_by_their_order_statistics(tmp_path: Path) -> None:
    median = {"name": "median", "type": "quantile", "quantile": 0.5, "source": "visitors", "value": "before"}
    root = project(tmp_path, metrics=[median], experiment={"metrics": {"primary": ["median"]}, "segments": ["country"]})
    assert run(Workspace.open(root, by="test"), "trial").error is None
    (q,) = _rows(root, "cochran_q", "median")
    effects = read(root / "lake", "results", "trial").filter(pl.col("segment") == "country").sort("segment_value")
    weights, values = 1 / effects["se"].to_numpy() ** 2, effects["effect"].to_numpy()
    assert q["statistic"] == pytest.approx(weights @ (values - weights @ values / weights.sum()) ** 2, rel=1e-9)
    inside = {row["segment_value"]: row for row in _rows(root, "scan", "median")}
    assert inside["DE"]["difference"] == pytest.approx(values[0] - values[1], rel=1e-9)
    assert inside["NO"]["difference"] == pytest.approx(values[1] - values[0], rel=1e-9)


def test_a_blocked_population_has_blocked_rows_only(tmp_path: Path) -> None:
    weights = {"control": 0.9, "treatment": 0.1}
    root = _project(tmp_path, assignment={"control": "control", "weights": weights})
    outcome = run(Workspace.open(root, by="test"), "trial")
    assert isinstance(outcome.error, SRMError)
    found = read(root / "lake", "heterogeneity", "trial")
    assert set(found["status"]) == {"blocked"}
    assert len(found) == 2 * 3
    assert found["statistic"].null_count() == len(found)


def test_units_that_a_dimension_table_lacks_are_a_level_and_cross_as_one(tmp_path: Path) -> None:
    root = _project(
        tmp_path,
        segments=["country", {"name": "tier", "source": "customers"}, {"name": "both", "cross": ["tier", "country"]}],
    )
    (root / "customers.csv").write_text("id,tier\n" + "".join(f"{i},gold\n" for i in range(0, 2400, 2)))
    (root / "sources" / "customers.yaml").write_text(
        "name: customers\nkind: dimension\nunit: id\npath: customers.csv\ncolumns: {id: integer, tier: text}\n"
    )
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").error is None
    promise = sealed(workspace, "trial")
    path = workspace.read("trial", Phase.ASSIGNMENTS, spec_hash=promise.spec_hash).path("assignments.parquet")
    units = pl.read_parquet(path)
    country = {row["id"]: row["country"] for row in PEOPLE}
    for unit, tier, both in units.select("unit", "seg_1", "seg_2").iter_rows():
        expected = "gold" if unit % 2 == 0 else "(missing)"
        assert (tier, both) == (expected, f"{expected} x {country[unit]}")
    everybody = read(root / "lake", "results", "trial").filter(pl.col("decisive") & (pl.col("metric") == "plain"))
    assert everybody.select(pl.col("n_arm") + pl.col("n_baseline")).item() == 2400


def test_where_shares_changed_both_sides_of_the_scan_are_stratified(tmp_path: Path) -> None:
    """The rest is averaged over phases by its own units, so that a drift of the mean makes no difference."""
    start, turn = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC)
    uneven, even = ({"control": c, "treatment": 1 - c} for c in (0.8, 0.5))
    rows = []
    for row in visitors(3000, seed=9):
        seen = start + timedelta(minutes=row["id"] * 3)
        rows.append({**row, "seen": seen.isoformat(), "spend": row["spend"] + (4.0 if seen >= turn else 0.0)})
    root = project(
        tmp_path,
        rows=rows,
        source={"kind": "exposure_log", "timestamp": "seen", "timezone": "UTC", "complete": True,
                "columns": {**SOURCE["columns"], "seen": "timestamp"}},
        metrics=[MEAN],
        experiment={
            "start": start.isoformat(), "end": "2026-03-09T00:00:00+00:00", "metrics": {"primary": ["plain"]},
            "assignment": {"control": "control", "weights": even, "phases": [
                {"at": start.isoformat(), "weights": uneven}, {"at": turn.isoformat(), "weights": even}]},
            "population": {"source": "visitors"}, "segments": ["country"], "analysis": {"looks": "fixed"},
        },
    )  # fmt: skip
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").error is None
    promise = sealed(workspace, "trial")
    path = workspace.read("trial", Phase.ASSIGNMENTS, spec_hash=promise.spec_hash).path("assignments.parquet")
    spend = {row["id"]: row["spend"] for row in rows}
    units = pl.read_parquet(path).with_columns(pl.col("unit").replace_strict(spend).alias("spend"))

    def mean(part: pl.DataFrame, arm: str) -> float:
        return float(part.filter(pl.col("arm") == arm)["spend"].to_numpy().mean())

    def stratified(level: str) -> float:
        mine = units.filter(pl.col("seg_0") == level)
        parts = [part for _, part in mine.group_by("stratum")]
        return sum(p.height / mine.height * (mean(p, "treatment") - mean(p, "control")) for p in parts)

    assert units["stratum"].n_unique() == 2
    by_level = {row["segment_value"]: row for row in _rows(root, "scan")}
    assert {row["estimator"] for row in by_level.values()} == {"stratified"}
    for level, other in (("DE", "NO"), ("NO", "DE")):
        assert by_level[level]["effect"] == pytest.approx(stratified(level), rel=1e-9)
        assert by_level[level]["effect_against"] == pytest.approx(stratified(other), rel=1e-7)


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        (["country", {"cross": ["country", "browser"]}], "crosses 'browser'; declared: country"),
        (["country", {"cross": ["country", "country"]}], "two or more different"),
        (["country", {"cross": ["country"]}], "two or more different"),
        (["country", {"name": "x", "cross": ["country", "platform"], "column": "country"}], "either a column"),
    ],
)
def test_a_crossing_that_means_nothing_is_refused(tmp_path: Path, segments: list[Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Workspace.open(_project(tmp_path, segments=segments), by="test").folder.experiment("trial")
