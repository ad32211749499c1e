"""Odd populations: stitched identities, units that contradict their arm, arms by the bucket rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from xp_pipeline.language.buckets import bucket, choose
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.projects import METRICS, SOURCE, csv_text, project, visitors


def _status(root: Path) -> dict[Any, str]:
    """Unit to status, as sealed."""
    workspace = Workspace.open(root, by="test")
    promise = sealed(workspace, "trial")
    path = workspace.read("trial", Phase.ASSIGNMENTS, spec_hash=promise.spec_hash).path("assignments.parquet")
    return dict(pl.read_parquet(path).select("unit", "status").iter_rows())


@pytest.mark.parametrize(
    ("mode", "conflicts", "orders"),
    [
        # Device 3 maps to two users; devices 4 and 5 share one: strict drops all three.
        ("strict", {3, 4, 5}, 3),
        # First touch: the shared user belongs to device 4, exposed before 5; device 3 keeps one of its users.
        ("first_touch", {5}, 5),
    ],
)
def test_identity_stitching(tmp_path: Path, mode: str, conflicts: set[int], orders: int) -> None:
    exposures = [{"device": d, "ts": f"2026-01-01T{d % 24:02d}:00:00Z", "arm": "ab"[d % 2]} for d in range(1, 41)]
    pairs = [(d, 100 + d) for d in range(1, 3)] + [(3, 103), (3, 133), (4, 104), (5, 104)]
    events = [{"user": u, "ts": "2026-01-02T12:00:00Z"} for u in (101, 102, 102, 103, 104)]
    for folder in ("sources", "metrics", "experiments"):
        (tmp_path / folder).mkdir()
    (tmp_path / "exposures.csv").write_text(csv_text(exposures))
    (tmp_path / "links.csv").write_text(csv_text([{"device": d, "user": u} for d, u in pairs]))
    (tmp_path / "events.csv").write_text(csv_text(events))
    clock = {"timestamp": "ts", "complete": True}
    sources = [
        {
            "name": "exposures",
            "kind": "exposure_log",
            "unit": "device",
            "columns": {"device": "integer", "ts": "timestamp", "arm": "text"},
            **clock,
        },
        {
            "name": "links",
            "kind": "unit_periods",
            "unit": "device",
            "columns": {"device": "integer", "user": "integer"},
        },
        {
            "name": "events",
            "kind": "event_log",
            "unit": "user",
            "columns": {"user": "integer", "ts": "timestamp"},
            **clock,
        },
    ]
    for source in sources:
        content = {**source, "path": f"{source['name']}.csv"}
        (tmp_path / "sources" / f"{source['name']}.yaml").write_text(yaml.safe_dump(content))
    metric = {"name": "orders", "type": "count", "source": "events"}
    (tmp_path / "metrics" / "m.yaml").write_text(yaml.safe_dump({"metrics": [metric]}))
    experiment = {
        "id": "trial",
        "start": "2026-01-01",
        "end": "2026-01-05",
        "assignment": {"control": "a", "weights": {"a": 0.5, "b": 0.5}},
        "population": {
            "source": "exposures",
            "arm": "arm",
            "identity": {"source": "links", "to": "user", "mode": mode},
        },
        "metrics": {"primary": ["orders"]},
    }
    (tmp_path / "experiments" / "trial.yaml").write_text(yaml.safe_dump(experiment))
    (tmp_path / "xp.yaml").write_text("name: t\n")
    outcome = run(Workspace.open(tmp_path, by="test"), "trial")
    assert outcome.error is None, outcome
    assert {unit for unit, status in _status(tmp_path).items() if status == "identity_conflict"} == conflicts
    row = read(tmp_path / "lake", "results", "trial").to_dicts()[0]
    counted = row["mean_arm"] * row["n_arm"] + row["mean_baseline"] * row["n_baseline"]
    assert round(counted) == orders


def _shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every tenth unit was shown the other arm's page."""
    page = {"control": "old", "treatment": "new"}
    other = {"control": "new", "treatment": "old"}
    return [{**r, "page": (other if r["id"] % 10 == 0 else page)[r["arm"]]} for r in rows]


@pytest.mark.parametrize("policy", ["drop_rows", "exclude_units"])
def test_units_that_contradict_their_arm_leave(tmp_path: Path, policy: str) -> None:
    rule = {"column": "page", "expected": {"control": "old", "treatment": "new"}, "policy": policy}
    root = project(
        tmp_path,
        rows=_shown(visitors(1000)),
        source={"columns": {**SOURCE["columns"], "page": "text"}},
        experiment={"population": {"source": "visitors", "arm": "arm", "mismatch": rule}},
    )
    assert run(Workspace.open(root, by="test"), "trial").error is None
    assert read(root / "lake", "experiments", "trial")["units"].to_list() == [900]
    health = read(root / "lake", "health", "trial").filter(pl.col("check") == "mismatch").to_dicts()[0]
    assert health["statistic"] == 100


def test_arms_by_the_bucket_rule(tmp_path: Path) -> None:
    shares = {"control": 0.5, "treatment": 0.5}
    rows = [{**r, "arm": choose(bucket("salted", r["id"]), shares)} for r in visitors(1000)]
    root = project(
        tmp_path,
        rows=rows,
        metrics=METRICS,
        experiment={
            "assignment": {"control": "control", "weights": shares, "salt": "salted"},
            "population": {"source": "visitors"},
        },
    )
    assert run(Workspace.open(root, by="test"), "trial").error is None
    srm = read(root / "lake", "health", "trial").filter(pl.col("check") == "srm").to_dicts()[0]
    logged = {arm: sum(r["arm"] == arm for r in rows) for arm in shares}
    assert json.loads(srm["observed"]) == logged
