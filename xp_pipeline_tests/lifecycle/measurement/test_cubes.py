"""Third sums out of the fused pass: as plain NumPy has them, and as the separate pass over the residuals has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from xp_pipeline.lifecycle.measurement import measure, residuals
from xp_pipeline.lifecycle.measurement.adjust import read_readings
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.projects import SOURCE, project

UNITS = 2500
RATIO = {
    "type": "ratio",
    "nulls": "drop",
    "numerator": {"source": "visitors", "value": "spend"},
    "denominator": {"source": "visitors", "value": "visits"},
}
MEAN = {"type": "mean", "source": "visitors", "value": "spend", "nulls": "drop"}
METRICS: list[dict[str, Any]] = [
    {"name": "per_visit", **RATIO},
    {"name": "adjusted", **MEAN, "covariates": [{"column": "before"}]},
    {"name": "capped", **MEAN, "covariates": [{"column": "before"}], "cap": {"value": 1e6 + 3}},
    {"name": "patchy", **MEAN, "covariates": [{"column": "patchy"}]},
    {"name": "per_visit_adjusted", **RATIO, "covariates": [{"column": "before"}]},
    {"name": "plain", **MEAN},
]
THIRDS = [metric["name"] for metric in METRICS if metric["name"] != "plain"]


def _data() -> pl.DataFrame:
    """Skewed around a mean of a million; nulls in outcome and covariate, zeros in the denominator."""
    draw = np.random.default_rng(5)
    before = 1e6 + draw.gamma(1.0, 1.0, UNITS)
    spend = before + draw.gamma(0.5, 1.0, UNITS)
    frame = pl.DataFrame(
        {
            "id": np.arange(UNITS),
            "arm": np.where(draw.random(UNITS) < 0.5, "control", "treatment"),
            "country": np.where(draw.random(UNITS) < 0.3, "DE", "FR"),
            "visits": draw.poisson(2, UNITS),
            "before": before,
            "patchy": before,
            "spend": spend,
        }
    )
    holes = {"patchy": draw.random(UNITS) < 0.2, "spend": draw.random(UNITS) < 0.1}
    return frame.with_columns(
        pl.when(pl.Series(hole)).then(None).otherwise(pl.col(name)).alias(name) for name, hole in holes.items()
    )


def _thirds(root: Path, data: pl.DataFrame, *, segments: bool) -> dict[str, Mapping[str, tuple[float, ...]]]:
    columns = {"id": "integer", "arm": "text", "country": "text", "visits": "integer"}
    columns |= dict.fromkeys(("before", "patchy", "spend"), "number")
    metrics = {"primary": ["per_visit"], "secondary": [m["name"] for m in METRICS[1:]]}
    project(
        root,
        rows=data.to_dicts(),
        source={**SOURCE, "columns": columns},
        metrics=METRICS,
        experiment={"metrics": metrics, **({"segments": ["country"]} if segments else {})},
    )
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").error is None
    promise = sealed(workspace, "trial")
    artifact = workspace.read("trial", Phase.ADJUSTED_METRICS, spec_hash=promise.spec_hash)
    readings = read_readings(artifact, promise.bound)["enrolled"]
    return {r.metric: r.thirds for r in readings if r.thirds}


@pytest.mark.parametrize("segments", [False, True])
def test_both_ways_of_summing_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segments: bool) -> None:
    data, passes = _data(), []
    summed = residuals._summed

    def counted(measurement: Any, sides: Any) -> list[float]:
        passes.append(len(sides))
        return summed(measurement, sides)

    monkeypatch.setattr(residuals, "_summed", counted)
    monkeypatch.setattr(measure, "MOST_CUBES", 1000)
    fused = _thirds(tmp_path / "fused", data, segments=segments)
    assert passes == [0], "every residual was read from the fused pass"
    monkeypatch.setattr(measure, "MOST_CUBES", 0)
    separate = _thirds(tmp_path / "separate", data, segments=segments)
    assert passes == [0, 2 * len(THIRDS)]
    assert sorted(fused) == sorted(separate) == sorted(THIRDS)
    for name in THIRDS:
        assert fused[name]["treatment"] == pytest.approx(separate[name]["treatment"], rel=1e-9), name


def test_the_fused_thirds_are_those_of_numpy(tmp_path: Path) -> None:
    data = _data()
    found = _thirds(tmp_path, data, segments=False)
    counted = data.filter(pl.col("spend").is_not_null()).with_columns(
        capped=pl.col("spend").clip(upper_bound=1e6 + 3),
        missing=pl.col("patchy").is_null().cast(pl.Float64),
        filled=pl.col("patchy").fill_null(1e6),
    )
    arms = [counted.filter(pl.col("arm") == arm) for arm in ("control", "treatment")]
    read = {
        "adjusted": ("spend", ["before"]),
        "capped": ("capped", ["before"]),
        "patchy": ("spend", ["filled", "missing"]),
    }
    for metric, (outcome, covariates) in read.items():
        assert found[metric]["treatment"] == pytest.approx(_of_means(arms, outcome, covariates), rel=1e-9), metric
    for k, part in enumerate(arms):
        y, d = part["spend"].to_numpy(), part["visits"].to_numpy()
        residual = (y - y.mean() - y.mean() / d.mean() * (d - d.mean())) / d.mean()
        assert found["per_visit"]["treatment"][k] == pytest.approx(float(np.sum(residual**3)), rel=1e-9)


def _of_means(arms: list[pl.DataFrame], outcome: str, covariates: list[str]) -> list[float]:
    """Third sums of what an outcome keeps after the pooled within-arm slopes."""
    centred = []
    for part in arms:
        table = part.select(outcome, *covariates).to_numpy()
        centred.append(table - table.mean(axis=0))
    rows = np.concatenate(centred)
    theta = np.linalg.lstsq(rows[:, 1:], rows[:, 0], rcond=None)[0]
    return [float(np.sum((table[:, 0] - table[:, 1:] @ theta) ** 3)) for table in centred]
