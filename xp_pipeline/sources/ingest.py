"""Ingestion: rows become an immutable, content-addressed version; what breaks the contract is kept apart."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import ContractError, SourceError
from xp_pipeline.sources.digests import rows_digest
from xp_pipeline.sources.judging import Judging
from xp_pipeline.sources.locations import content_digest, raw_rows, unreadable
from xp_pipeline.sources.readers import RawRows
from xp_pipeline.spec.canonical import digest
from xp_pipeline.spec.source import Source

__all__ = ["SourceVersion", "content_digest", "ingest", "version_of"]

READING = 1
"""Counts the ways rows have been read; a version made in another way is not taken for the same."""


@dataclass(frozen=True)
class SourceVersion:
    """One immutable state of a source.

    Attributes:
        name: The source.
        version: Names the folder: 16 hexadecimal digits of the content's digest and the declaration.
        content_digest: SHA-256 of what was read.
        folder: Where ``data.parquet``, ``quarantine.parquet`` and ``source.json`` are.
        rows_read: Rows in the input.
        rows_kept: Rows that kept the contract and passed the filters.
        rejected: Reason to rows that broke the contract, each row under the first reason it gives.
        filtered: Declared filter to rows it took out, each row under the first that does.
        rejected_sample: A few rejected rows (row, column, reason, values), ids hashed unless the source shows them.
        first: Earliest timestamp of the clean rows (UTC; midnight of a date), None without one.
        last: Latest timestamp of the clean rows.
    """

    name: str
    version: str
    content_digest: str
    folder: Path
    rows_read: int
    rows_kept: int
    rejected: dict[str, int]
    filtered: dict[str, int]
    rejected_sample: list[dict[str, Any]]
    first: datetime | None
    last: datetime | None

    @property
    def data(self) -> Path:
        """The clean rows: the declared columns, and ``_row``, the row's number in the input from 1."""
        return self.folder / "data.parquet"

    @property
    def quarantine(self) -> Path:
        """The rejected rows: their number, the column at fault, the reason, and the raw row as JSON."""
        return self.folder / "quarantine.parquet"

    def to_json(self) -> dict[str, Any]:
        """Everything but the folder, which is where the document is kept."""
        document = {**asdict(self), **{key: _iso(getattr(self, key)) for key in ("first", "last")}}
        return {key: value for key, value in document.items() if key != "folder"}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, folder: Path) -> SourceVersion:
        """The version that a folder's document describes."""
        moments = {key: datetime.fromisoformat(document[key]) if document[key] else None for key in ("first", "last")}
        return cls(**{**document, **moments, "folder": folder})


def ingest(source: Source, *, root: Path, lake: Path, memory_limit: str | None = None) -> SourceVersion:
    """Version the present rows of a source; an existing version of the same content is taken as it is.

    Args:
        root: The project folder, which paths are relative to.
        lake: Where versions are kept, under ``sources/<name>/<version>/``.
        memory_limit: DuckDB's limit, such as ``4GB``.

    Raises:
        SourceError: the rows are missing, truncated or unreachable, there is none, or they changed meanwhile.
        ContractError: columns missing or of another kind, times without a zone, units repeated in a unit
            table, or too many rows rejected.
        SpecError: the declaration contradicts itself.
    """
    try:
        with connect(memory_limit=memory_limit) as con:
            version = _Ingestion(con, source, root, lake).version()
    except duckdb.Error as problem:
        raise unreadable(source, problem) from None
    _refuse_too_many(source, version)
    return version


def version_of(source: Source, content: str) -> str:
    """The name of the version that some content has under the source's declaration."""
    return digest({"content": content, "declared": source.promised(), "reading": READING})[:16]


class _Ingestion:
    """One source on its way to a published version."""

    def __init__(self, con: duckdb.DuckDBPyConnection, source: Source, root: Path, lake: Path) -> None:
        self.con = con
        self.source = source
        self.root = root
        self.lake = lake

    def version(self) -> SourceVersion:
        raw = None if self.source.location.path is not None else raw_rows(self.con, self.source, root=self.root)
        content = self._content(raw)
        folder = self.lake / "sources" / self.source.name / version_of(self.source, content)
        found = _complete(folder, show_ids=self.source.show_ids)
        return found or self._make(raw or raw_rows(self.con, self.source, root=self.root), content, folder)

    def _content(self, raw: RawRows | None) -> str:
        if raw is not None:
            return rows_digest(self.con, raw)
        return content_digest(self.source, root=self.root, lake=self.lake)

    def _make(self, raw: RawRows, content: str, folder: Path) -> SourceVersion:
        making = folder.parent / f".making-{uuid.uuid4().hex}"
        making.mkdir(parents=True)
        try:
            counts = Judging(self.con, self.source, raw, making).write()
            self._refuse_change(content)
            made = SourceVersion(self.source.name, folder.name, content, folder, **counts)
            document = {**made.to_json(), "show_ids": self.source.show_ids}
            (making / "source.json").write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
            _publish(making, folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return made

    def _refuse_change(self, content: str) -> None:
        """Files that changed under the reader would give rows of two states under the digest of one."""
        if self.source.location.path is not None and self._content(None) != content:
            raise SourceError(
                "the files changed while they were read", where=f"source {self.source.name}", next_step="run again"
            )


def _complete(folder: Path, *, show_ids: bool) -> SourceVersion | None:
    """The version in a folder, unless a file is missing or its quarantine treats ids in another way."""
    try:
        document = json.loads((folder / "source.json").read_bytes())
        same = document.pop("show_ids") == show_ids
        found = SourceVersion.from_json(document, folder=folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if same and found.data.is_file() and found.quarantine.is_file() else None


def _publish(making: Path, folder: Path) -> None:
    """One rename where the version is new; else file by file, the rows being the same bytes."""
    try:
        os.rename(making, folder)
    except OSError:
        if not folder.is_dir():
            raise
        for name in ("data.parquet", "quarantine.parquet", "source.json"):
            os.replace(making / name, folder / name)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _refuse_too_many(source: Source, version: SourceVersion) -> None:
    rejected = sum(version.rejected.values())
    if rejected > source.max_rejected_share * version.rows_read:
        reasons = ", ".join(f"{reason} ({rows:,})" for reason, rows in list(version.rejected.items())[:3])
        raise ContractError(
            f"{rejected:,} of {version.rows_read:,} rows break the contract",
            where=f"source {source.name}",
            found=reasons,
            allowed=f"{source.max_rejected_share:.1%} (max_rejected_share)",
            next_step=f"look at {version.quarantine}, then correct the rows or the declaration",
        )
