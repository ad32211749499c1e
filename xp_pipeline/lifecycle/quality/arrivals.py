"""When rows arrive: which source the analysis waits for, and what came after its day was analysed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from xp_pipeline.lifecycle.frames import moment, relation, time_of
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.quality.checks import Finding
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.sources.closing import closed_through
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.source import Source


def _clocked(workspace: Workspace, promise: Sealed) -> list[Source]:
    """The experiment's sources whose rows have a time."""
    sources = (workspace.folder.sources[name] for name in promise.bound.source_names)
    return [source for source in sources if source.timestamp]


def rows_until(
    workspace: Workspace, promise: Sealed, con: duckdb.DuckDBPyConnection, until: datetime | None
) -> dict[str, int]:
    """Rows of every source with a clock before a moment; what a look remembers, to know later what came late."""
    if until is None:
        return {}
    counted = {}
    for source in _clocked(workspace, promise):
        time = time_of(source, promise.bound.timezone)
        query = f"SELECT count(*) FILTER ({time} < {moment(until)}) FROM {relation(workspace, source.name)}"
        counted[source.name] = (con.execute(query).fetchone() or (0,))[0]
    return counted


def arrivals(
    workspace: Workspace, promise: Sealed, con: duckdb.DuckDBPyConnection, as_of: str | None
) -> Iterator[Finding]:
    """Freshness of the growing sources, and rows that came after the look before this one."""
    yield from _freshness(workspace, promise)
    before = _look_before(workspace, promise, as_of)
    if before is None:
        return
    now = rows_until(workspace, promise, con, datetime.fromisoformat(before["until"]))
    for name, rows in before["rows"].items():
        if name in now:
            yield checks.late(name, before=rows, now=now[name], day=before["as_of"])


def _freshness(workspace: Workspace, promise: Sealed) -> Iterator[Finding]:
    zone = promise.bound.zone
    closed = {
        source.name: closed_through(source, workspace.version(source.name), zone=zone, root=workspace.root)
        for source in _clocked(workspace, promise)
        if not source.complete
    }
    known = {name: day for name, day in closed.items() if day is not None and day != date.max}
    for name, day in known.items():
        upstream = workspace.folder.sources[name].location.asset
        yield checks.freshness(name, day, max(known.values()), upstream)


def _look_before(workspace: Workspace, promise: Sealed, as_of: str | None) -> Mapping[str, Any] | None:
    """The ledger's last look at an earlier day."""
    looks = [entry.payload for entry in workspace.ledger.entries(promise.id, EntryKind.LOOK)]
    earlier = [look for look in looks if as_of and look["as_of"] and look["as_of"] < as_of and look.get("rows")]
    return max(earlier, key=lambda look: str(look["as_of"])) if earlier else None


def utc(text: str | None) -> datetime | None:
    """A sealed moment."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
