"""Bad input: one line of our own kind, naming the place, and nothing half-written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xp_pipeline.errors import XpError
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run, run_phase
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.folder import load
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.projects import EXPERIMENT, METRICS, csv_text, project, visitors


def _problem(root: Path) -> XpError:
    """The one problem of a project: in its folder, or of its run."""
    folder = load(root)
    if folder.problems:
        return folder.problems[0]
    outcome = run(Workspace(folder, by="test"), "trial")
    assert outcome.error is not None, outcome
    return outcome.error


def _weights(**weights: Any) -> dict[str, Any]:
    return {"experiment": {"assignment": {"control": "control", "weights": weights}}}


SPECS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown column": ({"experiment": {"population": {"source": "visitors", "arm": "arrm"}}}, ["trial.yaml:", "'arrm'", "did you mean 'arm'"]),
    "unknown metric": ({"experiment": {"metrics": {"primary": ["convertd"]}}}, ["trial.yaml:", "did you mean 'converted'"]),
    "unknown arm": ({"experiment": {"contrasts": [{"name": "x", "arms": ["treatmnt"], "against": ["control"]}]}}, ["unknown arm", "treatmnt"]),
    "unknown key": ({"experiment": {"hypotesis": "x"}}, ["unknown key", "did you mean 'hypothesis'"]),
    "negative weight": (_weights(control=-0.5, treatment=1.5), ["not negative"]),
    "weights not summing": (_weights(control=0.5, treatment=0.4), ["sum to 0.9"]),
    "id is a path": ({"experiment": {"id": "../up"}}, ["trial.yaml:1", "holds the character"]),
    "id has control characters": ({"experiment": {"id": "a\u0007b"}}, ["trial.yaml:1"]),
    "wrong type": ({"experiment": {"analysis": {"alpha": "often"}}}, ["analysis.alpha"]),
    "guardrail without margin": ({"experiment": {"metrics": {"primary": ["converted"], "guardrail": ["spend"]}}}, ["margin"]),
    "missing file": ({"source": {"path": "nowhere.csv"}}, ["no such file", "nowhere.csv"]),
    "empty file": ({"rows": ""}, ["empty"]),
    "header only": ({"rows": "id,arm,country,converted,before,spend\n"}, ["not a single row"]),
    "missing column": ({"rows": "id,arm,country,converted,before\n1,control,DE,0,1\n"}, ["'spend' is missing"]),
    "repeated ids": ({"rows": csv_text([*visitors(50), *visitors(1)])}, ["one row a unit"]),
    "wrong types in data": ({"rows": csv_text(visitors(50)).replace("DE,0,", "DE,no,")}, ["break the contract", "quarantine"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_bad_input_is_one_line_of_our_own(name: str, tmp_path: Path) -> None:
    parts, expected = SPECS[name]
    error = _problem(project(tmp_path, **parts))
    assert "\n" not in str(error)
    for fragment in expected:
        assert fragment in str(error), str(error)
    assert not list((tmp_path / "lake").glob("tables/**/*.parquet"))


def test_a_nan_in_a_spec(tmp_path: Path) -> None:
    root = project(tmp_path)
    path = root / "experiments" / "trial.yaml"
    path.write_text(path.read_text() + "analysis: {alpha: .nan}\n")
    assert "finite" in str(_problem(root))


def test_a_duplicated_id(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "experiments" / "twin.yaml").write_text((root / "experiments" / "trial.yaml").read_text())
    assert "defined twice" in str(_problem(root))


def test_truncated_parquet(tmp_path: Path) -> None:
    root = project(tmp_path, source={"path": "visitors.parquet"})
    pl.DataFrame(visitors(100)).write_parquet(root / "visitors.parquet")
    content = (root / "visitors.parquet").read_bytes()
    (root / "visitors.parquet").write_bytes(content[: len(content) // 2])
    assert "cannot be read" in str(_problem(root))


def test_a_timestamp_without_a_zone(tmp_path: Path) -> None:
    rows = [{**row, "at": "2026-01-05 10:00:00"} for row in visitors(200)]
    columns = {**project_columns(), "at": "timestamp"}
    root = project(tmp_path, rows=rows, source={"timestamp": "at", "columns": columns})
    error = str(_problem(root))
    assert "timestamp" in error or "zone" in error


def project_columns() -> dict[str, Any]:
    from xp_pipeline_tests.projects import SOURCE

    return dict(SOURCE["columns"])


def test_phases_out_of_order_refuse(tmp_path: Path) -> None:
    root = project(tmp_path)
    workspace = Workspace.open(root, by="test")
    with pytest.raises(XpError, match="not registered"):
        run_phase(workspace, "trial", Phase.INFERENCE_RESULTS)
    run_phase(workspace, "trial", Phase.REGISTERED_SPEC)
    for phase in (Phase.DESIGN, Phase.ASSIGNMENTS, Phase.VALIDATED_EXPOSURES, Phase.ADJUSTED_METRICS, Phase.REPORT):
        with pytest.raises(XpError, match="xp run trial"):
            run_phase(workspace, "trial", phase)


def test_a_deviation_waits_for_an_amendment(tmp_path: Path) -> None:
    root = project(tmp_path, experiment={"start": "2026-01-01", "end": "2026-02-01"})
    workspace = Workspace.open(root, by="test")
    run_phase(workspace, "trial", Phase.REGISTERED_SPEC)
    project(tmp_path, experiment={"start": "2026-01-01", "end": "2026-02-01", "analysis": {"alpha": 0.1}})
    from xp_pipeline.lifecycle import acts
    from xp_pipeline.lifecycle.register import register
    from xp_pipeline.lifecycle.sealed import sealed

    again = Workspace.open(root, by="test")
    held = register(again, "trial").held
    assert [change.path for change in held] == ["experiment.analysis.alpha"]
    assert sealed(again, "trial").bound.experiment.analysis.alpha == 0.05
    acts.amend(again, "trial", reason="a wider net")
    assert sealed(again, "trial").bound.experiment.analysis.alpha == 0.1
    assert sealed(again, "trial").amended


def test_a_lake_of_another_spec_refuses(tmp_path: Path) -> None:
    import shutil

    one, other = project(tmp_path / "one"), project(tmp_path / "other", experiment={"title": "Another"})
    for root in (one, other):
        assert run(Workspace.open(root, by="test"), "trial").error is None
    shutil.rmtree(other / "lake")
    shutil.copytree(one / "lake", other / "lake")
    with pytest.raises(XpError, match="spec"):
        run_phase(Workspace.open(other, by="test"), "trial", Phase.INFERENCE_RESULTS)


UNUSUAL: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "one unit in an arm": ([*[{**r, "arm": "control"} for r in visitors(300)], {**visitors(1)[0], "id": 999, "arm": "treatment"}], "spend", "insufficient_data"),
    "an empty arm": ([{**r, "arm": "control"} for r in visitors(300)], "spend", "insufficient_data"),
    "zero variance": ([{**r, "spend": 1.0, "before": 2.0} for r in visitors(300)], "spend", "degenerate"),
    "everybody converts": ([{**r, "converted": 1} for r in visitors(300)], "converted", "degenerate"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_undefined_is_a_status_with_a_reason(name: str, tmp_path: Path) -> None:
    rows, metric, status = UNUSUAL[name]
    assignment = {"control": "control", "arms": ["control", "treatment"], "weights": "unknown"}
    root = project(tmp_path, rows=rows, experiment={"assignment": assignment})
    assert run(Workspace.open(root, by="test"), "trial").error is None
    found = read(root / "lake", "results", "trial").filter(pl.col("metric") == metric).to_dicts()
    assert found
    for row in found:
        assert row["status"] == status, row
        assert row["reason"]
        assert row["p_value"] is None


def test_a_control_mean_of_zero_has_no_lift(tmp_path: Path) -> None:
    rows = [
        {**r, "spend": (i % 3) - 1.0 if r["arm"] == "control" else 1.0 + i % 2} for i, r in enumerate(visitors(600))
    ]
    control = [r for r in rows if r["arm"] == "control"]
    shift = sum(r["spend"] for r in control)
    control[0]["spend"] -= shift
    metrics = [METRICS[0], {"name": "spend", "type": "mean", "source": "visitors", "value": "spend"}]
    root = project(tmp_path, rows=rows, metrics=metrics)
    assert run(Workspace.open(root, by="test"), "trial").error is None
    row = read(root / "lake", "results", "trial").filter(pl.col("metric") == "spend").to_dicts()[0]
    assert row["status"] == "ok"
    assert row["effect"] > 0
    assert row["lift_status"] in ("undefined_relative", "unbounded")


def test_ids_of_any_alphabet_and_beyond_2_to_53_are_unharmed(tmp_path: Path) -> None:
    rows = [{**r, "id": 2**53 + r["id"]} for r in visitors(400)]
    root = project(tmp_path, rows=rows)
    assert run(Workspace.open(root, by="test"), "trial").error is None
    assert read(root / "lake", "experiments", "trial")["units"].to_list() == [400]
    texts = [{**r, "id": f"ユーザー'\"{r['id']}"} for r in visitors(400)]
    content = csv_text(texts).replace('"', '""')
    lines = content.splitlines()
    quoted = [lines[0], *('"' + line.replace(",", '",', 1) for line in lines[1:])]
    other = project(
        tmp_path / "text", rows="\n".join(quoted) + "\n", source={"columns": {**project_columns(), "id": "text"}}
    )
    assert run(Workspace.open(other, by="test"), "trial").error is None
    assert read(other / "lake", "experiments", "trial")["units"].to_list() == [400]


def test_a_project_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    root = project(tmp_path / "x=9 [draft]*" / "it's")
    assert run(Workspace.open(root, by="test"), "trial").error is None
    assert read(root / "lake", "experiments", "trial")["units"].to_list() == [2000]


def test_one_experiment_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    import yaml

    from xp_pipeline.lifecycle.run import run_all

    root = project(tmp_path)
    bad = {**EXPERIMENT, "id": "bad", "population": {"source": "broken", "arm": "arm"}}
    (root / "experiments" / "bad.yaml").write_text(yaml.safe_dump(bad))
    source = yaml.safe_load((root / "sources" / "visitors.yaml").read_text())
    (root / "sources" / "broken.yaml").write_text(yaml.safe_dump({**source, "name": "broken", "path": "gone.csv"}))
    outcomes = {o.experiment: o.status for o in run_all(Workspace.open(root, by="test"), ["bad", "trial"])}
    assert outcomes == {"bad": "failed", "trial": "done"}
