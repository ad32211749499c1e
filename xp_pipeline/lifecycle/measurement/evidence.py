"""Evidence on disk: moments by population, metric, variant and cell, as rows of one Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from xp_pipeline.lifecycle.measurement.measure import Cell, Reading
from xp_pipeline.stats.moments import Moments


def write(path: Path, readings: Mapping[str, Sequence[Reading]]) -> None:
    """Write the readings of every population."""
    rows = [row for population, found in readings.items() for r in found for row in _rows(population, r)]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)


def _rows(population: str, reading: Reading) -> Iterable[dict[str, Any]]:
    for stratum, cells in {"": reading.cells, **dict(sorted(reading.strata.items()))}.items():
        for cell, moments in sorted(cells.items(), key=lambda item: (item[0].segment, item[0].level, item[0].arm)):
            yield _row(population, reading, stratum, cell, moments)


def _row(population: str, reading: Reading, stratum: str, cell: Cell, moments: Moments) -> dict[str, Any]:
    return {
        "population": population,
        "metric": reading.metric,
        "variant": reading.variant,
        "covariates": json.dumps(reading.covariates),
        "cap": float(reading.cap),
        "capped_share": float(reading.capped_share),
        "stratum": stratum,
        "segment": cell.segment,
        "level": cell.level,
        "arm": cell.arm,
        "n": moments.n,
        "mean": moments.mean.tolist(),
        "comoment": moments.comoment.ravel().tolist(),
        "third": float(moments.third),
        "nonzero": reading.nonzero.get(cell) if not stratum else None,
    }


def read(path: Path) -> dict[str, list[Reading]]:
    """The readings of every population, in the order written."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in pl.read_parquet(path, glob=False, hive_partitioning=False).iter_rows(named=True):
        key = (row["population"], row["metric"], row["variant"])
        entry = found.setdefault(key, {"row": row, "nonzero": {}, "": {}})
        cell = Cell(row["arm"], row["segment"], row["level"])
        entry.setdefault(row["stratum"], {})[cell] = _moments(row)
        if row["nonzero"] is not None:
            entry["nonzero"][cell] = row["nonzero"]
    readings: dict[str, list[Reading]] = {}
    for (population, metric, variant), entry in found.items():
        row, cells, nonzero = entry.pop("row"), entry.pop(""), entry.pop("nonzero")
        covariates = tuple(json.loads(row["covariates"]))
        reading = Reading(
            metric, variant, covariates, cells, row["cap"], row["capped_share"], strata=entry, nonzero=nonzero
        )
        readings.setdefault(population, []).append(reading)
    return readings


def _moments(row: dict[str, Any]) -> Moments:
    mean = np.array(row["mean"], dtype=float)
    comoment = np.array(row["comoment"], dtype=float).reshape(mean.size, mean.size)
    return Moments(row["n"], mean, comoment, row["third"])
