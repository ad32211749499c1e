"""Readers of files: CSV as text, Parquet as typed, both with every column under its own name."""

from __future__ import annotations

import collections
import csv
import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import duckdb

from xp_pipeline.engine.predicates import identifier, literal
from xp_pipeline.errors import ContractError, SourceError
from xp_pipeline.sources.paths import ENDINGS, files, is_remote, open_filesystem
from xp_pipeline.spec.source import Source

_NEVER = literal("\x01null\x01")
"""DuckDB's CSV reader insists on some text that means null; which text does is decided later, by the source."""

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class RawRows:
    """The rows of a source as they are.

    Attributes:
        relation: What stands after FROM.
        columns: Column to the SQL that reads it.
        kinds: Column to its DuckDB type; of a CSV file, all are VARCHAR.
    """

    relation: str
    columns: Mapping[str, str]
    kinds: Mapping[str, str]


def described(con: duckdb.DuckDBPyConnection, relation: str) -> RawRows:
    """The columns of a relation, by their own names and types."""
    found = con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return RawRows(relation, {row[0]: identifier(row[0]) for row in found}, {row[0]: str(row[1]) for row in found})


def file_rows(con: duckdb.DuckDBPyConnection, source: Source, *, root: Path) -> RawRows:
    """The rows of the files of a source.

    Raises:
        SourceError: no file, an empty or unreadable one, or files of two formats.
    """
    found = files(source, root=root)
    register(con, found, where=f"source {source.name}")
    hive = any("=" in os.path.dirname(path.removeprefix(str(root.absolute()))) for path in found)
    if _format(source, found) == "csv":
        return _csv(source, found, hive=hive)
    options = f"hive_partitioning = {literal(hive)}, hive_types_autocast = FALSE, union_by_name = TRUE"
    return described(con, f"read_parquet({listed(found)}, {options})")


def register(con: duckdb.DuckDBPyConnection, paths: Sequence[str], *, where: str) -> None:
    """Let a connection read URLs through fsspec."""
    first_of = {path.split("://", 1)[0]: path for path in paths if is_remote(path)}
    for _, path in sorted(first_of.items()):
        con.register_filesystem(open_filesystem(path, where=where)[0])


def listed(paths: Sequence[str]) -> str:
    """Paths as a SQL list, with the wildcards in a file's own name taken literally."""
    return "[" + ", ".join(literal(glob.escape(path)) for path in paths) + "]"


def _format(source: Source, paths: Sequence[str]) -> str:
    if source.location.format:
        return source.location.format
    formats = {next((f for f, ends in ENDINGS.items() if path.endswith(ends)), None) for path in paths}
    if len(formats) != 1 or None in formats:
        raise SourceError(
            "the names do not tell one format",
            where=f"source {source.name}",
            found=os.path.basename(paths[0]) if len(formats) == 1 else "files of several formats",
            next_step="declare format: csv or format: parquet",
        )
    return str(formats.pop())


def _csv(source: Source, paths: Sequence[str], *, hive: bool) -> RawRows:
    """All files under one set of columns; each is read by the positions that its own header gives."""
    shapes = [(path, _header(source, path), _folders(path) if hive else {}) for path in paths]
    names = list(dict.fromkeys(name for _, header, folders in shapes for name in (*header, *folders)))
    parts = [
        _csv_part(source, [path for path, *_ in alike], header, folders, names)
        for (header, folders), alike in groupby(shapes, key=lambda shape: shape[1:])
    ]
    columns = {name: f"c{i}" for i, name in enumerate(names)}
    return RawRows(f"({' UNION ALL '.join(parts)})", columns, dict.fromkeys(names, "VARCHAR"))


def _csv_part(
    source: Source,
    paths: Sequence[str],
    header: Sequence[str],
    folders: Mapping[str, str | None],
    names: Sequence[str],
) -> str:
    """The rows of files with one header and, in Hive folders, one value for each of those."""
    values = {name: f"p{i}" for i, name in enumerate(header)}
    values |= {name: f"CAST({literal(value)} AS VARCHAR)" for name, value in folders.items()}
    selected = ", ".join(f"{values.get(name, 'CAST(NULL AS VARCHAR)')} AS c{i}" for i, name in enumerate(names))
    declared = ", ".join(f"p{i}: 'VARCHAR'" for i in range(len(header)))
    return (
        f"SELECT {selected} FROM read_csv({listed(paths)}, columns = {{{declared}}}, header = true, "
        f"auto_detect = false, delim = {literal(source.location.delimiter)}, quote = '\"', escape = '\"', "
        f"nullstr = {_NEVER}, allow_quoted_nulls = false)"
    )


def _folders(path: str) -> dict[str, str | None]:
    """Column to value of the Hive folders above a file."""
    pairs = (part.split("=", 1) for part in os.path.dirname(path).split("/") if "=" in part)
    return {name: None if value == _HIVE_NULL else unquote(value) for name, value in pairs}


def _header(source: Source, path: str) -> tuple[str, ...]:
    """The first record of a CSV file; a gzipped one is read to its end, for DuckDB ignores its checksum.

    Raises:
        SourceError: the file has none, or is no text in UTF-8.
        ContractError: a declared column stands in it twice.
    """
    where = f"source {source.name}"
    with _readable(path, where), _opened(path, where) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        header = tuple(next(csv.reader(text, delimiter=source.location.delimiter), ()))
        "".join(header).encode()  # what is not UTF-8 became surrogates, which cannot be encoded again
        if path.endswith(".gz"):
            collections.deque(iter(partial(file.read, 1 << 20), b""), maxlen=0)
    if not any(header):
        raise SourceError("the file has no header", where=f"{where}, {path}")
    twice = next((name for name in header if header.count(name) > 1 and name in source.columns), None)
    if twice:
        raise ContractError(f"the declared column {twice!r} stands twice in the header", where=f"{where}, {path}")
    return header


@contextmanager
def _readable(path: str, where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeError, csv.Error) as problem:
        told = "bytes that are not UTF-8" if isinstance(problem, UnicodeError) else str(problem)
        raise SourceError("the file cannot be read", where=f"{where}, {path}", found=told) from None


def _opened(path: str, where: str) -> IO[bytes]:
    """A file's bytes, unzipped."""
    if is_remote(path):
        filesystem, name = open_filesystem(path, where=where)
        opened: Any = filesystem.open(name, "rb", compression="infer")
    else:
        opened = gzip.open(path) if path.endswith(".gz") else open(path, "rb")  # noqa: SIM115 - the caller closes it
    file: IO[bytes] = opened
    return file
