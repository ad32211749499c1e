"""Conditions as SQL: what they mean for every value and for nulls, and what they refuse."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import identifier, literal, predicate
from xp_pipeline.errors import SpecError
from xp_pipeline.spec.source import Column
from xp_pipeline.spec.values import Condition

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
INTEGER = Column(type="integer")
CON = connect()


def _value(sql: str) -> Any:
    row = CON.execute(f"SELECT {sql}").fetchone()
    assert row is not None
    return row[0]


def _satisfied(condition: Condition, value: object, column: Column) -> Any:
    stored = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}[column.type]
    sql = predicate({"x": condition}, {"x": column})
    row = CON.execute(f'SELECT {sql} FROM (SELECT CAST(? AS {stored}) AS "x")', [value]).fetchone()
    assert row is not None
    return row[0]


@given(TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_literal_is_the_value_itself(value: object) -> None:
    found = _value(literal(value))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (date(2024, 2, 29), date(2024, 2, 29)),
        (datetime(2024, 1, 1, 12, 0, 0, 1), datetime(2024, 1, 1, 12, 0, 0, 1)),
        (datetime.fromisoformat("2024-01-01T12:00:00+02:00"), datetime(2024, 1, 1, 10)),
    ],
)
def test_a_literal_of_time_is_stored_in_utc(value: object, expected: object) -> None:
    assert _value(literal(value)) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "a\0b", object(), ["a"]])
def test_a_value_without_sql_form_is_refused(value: object) -> None:
    with pytest.raises(SpecError):
        literal(value)


@given(TEXT.filter(bool))
def test_an_identifier_is_one_name(name: str) -> None:
    described = CON.execute(f"SELECT 1 AS {identifier(name)}").description
    assert described is not None
    assert [column[0] for column in described] == [name]


@given(st.none() | TEXT, st.lists(TEXT, min_size=1, max_size=3))
def test_one_of_and_its_contrary_split_all_values(value: str | None, values: list[str]) -> None:
    column = Column(type="text")
    inside = _satisfied(Condition(one_of=tuple(values)), value, column)
    outside = _satisfied(Condition(not_one_of=tuple(values)), value, column)
    assert inside is (value in values)
    assert outside is not inside


@given(st.none() | st.integers(-(2**40), 2**40), st.integers(-100, 100), st.integers(-100, 100))
def test_bounds_include_their_ends_and_no_null(value: int | None, low: int, high: int) -> None:
    found = _satisfied(Condition(at_least=low, at_most=high), value, INTEGER)
    assert found is (value is not None and low <= value <= high)


@pytest.mark.parametrize(("asked", "of_null", "of_one"), [(True, True, False), (False, False, True)])
def test_is_null(asked: bool, of_null: bool, of_one: bool) -> None:
    assert _satisfied(Condition(is_null=asked), None, INTEGER) is of_null
    assert _satisfied(Condition(is_null=asked), 1, INTEGER) is of_one


def test_every_given_part_must_hold() -> None:
    condition = Condition(at_least=2, not_one_of=(3,))
    assert [_satisfied(condition, value, INTEGER) for value in (1, 2, 3, 4)] == [False, True, False, True]
    assert predicate({}, {}) == "TRUE"


def test_times_are_compared_in_utc() -> None:
    columns = {"at": Column(type="timestamp"), "day": Column(type="date")}
    where = {"at": Condition(one_of=("2024-01-01T12:00:00+02:00",)), "day": Condition(one_of=("2024-01-01",))}
    row = "SELECT TIMESTAMP '2024-01-01 10:00:00' AS at, DATE '2024-01-01' AS day"
    assert CON.execute(f"SELECT {predicate(where, columns)} FROM ({row})").fetchone() == (True,)


@pytest.mark.parametrize(
    ("type_", "condition"),
    [
        ("integer", Condition(one_of=("1",))),
        ("integer", Condition(one_of=(True,))),
        ("integer", Condition(one_of=(1.5,))),
        ("integer", Condition(one_of=(2**63,))),
        ("number", Condition(not_one_of=("x",))),
        ("text", Condition(one_of=(1,))),
        ("boolean", Condition(one_of=(1,))),
        ("timestamp", Condition(one_of=("yesterday",))),
        ("date", Condition(one_of=("2024-01-01 10:00",))),
        ("date", Condition(one_of=(20240101,))),
        ("text", Condition(at_least=1)),
        ("timestamp", Condition(at_most=1)),
        ("text", Condition(one_of=())),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_refused(type_: Any, condition: Condition) -> None:
    with pytest.raises(SpecError, match="condition on x"):
        predicate({"x": condition}, {"x": Column(type=type_)})


def test_an_unknown_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'country'"):
        predicate({"contry": Condition(is_null=True)}, {"country": INTEGER})


def test_predicates_are_portable() -> None:
    columns = {'o"dd': Column(type="text"), "x": Column(type="number"), "at": Column(type="timestamp")}
    where = {
        'o"dd': Condition(one_of=("it's", "b")),
        "x": Condition(at_least=0.1, at_most=1e300, not_one_of=(2, 3)),
        "at": Condition(not_one_of=("2024-01-01",), is_null=False),
    }
    spark = sqlglot.transpile(predicate(where, columns), read="duckdb", write="spark")[0]
    assert '`o"dd`' in spark
    assert "it\\'s" in spark
