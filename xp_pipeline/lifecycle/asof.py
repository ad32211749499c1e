"""As-of: the last day of event time that counts, and whether the look on it is the final one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from xp_pipeline.errors import PhaseOrderError, SpecError
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.sources.closing import closed_through, instant
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.ledger import Entry, EntryKind

DAY = timedelta(days=1)


@dataclass(frozen=True)
class AsOf:
    """The horizon of one analysis.

    Attributes:
        day: Last day that counts, in the project's zone; None when the data has no clock.
        until: First moment that does not count (UTC); None without a clock.
        final: Whether this is the planned (or concluded) final look.
    """

    day: date | None
    until: datetime | None
    final: bool

    @property
    def text(self) -> str | None:
        """The day as artifacts are keyed by it."""
        return self.day.isoformat() if self.day else None


class NotYet(PhaseOrderError):
    """There is nothing to analyse yet: the experiment has not started, or no day has closed."""


def resolve(workspace: Workspace, promise: Sealed, *, asked: date | None = None) -> AsOf:
    """The horizon to analyse: the frozen final look's, the one asked for, or the last closed day.

    Raises:
        NotYet: no closed day on or after the start.
        SpecError: the day asked for is not closed, or lies outside the experiment.
    """
    frozen = workspace.final_look(promise.id)
    if frozen and asked is None:
        return _at(promise.bound, _day(frozen.payload["as_of"]), final=True)
    closed = _closed(workspace, promise.bound)
    if closed is None:
        return AsOf(None, None, final=True)
    last = min(closed, _last_day(workspace, promise))
    day = last if asked is None else asked
    _refuse_outside(promise, day, closed, asked)
    return _at(promise.bound, day, final=_is_final(workspace, promise, day))


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _at(bound: Bound, day: date | None, *, final: bool) -> AsOf:
    return AsOf(day, midnight_after(day, bound) if day else None, final)


def midnight_after(day: date, bound: Bound) -> datetime:
    """The end of a day in the project's zone, as UTC."""
    return datetime.combine(day + DAY, time(), bound.zone).astimezone(UTC)


def _closed(workspace: Workspace, bound: Bound) -> date | None:
    """Last day that every source with a clock has closed; None when none has one."""
    clocked = [n for n in bound.source_names if workspace.folder.sources[n].timestamp]
    if not clocked:
        return None
    days = [
        closed_through(workspace.folder.sources[n], workspace.version(n), zone=bound.zone, root=workspace.root)
        for n in clocked
    ]
    if any(day is None for day in days):
        raise NotYet("no day is closed yet", where=bound.id, next_step="wait for data, or declare complete: true")
    return min(day for day in days if day is not None)


def _last_day_of_complete(workspace: Workspace, bound: Bound) -> date:
    """Without a planned end, finished tables end the experiment on their last row's day; growing ones never."""
    clocked = [n for n in bound.source_names if workspace.folder.sources[n].timestamp]
    finished = all(workspace.folder.sources[n].complete for n in clocked)
    return _last_seen(workspace, bound, clocked) if finished else date.max


def _last_seen(workspace: Workspace, bound: Bound, names: Iterable[str]) -> date:
    """The last day with a row."""
    moments = [(workspace.folder.sources[name], workspace.version(name).last) for name in names]
    last = max(instant(source, moment, bound.zone) for source, moment in moments if moment is not None)
    return last.astimezone(bound.zone).date()


def _last_day(workspace: Workspace, promise: Sealed) -> date:
    """The day of the final look: by conclusion, else by plan, else never."""
    concluded = conclusion(workspace, promise.id)
    if concluded:
        return date.fromisoformat(concluded.payload["as_of"])
    end = promise.bound.end
    if end is None:
        return _last_day_of_complete(workspace, promise.bound)
    return (end + promise.bound.follow_up - timedelta(microseconds=1)).astimezone(promise.bound.zone).date()


def conclusion(workspace: Workspace, experiment: str) -> Entry | None:
    """The ledger's last conclusion, if someone ended the experiment."""
    entries = workspace.ledger.entries(experiment, EntryKind.CONCLUSION)
    return entries[-1] if entries else None


def _is_final(workspace: Workspace, promise: Sealed, day: date) -> bool:
    last = _last_day(workspace, promise)
    return last != date.max and day >= last


def _refuse_outside(promise: Sealed, day: date, closed: date, asked: date | None) -> None:
    start = promise.bound.start
    if start and day < start.astimezone(promise.bound.zone).date():
        raise NotYet(
            "the experiment has not started",
            where=promise.id,
            found=f"data closed through {day}",
            allowed=f"from {start}",
        )
    if asked and asked > closed:
        raise SpecError(
            "the day asked for is late: not every source has closed it",
            where=promise.id,
            found=asked,
            allowed=f"up to {closed}",
        )
