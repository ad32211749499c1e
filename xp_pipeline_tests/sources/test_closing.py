"""Closed days: by time passed, by markers, or for good."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from xp_pipeline.errors import SourceError
from xp_pipeline.sources.closing import closed_through
from xp_pipeline.sources.ingest import SourceVersion
from xp_pipeline_tests.sources.tables import declared

COLUMNS = {"id": "text", "at": "timestamp", "day": "date"}


def _version(first: str | None, last: str | None) -> SourceVersion:
    ends = (datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None for text in (first, last))
    return SourceVersion("t", "v", "d", Path(), 0, 0, {}, {}, [], *ends)


def _closed(
    last: str | None,
    *,
    first: str | None = "2024-01-01 00:00",
    zone: str = "UTC",
    root: Path | None = None,
    timestamp: str | None = "at",
    **parts: Any,
) -> date | None:
    source = declared(columns=COLUMNS, **({"timestamp": timestamp} if timestamp else {}), **parts)
    return closed_through(source, _version(first, last), zone=ZoneInfo(zone), root=root)


@pytest.mark.parametrize(
    ("last", "lag", "expected"),
    [
        ("2024-01-03 23:59:59.999999", "0d", date(2024, 1, 2)),
        ("2024-01-04 00:00", "0d", date(2024, 1, 3)),
        ("2024-01-04 05:59", "6h", date(2024, 1, 2)),
        ("2024-01-04 06:00", "6h", date(2024, 1, 3)),
        ("2024-01-04 06:00", "2d", date(2024, 1, 1)),
        ("2024-01-01 23:00", "0d", None),
    ],
)
def test_a_day_closes_when_a_row_lies_past_it_and_the_lag(last: str, lag: str, expected: date | None) -> None:
    assert _closed(last, lag=lag) == expected


@pytest.mark.parametrize(
    ("last", "zone", "expected"),
    [
        ("2024-01-03 22:59", "Europe/Berlin", date(2024, 1, 2)),
        ("2024-01-03 23:00", "Europe/Berlin", date(2024, 1, 3)),
        ("2024-01-04 04:59", "America/New_York", date(2024, 1, 2)),
        ("2024-01-04 05:00", "America/New_York", date(2024, 1, 3)),
        ("2024-03-31 21:59", "Europe/Berlin", date(2024, 3, 30)),
        ("2024-03-31 22:00", "Europe/Berlin", date(2024, 3, 31)),
    ],
)
def test_midnight_is_that_of_the_project(last: str, zone: str, expected: date) -> None:
    assert _closed(last, zone=zone) == expected


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
def test_a_calendar_day_is_the_same_day_in_every_zone(zone: str) -> None:
    assert _closed("2024-01-05", timestamp="day", zone=zone) == date(2024, 1, 4)
    assert _closed("2024-01-05", timestamp="day", zone=zone, lag="1d") == date(2024, 1, 3)


def test_complete_and_timeless_sources_are_closed_for_good() -> None:
    assert _closed("2024-01-05 00:00", complete=True) == date.max
    assert _closed(None, first=None, timestamp=None) == date.max


def test_without_a_row_no_day_is_closed() -> None:
    assert _closed(None, first=None) is None


def test_markers_count_from_the_first_day_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XP_TEST_DONE", "done")
    marked = {"closed": "${XP_TEST_DONE}/{day}/_SUCCESS", "root": tmp_path, "first": "2024-01-30 12:00"}
    last = "2024-03-01 00:00"
    assert _closed(last, **marked) is None
    for day in ("2024-01-30", "2024-01-31", "2024-02-01", "2024-02-03"):
        (tmp_path / "done" / day).mkdir(parents=True)
        (tmp_path / "done" / day / "_SUCCESS").touch()
    assert _closed(last, **marked) == date(2024, 2, 1)
    monkeypatch.delenv("XP_TEST_DONE")
    with pytest.raises(SourceError, match=r"source t, closed: .*XP_TEST_DONE"):
        _closed(last, **marked)
