"""Types: what a cell becomes, and what is refused rather than bent."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xp_pipeline.errors import ContractError
from xp_pipeline_tests.sources.tables import cells, declared, from_csv, from_frame, kept, quarantined, taken

BERLIN = ZoneInfo("Europe/Berlin")
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
LINES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"))


def test_integers_beyond_a_double_are_exact(tmp_path: Path) -> None:
    found, rejected = cells(tmp_path, "integer", [str(2**53 + 1), str(2**63 - 1), str(-(2**63)), " +7 ", "007"])
    assert found == [2**53 + 1, 2**63 - 1, -(2**63), 7, 7]
    assert rejected == {}


def test_what_is_nearly_an_integer_is_not_one(tmp_path: Path) -> None:
    texts = ["1.0", "1e3", "1_000", "1,5", str(2**63), "0x10", "", "١", "one"]
    found, rejected = cells(tmp_path, "integer", texts)
    assert found == []
    assert rejected == {"x: not a 64-bit integer": len(texts)}


def test_numbers(tmp_path: Path) -> None:
    found, rejected = cells(
        tmp_path, "number", ["0.1", " 5 ", "-.5e3", "+1", "1_0", "0x1", "nan", "-inf", "1e400", "x"]
    )
    assert found == [0.1, 5.0, -500.0, 1.0]
    assert rejected == {"x: not a number": 3, "x: not finite": 3}


@SHARED_FOLDER
@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_numbers_survive_their_text_to_the_last_bit(tmp_path: Path, numbers: list[float]) -> None:
    assert cells(tmp_path, "number", [repr(x) for x in numbers])[0] == numbers


def test_booleans(tmp_path: Path) -> None:
    texts = ["TRUE", "t", "Yes", "y", "1", "False", "F", "no", "N", "0", "2", "maybe", "1.0"]
    found, rejected = cells(tmp_path, "boolean", texts)
    assert found == [True] * 5 + [False] * 5
    assert rejected == {"x: not true or false": 3}


@SHARED_FOLDER
@given(texts=st.lists(LINES, min_size=1, max_size=10))
def test_text_of_any_alphabet_is_untouched(tmp_path: Path, texts: list[str]) -> None:
    assert cells(tmp_path, "text", texts)[0] == texts


def test_dates(tmp_path: Path) -> None:
    found, rejected = cells(
        tmp_path, "date", ["2024-02-29", "2023-02-29", "2024-01-01 10:00", "01/02/2024", "2024-1-1"]
    )
    assert found == [date(2024, 2, 29)]
    assert rejected == {"x: not a date (YYYY-MM-DD)": 4}


def test_a_time_with_an_offset_is_taken_as_it_is(tmp_path: Path) -> None:
    texts = [
        "2024-01-01T12:00:00Z",
        "2024-01-01 12:00:00.123456 UTC",
        "2024-01-01 12:00:00+02",
        "2024-01-01 12:00:00 +0530",
        "2024-01-01T12:00-03:00",
    ]
    found, rejected = cells(tmp_path, "timestamp", texts)
    noon = datetime(2024, 1, 1, 12)
    assert found == [
        noon,
        noon.replace(microsecond=123456),
        noon - timedelta(hours=2),
        noon - timedelta(hours=5, minutes=30),
        noon + timedelta(hours=3),
    ]
    assert rejected == {}


def test_a_time_without_an_offset_is_of_the_declared_zone(tmp_path: Path) -> None:
    texts = ["2024-01-01 12:00:00", "2024-07-01T12:00:00.5", "2024-01-01", "2024-01-01 12:00:00Z"]
    found, _ = cells(tmp_path, "timestamp", texts, timezone="Europe/Berlin")
    assert found == [
        datetime(2024, 1, 1, 11),
        datetime(2024, 7, 1, 10, 0, 0, 500000),
        datetime(2023, 12, 31, 23),
        datetime(2024, 1, 1, 12),
    ]


@pytest.mark.parametrize(
    "text", ["epoch", "infinity", "2024-01-01 12:00:00 Europe/Oslo", "12:00", "20240101", "2024-13-01", "0000-01-01"]
)
def test_other_ways_to_write_a_time_are_refused_not_guessed(tmp_path: Path, text: str) -> None:
    assert cells(tmp_path, "timestamp", [text], timezone="UTC") == ([], {"x: not a timestamp": 1})


def test_a_time_that_the_clocks_skip_is_refused(tmp_path: Path) -> None:
    texts = ["2024-03-31 01:59:59", "2024-03-31 02:30:00", "2024-03-31 03:00:00", "2024-03-31 02:30:00+01:00"]
    found, rejected = cells(tmp_path, "timestamp", texts, timezone="Europe/Berlin")
    assert found == [datetime(2024, 3, 31, 0, 59, 59), datetime(2024, 3, 31, 1), datetime(2024, 3, 31, 1, 30)]
    assert rejected == {"x: a time that the clocks skip in Europe/Berlin": 1}


def test_a_time_that_the_clocks_show_twice_is_the_second(tmp_path: Path) -> None:
    found, _ = cells(tmp_path, "timestamp", ["2024-10-27 02:30:00"], timezone="Europe/Berlin")
    assert found == [datetime(2024, 10, 27, 1, 30)]


@SHARED_FOLDER
@given(
    times=st.lists(
        st.datetimes(datetime(1970, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC)), min_size=1, max_size=20
    )
)
def test_local_times_come_back_to_the_moments_they_were(tmp_path: Path, times: list[datetime]) -> None:
    """Against the standard library's reading of the same zone; ``fold=1`` is the second of two."""
    local = [moment.astimezone(BERLIN).replace(tzinfo=None) for moment in times]
    found, _ = cells(tmp_path, "timestamp", [x.isoformat(sep=" ") for x in local], timezone="Europe/Berlin")
    expected = [x.replace(tzinfo=BERLIN, fold=1).astimezone(UTC).replace(tzinfo=None) for x in local]
    assert found == expected


