"""The fused pass against a reading in plain Python: windows, maturity, null policy, lookbacks, caps, anchors."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from xp_pipeline.lifecycle.measurement import evidence
from xp_pipeline.lifecycle.measurement.measure import Cell
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.projects import csv_text

START = datetime(2026, 3, 27, tzinfo=UTC)
DAYS = 10
H = timedelta(hours=1)
D = timedelta(days=1)
Unit = dict[str, Any]
Event = dict[str, Any]

METRICS: list[dict[str, Any]] = [
    {"name": "open", "type": "mean", "value": "amount"},
    {"name": "delayed", "type": "mean", "value": "amount", "window": {"kind": "none", "delay": "36h"}},
    {"name": "first_two_days", "type": "mean", "value": "amount", "window": {"kind": "conversion", "length": "2d"}},
    {
        "name": "grown",
        "type": "proportion",
        "mature": True,
        "window": {"kind": "conversion", "delay": "1d", "length": "2d"},
    },
    {"name": "last_days", "type": "count", "window": {"kind": "lookback", "length": "3d"}},
    {"name": "measured", "type": "mean", "value": "amount", "nulls": "drop"},
    {"name": "largest", "type": "mean", "value": "amount", "aggregate": "max", "where": {"event": "buy"}},
    {"name": "before", "type": "mean", "value": "amount", "covariates": [{"lookback": "2d"}]},
]


def _world(seed: int) -> tuple[list[Unit], list[Event]]:
    """Units and events on whole hours, so that many fall on the very edges of windows."""
    draw = random.Random(seed)
    units = [
        {"user": u, "arm": draw.choice(["control", "treatment"]), "t0": START + draw.randrange(DAYS * 24) * H}
        for u in range(300)
    ]
    events = [
        {
            "user": draw.randrange(320),
            "ts": START - 3 * D + draw.randrange((DAYS + 8) * 24) * H,
            "event": draw.choice(["buy", "visit"]),
            "amount": draw.choice([None, *range(1, 20)]),
        }
        for _ in range(6_000)
    ]
    return units, events


def _reached(unit: Unit, events: list[Event], until: datetime) -> datetime | None:
    """First purchase at or after exposure, within the experiment: the entry point of the triggered."""
    end = min(until, START + DAYS * D)
    times = [e["ts"] for e in events if e["user"] == unit["user"] and e["event"] == "buy"]
    return min((ts for ts in times if unit["t0"] <= ts < end), default=None)


def _project(root: Path, units: list[Unit], events: list[Event], zone: str) -> Path:
    for folder in ("sources", "metrics", "experiments"):
        (root / folder).mkdir()
    exposures = [{"user": u["user"], "ts": u["t0"].isoformat(), "arm": u["arm"]} for u in units]
    exposures += [{**row, "ts": (datetime.fromisoformat(row["ts"]) + 5 * H).isoformat()} for row in exposures[::3]]
    (root / "exposures.csv").write_text(csv_text(exposures))
    (root / "events.csv").write_text(csv_text([{**e, "ts": e["ts"].isoformat()} for e in events]))
    columns = {"user": "integer", "ts": "timestamp"}
    base = {"unit": "user", "timestamp": "ts", "complete": True}
    sources = [
        {
            **base,
            "name": "exposures",
            "kind": "exposure_log",
            "path": "exposures.csv",
            "columns": {**columns, "arm": "text"},
        },
        {
            **base,
            "name": "events",
            "kind": "event_log",
            "path": "events.csv",
            "columns": {**columns, "event": "text", "amount": "number"},
        },
    ]
    for source in sources:
        (root / "sources" / f"{source['name']}.yaml").write_text(yaml.safe_dump(source))
    metrics = [{"source": "events", **metric} for metric in METRICS]
    (root / "metrics" / "all.yaml").write_text(yaml.safe_dump({"metrics": metrics}))
    experiment = {
        "id": "trial",
        "start": START.isoformat(),
        "end": (START + DAYS * D).isoformat(),
        "assignment": {"control": "control", "weights": {"control": 0.5, "treatment": 0.5}},
        "population": {
            "source": "exposures",
            "arm": "arm",
            "trigger": {"source": "events", "where": {"event": "buy"}},
        },
        "metrics": {"primary": ["open"], "exploratory": [m["name"] for m in METRICS[1:]]},
    }
    (root / "experiments" / "trial.yaml").write_text(yaml.safe_dump(experiment))
    (root / "xp.yaml").write_text(yaml.safe_dump({"name": "t", "timezone": zone}))
    return root


def _values(name: str, unit: Unit, events: list[Event], until: datetime) -> tuple[float, ...] | None:
    """The value (and covariate) of one unit, or None if it does not count."""
    t0, end = unit["t0"], min(until, START + DAYS * D)

    def rows(low: datetime, high: datetime, keep: Callable[[Event], bool] = lambda _: True) -> list[Event]:
        return [e for e in events if e["user"] == unit["user"] and low <= e["ts"] < high and keep(e)]

    def total(found: list[Event]) -> float:
        return float(sum(e["amount"] or 0 for e in found))

    if name == "first_two_days" and until < START + DAYS * D and t0 + 2 * D > until:
        return None  # before the end a claim along the looks rests on mature units
    if name == "grown":
        if t0 + 3 * D > until:
            return None
        return (float(bool(rows(t0 + D, min(t0 + 3 * D, until)))),)
    if name == "measured":
        found = [e for e in rows(t0, end) if e["amount"] is not None]
        return (total(found),) if found else None
    if name == "largest":
        return (float(max((e["amount"] or 0 for e in rows(t0, end, lambda e: e["event"] == "buy")), default=0)),)
    return {
        "open": lambda: (total(rows(t0, end)),),
        "delayed": lambda: (total(rows(t0 + 36 * H, end)),),
        "first_two_days": lambda: (total(rows(t0, min(t0 + 2 * D, until))),),
        "last_days": lambda: (float(len(rows(max(t0, end - 3 * D), end))),),
        "before": lambda: (total(rows(t0, end)), total(rows(unit["exposed"] - 2 * D, unit["exposed"]))),
    }[name]()


@pytest.mark.parametrize(
    ("seed", "zone", "as_of"), [(1, "UTC", None), (2, "Europe/Berlin", "2026-03-31"), (3, "America/New_York", None)]
)
def test_the_pass_agrees_with_plain_python(tmp_path: Path, seed: int, zone: str, as_of: str | None) -> None:
    units, events = _world(seed)
    workspace = Workspace.open(_project(tmp_path, units, events, zone), by="test")
    day = datetime.fromisoformat(as_of).date() if as_of else None
    outcome = run(workspace, "trial", as_of=day)
    assert outcome.error is None, outcome
    from xp_pipeline.lifecycle.sealed import sealed

    promise = sealed(workspace, "trial")
    artifact = workspace.read("trial", Phase.ADJUSTED_METRICS, spec_hash=promise.spec_hash)
    assigned = workspace.read("trial", Phase.ASSIGNMENTS, spec_hash=promise.spec_hash)
    until = datetime.fromisoformat(assigned.manifest.summary["until"])
    exposed = [{**u, "exposed": u["t0"]} for u in units if u["t0"] < min(until, START + DAYS * D)]
    reached = [(u, _reached(u, events, until)) for u in exposed]
    triggered = [{**u, "t0": moment} for u, moment in reached if moment]
    readings = evidence.read(artifact.path("moments.parquet"))
    for population, members in (("enrolled", exposed), ("triggered", triggered)):
        assert members
        found = {r.metric: r.cells for r in readings[population]}
        for metric in METRICS:
            for arm in ("control", "treatment"):
                values = [_values(metric["name"], u, events, until) for u in members if u["arm"] == arm]
                _agree(found[metric["name"]][Cell(arm)], np.array([v for v in values if v is not None]))


def _agree(moments: Moments, table: NDArray[np.float64]) -> None:
    assert moments.n == len(table)
    np.testing.assert_allclose(moments.mean, table.mean(axis=0), rtol=1e-12)
    expected = np.cov(table.T, ddof=0) * len(table)
    np.testing.assert_allclose(moments.comoment, np.atleast_2d(expected), rtol=1e-9, atol=1e-9)
    centred = table[:, 0] - table[:, 0].mean()
    assert moments.third == pytest.approx(float(np.sum(centred**3)), rel=1e-8, abs=1e-6)
