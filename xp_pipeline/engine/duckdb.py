"""DuckDB connections that give the same bits every time."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import duckdb


def connect(*, memory_limit: str | None = None, threads: int = 1) -> duckdb.DuckDBPyConnection:
    """An in-memory database of its own, in UTC, that never downloads an extension.

    Args:
        memory_limit: DuckDB's limit, such as ``4GB``; what does not fit spills to the temporary folder.
        threads: One by default: with several, sums differ in their last bits from run to run.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "preserve_insertion_order": True,
        "autoinstall_known_extensions": False,
        "temp_directory": str(Path(tempfile.gettempdir()) / f"xp_pipeline-{uuid.uuid4().hex}"),
    }
    if memory_limit:
        settings["memory_limit"] = memory_limit
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET TimeZone = 'UTC'")
    return connection
