"""Small values: one spelling in, one meaning out, and a sentence where there is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from xp_pipeline.spec.values import (
    Amount,
    Condition,
    Duration,
    SomeAmount,
    Weight,
    Where,
    format_duration,
    parse_duration,
    parse_weight,
)


@given(st.integers(0, 10_000), st.sampled_from(["m", "h", "d", "w"]))
def test_a_duration_survives_its_own_spelling(number: int, unit: str) -> None:
    span = parse_duration(f"{number}{unit}")
    assert parse_duration(format_duration(span)) == span


@pytest.mark.parametrize("raw", ["7", 7, True, "-1d", "1.5d", "1 fortnight", "", None, "7d 3h"])
def test_what_is_no_duration_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError, match="whole number and a unit"):
        TypeAdapter(Duration).validate_python(raw)


def test_durations_have_several_spellings() -> None:
    assert parse_duration("1 week") == parse_duration("7days") == timedelta(days=7)
    assert parse_duration("90min") == parse_duration("90m") == timedelta(minutes=90)
    assert format_duration(timedelta(hours=168)) == "7d"
    assert format_duration(timedelta(hours=25)) == "25h"


@pytest.mark.parametrize(
    ("raw", "value", "relative"), [("2%", 0.02, True), ("-1.5 %", -0.015, True), (0.5, 0.5, False), (3, 3.0, False)]
)
def test_an_amount_is_a_share_or_in_the_metric_s_unit(raw: Any, value: float, relative: bool) -> None:
    amount = TypeAdapter(SomeAmount).validate_python(raw)
    assert (amount.value, amount.relative) == (pytest.approx(value), relative)


@pytest.mark.parametrize("raw", ["two percent", "2 % off", float("nan"), float("inf"), True, [2]])
def test_what_is_no_amount_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SomeAmount).validate_python(raw)


def test_an_amount_prints_as_it_is_meant() -> None:
    assert str(Amount(value=0.02, relative=True)) == "2 %"
    assert str(Amount(value=0.5, relative=False)) == "0.5"


@pytest.mark.parametrize(("raw", "weight"), [("1/3", 1 / 3), ("50%", 0.5), (0.2, 0.2), ("0", 0.0), ("12.5%", 0.125)])
def test_a_weight_is_a_number_a_percentage_or_a_fraction(raw: Any, weight: float) -> None:
    assert parse_weight(raw) == weight


@pytest.mark.parametrize("raw", ["1/0", "half", -0.1, "-5%", True, "nan", "inf", None])
def test_what_is_no_weight_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Weight).validate_python(raw)


def test_a_condition_has_short_forms() -> None:
    where = TypeAdapter(Where).validate_python({"a": "x", "b": [1, 2], "c": {"at_least": 3}, "d": True})
    assert where["a"] == Condition(one_of=("x",))
    assert where["b"] == Condition(one_of=(1, 2))
    assert where["c"].at_least == 3
    assert where["d"].one_of == (True,)
    with pytest.raises(ValidationError, match="at_leest"):
        TypeAdapter(Where).validate_python({"a": {"at_leest": 3}})
