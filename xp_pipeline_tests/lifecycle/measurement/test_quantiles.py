"""Quantile metrics end to end: the pipeline's quantile is that of the values, and refusals are rows."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.stats.order import OrderStatistics
from xp_pipeline.stats.quantiles import quantile
from xp_pipeline_tests.projects import SOURCE, project, visitors

P90: dict[str, Any] = {"name": "p90", "type": "quantile", "quantile": 0.9, "source": "visitors", "value": "spend"}


def _run(root: Path, rows: list[dict[str, Any]], metric: dict[str, Any], **experiment: Any) -> list[dict[str, Any]]:
    root = project(
        root,
        rows=rows,
        source={"columns": {**SOURCE["columns"], "village": "text"}},
        metrics=[metric],
        experiment={"metrics": {"primary": [metric["name"]]}, **experiment},
    )
    outcome = run(Workspace.open(root, by="test"), "trial")
    assert outcome.error is None, outcome
    return read(root / "lake", "results", "trial").to_dicts()


def _people(n: int = 3000) -> list[dict[str, Any]]:
    draw = random.Random(5)
    return [{**row, "village": f"v{draw.randrange(120)}"} for row in visitors(n, lift=0.4)]


def _values(rows: list[dict[str, Any]], arm: str, **match: Any) -> OrderStatistics:
    kept = [r["spend"] for r in rows if r["arm"] == arm and all(r[k] == v for k, v in match.items())]
    return OrderStatistics.of(kept)


def test_the_pipeline_s_quantile_is_that_of_the_values(tmp_path: Path) -> None:
    rows = _people()
    found = _run(tmp_path, rows, P90, segments=["country"], analysis={"cluster": "village"})
    whole = next(r for r in found if r["decisive"])
    expected = quantile(_values(rows, "control"), _values(rows, "treatment"), p=0.9)
    assert whole["estimator"] == "quantile"
    for name, value in {
        "effect": expected.effect,
        "se": expected.se,
        "ci_low": expected.low,
        "p_value": expected.p_value,
        "lift_high": expected.relative.high,
    }.items():
        assert whole[name] == pytest.approx(value, rel=1e-12), name
    assert whole["mean_arm"] == pytest.approx(np.quantile([r["spend"] for r in rows if r["arm"] == "treatment"], 0.9))
    germany = next(r for r in found if r["segment_value"] == "DE")
    part = quantile(_values(rows, "control", country="DE"), _values(rows, "treatment", country="DE"), p=0.9)
    assert germany["effect"] == pytest.approx(part.effect, rel=1e-12)
    clustered = next(r for r in found if r["estimator"] == "clustered_quantile")
    assert clustered["effect"] == pytest.approx(expected.effect, rel=1e-12)
    assert clustered["n_arm"] == 120
    assert clustered["se"] == pytest.approx(expected.se, rel=0.3)


def test_ties_and_thin_tails_are_refused_in_a_row(tmp_path: Path) -> None:
    rows = [{**r, "spend": round(r["spend"] / 5) * 5} for r in _people()]
    (tied,) = _run(tmp_path / "grid", rows, P90)
    assert tied["status"] == "degenerate"
    assert "ties" in tied["reason"]
    (thin,) = _run(tmp_path / "thin", _people(300), P90)
    assert thin["status"] == "insufficient_data"
    assert thin["p_value"] is None


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ({**P90, "quantile": None}, "needs quantile"),
        ({**P90, "quantile": 1}, "quantile"),
        ({**P90, "type": "mean"}, "has no quantile"),
        ({**P90, "log": True}, "has no log"),
    ],
)
def test_a_quantile_that_means_nothing_is_refused(tmp_path: Path, metric: dict[str, Any], told: str) -> None:
    root = project(tmp_path, metrics=[metric], experiment={"metrics": {"primary": ["p90"]}})
    assert any(told in str(problem) for problem in Workspace.open(root).folder.problems)
