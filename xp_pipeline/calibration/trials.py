"""A project of A/A experiments, run through the whole lifecycle as a user would run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.random import Generator

from xp_pipeline.calibration.model import Vector

UNITS = 2_000
ARMS = {"control": 0.5, "treatment": 0.5}
Columns = dict[str, Vector]


class Kind(NamedTuple):
    """Metrics of one type, and the columns they read.

    Attributes:
        name: For the measures.
        spec: From the names of a source and its two columns to a metric's keys.
        draw: Values of the two columns for all units, for the metric of that number among its kind.
    """

    name: str
    spec: Callable[[str, str, str], dict[str, Any]]
    draw: Callable[[Generator, int], tuple[Vector, Vector]]


PER_KIND = 4


def _mean(rng: Generator, i: int) -> tuple[Vector, Vector]:
    values = rng.normal(10.0, 3.0, UNITS) if i % 2 else rng.lognormal(0.0, 1.0, UNITS)
    return values, values


def _spend(rng: Generator, i: int) -> tuple[Vector, Vector]:
    values = np.where(rng.random(UNITS) < (0.3, 0.1)[i % 2], rng.lognormal(0.0, 1.2, UNITS), 0.0)
    return values, values


def _proportion(rng: Generator, i: int) -> tuple[Vector, Vector]:
    values = (rng.random(UNITS) < (0.5, 0.2, 0.05, 0.02)[i]).astype(float)
    return values, values


def _persistent(rng: Generator, i: int) -> tuple[Vector, Vector]:
    before = rng.normal(10.0, 3.0, UNITS)
    rho = (0.3, 0.5, 0.7, 0.9)[i]
    return np.asarray(rho * before + np.sqrt(1 - rho**2) * rng.normal(10.0, 3.0, UNITS)), before


def _rate(rng: Generator, i: int) -> tuple[Vector, Vector]:
    visits = np.asarray(1 + rng.poisson(1.0 + i, UNITS), dtype=np.float64)
    return visits * rng.lognormal(0.0, 0.5, UNITS), visits


def _simple(kind: str, **more: Any) -> Callable[[str, str, str], dict[str, Any]]:
    return lambda source, y, x: {"type": kind, "source": source, "value": y, **more}


def _with_covariate(source: str, y: str, x: str) -> dict[str, Any]:
    return {"type": "mean", "source": source, "value": y, "covariates": [{"column": x}]}


def _of_two(source: str, y: str, x: str) -> dict[str, Any]:
    parts = {"numerator": y, "denominator": x}
    return {"type": "ratio", **{part: {"source": source, "value": column} for part, column in parts.items()}}


KINDS = (
    Kind("means", _simple("mean"), _mean),
    Kind("capped revenue", _simple("revenue", cap={"percentile": 99}), _spend),
    Kind("proportions", _simple("proportion"), _proportion),
    Kind("CUPED means", _with_covariate, _persistent),
    Kind("ratios", _of_two, _rate),
)
METRICS = [(kind, i) for kind in KINDS for i in range(PER_KIND)]


def write_project(root: Path, rng: Generator, experiments: int) -> list[str]:
    """A folder of A/A experiments on fresh units, split by the package's own buckets; returns their ids."""
    for folder in ("sources", "metrics", "experiments"):
        (root / folder).mkdir(parents=True)
    _dump(root / "xp.yaml", {"name": "trials"})
    names = [f"trial_{i:03}" for i in range(experiments)]
    for name in names:
        _write_experiment(root, name, rng)
    return names


def _write_experiment(root: Path, name: str, rng: Generator) -> None:
    import polars as pl

    drawn = {f"{v}{m}": c for m, (k, i) in enumerate(METRICS) for v, c in zip("yx", k.draw(rng, i), strict=True)}
    units = {"unit": np.arange(UNITS), "arm": _arms(f"{name}/{rng.integers(2**62)}")}
    pl.DataFrame({**units, **drawn}).write_parquet(root / f"{name}.parquet")
    columns = {"unit": "integer", "arm": "text"} | dict.fromkeys(drawn, "number")
    source = {"name": name, "kind": "unit_table", "unit": "unit", "path": f"{name}.parquet", "columns": columns}
    _dump(root / "sources" / f"{name}.yaml", source)
    metrics = [{"name": f"{name}_{m}", **kind.spec(name, f"y{m}", f"x{m}")} for m, (kind, _) in enumerate(METRICS)]
    _dump(root / "metrics" / f"{name}.yaml", {"metrics": metrics})
    first, *others = (metric["name"] for metric in metrics)
    experiment = {
        "id": name,
        "assignment": {"control": "control", "weights": ARMS},
        "population": {"source": name, "arm": "arm"},
        "metrics": {"primary": [first], "secondary": others},
    }
    _dump(root / "experiments" / f"{name}.yaml", experiment)


def _arms(salt: str) -> list[str]:
    from xp_pipeline.language.buckets import bucket, choose

    return [choose(bucket(salt, unit), ARMS) for unit in range(UNITS)]


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def run_project(root: Path, names: list[str]) -> list[dict[str, dict[str, Any]] | None]:
    """From registry to report: the published decisive row of every metric, by experiment; None where it was blocked."""
    from xp_pipeline.lifecycle.publish import read
    from xp_pipeline.lifecycle.run import run
    from xp_pipeline.lifecycle.workspace import Workspace

    workspace = Workspace.open(root, by="calibration")
    found: list[dict[str, dict[str, Any]] | None] = []
    for name in names:
        outcome = run(workspace, name)
        if outcome.error and outcome.status != "blocked":
            raise outcome.error
        rows = read(workspace.folder.lake, "results", name).to_dicts() if outcome.status == "done" else []
        found.append({row["metric"]: row for row in rows if row["decisive"]} or None)
    return found
