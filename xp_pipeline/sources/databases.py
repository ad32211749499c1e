"""Rows of a query on an SQL database, through SQLAlchemy or ADBC, at an address from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb

from xp_pipeline.errors import SourceError
from xp_pipeline.spec.source import Database

_BATCH = 50_000


def fetch(con: duckdb.DuckDBPyConnection, database: Database, table: str, *, where: str) -> None:
    """Run the query and keep its rows, in the order they come, as a temporary table.

    SQLAlchemy's rows arrive as text, for a driver's own types differ; ADBC's are typed.

    Raises:
        SourceError: the address is not in the environment, a driver is missing, or the database refuses.
            The message never holds the address or its password.
    """
    if database.url_env not in os.environ:
        raise SourceError(
            f"the environment variable {database.url_env} is not set",
            where=where,
            next_step=f"export {database.url_env}=… (the database's address)",
        )
    url = os.environ[database.url_env]
    opened = _adbc if database.driver == "adbc" else _sqlalchemy
    try:
        with opened(url, database.query) as batches:
            con.register("batches", batches)
            con.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM batches")
            con.unregister("batches")
    except ImportError as problem:
        raise SourceError(
            "the database's driver is not installed",
            where=where,
            found=problem,
            next_step="pip install 'xp_pipeline[warehouse]', and the database's own driver",
        ) from None
    except Exception as problem:
        raise SourceError("the database refused", where=where, found=_told(problem, url)) from None


def _told(problem: Exception, url: str) -> str:
    """The first line of an error, without the address or the password in it."""
    line = next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
    password = urlsplit(url).password
    for secret in filter(None, (url, password, unquote(password or ""))):
        line = line.replace(secret, "…")
    return line[:200]


@contextmanager
def _sqlalchemy(url: str, query: str) -> Iterator[Any]:
    import pyarrow as pa
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    options = {"no_parameters": True, "stream_results": True}
    try:
        with engine.connect().execution_options(**options) as connection:
            result = connection.exec_driver_sql(query)
            schema = pa.schema([(name, pa.string()) for name in result.keys()])  # noqa: SIM118 - not a mapping
            yield pa.RecordBatchReader.from_batches(schema, _as_text(result.partitions(_BATCH), schema))
    finally:
        engine.dispose()


def _as_text(parts: Any, schema: Any) -> Iterator[Any]:
    import pyarrow as pa

    for rows in parts:
        columns = [pa.array([_text(value) for value in column], pa.string()) for column in zip(*rows, strict=True)]
        yield pa.record_batch(columns, schema=schema)


def _text(value: Any) -> str | None:
    """A value as a CSV file would hold it; a whole float as the integer that it is."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return str(int(value))
    return str(value, "utf-8") if isinstance(value, bytes) else str(value)


@contextmanager
def _adbc(url: str, query: str) -> Iterator[Any]:
    scheme = url.split(":", 1)[0].split("+", 1)[0]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", scheme):
        raise ValueError("the address does not begin with the name of a driver, such as sqlite:// or postgresql://")
    driver = import_module(f"adbc_driver_{scheme}.dbapi")
    address = url.removeprefix("sqlite:///") if scheme == "sqlite" else url
    with closing(driver.connect(address)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(query)
        yield cursor.fetch_record_batch()
