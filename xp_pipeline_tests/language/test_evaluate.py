"""What a condition means for one unit: kinds, missing values, and truth that is not known."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from xp_pipeline.errors import DataError, SpecError
from xp_pipeline.language import ExperimentConditional, Program, parse
from xp_pipeline.language.evaluate import holds, looking_up
from xp_pipeline_tests.language import programs


def truth(condition: str, **fields: Any) -> bool | None:
    tree = parse(f"def p {{ if {condition} {{ return 1 weighted 1 }} }}")
    assert isinstance(tree.conditions, ExperimentConditional)
    assert tree.conditions.predicate is not None
    return holds(tree.conditions.predicate, looking_up(fields))


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ("x == 1", 1, True),
        ("x == 1", 1.0, True),
        ("x == 1", True, True),
        ("x == 1", Decimal("1.0"), True),
        ("x == 1", np.int64(1), True),
        ("x == 1", "1", False),
        ("x != 1", "1", True),
        ("x == 1", None, False),
        ("x != 1", None, True),
        ("x == 1", math.nan, False),
        ("x in (1, 'a')", None, False),
        ("x not in (1, 'a')", None, True),
        ("x > 1", None, None),
        ("x > 1", math.nan, None),
        ("x > 1", "2", None),
        ("x > '1'", "2", True),
        ("x > 'a'", "ä", True),
        ("x < 'a'", "", True),
        ("not x > 1", None, None),
        ("x > 1 or x == 'a'", "a", True),
        ("x > 1 or x == 1", "a", None),
        ("x > 1 and x == 1", "a", False),
        ("x > 1 and x == 'a'", "a", None),
        ("x > 9007199254740992", 9007199254740993, True),
        ("x > 9007199254740992.0", 9007199254740993, True),
        ("x == 0.1", 0.1, True),
        ("x == -0.0", 0, True),
        ("'b' in x", "abc", True),
        ("'' in x", "", True),
        ("'b' in x", None, False),
        ("'b' in x", 5, False),
        ("x in 'abc'", "ab", True),
        ("(x, 1) == ('a', 1)", "a", True),
        ("(x, 1) in (('a', 1), 2)", "a", True),
        ("x == (1, 2)", [1, 2], True),
        ("x > 1", [1, 2], None),
        ("1 in x", [1, 2], True),
    ],
)
def test_the_table_of_meanings(condition: str, value: object, expected: bool | None) -> None:
    assert truth(condition, x=value) is expected


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
def test_null_compared_with_null(operator: str) -> None:
    expected = {"==": True, "!=": False, "in": False, "not in": True}.get(operator)
    assert truth(f"x {operator} y", x=None, y=None) is expected


@pytest.mark.parametrize("value", [b"x", object(), {"a": 1}, {1}, [[1]], 1j])
def test_a_value_without_a_kind_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="x: programs compare text, numbers and booleans; found"):
        truth("x == 1", x=value)


@pytest.mark.parametrize("condition", ["x < (1, 2)", "(1) >= x", "x in 1", "x not in 2.5", "x in -1"])
def test_what_never_meant_anything_is_refused_where_it_stands(condition: str) -> None:
    with pytest.raises(SpecError, match=r"p\.pyab:1:\d+: (a list has no order|nothing lies in a number)"):
        Program.parse(f"def p {{ splitters: u if {condition} {{ return 1 weighted 1 }} }}", where="p.pyab")


@given(programs.trees, programs.rows)
@settings(max_examples=100, deadline=None)
def test_only_fields_on_the_way_are_read(tree: Any, rows: list[dict[str, Any]]) -> None:
    program = Program.of(tree)
    for row in rows:
        read: set[str] = set()

        class Watched(dict[str, Any]):
            def __getitem__(self, name: str) -> Any:
                read.add(name)  # noqa: B023
                return super().__getitem__(name)

        full = program.assign(Watched(row))
        assert program.assign({name: row[name] for name in read}) == full
