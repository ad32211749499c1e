"""JSON that every parser accepts, from anything the package computes."""

from __future__ import annotations

import enum
import json
import math
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import XpError
from xp_pipeline.serialization import make_serializable, serialize_to_json
from xp_pipeline_tests.spec.test_canonical import JSON


class Colour(enum.Enum):
    RED = "red"
    NUMBER = 7


@dataclass(frozen=True)
class Interval:
    low: float
    high: np.float64


class Estimate(NamedTuple):
    value: float
    interval: Interval


class Results:
    def to_dict(self) -> dict[Any, Any]:
        return {"n": np.int64(3), "p": float("nan"), "ok": np.bool_(True), "inner": {2: {"b", "a"}}}


class Model(pydantic.BaseModel):
    when: date
    how: Colour


def strict(text: str) -> Any:
    """Parse as the standard says: NaN and Infinity are not JSON."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@given(JSON)
def test_json_values_come_back_unchanged(value: Any) -> None:
    assert strict(serialize_to_json(value)) == value
    assert make_serializable(value) == value


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, True),
        (False, False),
        (np.bool_(True), True),
        (1, 1),
        (np.int64(2**62), 2**62),
        (np.uint8(255), 255),
        (2**70, 2**70),
        (0.1, 0.1),
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (np.float64("nan"), "nan"),
        (np.float32("-inf"), "-inf"),
        (None, None),
        ("größe", "größe"),
        (np.str_("a"), "a"),
        (Colour.RED, "red"),
        (Colour.NUMBER, 7),
        (date(2024, 5, 1), "2024-05-01"),
        (time(12, 30), "12:30:00"),
        (datetime(2024, 5, 1, 12, tzinfo=UTC), "2024-05-01T12:00:00+00:00"),
        (pd.Timestamp("2024-05-01"), "2024-05-01T00:00:00"),
        (np.datetime64("2024-05-01T00:00:00.000000001"), "2024-05-01T00:00:00.000000001"),
        (Path("lake") / "a.json", "lake/a.json"),
        (Decimal("1.10"), "1.10"),
        (int, "<class 'int'>"),
        ((1, (2, 3)), [1, [2, 3]]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([0.5, np.nan, np.inf]), [0.5, "nan", "inf"]),
        (np.array([True, False]), [True, False]),
        (np.array(3), 3),
        (np.array([np.float64("nan"), {"b", "a"}, None], dtype=object), ["nan", ["a", "b"], None]),
        (np.array(["2024-05-01"], dtype="datetime64[ns]"), ["2024-05-01T00:00:00.000000000"]),
        ({3, 1, 2, 10}, [1, 2, 3, 10]),
        (frozenset("cab"), ["a", "b", "c"]),
        ({(2, 1), (1, 2)}, [[1, 2], [2, 1]]),
        ({1: "a", None: "b", True + 1: "c"}, {"1": "a", "None": "b", "2": "c"}),
        ({date(2024, 5, 1): 1, Colour.RED: 2}, {"2024-05-01": 1, "red": 2}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Interval(0.0, np.float64("inf")), {"low": 0.0, "high": "inf"}),
        (Estimate(1.0, Interval(0.0, np.float64(2))), {"value": 1.0, "interval": {"low": 0.0, "high": 2.0}}),
        (Results(), {"n": 3, "p": "nan", "ok": True, "inner": {"2": ["a", "b"]}}),
        ([Results()], [{"n": 3, "p": "nan", "ok": True, "inner": {"2": ["a", "b"]}}]),
        (Model(when=date(2024, 5, 1), how=Colour.RED), {"when": "2024-05-01", "how": "red"}),
        (pd.Series([1.5, np.nan]), {"0": 1.5, "1": "nan"}),
        (pl.Series([1, None]), [1, None]),
        (pl.DataFrame({"n": [1, 2], "p": [0.5, math.inf]}), {"n": [1, 2], "p": [0.5, "inf"]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_converts(given: object, expected: object) -> None:
    converted = make_serializable(given)
    assert converted == expected
    assert type(converted) is type(expected)
    assert strict(serialize_to_json(given)) == expected


def test_booleans_stay_booleans_at_any_depth() -> None:
    """seed 0 tests for integers first, so that its True is written as 1."""
    assert serialize_to_json({"cuped_applied": True, "flags": [False, np.True_]}) == (
        '{"cuped_applied": true, "flags": [false, true]}'
    )


def test_scalars_are_of_the_builtin_types() -> None:
    converted = make_serializable([np.float64(1), np.int32(1), np.bool_(1), np.str_("x"), Colour.RED])
    assert [type(value) for value in converted] == [float, int, bool, str, str]


@pytest.mark.parametrize("clash", [{1: "a", "1": "b"}, {True: 1, "True": 2}, {"a": {None: 1, "None": 2}}])
def test_keys_that_become_the_same_text_are_refused(clash: dict[Any, Any]) -> None:
    with pytest.raises(XpError, match=r"two keys of a mapping become the same text; found '(1|True|None)'"):
        make_serializable(clash)


@given(st.sets(st.integers() | st.text() | st.booleans() | st.none() | st.floats(allow_nan=False)))
def test_a_set_has_one_text_however_it_was_filled(values: set[Any]) -> None:
    refilled = set(range(-500, 0))  # a larger table, so that the iteration order differs
    refilled.update(sorted(values, key=repr))
    refilled -= set(range(-500, 0)) - values
    assert serialize_to_json(values) == serialize_to_json(refilled)


def test_sets_are_sorted_alike_in_every_process() -> None:
    mixed = "{'b', 'a', 'c', ('x', 1), 3, None}"
    script = f"from xp_pipeline.serialization import serialize_to_json; print(serialize_to_json({mixed}))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1


def test_an_object_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(XpError, match="contains itself; found list"):
        serialize_to_json(loop)


def test_a_conversion_that_fails_says_whose() -> None:
    class Broken:
        def to_dict(self) -> dict[str, Any]:
            raise KeyError("n")

    with pytest.raises(XpError, match=r"Broken\.to_dict failed: 'n'"):
        make_serializable({"results": Broken()})


def test_indent_is_that_of_json() -> None:
    assert serialize_to_json({"a": [1]}, indent=2) == '{\n  "a": [\n    1\n  ]\n}'


def test_numpy_is_not_imported_for_it() -> None:
    script = (
        "import sys; from xp_pipeline.serialization import serialize_to_json as s;"
        "s({'a': [1.5, {2}], 'b': object()}); sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
