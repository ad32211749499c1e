"""A store in one SQLite file, shared by threads and processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeVar

from xp_pipeline.delivery.errors import CorruptStateError, StoreError
from xp_pipeline.delivery.stores.relational import SCHEMA, RelationalStore, Run

_TABLES = tuple(f"{statement} WITHOUT ROWID" for statement in SCHEMA)
"""One tree of pages a table, the primary key's, in place of two."""

T = TypeVar("T")
Durability = Literal["FULL", "NORMAL"]

_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PAUSE_SECONDS = 0.01
_ROWCOUNT: Callable[[sqlite3.Cursor], int] = attrgetter("rowcount")


class SqliteFile:
    """One connection to a file in write-ahead mode, used by one thread at a time and anew after a fork.

    Args:
        path: The file; it and its folder come into being with the first use.
        schema: Statements that are safe to repeat.
        timeout: Seconds to wait for another process to finish writing.
        durability: ``FULL``: what was committed survives a power cut; ``NORMAL``: it survives a crash of the process.
    """

    def __init__(self, path: Path, schema: Sequence[str], *, timeout: float, durability: Durability) -> None:
        self.path = Path(path)
        self._schema = tuple(schema)
        self._timeout = timeout
        self._durability = durability
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inherited: sqlite3.Connection | None = None

    def run(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """One statement, atomic for itself; the rows it gives."""
        return self._executed(statement, parameters, sqlite3.Cursor.fetchall)

    def changes(self, statement: str, parameters: Mapping[str, Any]) -> int:
        """One statement, atomic for itself; how many rows it changed, which costs less than RETURNING them."""
        return self._executed(statement, parameters, _ROWCOUNT)

    @contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; its errors become StoreErrors."""
        if self._process != os.getpid():
            self._renew()
        with self._lock:
            try:
                yield self._connection or self._connected()
            except (sqlite3.Error, OSError) as problem:
                raise self._explained(problem) from problem

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its beginning."""
        with self.using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection; the next use opens one again."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _executed(self, statement: str, parameters: Mapping[str, Any], told: Callable[[sqlite3.Cursor], T]) -> T:
        """What a statement's cursor tells; without the ceremony of ``using``, for it is the hot path."""
        if self._process != os.getpid():
            self._renew()
        with self._lock:
            try:
                return told((self._connection or self._connected()).execute(statement, parameters))
            except (sqlite3.Error, OSError) as problem:
                raise self._explained(problem) from problem

    def _renew(self) -> None:
        """Begin anew in a forked process; closing the parent's connection here would drop the parent's locks."""
        self._inherited, self._connection = self._connection, None
        self._lock = threading.RLock()
        self._process = os.getpid()

    def _connected(self) -> sqlite3.Connection:
        self._connection = self._opened()
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            self._patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
            connection.execute(f"PRAGMA synchronous = {self._durability}")
            connection.execute("PRAGMA foreign_keys = ON")
            for statement in self._schema:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def _patiently(self, call: Callable[[], T]) -> T:
        """Repeat while the file is locked: SQLite does not wait by itself when it changes the journal's mode."""
        until = time.monotonic() + self._timeout
        while True:
            try:
                return call()
            except sqlite3.OperationalError as problem:
                if getattr(problem, "sqlite_errorcode", 0) & 0xFF not in _BUSY or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def _explained(self, problem: Exception) -> StoreError:
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
        if code in _UNREADABLE:
            step = "restore it from its backup"
            return CorruptStateError(f"the store is damaged: {problem}", where=str(self.path), next_step=step)
        told = getattr(problem, "strerror", None) or problem
        step = "wait for the other process, or end it" if code in _BUSY else "check the disk, and who may write to it"
        return StoreError(f"the store refused: {told}", where=str(self.path), next_step=step)


class SqliteStore(RelationalStore):
    """Experiments, assignments and algorithms in a SQLite file.

    Args:
        path: The file.
        timeout: Seconds to wait for another process to finish writing.
        durability: Whether an assignment survives a power cut (``FULL``) or a crash of the process (``NORMAL``).
    """

    def __init__(self, path: Path | str, *, timeout: float = 5.0, durability: Durability = "FULL") -> None:
        self._file = SqliteFile(Path(path), _TABLES, timeout=timeout, durability=durability)

    def _run(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        return self._file.run(statement, parameters)

    def _inserts(self, statement: str, parameters: Mapping[str, Any]) -> bool:
        return self._file.changes(statement, parameters) == 1

    @contextmanager
    def _writing(self) -> Iterator[Run]:
        with self._file.writing() as connection:
            yield _runner(connection)

    def close(self) -> None:
        """Close the connection; the next use opens one again."""
        self._file.close()


def _runner(connection: sqlite3.Connection) -> Run:
    def run(statement: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        return connection.execute(statement, parameters).fetchall()

    return run
