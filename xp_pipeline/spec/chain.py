"""The chain of ledger entries, each digest covering the one before, inside one open transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from xp_pipeline.errors import RecordError, TamperError
from xp_pipeline.spec.canonical import canonical_bytes, digest, same_digest
from xp_pipeline.spec.names import check_id
from xp_pipeline.spec.phases import ExperimentState

GENESIS = "0" * 64
"""What the first entry follows."""

_COLUMNS = ("seq", "time", "experiment", "kind", "by", "reason", "payload", "previous", "digest")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM entries"


class EntryKind(StrEnum):
    """What an entry records."""

    REGISTRATION = "registration"
    TRANSITION = "transition"
    LOOK = "look"
    AMENDMENT = "amendment"
    EXPLORATORY = "exploratory"
    COSMETIC = "cosmetic"
    DEVIATION_SEEN = "deviation_seen"
    OVERRIDE = "override"
    DECISION = "decision"
    CONCLUSION = "conclusion"
    REANALYSIS = "reanalysis"
    VERDICT = "verdict"
    ALLOCATION = "allocation"
    EXTENSION = "extension"


class Head(NamedTuple):
    """The end of the chain: whoever keeps one can later prove that nothing before it was rewritten.

    Attributes:
        seq: Number of entries.
        digest: Digest of the last one; 64 zeros for an empty ledger.
    """

    seq: int
    digest: str


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        seq: Position, from 1 without gaps.
        time: When it was written: UTC, ISO 8601 with microseconds.
        experiment: Whom it concerns.
        kind: What it records.
        by: Who acted.
        reason: Why, in their words; may be empty.
        payload: The particulars, as JSON.
        previous: Digest of the entry before; 64 zeros for the first.
        digest: SHA-256 over all of the above.
    """

    seq: int
    time: str
    experiment: str
    kind: EntryKind
    by: str
    reason: str
    payload: dict[str, Any]
    previous: str
    digest: str


class Page:
    """What can be read of the ledger inside one transaction."""

    def __init__(self, connection: sqlite3.Connection | None, path: Path) -> None:
        self._connection = connection
        self._path = path

    def entries(self, experiment: str | None = None, kind: EntryKind | None = None) -> Iterator[Entry]:
        """As ``Ledger.entries``."""
        wanted = {"experiment": experiment, "kind": kind and kind.value}
        given = {column: value for column, value in wanted.items() if value is not None}
        condition = " AND ".join(f"{column} = :{column}" for column in given) or "true"
        return (self._entry(row) for row in self._rows(f"{_SELECT} WHERE {condition} ORDER BY seq", given))

    def state(self, experiment: str) -> ExperimentState | None:
        """As ``Ledger.state``."""
        last = f"{_SELECT} WHERE experiment = :experiment AND kind = :kind ORDER BY seq DESC LIMIT 1"
        rows = self._rows(last, {"experiment": experiment, "kind": EntryKind.TRANSITION.value})
        return next((ExperimentState(self._entry(row).payload["to"]) for row in rows), None)

    def head(self) -> Head:
        """As ``Ledger.head``."""
        rows = self._rows(f"{_SELECT} ORDER BY seq DESC LIMIT 1", {})
        return next((Head(entry.seq, entry.digest) for entry in map(self._entry, rows)), Head(0, GENESIS))

    def verify(self, expected: Head | None) -> Head:
        """As ``Ledger.verify``."""
        head = Head(0, GENESIS)
        self._check_on_chain(head, expected)
        for entry in self.entries():
            if entry.seq != head.seq + 1:
                raise self._tampered(head.seq + 1, "is missing", found=f"entry {entry.seq} in its place")
            if not same_digest(entry.previous, head.digest):
                raise self._tampered(
                    entry.seq, "does not follow the one before", found=entry.previous, allowed=head.digest
                )
            head = Head(entry.seq, entry.digest)
            self._check_on_chain(head, expected)
        if expected and expected.seq > head.seq:
            raise self._tampered(head.seq + 1, "is missing at the end", allowed=f"{expected.seq} entries")
        return head

    def _check_on_chain(self, head: Head, expected: Head | None) -> None:
        if expected and expected.seq == head.seq and not same_digest(expected.digest, head.digest):
            raise self._tampered(head.seq, "was rewritten", found=head.digest, allowed=expected.digest)

    def _rows(self, query: str, given: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
        return iter(()) if self._connection is None else self._connection.execute(query, given)

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        fields = dict(zip(_COLUMNS, row, strict=True))
        stored = fields.pop("digest")
        computed = digest(fields)
        if not same_digest(computed, stored):
            raise self._tampered(fields["seq"], "does not have its digest", found=computed, allowed=stored)
        try:
            kind = EntryKind(fields.pop("kind"))
        except ValueError as problem:
            raise RecordError(
                f"entry {fields['seq']} is of a later version: {problem}",
                where=str(self._path),
                next_step="upgrade xp_pipeline",
            ) from None
        payload = json.loads(fields.pop("payload"))
        return Entry(**fields, kind=kind, payload=payload, digest=stored)

    def _tampered(self, seq: int, what: str, *, found: str | None = None, allowed: str | None = None) -> TamperError:
        return TamperError(
            f"entry {seq} of the ledger {what}",
            where=str(self._path),
            found=found,
            allowed=allowed,
            next_step="restore record/ from its backup and run xp verify",
        )


class Pen(Page):
    """A page that can be written on."""

    def __init__(self, connection: sqlite3.Connection, path: Path, clock: Callable[[], datetime]) -> None:
        super().__init__(connection, path)
        self._writer = connection
        self._clock = clock

    def append(
        self, experiment: str, kind: EntryKind, *, by: str, payload: Mapping[str, Any], reason: str = ""
    ) -> Entry:
        """Add one entry after the present head."""
        if not by.strip():
            raise RecordError("a ledger entry names who made it", where=experiment, next_step="add --by NAME")
        head = self.head()
        fields = {
            "seq": head.seq + 1,
            "time": self._now(),
            "experiment": check_id(experiment),
            "kind": EntryKind(kind).value,
            "by": by,
            "reason": reason,
            "payload": canonical_bytes(payload).decode(),
            "previous": head.digest,
        }
        row = (*fields.values(), digest(fields))
        self._writer.execute(f"INSERT INTO entries VALUES ({', '.join('?' * len(_COLUMNS))})", row)
        return self._entry(row)

    def _now(self) -> str:
        moment = self._clock()
        if moment.tzinfo is None:
            raise RecordError("the clock has no time zone", found=moment, next_step="use datetime.now(UTC)")
        return moment.astimezone(UTC).isoformat(timespec="microseconds")
