"""A/A experiments end to end: what C25 runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xp_pipeline.calibration.cells import CELLS
from xp_pipeline.calibration.seeds import stream
from xp_pipeline.calibration.trials import KINDS, METRICS, run_project, write_project
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import ExperimentState


def test_experiments_go_from_the_registry_to_the_report(tmp_path: Path) -> None:
    names = write_project(tmp_path / "p", np.random.default_rng(4), 2)
    found = run_project(tmp_path / "p", names)
    workspace = Workspace.open(tmp_path / "p", by="test")
    for name, rows in zip(names, found, strict=True):
        assert rows is not None and len(rows) == len(METRICS) == 20
        assert all(0 < row["p_value"] <= 1 and row["status"] == "ok" for row in rows.values())
        assert workspace.ledger.state(name) == ExperimentState.REPORTED
        assert list(workspace.ledger.entries(name, EntryKind.LOOK))
    estimators = {row["estimator"] for rows in found if rows for row in rows.values()}
    assert {"welch", "cuped", "ratio", "capped_welch"} <= estimators


def test_experiments_of_a_project_are_independent_draws(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_project(tmp_path / folder, stream("C25", "x", 1, 0), 2)
    files = {folder: sorted((tmp_path / folder).glob("*.parquet")) for folder in ("first", "second")}
    first, second = ([path.read_bytes() for path in paths] for paths in files.values())
    assert first == second and first[0] != first[1]


def test_the_measures_of_an_experiment_are_shares_of_its_metrics() -> None:
    (study,) = CELLS["C25"].studies
    measures = study.simulate(stream("C25", study.name, 0, 0), 2)
    assert measures["blocked"].tolist() == [0.0, 0.0]
    by_kind = np.mean([measures[f"rejected, {kind.name}"] for kind in KINDS], axis=0)
    assert by_kind == pytest.approx(measures["rejected"])
    deciles = np.array([measures[f"p up to {k / 10:g}"] for k in range(1, 10)])
    assert (np.diff(deciles, axis=0) >= 0).all()