def test_times_without_a_zone_are_refused_where_none_is_declared(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"source t: .*'x'.*time zone.*2 rows.*timezone: UTC"):
        cells(tmp_path, "timestamp", ["2024-01-01 10:00", "2024-01-01", "2024-01-01 10:00Z"])
    assert not list(tmp_path.glob("lake/sources/t/*"))


def test_naive_timestamps_of_parquet_need_a_zone_too(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["a"], "x": [datetime(2024, 7, 1, 12)]})
    columns = {"id": "text", "x": "timestamp"}
    with pytest.raises(ContractError, match="timezone: UTC"):
        from_frame(tmp_path, frame, columns=columns)
    assert kept(from_frame(tmp_path, frame, columns=columns, timezone="America/New_York"), "x") == [
        datetime(2024, 7, 1, 16)
    ]
    aware = frame.with_columns(pl.col("x").dt.replace_time_zone("Asia/Kolkata"))
    assert kept(from_frame(tmp_path, aware, columns=columns), "x") == [datetime(2024, 7, 1, 6, 30)]


PARQUET: list[tuple[str, list[Any], Any, list[Any]]] = [
    ("integer", [1.0, 2.5, math.nan, 2.0**60], pa.float64(), [1]),
    ("integer", [Decimal("5.00"), Decimal("5.50")], pa.decimal128(10, 2), [5]),
    ("integer", [2**63 - 1, 2**64 - 1], pa.uint64(), [2**63 - 1]),
    ("integer", [True, False], pa.bool_(), [1, 0]),
    ("number", [1, 2**40], pa.int64(), [1.0, float(2**40)]),
    ("number", [0.5, math.nan, math.inf], pa.float64(), [0.5]),
    ("boolean", [0, 1, 2], pa.int8(), [False, True]),
    ("boolean", [1.0, 0.0, 0.5], pa.float64(), [True, False]),
    ("text", [2**63 - 1], pa.int64(), [str(2**63 - 1)]),
    ("text", ["ж", "a"], pa.dictionary(pa.int8(), pa.string()), ["ж", "a"]),
    ("date", [datetime(2024, 1, 1), datetime(2024, 1, 1, 1)], pa.timestamp("us"), [date(2024, 1, 1)]),
    ("timestamp", [1_704_103_200_000_000_001], pa.timestamp("ns", "UTC"), [datetime(2024, 1, 1, 10)]),
]


@pytest.mark.parametrize(("type_", "values", "stored", "expected"), PARQUET)
def test_parquet_is_converted_only_where_nothing_is_lost(
    tmp_path: Path, type_: str, values: list[Any], stored: Any, expected: list[Any]
) -> None:
    table = pa.table({"id": [str(i) for i in range(len(values))], "x": pa.array(values, stored)})
    pq.write_table(table, tmp_path / "t.parquet")
    version = taken(tmp_path, declared(path="t.parquet", columns={"id": "text", "x": type_}))
    assert kept(version, "x") == expected
    assert len(quarantined(version)) == len(values) - len(expected)


@pytest.mark.parametrize(
    ("type_", "values"), [("text", [1.5]), ("timestamp", [5]), ("number", [datetime(2024, 1, 1)]), ("text", [[1]])]
)
def test_a_column_of_another_kind_breaks_the_contract(tmp_path: Path, type_: str, values: list[Any]) -> None:
    with pytest.raises(ContractError, match=rf"source t: column 'x' cannot be read as {type_}"):
        from_frame(tmp_path, pl.DataFrame({"id": ["a"], "x": values}), columns={"id": "text", "x": type_})


def test_a_missing_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"'revenue' is missing.*did you mean 'revenues'"):
        from_csv(tmp_path, "id,revenues\na,1\n", columns={"id": "text", "revenue": "number"})


def test_declared_texts_are_null_and_others_are_not(tmp_path: Path) -> None:
    text = 'id,x,n\na,NA,\nb,"",-\nc,na,1\n'
    columns = {"id": "text", "x": "text", "n": "integer"}
    version = from_csv(tmp_path, text, columns=columns, null_values=["NA", "-", ""])
    assert (kept(version, "x"), kept(version, "n")) == ([None, None, "na"], [None, None, 1])
    version = from_csv(tmp_path, text, columns={"id": "text", "x": "text"}, null_values=[])
    assert kept(version, "x") == ["NA", "", "na"]
