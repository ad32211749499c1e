"""The ledger: who did what to which experiment, when and why, in a file that only ever grows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xp_pipeline.errors import RecordError, TamperError
from xp_pipeline.spec.canonical import same_digest
from xp_pipeline.spec.chain import GENESIS, Entry, EntryKind, Head, Page, Pen
from xp_pipeline.spec.phases import ExperimentState, check_transition

__all__ = ["GENESIS", "Entry", "EntryKind", "Head", "Ledger"]

APPLICATION_ID = 0x78706C67  # "xplg": tells a ledger from any other SQLite file
FORMAT = 1
_SCHEMA = (
    """CREATE TABLE entries (
        seq INTEGER PRIMARY KEY, time TEXT NOT NULL, experiment TEXT NOT NULL, kind TEXT NOT NULL,
        by TEXT NOT NULL, reason TEXT NOT NULL, payload TEXT NOT NULL,
        previous TEXT NOT NULL, digest TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX entries_by_experiment ON entries (experiment, seq)",
    """CREATE TRIGGER entries_follow BEFORE INSERT ON entries
    WHEN new.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM entries)
    BEGIN SELECT raise(ABORT, 'it only appends'); END""",
    "CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'it only appends'); END",
    "CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT raise(ABORT, 'it only appends'); END",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)
_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Ledger:
    """An append-only SQLite file, safe under concurrent processes.

    Each entry's digest covers the digest before it, so an edit, a gap or a swap breaks the chain. A rewrite
    of the whole chain, or a cut at its end, shows against a head that was printed earlier: see ``verify``.

    Args:
        path: The file. It and its folder come into being with the first entry; a missing one reads as empty.
        clock: Where times come from; returns an aware datetime.
        timeout: Seconds to wait for another process to finish writing.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), timeout: float = 30
    ) -> None:
        self.path = Path(path)
        self.clock = clock
        self.timeout = timeout

    def append(
        self,
        experiment: str,
        kind: EntryKind,
        *,
        by: str,
        payload: Mapping[str, Any],
        reason: str = "",
        expect_head: str | None = None,
    ) -> Entry:
        """Add one entry; with ``expect_head``, only if that is still the digest of the head.

        Raises:
            RecordError: the head has moved on, nobody is named, or the file refused.
            SpecError: the payload is not JSON.
        """
        with self.writing() as pen:
            head = pen.head()
            if expect_head is not None and not same_digest(head.digest, expect_head):
                raise RecordError(
                    "somebody else wrote to the ledger meanwhile",
                    where=str(self.path),
                    found=head.digest,
                    allowed=expect_head,
                    next_step="read it again and repeat",
                )
            return pen.append(experiment, kind, by=by, payload=payload, reason=reason)

    def advance(
        self, experiment: str, target: ExperimentState, *, by: str, payload: Mapping[str, Any] | None = None
    ) -> Entry | None:
        """Move an experiment one state forward; None when it is there already.

        Raises:
            PhaseOrderError: the target is not the next state.
        """
        with self.writing() as pen:
            current = pen.state(experiment)
            check_transition(current, target, experiment=experiment)
            if current == target:
                return None
            particulars = {**(payload or {}), "from": current and current.value, "to": target.value}
            return pen.append(experiment, EntryKind.TRANSITION, by=by, payload=particulars)

    def state(self, experiment: str) -> ExperimentState | None:
        """The state an experiment has reached; None before its first transition."""
        with self.reading() as page:
            return page.state(experiment)

    def entries(self, experiment: str | None = None, kind: EntryKind | None = None) -> list[Entry]:
        """Entries in order, optionally of one experiment or one kind.

        Raises:
            TamperError: one of them does not have the digest it was written with.
        """
        with self.reading() as page:
            return list(page.entries(experiment, kind))

    def head(self) -> Head:
        """Where the chain ends now."""
        with self.reading() as page:
            return page.head()

    def verify(self, expected_head: Head | None = None) -> Head:
        """Walk the whole chain and return its head.

        Args:
            expected_head: One that was printed earlier; it has to lie on the chain.

        Raises:
            TamperError: names the first entry that is missing, edited or out of place.
        """
        with self.reading() as page:
            return page.verify(expected_head)

    @contextmanager
    def writing(self) -> Iterator[Pen]:
        """One transaction: what is read inside it stays true until all that was appended is committed."""
        with self._opened("rwc") as connection:
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("BEGIN IMMEDIATE")
            if not self._is_ours(connection):
                for statement in _SCHEMA:
                    connection.execute(statement)
            yield Pen(connection, self.path, self.clock)
            connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[Page]:
        """One consistent view, unaffected by writers."""
        if not self._exists():
            yield Page(None, self.path)
            return
        with self._opened("rw") as connection:
            connection.execute("BEGIN")
            yield Page(connection if self._is_ours(connection) else None, self.path)

    def _exists(self) -> bool:
        try:
            return self.path.exists()
        except OSError as problem:
            raise self._unreachable(problem) from problem

    @contextmanager
    def _opened(self, mode: str) -> Iterator[sqlite3.Connection]:
        """A connection whose errors are the project's; closing it drops what was not committed."""
        try:
            if mode == "rwc":
                self.path.parent.mkdir(parents=True, exist_ok=True)
            address = f"{self.path.absolute().as_uri()}?mode={mode}"
            connection = sqlite3.connect(address, uri=True, timeout=self.timeout, isolation_level=None)
        except (OSError, sqlite3.Error) as problem:
            raise self._unreachable(problem) from problem
        with closing(connection):
            try:
                yield connection
            except sqlite3.Error as problem:
                raise _explained(problem, self.path) from problem

    def _unreachable(self, problem: Exception) -> RecordError:
        return RecordError(
            f"the ledger cannot be opened: {getattr(problem, 'strerror', None) or problem}",
            where=str(self.path),
            next_step="check that record/ exists and who may write to it",
        )

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """Whether the file holds a ledger; False for an empty one."""
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner == APPLICATION_ID and version == FORMAT:
            return True
        if owner or version or tables:
            raise RecordError(
                "this file is not a ledger, or one of a later version",
                where=str(self.path),
                found=f"application {owner:#x}, format {version}",
                allowed=f"application {APPLICATION_ID:#x}, format {FORMAT}",
                next_step="upgrade xp_pipeline, or restore record/ from its backup",
            )
        return False


def _explained(problem: sqlite3.Error, path: Path) -> RecordError | TamperError:
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    if code in _UNREADABLE:
        return TamperError(
            f"the ledger is damaged: {problem}",
            where=str(path),
            next_step="restore record/ from its backup and run xp verify",
        )
    next_step = "wait for the other run, or end it" if code in _BUSY else "check the disk, and who may write to record/"
    return RecordError(f"the ledger refused: {problem}", where=str(path), next_step=next_step)
