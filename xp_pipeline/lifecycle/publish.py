"""The published tables: rows completed to their schema and replaced per experiment and as-of."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.tables import SCHEMA_VERSION, TABLES, Field

Row = dict[str, Any]
_TYPES: dict[str, Any] = {
    "text": pl.String,
    "integer": pl.Int64,
    "number": pl.Float64,
    "boolean": pl.Boolean,
    "timestamp": pl.Datetime("us", "UTC"),
}


def labels(promise: Sealed, *, retrospective: bool, extra: Sequence[str] = ()) -> str:
    """What every row of an experiment says about its promise."""
    said = ["amended" if promise.amended else "promised"]
    if retrospective:
        said = ["retrospective", *(["amended"] if promise.amended else [])]
    return ",".join([*said, *(["local"] if promise.local else []), *extra])


def provenance(workspace: Workspace, promise: Sealed, *, as_of: str | None, look: int, final: bool, label: str) -> Row:
    """The columns that every published row begins with."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": workspace.run_id,
        "computed_at": workspace.clock(),
        "experiment": promise.id,
        "spec_hash": promise.spec_hash,
        "as_of": as_of or "",
        "look": look,
        "final": final,
        "label": label,
    }


def frame(table: str, rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a frame with just the columns and types of a published table."""
    return tabular(TABLES[table], rows)


def tabular(fields: Mapping[str, Field], rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a frame with just the columns and types of some fields."""
    schema = {name: _TYPES[field.kind] for name, field in fields.items()}
    complete = [{name: _clean(row.get(name)) for name in schema} for row in rows]
    return pl.DataFrame(complete, schema=schema)


def _clean(value: Any) -> Any:
    """NaN is absence in a table: a missing number is null, with its reason in ``status``."""
    return None if isinstance(value, float) and value != value else value


def path_of(lake: Path, table: str, experiment: str, as_of: str | None) -> Path:
    """Where the rows of one experiment and as-of stand."""
    return lake / "tables" / table / f"experiment={experiment}" / f"{as_of or 'all'}.parquet"


def publish(lake: Path, experiment: str, as_of: str | None, tables: Mapping[str, Sequence[Row]]) -> None:
    """Replace the rows of one experiment and as-of in each table, each with one rename."""
    for table, rows in tables.items():
        path = path_of(lake, table, experiment, as_of)
        path.parent.mkdir(parents=True, exist_ok=True)
        making = path.parent / f".{uuid.uuid4().hex}.tmp"
        frame(table, rows).write_parquet(making)
        os.replace(making, path)


def read_look(lake: Path, table: str, experiment: str, as_of: str | None) -> pl.DataFrame:
    """The rows published for one experiment and as-of."""
    return pl.read_parquet(path_of(lake, table, experiment, as_of), glob=False, hive_partitioning=False)


def read(lake: Path, table: str, experiment: str | None = None, *, latest: bool = True) -> pl.DataFrame:
    """The rows of a published table: of one experiment or all, of the latest as-of or every one."""
    folders = sorted((lake / "tables" / table).glob(f"experiment={experiment or '*'}"))
    frames = []
    for folder in folders:
        paths = sorted(folder.glob("*.parquet"))
        frames += [
            pl.read_parquet(path, glob=False, hive_partitioning=False) for path in (paths[-1:] if latest else paths)
        ]
    return pl.concat(frames) if frames else frame(table, [])
