"""Looks end to end: boundaries come from the ledger, a crossing stands, a recomputed day is not a new look."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from xp_pipeline.lifecycle.acts import conclude
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import Outcome, run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.stats.boundaries import boundary
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.spending import Spending
from xp_pipeline.stats.stagewise import stagewise
from xp_pipeline_tests.projects import project

START = date(2026, 3, 1)
DAYS = 8
SOURCE: dict[str, Any] = {
    "kind": "exposure_log",
    "timestamp": "seen",
    "timezone": "UTC",
    "complete": True,
    "columns": {"id": "integer", "arm": "text", "seen": "timestamp", "spend": "number", "load": "number"},
}
METRICS: list[dict[str, Any]] = [
    {"name": "spend", "type": "mean", "source": "visitors", "value": "spend", "window": {"kind": "none"}},
    {"name": "load", "type": "mean", "source": "visitors", "value": "load", "direction": "decrease"},
]


def _rows(lift: float, *, seed: int = 3, per_day: int = 400, days: int = DAYS) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    rows = []
    for day in range(days):
        for i in range(per_day):
            arm = draw.choice(["control", "treatment"])
            seen = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day, seconds=draw.randrange(86_400))
            spend = round(10 + draw.gauss(0, 2) + (lift if arm == "treatment" else 0), 6)
            load = round(20 + draw.gauss(0, 2), 6)
            rows.append({"id": day * per_day + i, "arm": arm, "seen": seen.isoformat(), "spend": spend, "load": load})
    return rows


def _project(root: Path, rows: list[dict[str, Any]], **analysis: Any) -> Path:
    return project(
        root,
        rows=rows,
        source=SOURCE,
        metrics=METRICS,
        experiment={
            "start": START.isoformat(),
            "end": (START + timedelta(days=DAYS)).isoformat(),
            "population": {"source": "visitors", "arm": "arm"},
            "metrics": {
                "primary": [{"metric": "spend", "mde": "2%"}],
                "guardrail": [{"metric": "load", "margin": "3%"}],
            },
            "analysis": analysis,
        },
        settings={"timezone": "UTC"},
    )


def _run(root: Path, day: int) -> Outcome:
    outcome = run(Workspace.open(root, by="test"), "trial", as_of=START + timedelta(days=day - 1))
    assert outcome.error is None, outcome
    return outcome


def _row(root: Path, metric: str = "spend") -> dict[str, Any]:
    found = read(root / "lake", "results", "trial").filter(pl.col("decisive") & (pl.col("metric") == metric))
    return found.sort("as_of").to_dicts()[-1]


def _arms(rows: list[dict[str, Any]], days: int) -> list[Moments]:
    last = (START + timedelta(days=days)).isoformat()
    return [
        Moments.of([r["spend"] for r in rows if r["arm"] == arm and r["seen"] < last])
        for arm in ("control", "treatment")
    ]


def test_boundaries_follow_the_spending_function_at_the_information_of_the_looks(tmp_path: Path) -> None:
    rows = _rows(0.0)
    root = _project(tmp_path, rows)
    shown = []
    for day in range(1, DAYS + 1):
        _run(root, day)
        shown.append(_row(root))
    planned = boundary([day / DAYS for day in range(1, DAYS + 1)], spending=Spending())
    for day, (row, look) in enumerate(zip(shown, planned, strict=True), start=1):
        assert row["boundary"] == pytest.approx(look.upper, rel=1e-9), day
        assert row["alpha_spent"] == pytest.approx(2 * look.alpha_spent, rel=1e-9)
        assert row["significant"] is False
    assert [row["interval_kind"] for row in shown] == ["repeated"] * (DAYS - 1) + ["stagewise"]
    assert all(row["p_value"] is None for row in shown[:-1])
    last = shown[-1]
    assert last["final"]
    expected = stagewise(planned, welch(*_arms(rows, DAYS)))
    assert last["p_value"] == pytest.approx(expected.p_value, rel=1e-9)
    assert (last["ci_low"], last["ci_high"]) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert last["unbiased_effect"] == pytest.approx(expected.estimate, rel=1e-9)
    looks = Workspace.open(root, by="test").ledger.entries("trial", EntryKind.LOOK)
    assert looks[-1].payload["alpha_spent"] == pytest.approx(0.05)


def test_a_crossing_is_claimed_at_its_look_and_stands(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.5))
    first: dict[str, Any] | None = None
    for day in range(1, DAYS + 1):
        _run(root, day)
        row = _row(root)
        if first is None and row["significant"]:
            first = row
            assert row["interval_kind"] == "stagewise"
            assert abs(row["statistic"]) >= row["boundary"]
            assert row["p_adjusted"] <= 0.05
            assert row["ci_low"] > 0
            assert 0 < row["unbiased_effect"] < row["effect"]
        elif first is not None:
            assert row["significant"] is True
            assert row["stopped_look"] == first["stopped_look"]
            assert row["p_value"] == first["p_value"]
    assert first is not None
    assert first["stopped_look"] < DAYS


def test_a_recomputed_day_is_not_a_new_look(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.0))
    for day in (2, 4):
        _run(root, day)
    before = _row(root)
    entries = len(Workspace.open(root, by="test").ledger.entries("trial"))
    _run(root, 4)
    _run(root, 3)
    after = read(root / "lake", "results", "trial", latest=False).filter(
        pl.col("decisive") & (pl.col("metric") == "spend")
    )
    at = {row["as_of"]: row for row in after.to_dicts()}
    assert at["2026-03-04"]["boundary"] == before["boundary"]
    assert at["2026-03-03"]["significant"] is None, "a day before the last look claims nothing"
    assert at["2026-03-03"]["interval_kind"] == "sequence"
    looks = [e.payload for e in Workspace.open(root, by="test").ledger.entries("trial", EntryKind.LOOK)]
    assert [(look["as_of"], look["claims"]) for look in looks if look["claims"]] == [
        ("2026-03-02", True),
        ("2026-03-04", True),
    ]
    assert len(Workspace.open(root, by="test").ledger.entries("trial")) == entries + 1


def test_looks_come_as_often_as_declared_and_an_early_conclusion_spends_the_rest(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.0), looks={"schedule": "group_sequential", "every": "3d"})
    kinds = []
    for day in range(1, 7):
        _run(root, day)
        kinds.append(_row(root)["interval_kind"])
    assert kinds == ["sequence", "sequence", "repeated", "sequence", "sequence", "repeated"]
    workspace = Workspace.open(root, by="test")
    conclude(workspace, "trial", reason="the campaign ended", as_of=START + timedelta(days=6))
    _run(root, 7)
    last = _row(root)
    assert last["final"]
    assert last["interval_kind"] == "stagewise"
    assert last["alpha_spent"] == pytest.approx(0.05)


def test_guardrails_spend_along_the_same_looks_one_sided(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.0))
    bounds = []
    for day in range(1, DAYS + 1):
        _run(root, day)
        bounds.append(_row(root, "load"))
    planned = boundary([d / DAYS for d in range(1, DAYS + 1)], spending=Spending(), alpha=0.05, two_sided=False)
    crossed = [row["stopped_look"] for row in bounds if row["stopped_look"]]
    assert crossed
    for row, look in zip(bounds, planned, strict=True):
        if row["boundary"] is not None:
            assert row["boundary"] == pytest.approx(look.upper, rel=1e-9)
    assert bounds[-1]["margin_holds"] is True
    assert bounds[-1]["margin_bound"] is not None
    assert bounds[-1]["harmed"] is False


@pytest.mark.parametrize("method", ["confidence_sequence", "msprt"])
def test_always_valid_tests_may_be_read_every_day(tmp_path: Path, method: str) -> None:
    root = _project(tmp_path, _rows(0.9), looks={"schedule": "always_valid", "method": method})
    found = []
    for day in (1, 3, 5):
        _run(root, day)
        found.append(_row(root))
    assert [row["interval_kind"] for row in found] == ["always_valid"] * 3
    assert found[-1]["significant"] is True
    assert found[0]["p_value"] >= found[1]["p_value"] >= found[2]["p_value"]
    last = found[-1]
    assert (last["p_adjusted"] <= 0.05) == last["significant"]
    assert last["ci_low"] > 0


def test_no_claim_before_a_hundred_units(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(3.0, per_day=120))
    _run(root, 1)
    row = _row(root)
    assert row["significant"] is None
    assert "before which no sequential claim is made" in row["reason"]
    _run(root, 2)
    assert _row(root)["boundary"] is not None


def test_a_percentile_cap_is_that_of_the_first_look(tmp_path: Path) -> None:
    capped = {**METRICS[0], "type": "revenue", "cap": {"percentile": 95}}
    rows = _rows(0.0)
    for row in rows:
        late = row["seen"] >= (START + timedelta(days=4)).isoformat()
        row["spend"] = abs(row["spend"]) * (3 if late else 1)
    root = _project(tmp_path, rows)
    (root / "metrics" / "metrics.yaml").write_text(yaml.safe_dump({"metrics": [capped, METRICS[1]]}))
    found = []
    for day in (2, 5, DAYS):
        _run(root, day)
        found.append(_row(root))
    assert found[0]["cap_value"] == found[1]["cap_value"] == found[2]["cap_value"]
    assert found[0]["capped_share"] == pytest.approx(0.05, abs=0.01)
    assert found[2]["capped_share"] > 0.3
    looks = Workspace.open(root, by="test").ledger.entries("trial", EntryKind.LOOK)
    assert looks[0].payload["caps"] == {"spend": found[0]["cap_value"]}


def test_before_the_end_claims_rest_on_units_whose_window_has_passed(tmp_path: Path) -> None:
    rows = _rows(0.0)
    root = _project(tmp_path, rows)
    windowed = {**METRICS[0], "window": {"kind": "conversion", "length": "2d"}}
    (root / "sources" / "visitors.yaml").write_text(
        (root / "sources" / "visitors.yaml").read_text().replace("exposure_log", "event_log")
    )
    (root / "metrics" / "metrics.yaml").write_text(yaml.safe_dump({"metrics": [windowed, METRICS[1]]}))
    _run(root, 5)
    row = _row(root)
    mature = sum(r["seen"] <= (START + timedelta(days=3)).isoformat() for r in rows)
    assert row["n_arm"] + row["n_baseline"] == mature
    assert "claims rest on the units whose window has passed" in row["reason"]
    assert row["boundary"] is not None
    _run(root, DAYS)
    last = _row(root)
    assert last["n_arm"] + last["n_baseline"] == len(rows)
    assert "claims rest" not in last["reason"]


def test_futility_is_advised_where_the_planned_effect_is_out_of_reach(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(-0.25), looks={"schedule": "group_sequential", "futility": True})
    advised = []
    for day in range(1, DAYS):
        _run(root, day)
        advised.append((_row(root)["futile"], read(root / "lake", "decisions", "trial")["verdict"][-1]))
    assert advised[0] == (False, "running")
    assert (True, "do_not_ship") in advised
