"""The journal of exposures: each counted once in SQLite, then published as CSV files that a source can read."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xp_pipeline.delivery.stores.sqlite import SqliteFile
from xp_pipeline.delivery.variants import UNKNOWN
from xp_pipeline.spec.atomic import publish_bytes

JOURNAL = "journal.sqlite"
COLUMNS = ("unit", "experiment", "variant", "propensity", "version", "at")
"""The columns of the published files, as ``Exposure`` explains them."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS exposures (
        seq INTEGER PRIMARY KEY, unit TEXT NOT NULL, experiment TEXT NOT NULL, variant TEXT NOT NULL,
        propensity REAL, version TEXT NOT NULL, at TEXT NOT NULL, UNIQUE (experiment, unit)
    ) STRICT""",
    "CREATE TABLE IF NOT EXISTS segments (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT",
    "CREATE TRIGGER IF NOT EXISTS exposures_stay BEFORE UPDATE ON exposures "
    "BEGIN SELECT raise(ABORT, 'it only appends'); END",
    "CREATE TRIGGER IF NOT EXISTS exposures_last BEFORE DELETE ON exposures "
    "BEGIN SELECT raise(ABORT, 'it only appends'); END",
)
_INSERT = f"""INSERT INTO exposures ({", ".join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (experiment, unit) DO NOTHING"""
_FROM = f"SELECT seq, {', '.join(COLUMNS)} FROM exposures WHERE seq >= ? ORDER BY seq LIMIT ?"
_LAST = "SELECT coalesce(max(seq), 0) FROM exposures"


class Exposure(NamedTuple):
    """A unit met a variant for the first time.

    Attributes:
        unit: The unit's id as text.
        experiment: Which experiment.
        variant: Which variant.
        propensity: Probability with which it was chosen; None (in files ``\\N``) when it is unknown.
        version: Version of the algorithm that chose it.
        at: When: UTC, ISO 8601 with microseconds; empty stands for the moment it is offered to the log.
    """

    unit: str
    experiment: str
    variant: str
    propensity: float | None
    version: str
    at: str = ""


class Journal:
    """Exposures of all processes of a record, each unit once per experiment.

    A batch is first committed (``append``), then published: the newest file is written anew, whole, until it has
    ``segment_rows`` rows and is final. What was once visible in the files stays visible, whoever is killed when.

    Args:
        folder: Where the journal and the files are.
        segment_rows: Rows of a final file.
        timeout: Seconds to wait for another process to finish writing.
    """

    def __init__(self, folder: Path, *, segment_rows: int = 10_000, timeout: float = 5.0) -> None:
        self.folder = Path(folder)
        self._rows = segment_rows
        self._file = SqliteFile(self.folder / JOURNAL, _SCHEMA, timeout=timeout, durability="FULL")

    def append(self, batch: Sequence[Exposure]) -> int:
        """Commit what is new of a batch; how many were new.

        Raises:
            StoreError: the disk or another process refuses; then nothing of the batch is counted.
        """
        with self._file.writing() as connection:
            before = connection.total_changes
            connection.executemany(_INSERT, batch)
            return connection.total_changes - before

    def publish(self) -> None:
        """Bring the files up to what is committed, also by processes that were killed before they could.

        Raises:
            StoreError: the disk or another process refuses; what was published before still is.
        """
        with self._file.writing() as connection:
            last = connection.execute(_LAST).fetchone()[0]
            if not last:
                self._put(1, [])
            while self._behind(connection, last):
                self._publish_next(connection)

    def first_moment(self) -> str | None:
        """The time of the earliest exposure; None without any.

        Raises:
            StoreError: the journal cannot be read.
        """
        with self._file.using() as connection:
            found: str | None = connection.execute("SELECT min(at) FROM exposures").fetchone()[0]
            return found

    def close(self) -> None:
        """Close the connection."""
        self._file.close()

    def _behind(self, connection: sqlite3.Connection, last: int) -> bool:
        published = connection.execute("SELECT coalesce(max(last), 0) FROM segments").fetchone()[0]
        return bool(published < last)

    def _publish_next(self, connection: sqlite3.Connection) -> None:
        """Write the newest file with all it has room for, or begin the next one."""
        newest = connection.execute("SELECT first, last FROM segments ORDER BY first DESC LIMIT 1").fetchone()
        first, last = newest or (1, 0)
        if last - first + 1 >= self._rows:
            first = last + 1
        rows = connection.execute(_FROM, (first, self._rows)).fetchall()
        self._put(first, [row[1:] for row in rows])
        connection.execute("INSERT OR REPLACE INTO segments VALUES (?, ?)", (first, rows[-1][0]))

    def _put(self, first: int, rows: Sequence[Sequence[object]]) -> None:
        publish_bytes(self.folder / f"exposures-{first:012d}.csv", _csv(rows))


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    shown = ([UNKNOWN if value is None else value for value in row] for row in rows)
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *shown])
    return text.getvalue().encode()
