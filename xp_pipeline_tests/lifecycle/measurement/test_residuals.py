"""The skewness guard of ratio and adjusted estimates, from the third sums of their residuals."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xp_pipeline.lifecycle.measurement.adjust import read_readings
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.projects import SOURCE, project

METRICS: list[dict[str, Any]] = [
    {
        "name": "per_visit",
        "type": "ratio",
        "numerator": {"source": "visitors", "value": "spend"},
        "denominator": {"source": "visitors", "value": "visits"},
    },
    {"name": "adjusted", "type": "mean", "source": "visitors", "value": "spend", "covariates": [{"column": "before"}]},
]


def _rows(share: float) -> list[dict[str, Any]]:
    """Units with a heavy tail; a share of them is treated."""
    draw = random.Random(11)
    return [
        {
            "id": unit,
            "arm": "treatment" if draw.random() < share else "control",
            "visits": draw.randrange(1, 5),
            "before": round(draw.gauss(0, 1), 6),
            "spend": round(draw.lognormvariate(0, 1.2), 6),
        }
        for unit in range(3000)
    ]


def _project(root: Path, rows: list[dict[str, Any]], share: float) -> Path:
    columns = {"id": "integer", "arm": "text", "visits": "integer", "before": "number", "spend": "number"}
    return project(
        root,
        rows=rows,
        source={**SOURCE, "columns": columns},
        metrics=METRICS,
        experiment={
            "assignment": {"control": "control", "weights": {"control": 1 - share, "treatment": share}},
            "metrics": {"primary": ["per_visit"], "secondary": ["adjusted"]},
        },
    )


def test_the_sealed_third_sums_are_those_of_the_residuals(tmp_path: Path) -> None:
    rows = _rows(0.5)
    root = _project(tmp_path, rows, 0.5)
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").error is None
    promise = sealed(workspace, "trial")
    artifact = workspace.read("trial", Phase.ADJUSTED_METRICS, spec_hash=promise.spec_hash)
    readings = {r.metric: r for r in read_readings(artifact, promise.bound)["enrolled"]}
    for k, arm in enumerate(("control", "treatment")):
        of = {
            name: np.array([r[name] for r in rows if r["arm"] == arm], dtype=float) for name in rows[0] if name != "arm"
        }
        y, d = of["spend"], of["visits"]
        ratio = (y - y.mean() / d.mean() * d) / d.mean()
        assert readings["per_visit"].thirds["treatment"][k] == pytest.approx(float(np.sum(ratio**3)), rel=1e-9)
    arms = [[r for r in rows if r["arm"] == arm] for arm in ("control", "treatment")]
    centred = [(np.array([r["spend"] for r in part]), np.array([r["before"] for r in part])) for part in arms]
    centred = [(y - y.mean(), x - x.mean()) for y, x in centred]
    theta = sum(float(y @ x) for y, x in centred) / sum(float(x @ x) for _, x in centred)
    for (y, x), third in zip(centred, readings["adjusted"].thirds["treatment"], strict=True):
        assert third == pytest.approx(float(np.sum((y - theta * x) ** 3)), rel=1e-9)


def test_a_skewed_difference_is_cautioned_where_arms_are_unequal(tmp_path: Path) -> None:
    for share, expected in ((0.5, False), (0.05, True)):
        root = _project(tmp_path / str(share), _rows(share), share)
        assert run(Workspace.open(root, by="test"), "trial").error is None
        found = read(root / "lake", "results", "trial").to_dicts()
        for metric in ("per_visit", "adjusted"):
            row = next(r for r in found if r["metric"] == metric and r["decisive"])
            assert ("skewness" in row["reason"]) is expected, (metric, share, row["reason"])
