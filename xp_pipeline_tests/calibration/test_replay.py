"""A/A replays of a project's own units."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from xp_pipeline.calibration.replay import Replayed, judged, replay, replayable, salt
from xp_pipeline.calibration.replayed import blocks, page
from xp_pipeline.cli.app import app
from xp_pipeline.errors import PhaseOrderError, XpError
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline_tests.projects import project, run_everything, visitors

REPLAYS = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose treatment has a strong effect, run to its report."""
    made = project(tmp_path_factory.mktemp("replayed"), rows=visitors(1500, lift=0.3))
    assert run_everything(made)["trial"].status == "done"
    return made


@pytest.fixture(scope="module")
def found(root: Path) -> list[Replayed]:
    workspace = Workspace.open(root, by="test")
    return replay(workspace, sealed(workspace, "trial"), replays=REPLAYS)


def test_every_metric_is_replayed_by_the_estimator_that_decides(found: list[Replayed]) -> None:
    assert {(f.metric, f.arm, f.estimator) for f in found} == {
        ("converted", "treatment", "welch"),
        ("spend", "treatment", "cuped"),
    }
    assert all(f.replays == REPLAYS and f.undefined == 0 for f in found)


def test_a_true_effect_does_not_matter(found: list[Replayed]) -> None:
    for entry in found:
        assert entry.verdict == "in band"
        assert entry.rejected <= 0.2
        assert sum(entry.histogram) == REPLAYS


def test_the_same_replays_give_the_same_figures(root: Path, found: list[Replayed]) -> None:
    workspace = Workspace.open(root, by="test")
    steps: list[tuple[int, int]] = []
    again = replay(workspace, sealed(workspace, "trial"), replays=5, progress=lambda *step: steps.append(step))
    assert steps == [(n, 5) for n in range(1, 6)]
    more = replay(workspace, sealed(workspace, "trial"), replays=5)
    assert again == more
    assert salt("trial", 3) == "xp calibrate/trial/3"


def test_replays_change_no_sealed_result(root: Path, found: list[Replayed]) -> None:
    def sealed_files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted((root / "lake").rglob("*")) if path.is_file()}

    before = sealed_files()
    workspace = Workspace.open(root, by="test")
    replay(workspace, sealed(workspace, "trial"), replays=2)
    assert sealed_files() == before


def test_a_metric_with_too_many_false_positives_is_out_and_uneven_p_values_are_not_uniform() -> None:
    draw = np.random.default_rng(2)
    honest = draw.random(1000)
    for p_values, verdict in (
        (honest, "in band"),
        (honest**1.5, "out"),
        (np.where(honest > 0.5, 0.5 + (honest - 0.5) ** 2, honest), "not uniform"),
        (np.full(1000, math.nan), "undefined"),
    ):
        entry = judged("trial", ("spend", "treatment"), "welch", p_values, alpha=0.05, share=0.005)
        assert entry.verdict == verdict
        assert entry.replays + entry.undefined == 1000


def test_an_experiment_that_was_not_run_is_refused_with_the_next_step(tmp_path: Path) -> None:
    workspace = Workspace.open(project(tmp_path), by="test")
    ((name, refusal),) = replayable(workspace, [])
    assert name == "trial" and isinstance(refusal, PhaseOrderError)
    with pytest.raises(XpError):
        list(replayable(workspace, ["triel"]))


def test_the_command_writes_a_page_and_a_table(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, ["calibrate", "trial", "--project", "--replays", "20", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "| trial | spend | treatment | cuped | 20 |" in (tmp_path / "calibration_project.md").read_text()
    rows = list(csv.DictReader((tmp_path / "calibration_project.csv").open()))
    assert [row["metric"] for row in rows] == ["converted", "spend"]
    assert sum(int(rows[0][f"p_{k / 10:g}_{(k + 1) / 10:g}"]) for k in range(10)) == 20


def test_a_histogram_is_drawn_to_its_highest_tenth(found: list[Replayed]) -> None:
    drawn = blocks(found[0])
    assert len(drawn) == 10 and "█" in drawn
    assert drawn in page(found, REPLAYS)
