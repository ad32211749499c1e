"""Evidence on disk: moments by population, metric, variant and cell, as rows of one Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from xp_pipeline.lifecycle.measure import Cell, Reading
from xp_pipeline.stats.moments import Moments


def write(path: Path, readings: Mapping[str, Sequence[Reading]]) -> None:
    """Write the readings of every population."""
    rows = [row for population, found in readings.items() for r in found for row in _rows(population, r)]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)


def _rows(population: str, reading: Reading) -> Iterable[dict[str, Any]]:
    for cell, moments in sorted(reading.cells.items(), key=lambda item: (item[0].segment, item[0].level, item[0].arm)):
        yield {
            "population": population,
            "metric": reading.metric,
            "variant": reading.variant,
            "covariates": json.dumps(reading.covariates),
            "cap": float(reading.cap),
            "capped_share": float(reading.capped_share),
            "segment": cell.segment,
            "level": cell.level,
            "arm": cell.arm,
            "n": moments.n,
            "mean": moments.mean.tolist(),
            "comoment": moments.comoment.ravel().tolist(),
            "third": float(moments.third),
        }


def read(path: Path) -> dict[str, list[Reading]]:
    """The readings of every population, in the order written."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in pl.read_parquet(path, glob=False, hive_partitioning=False).iter_rows(named=True):
        key = (row["population"], row["metric"], row["variant"])
        entry = found.setdefault(key, {"row": row, "cells": {}})
        entry["cells"][Cell(row["arm"], row["segment"], row["level"])] = _moments(row)
    readings: dict[str, list[Reading]] = {}
    for (population, metric, variant), entry in found.items():
        row = entry["row"]
        covariates = tuple(json.loads(row["covariates"]))
        reading = Reading(metric, variant, covariates, entry["cells"], row["cap"], row["capped_share"])
        readings.setdefault(population, []).append(reading)
    return readings


def _moments(row: dict[str, Any]) -> Moments:
    mean = np.array(row["mean"], dtype=float)
    comoment = np.array(row["comoment"], dtype=float).reshape(mean.size, mean.size)
    return Moments(row["n"], mean, comoment, row["third"])
