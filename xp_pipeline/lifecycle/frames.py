"""How sealed tables and clean sources are named in a query."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from xp_pipeline.engine.predicates import identifier, literal, predicate
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.sources.readers import listed
from xp_pipeline.spec.source import ROW_UNIT, Source
from xp_pipeline.spec.values import Where


def parquet(path: Path) -> str:
    """A Parquet file as a relation, whatever its folders are called."""
    return f"read_parquet({listed([str(path)])}, hive_partitioning = false)"


def relation(workspace: Workspace, source: str) -> str:
    """The clean rows of a source's present version."""
    return parquet(workspace.version(source).data)


def unit_of(source: Source) -> str:
    """The unit id of a source's rows; the row's number where every row is a unit."""
    return "_row" if source.unit == ROW_UNIT else identifier(source.unit)


def time_of(source: Source, zone: str) -> str:
    """The rows' time (UTC), or a typed null; a date is the midnight that begins it in its zone, else the project's."""
    if not source.timestamp:
        return "CAST(NULL AS TIMESTAMP)"
    time = f"CAST({identifier(source.timestamp)} AS TIMESTAMP)"
    if source.columns[source.timestamp].type != "date":
        return time
    return f"timezone('UTC', timezone({literal(source.timezone or zone)}, {time}))"


def moment(at: datetime) -> str:
    """A point in time as a literal, UTC without a zone as tables store it."""
    return f"TIMESTAMP {literal(at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' '))}"


def matching(where: Where, source: Source) -> str:
    """A condition on a source's columns, TRUE where there is none."""
    return predicate(where, source.columns) if where else "TRUE"


def every(conditions: Sequence[str]) -> str:
    """All of the conditions."""
    return " AND ".join(f"({c})" for c in conditions) or "TRUE"
