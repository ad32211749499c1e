"""Blinded re-estimation end to end: read once, entered once, the end moves for everybody who asks for it."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from xp_pipeline.decision.extension import blinded_reestimate
from xp_pipeline.errors import SpecError
from xp_pipeline.lifecycle.acts import amend, conclude
from xp_pipeline.lifecycle.promisable import promisable
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import Outcome, run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.folder import load
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import Phase
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.projects import project

START = date(2026, 3, 1)
DAYS, COMING, PER_DAY = 10, 30, 60
SOURCE: dict[str, Any] = {
    "kind": "exposure_log",
    "timestamp": "seen",
    "timezone": "UTC",
    "complete": True,
    "columns": {"id": "integer", "arm": "text", "seen": "timestamp", "spend": "number", "views": "number"},
}
METRICS: list[dict[str, Any]] = [
    {"name": "spend", "type": "mean", "source": "visitors", "value": "spend"},
    {"name": "per_view", "type": "ratio", "numerator": {"source": "visitors", "value": "spend"},
     "denominator": {"source": "visitors", "value": "views"}},
]  # fmt: skip


def _rows(sd: float, *, share: float = 0.5, seed: int = 3) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    found = []
    for i in range(PER_DAY * COMING):
        seen = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=i // PER_DAY, seconds=draw.randrange(86_400))
        arm = "treatment" if draw.random() < share else "control"
        row = {"id": i, "arm": arm, "seen": seen.isoformat(), "spend": 10 + draw.gauss(0, sd)}
        found.append(row | {"views": draw.randint(1, 4)})
    return found


def _project(root: Path, rows: list[dict[str, Any]], **changed: Any) -> Path:
    experiment = {
        "start": START.isoformat(), "end": (START + timedelta(days=DAYS)).isoformat(),
        "population": {"source": "visitors", "arm": "arm"},
        "metrics": {"primary": [{"metric": "spend", "mde": "5%"}]},
        "analysis": {"looks": "fixed", "extension": {"most": "12d", "at": "50%"}},
    }  # fmt: skip
    return project(
        root, rows=rows, source=SOURCE, metrics=METRICS, settings={"timezone": "UTC"}, experiment=experiment | changed
    )


def _run(root: Path, day: int) -> Outcome:
    return run(Workspace.open(root, by="test"), "trial", as_of=START + timedelta(days=day - 1))


def _decided(root: Path, day: int) -> dict[str, Any]:
    assert _run(root, day).status == "done"
    found = read(root / "lake", "decisions", "trial").sort("as_of").to_dicts()
    return next(row for row in found if row["as_of"] == (START + timedelta(days=day - 1)).isoformat())


def _entries(root: Path) -> list[dict[str, Any]]:
    ledger = Workspace.open(root, by="test").ledger
    return [entry.payload for entry in ledger.entries("trial", EntryKind.EXTENSION)]


def _expected(rows: list[dict[str, Any]]) -> Any:
    """From the rows of the first five days, arms unknown."""
    seen = [r["spend"] for r in rows if r["seen"] < (START + timedelta(days=5)).isoformat()]
    pooled, coming = Moments.of(seen), PER_DAY * DAYS
    return blinded_reestimate(
        pooled, effect=0.05 * float(pooled.mean[0]), planned_units=coming, most_units=math.ceil(coming * 2.2)
    )


def test_the_end_moves_once_and_the_look_is_taken_there(tmp_path: Path) -> None:
    rows = _rows(2.6)
    root = _project(tmp_path, rows)
    assert _decided(root, 4)["verdict"] == "not_due"
    assert _entries(root) == []
    assert _decided(root, 6)["verdict"] == "not_due"
    (entry,) = _entries(root)
    need = _expected(rows)
    more = math.ceil(DAYS * (need.units / (PER_DAY * DAYS) - 1))
    assert 0 < more < 12
    assert entry["granted"]["days"] == more
    assert entry["granted"]["as_of"] == "2026-03-05"
    assert entry["needs"][0]["needed"] == need.needed == need.units
    assert entry["needs"][0]["variance"] == pytest.approx(need.variance, rel=1e-9)
    past = _decided(root, DAYS)
    assert past["verdict"] == "extend"
    assert f"The end moves by {more} days" in past["reasons"]
    assert not past["final"]
    last = _decided(root, DAYS + more)
    assert last["final"]
    assert last["verdict"] in ("ship", "do_not_ship", "rerun")
    results = read(root / "lake", "results", "trial").filter(pl.col("final") & pl.col("decisive")).to_dicts()[-1]
    until = (START + timedelta(days=DAYS + more)).isoformat()
    assert results["n_arm"] + results["n_baseline"] == sum(row["seen"] < until for row in rows)
    assert len(_entries(root)) == 1
    design = Workspace.open(root).read("trial", Phase.DESIGN, spec_hash=results["spec_hash"]).json("design.json")
    assert design["end"].startswith(until)
    page = next((root / "lake" / "reports").rglob("report.html")).read_text()
    assert "was read on 2026-03-05" in page


def test_a_first_run_past_the_end_reads_the_variance_of_its_day(tmp_path: Path) -> None:
    """The same end as by daily runs: what came after the day of reading does not count."""
    rows = _rows(2.6)
    root = _project(tmp_path, rows)
    outcome = run(Workspace.open(root, by="test"), "trial")
    more = math.ceil(DAYS * (_expected(rows).units / (PER_DAY * DAYS) - 1))
    assert outcome.as_of == (START + timedelta(days=DAYS + more - 1)).isoformat()
    assert _entries(root)[0]["granted"]["days"] == more


@pytest.mark.parametrize(("sd", "days", "said"), [(0.5, 0, "The plan suffices"), (9.0, 12, "the most that is allowed")])
def test_it_never_shortens_and_never_passes_the_most(tmp_path: Path, sd: float, days: int, said: str) -> None:
    root = _project(tmp_path, _rows(sd))
    _run(root, 6)
    (entry,) = _entries(root)
    assert entry["granted"]["days"] == days
    assert said in entry["granted"]["why"]
    assert _decided(root, DAYS)["final"] == (days == 0)


def test_ratios_margins_and_unequal_arms_say_what_they_need(tmp_path: Path) -> None:
    metrics = {
        "primary": [{"metric": "spend", "equivalence": "8%"}],
        "guardrail": [{"metric": "per_view", "margin": "8%"}],
    }
    assignment = {"control": "control", "weights": {"control": 0.7, "treatment": 0.3}}
    root = _project(tmp_path, _rows(2.6, share=0.3), metrics=metrics, assignment=assignment)
    assert _run(root, 6).status == "done"
    (entry,) = _entries(root)
    assert {need["metric"] for need in entry["needs"]} == {"spend", "per_view"}
    assert all(need["status"] == "ok" and need["units"] >= need["planned"] for need in entry["needs"])
    assert entry["granted"]["days"] > 0


def test_nothing_measured_yet_leaves_the_plan(tmp_path: Path) -> None:
    rows = [row | {"spend": 0.0, "views": 0} for row in _rows(1.0)]
    metrics = {"primary": [{"metric": "spend", "mde": "5%"}, {"metric": "per_view", "mde": "5%"}]}
    root = _project(tmp_path, rows, metrics=metrics)
    assert _run(root, 6).status == "done"
    (entry,) = _entries(root)
    assert entry["granted"]["days"] == 0
    assert entry["granted"]["why"] == "The plan stays: the planned effect has no size, as a share of 0."
    assert all(need["variance"] is None for need in entry["needs"])


def test_a_blocked_population_is_not_read(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(2.6, share=0.8))
    assert _run(root, 6).status == "blocked"
    assert _entries(root) == []
    assert _run(root, DAYS).status == "blocked"


def test_nothing_moves_after_a_conclusion(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(2.6))
    _run(root, 3)
    conclude(Workspace.open(root, by="test"), "trial", as_of=START + timedelta(days=2), reason="enough")
    assert _run(root, 6).status == "done"
    assert _entries(root) == []


def test_an_amended_end_is_as_people_have_said(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(2.6))
    _run(root, 6)
    path = root / "experiments" / "trial.yaml"
    path.write_text(path.read_text().replace("2026-03-11", "2026-03-13"))
    amend(Workspace.open(root, by="test"), "trial", reason="the campaign was moved")
    promise = sealed(Workspace.open(root), "trial")
    assert promise.bound.end == datetime(2026, 3, 13, tzinfo=UTC)
    assert promise.promised.end is not None and promise.promised.end > datetime(2026, 3, 11, tzinfo=UTC)
    assert _run(root, 12).status == "done"
    assert len(_entries(root)) == 1


def test_running_again_changes_nothing(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(2.6))
    _run(root, 7)
    before = json.dumps(_entries(root))
    end = sealed(Workspace.open(root), "trial").bound.end
    _run(root, 7)
    assert json.dumps(_entries(root)) == before
    assert sealed(Workspace.open(root), "trial").bound.end == end
    assert sealed(Workspace.open(root), "trial").spec_hash == sealed(Workspace.open(root), "trial").promised_hash


def test_units_without_a_value_do_not_count_as_coming(tmp_path: Path) -> None:
    rows = [row | ({"spend": None} if row["id"] % 4 else {}) for row in _rows(2.6)]
    root = _project(tmp_path, rows)
    path = root / "metrics" / "metrics.yaml"
    path.write_text(path.read_text().replace("value: spend", "value: spend\n  nulls: drop", 1))
    _run(root, 6)
    (entry,) = _entries(root)
    assert entry["needs"][0]["planned"] == pytest.approx(PER_DAY * DAYS / 4, rel=0.01)
    assert entry["granted"]["days"] == 12


def test_a_day_that_was_cut_counts_for_what_it_was(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.5), start="2026-03-01T18:00:00", end="2026-03-05T18:00:00")
    _run(root, 4)
    (entry,) = _entries(root)
    assert entry["granted"]["as_of"] == "2026-03-03"
    assert entry["needs"][0]["planned"] == pytest.approx(PER_DAY * 4, rel=0.15)


def test_nobody_exposed_by_then_leaves_the_plan(tmp_path: Path) -> None:
    late = [row for row in _rows(2.6) if row["seen"] >= "2026-03-07"]
    root = _project(tmp_path, late)
    assert _run(root, 6).status == "waiting"
    assert _run(root, DAYS).status == "done"
    (entry,) = _entries(root)
    assert entry["granted"]["why"] == "The plan stays: nobody was exposed yet."


def test_windows_are_read_complete(tmp_path: Path) -> None:
    """Five days after the start, units of the first three have had their two days, and more like them come."""
    rows = _rows(2.6)
    root = _project(tmp_path, rows)
    (root / "sources" / "visitors.yaml").write_text(
        (root / "sources" / "visitors.yaml").read_text().replace("exposure_log", "event_log")
    )
    path = root / "metrics" / "metrics.yaml"
    window = "value: spend\n  window: {kind: conversion, length: 2d}"
    path.write_text(path.read_text().replace("value: spend", window, 1))
    _run(root, 6)
    (entry,) = _entries(root)
    assert entry["needs"][0]["planned"] == pytest.approx(PER_DAY * DAYS, rel=0.01)
    mature = [row["spend"] for row in rows if row["seen"] < (START + timedelta(days=3)).isoformat()]
    assert entry["needs"][0]["variance"] == pytest.approx(Moments.of(mature).variance(), rel=0.02)


def test_an_end_in_a_repeated_hour_moves_too(tmp_path: Path) -> None:
    rows = [
        row | {"seen": (datetime.fromisoformat(row["seen"]) + timedelta(days=228)).isoformat()} for row in _rows(2.6)
    ]
    root = _project(tmp_path, rows, start="2026-10-15", end="2026-10-25T02:30:00")
    settings = root / "xp.yaml"
    settings.write_text(settings.read_text().replace("UTC", "Europe/Berlin"))
    assert run(Workspace.open(root, by="test"), "trial", as_of=date(2026, 10, 22)).status == "done"
    bound = sealed(Workspace.open(root), "trial").bound
    assert bound.extended is not None and bound.extended.days > 0
    assert bound.end is not None and bound.planned_end is not None
    assert bound.end.date() == bound.planned_end.date() + timedelta(days=bound.extended.days)


def test_an_extension_that_was_not_promised_leaves_the_promised_end(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(2.6), analysis={"looks": "fixed"})
    _run(root, 3)
    path = root / "experiments" / "trial.yaml"
    path.write_text(path.read_text().replace("looks: fixed", "looks: fixed\n  extension: 12d"))
    amend(Workspace.open(root, by="test"), "trial", reason="the variance is not known")
    _run(root, 6)
    promise = sealed(Workspace.open(root), "trial")
    assert promise.promised.end == datetime(2026, 3, 11, tzinfo=UTC)
    assert promise.bound.end is not None and promise.bound.end > datetime(2026, 3, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"analysis": {"extension": "12d"}}, "only a design of one look"),
        ({"analysis": {"looks": "fixed", "extension": "12h"}}, "whole days"),
        ({"analysis": {"looks": "fixed", "extension": 12}}, "extension"),
        ({"analysis": {"looks": "fixed", "extension": {"most": "12d", "at": "100%"}}}, "before the planned end"),
        ({"metrics": {"primary": ["spend"]}}, "no metric says what it is to show"),
        ({"end": None}, "of a planned end"),
        ({"analysis": {"looks": "fixed", "extension": "10000000d"}}, "up to 366"),
        ({"analysis": {"looks": "fixed", "extension": "9999999999d"}}, "not as long as"),
        ({"metrics": {"primary": [{"metric": "median", "mde": "5%"}]}}, "median is a quantile"),
        ({"metrics": {"primary": [{"metric": "slow", "mde": "5%"}]}}, "no window of slow is complete"),
        ({"metrics": {"primary": [{"metric": "ever", "mde": "5%"}]}}, "ever grows as long as it runs"),
    ],
)
def test_what_cannot_be_extended_is_refused_in_the_file(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    root = _project(tmp_path, _rows(1.0)[:200], **changed)
    more = [
        METRICS[0] | {"name": "median", "type": "quantile", "quantile": 0.5},
        METRICS[0] | {"name": "slow", "source": "events", "window": {"kind": "conversion", "length": "7d"}},
        METRICS[0] | {"name": "ever", "source": "events"},
    ]
    (root / "metrics" / "more.yaml").write_text(yaml.safe_dump({"metrics": more}))
    events = SOURCE | {"name": "events", "kind": "event_log", "unit": "id", "path": "visitors.csv"}
    (root / "sources" / "events.yaml").write_text(yaml.safe_dump(events))
    with pytest.raises(SpecError, match=told) as caught:
        promisable(load(root), "trial")
    assert "trial.yaml:" in str(caught.value)
