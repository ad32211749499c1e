"""The package's own names: each is there, and a result is eighteen keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import xp_pipeline
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.results import MetricResult, metric_result
from xp_pipeline_tests.projects import project


@pytest.mark.parametrize("name", xp_pipeline.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(xp_pipeline, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Experimnt"):
        _ = xp_pipeline.Experimnt


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, xp_pipeline; print([m for m in ('numpy', 'pydantic', 'dagster') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_errors_that_were_value_errors_still_are() -> None:
    assert issubclass(xp_pipeline.AliasError, ValueError)
    assert issubclass(xp_pipeline.SpecError, ValueError)
    assert str(xp_pipeline.PhaseOrderError("Not yet")) == "Not yet"


def test_a_metric_result_is_a_view_of_a_row(tmp_path: Path) -> None:
    root = project(tmp_path)
    assert run(Workspace.open(root, by="test"), "trial").status == "done"
    for row in read(root / "lake", "results", "trial").to_dicts():
        result = metric_result(row)
        assert set(result) == set(MetricResult.__annotations__)
        assert len(result) == 18
        assert result["absolute_difference"] == row["effect"]
        assert result["treatment_mean"] - result["control_mean"] == pytest.approx(result["absolute_difference"])
