"""Where a source's rows are: in files, in what a SELECT finds in files, or in a database."""

from __future__ import annotations

from pathlib import Path

import duckdb

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import SourceError
from xp_pipeline.sources.databases import fetch
from xp_pipeline.sources.digests import files_digest, rows_digest
from xp_pipeline.sources.readers import RawRows, described, file_rows
from xp_pipeline.sources.selects import select
from xp_pipeline.spec.source import Source

_TABLE = "fetched"


def content_digest(source: Source, *, root: Path, lake: Path | None = None) -> str:
    """SHA-256 of the present content: of files without reading unchanged ones again, of queries by running them.

    Raises:
        SourceError: the source is missing, empty, truncated or unreachable.
    """
    if source.location.path is not None:
        return files_digest(source, root=root, lake=lake)
    with connect() as con:
        try:
            return rows_digest(con, raw_rows(con, source, root=root))
        except duckdb.Error as problem:
            raise unreadable(source, problem) from None


def raw_rows(con: duckdb.DuckDBPyConnection, source: Source, *, root: Path) -> RawRows:
    """The rows as they are; those of a query are fetched once, so that every later pass sees the same."""
    if source.location.path is not None:
        return file_rows(con, source, root=root)
    if source.location.database is not None:
        fetch(con, source.location.database, _TABLE, where=f"source {source.name}")
    else:
        con.execute(f"CREATE TEMP TABLE {_TABLE} AS {select(con, source, root=root)}")
    return described(con, _TABLE)


def unreadable(source: Source, problem: duckdb.Error) -> SourceError:
    """DuckDB's error as one line of ours: the reason, and the line of a CSV file it names."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    kept = [line for line in lines[:4] if not line.startswith(("LINE ", "^", "Original Line", "Possible"))]
    file = next((line for line in lines if line.startswith("file = ")), "").removeprefix("file = ")
    where = f"source {source.name}" + (f", {file}" if file else "")
    return SourceError("the rows cannot be read", where=where, found=". ".join(kept)[:300] or type(problem).__name__)
