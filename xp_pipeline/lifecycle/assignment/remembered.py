"""The assignment table in the record: who was first seen in which arm, appended to and never rewritten."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import duckdb

from xp_pipeline.engine.predicates import literal
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.sources.readers import listed

_COLUMNS = "CAST(NULL AS VARCHAR) AS unit, CAST(NULL AS VARCHAR) AS arm, CAST(NULL AS TIMESTAMP) AS t0"


def folder(workspace: Workspace, experiment: str) -> Path:
    """Where the assignments of an experiment are kept."""
    return workspace.folder.record / "assignments" / experiment


def recorded(workspace: Workspace, experiment: str) -> str:
    """The recorded assignments as a relation of unit (text), arm and t0: the first that was written of each unit."""
    paths = sorted(folder(workspace, experiment).glob("*.parquet"))
    if not paths:
        return f"(SELECT * FROM (SELECT {_COLUMNS}) AS nobody WHERE FALSE)"
    rows = f"read_parquet({listed([str(path) for path in paths])}, hive_partitioning = false"
    if len(paths) == 1:
        return f"{rows})"
    return f"(SELECT unit, arg_min(arm, filename) AS arm FROM {rows}, filename = true) GROUP BY unit)"


def remember(workspace: Workspace, experiment: str, con: duckdb.DuckDBPyConnection) -> int:
    """Append the units of the table ``assigned`` that the record has not; return how many."""
    if not workspace.remembers:
        return 0
    new = "FROM assigned WHERE recorded_arm IS NULL"
    count = (con.execute(f"SELECT count(*) {new}").fetchone() or (0,))[0]
    if count:
        place = folder(workspace, experiment)
        place.mkdir(parents=True, exist_ok=True)
        making = place / f".{uuid.uuid4().hex}.tmp"
        con.execute(
            f"COPY (SELECT CAST(unit AS VARCHAR) AS unit, arm, t0, stratum {new} ORDER BY unit) "
            f"TO {literal(str(making))} (FORMAT parquet, COMPRESSION zstd)"
        )
        os.replace(making, place / f"{len(list(place.glob('*.parquet'))):06d}-{uuid.uuid4().hex[:8]}.parquet")
    return int(count)
