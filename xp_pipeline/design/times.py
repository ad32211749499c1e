"""Moments of time as the tables store them: in UTC, without a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MICROSECOND = timedelta(microseconds=1)


def utc(moment: datetime) -> datetime:
    """The moment in UTC without a zone; one written without a zone is in UTC already."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def spans_meet(
    start: datetime | None, end: datetime | None, other: datetime | None, other_end: datetime | None
) -> bool:
    """Whether two half-open spans [start, end) share a moment; None is without limit."""
    starts_in_time = other_end is None or start is None or utc(start) < utc(other_end)
    return starts_in_time and (end is None or other is None or utc(other) < utc(end))
