"""When a day of a source is closed: nothing that happened on it is still expected."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from xp_pipeline.sources.ingest import SourceVersion
from xp_pipeline.sources.paths import exists, resolved
from xp_pipeline.spec.source import Source

DAY = timedelta(days=1)


def closed_through(source: Source, version: SourceVersion, *, zone: ZoneInfo, root: Path | None = None) -> date | None:
    """The last closed day in the project's zone, None when not one is.

    A complete source, or one without a clock, is closed for good (``date.max``). With ``closed: path/{day}``
    the markers count, contiguous from the first day; otherwise the newest row must lie at or past the end of
    the day plus the declared lag.

    Args:
        root: The project folder, which marker paths are relative to; the current folder by default.

    Raises:
        SourceError: a marker's path has a variable that is not set, or cannot be reached.
    """
    if source.complete or source.timestamp is None:
        return date.max
    if version.first is None or version.last is None:
        return None
    first = instant(source, version.first, zone).astimezone(zone).date()
    if source.closed:
        return _marked(source, first, root or Path())
    settled = instant(source, version.last, zone) - source.lag
    day = settled.astimezone(zone).date() - DAY
    return day if day >= first else None


def instant(source: Source, stored: datetime, zone: ZoneInfo) -> datetime:
    """A stored time in UTC; a stored date is the midnight that begins it in its source's zone, else the project's."""
    if source.timestamp and source.columns[source.timestamp].type == "date":
        own = ZoneInfo(source.timezone) if source.timezone else zone
        return datetime.combine(stored.date(), time(), own).astimezone(UTC)
    return stored.replace(tzinfo=UTC)


def _marked(source: Source, first: date, root: Path) -> date | None:
    pattern, where = str(source.closed), f"source {source.name}, closed"
    day = first
    while exists(resolved(pattern.replace("{day}", day.isoformat()), root=root, where=where)):
        day += DAY
    return day - DAY if day > first else None
