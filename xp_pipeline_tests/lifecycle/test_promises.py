"""What people do to a promise: amend, override, conclude, decide, re-analyse; and what each leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xp_pipeline.errors import PhaseOrderError, RecordError, SRMError, TamperError
from xp_pipeline.lifecycle import acts
from xp_pipeline.lifecycle.inference.reanalyse import reanalyse
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run, run_phase
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import ExperimentState, Phase
from xp_pipeline_tests.projects import SOURCE, project, visitors

CALENDAR = {"start": "2026-01-01", "end": "2026-01-11"}


def _dated(tmp_path: Path, days: int = 5, **parts: Any) -> Path:
    """A project whose units come over some days of a ten-day experiment."""
    rows = [{**r, "at": f"2026-01-{1 + r['id'] % days:02d}T10:00:00Z"} for r in visitors(2000)]
    source = {"timestamp": "at", "columns": {**SOURCE["columns"], "at": "timestamp"}}
    return project(tmp_path, rows=rows, source=source, experiment={**CALENDAR, **parts})


def _open(root: Path) -> Workspace:
    return Workspace.open(root, by="ann")


def test_an_amended_experiment_shows_both_analyses(tmp_path: Path) -> None:
    root = _dated(tmp_path)
    assert run(_open(root), "trial").status == "done"
    _dated(tmp_path, analysis={"alpha": 0.2})
    assert run(_open(root), "trial").status == "done"
    assert set(read(root / "lake", "results", "trial")["ci_level"]) == {0.95}
    acts.amend(_open(root), "trial", reason="a pilot only")
    outcome = run(_open(root), "trial")
    assert outcome.status == "done", outcome
    rows = read(root / "lake", "results", "trial")
    levels = {tuple(sorted(set(part["label"]))): set(part["ci_level"]) for part in rows.partition_by("spec_hash")}
    assert {frozenset(levels_) for levels_ in levels.values()} == {frozenset({0.8}), frozenset({0.95})}
    page = (root / "lake" / "reports" / "trial" / "report.html").read_text(encoding="utf-8")
    assert "As amended" in page
    assert "As promised" in page
    assert "a pilot only" in page


def test_conclude_takes_the_final_look_early_and_freezes_it(tmp_path: Path) -> None:
    root = _dated(tmp_path)
    assert run(_open(root), "trial").status == "done"
    assert _open(root).ledger.state("trial") == ExperimentState.RUNNING
    with pytest.raises(PhaseOrderError, match="final look"):
        acts.decide(_open(root), "trial", "treatment", "ship", reason="hope")
    acts.conclude(_open(root), "trial", as_of=None, reason="the budget is gone")
    assert run(_open(root), "trial").status == "done"
    assert _open(root).ledger.state("trial") == ExperimentState.REPORTED
    first = read(root / "lake", "results", "trial").drop("run_id", "computed_at")
    assert first["final"].all()
    _dated(tmp_path, days=9)
    assert run(_open(root), "trial").status == "done"
    assert read(root / "lake", "results", "trial").drop("run_id", "computed_at").equals(first, null_equal=True)
    import shutil

    shutil.rmtree(root / "lake")
    outcome = run(_open(root), "trial")
    assert isinstance(outcome.error, TamperError)
    assert "not the one that the final look was taken on" in str(outcome.error)


def test_looks_are_numbered_once_an_as_of(tmp_path: Path) -> None:
    root = _dated(tmp_path)
    for _ in range(2):
        assert run(_open(root), "trial").status == "done"
    looks = _open(root).ledger.entries("trial", EntryKind.LOOK)
    assert [(e.payload["look"], e.payload["as_of"]) for e in looks] == [(1, "2026-01-04")]
    assert 0 < looks[0].payload["alpha_spent"] < 0.05


def test_a_block_stands_until_a_signed_override(tmp_path: Path) -> None:
    lopsided = [r for r in visitors(4000) if r["arm"] == "control" or r["id"] % 3]
    root = project(tmp_path, rows=lopsided)
    outcome = run(_open(root), "trial")
    assert isinstance(outcome.error, SRMError)
    with pytest.raises(SRMError):
        run_phase(_open(root), "trial", Phase.ADJUSTED_METRICS)
    with pytest.raises(RecordError, match="signed"):
        acts.override(_open(root), "trial", "srm", reason=" ")
    acts.override(_open(root), "trial", "srm", reason="the loss is understood")
    assert run(_open(root), "trial").status == "done"
    assert set(read(root / "lake", "results", "trial")["status"]) == {"ok"}
    srm = read(root / "lake", "health", "trial").filter(pl.col("check") == "srm").to_dicts()[0]
    assert srm["verdict"] == "warned"
    assert "Overridden" in srm["message"]


def test_a_reanalysis_is_labelled_and_moves_nothing(tmp_path: Path) -> None:
    root = project(tmp_path)
    with pytest.raises(PhaseOrderError):
        run_phase(_open(root), "trial", Phase.REPORT)
    assert run(_open(root), "trial").status == "done"
    before = read(root / "lake", "results", "trial")
    rows = reanalyse(_open(root), "trial", alpha=0.01, correction=None, reason="a stricter look")
    assert set(rows["ci_level"]) == {0.99}
    assert all("reanalysis" in label for label in rows["label"])
    assert read(root / "lake", "results", "trial").equals(before, null_equal=True)
    assert _open(root).ledger.state("trial") == ExperimentState.REPORTED


def test_an_added_metric_is_exploratory_and_a_new_owner_is_cosmetic(tmp_path: Path) -> None:
    root = _dated(tmp_path, metrics={"primary": ["converted"]})
    assert run(_open(root), "trial").status == "done"
    _dated(tmp_path, metrics={"primary": ["converted"], "secondary": ["spend"]}, owner="bob")
    assert run(_open(root), "trial").status == "done"
    rows = read(root / "lake", "results", "trial")
    added = rows.filter(pl.col("metric") == "spend")
    assert set(added["role"]) == {"exploratory"}
    assert all("exploratory" in label for label in added["label"])
    assert not any("exploratory" in label for label in rows.filter(pl.col("metric") == "converted")["label"])


def test_a_decision_stands_beside_the_recommendation(tmp_path: Path) -> None:
    root = project(tmp_path)
    assert run(_open(root), "trial").status == "done"
    acts.decide(_open(root), "trial", "treatment", "ship", reason="strategy")
    assert run(_open(root), "trial").status == "done"
    row = read(root / "lake", "decisions", "trial").to_dicts()[0]
    assert (row["verdict"], row["human_decision"], row["human_reason"]) == ("do_not_ship", "ship", "strategy")
    assert "strategy" in (root / "lake" / "reports" / "trial" / "report.html").read_text(encoding="utf-8")
