"""Digests of content: of files by their bytes, remembered by what the file system says of them, and of rows."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from xp_pipeline.sources.paths import base, files, is_remote, open_filesystem
from xp_pipeline.sources.readers import RawRows
from xp_pipeline.spec.canonical import digest, file_digest
from xp_pipeline.spec.source import Source

_SETTLED_NS = 2_000_000_000
"""A file changed this recently could change again under the same time stamp, so its digest is not remembered."""

_STATED = ("ETag", "etag", "md5Hash", "content_md5", "crc32c")
"""What stores call the checksum that they keep of an object."""


def files_digest(source: Source, *, root: Path, lake: Path | None = None) -> str:
    """SHA-256 of the files of a source: their bytes, their places below the folder, and how they are read.

    Args:
        lake: Where digests are remembered (``sources/.digests.json``); without it every byte is read.
    """
    where = f"source {source.name}"
    start = base(source, root=root)
    with _Remembered(lake) as remembered:
        parts = [
            (os.path.relpath(path, start), _stated(path, where) if is_remote(path) else remembered.digest(path))
            for path in files(source, root=root)
        ]
    reading = [source.location.format, source.location.delimiter]
    named = [part for part in str(source.location.path).split("/") if "=" in part]
    return digest({"files": parts, "folders": named, "reading": reading})


def rows_digest(con: duckdb.DuckDBPyConnection, rows: RawRows) -> str:
    """SHA-256 over the names, the types and, in order, the rows as JSON."""
    running = hashlib.sha256(json.dumps(list(rows.kinds.items())).encode())
    query = f"SELECT sha256(CAST(to_json(r) AS VARCHAR)) AS digest FROM {rows.relation} AS r"
    for batch in con.sql(query).arrow(100_000):
        running.update("".join(batch.column("digest").to_pylist()).encode())
    return running.hexdigest()


def _stated(url: str, where: str) -> str:
    """A remote object's own checksum and size; without one, whatever else changes when it is written."""
    filesystem, path = open_filesystem(url, where=where)
    about: Mapping[str, Any] = filesystem.info(path)
    checksum = next((str(about[key]) for key in _STATED if about.get(key)), None)
    return f"{checksum}:{about.get('size')}" if checksum else str(filesystem.ukey(path))


class _Remembered:
    """Digests of local files by path, size, time of change and inode; a lost or broken memory only costs time."""

    def __init__(self, lake: Path | None) -> None:
        self._file = lake / "sources" / ".digests.json" if lake else None
        self._known: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def __enter__(self) -> _Remembered:
        self._known = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file and self._new:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft = self._file.with_name(f".digests-{uuid.uuid4().hex}")
            draft.write_text(json.dumps({**self._read(), **self._new}, indent=0))
            os.replace(draft, self._file)

    def digest(self, path: str) -> str:
        about = os.stat(path)
        key = "|".join(map(str, (os.path.abspath(path), about.st_size, about.st_mtime_ns, about.st_ino)))
        if key in self._known:
            return self._known[key]
        found = file_digest(Path(path))
        if time.time_ns() - about.st_mtime_ns > _SETTLED_NS:
            self._new[key] = found
        return found

    def _read(self) -> dict[str, str]:
        try:
            known = json.loads(self._file.read_bytes()) if self._file else {}
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}
