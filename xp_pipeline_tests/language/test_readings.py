"""One meaning, three readings: a call, a Polars frame and SQL give every row the same branch, bucket and arm."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import DataError, SpecError
from xp_pipeline.language import Kind, Program, Rule, parse, unparse, unparser
from xp_pipeline.language.frames import kind_of
from xp_pipeline_tests.language import programs

CON = connect()
CALM = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
PORTABLE = {"ceil", "chr", "coalesce", "floor", "instr", "md5", "nullif", "substr"}


def kinds(frame: pl.DataFrame) -> dict[str, Kind]:
    return {name: kind_of(name, dtype) for name, dtype in frame.schema.items()}


def called(program: Program, frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(program.assign(row)) for row in frame.to_dicts()]


def queried(program: Program, frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    CON.register("units", frame.with_row_index("row").to_arrow())
    query = program.sql("units", kinds(frame), keep=["row"])
    return [tuple(row) for row in CON.execute(f"SELECT branch, bucket, arm FROM ({query}) ORDER BY row").fetchall()]


def framed(program: Program, frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return program.polars(frame).select("branch", "bucket", "arm").rows()


@CALM
@given(programs.trees, programs.rows, st.sampled_from(["v1", "v2"]))
def test_a_call_polars_and_sql_agree(tree: Any, rows: list[dict[str, Any]], rule: Rule) -> None:
    program, frame = Program.of(tree, rule=rule), programs.frame(rows)
    expected = called(program, frame)
    assert framed(program, frame) == expected
    assert queried(program, frame) == expected


@CALM
@given(programs.trees, programs.rows, st.sampled_from(["unit", "number"]), st.sampled_from([1.0, 0.5]))
def test_growthbook_agrees_too(tree: Any, rows: list[dict[str, Any]], splitter: str, coverage: float) -> None:
    text = unparse(tree).replace(f"splitters: {', '.join(tree.splitting_fields)}", f"splitters: {splitter}")
    program, frame = Program.parse(text, rule="growthbook", coverage=coverage), programs.frame(rows)
    assert framed(program, frame) == called(program, frame)


@given(programs.predicates, programs.rows)
@CALM
def test_all_that_sql_says_is_portable(predicate: Any, rows: list[dict[str, Any]]) -> None:
    program = Program.parse(f"def p {{ splitters: unit if {unparser.predicate(predicate)} {{ return 1 weighted 1 }} }}")
    query = program.sql("units", kinds(programs.frame(rows)))
    assert set(re.findall(r"\b([a-z_0-9]+)\(", re.sub(r"'[^']*'|\"[^\"]*\"", "", query))) <= PORTABLE
    assert "md5(" in sqlglot.transpile(query, read="duckdb", write="spark")[0].lower()


ONE = "def p {{ splitters: unit if {} {{ return 1 weighted 1 }} else {{ return 0 weighted 1 }} }}"


@pytest.mark.parametrize(
    ("dtype", "values", "condition", "holds"),
    [
        (pl.Decimal(10, 2), [Decimal("2.50"), Decimal("2.51"), None], "x > 2.5", [False, True, False]),
        (pl.Categorical, ["a", "b", None], 'x == "a"', [True, False, False]),
        (pl.UInt64, [2**64 - 1, 2**53 + 1, 0], "x > 9007199254740992", [True, True, False]),
        (pl.UInt64, [2**64 - 1, 2**63, 0], "x in (18446744073709551615, 9223372036854775808)", [True, True, False]),
        (pl.Int128, [2**100, -(2**100), 5], "x >= 5", [True, False, True]),
        (pl.Float32, [0.1, float("nan"), None], "x == 0.1", [False, False, False]),
        (pl.Boolean, [True, False, None], "x == 1", [True, False, False]),
        (pl.Boolean, [True, False, None], "x == 0 or x > 0", [True, True, False]),
        (pl.Null, [None, None, None], 'x == "a" or not x < 1', [False, False, False]),
        (pl.Int64, [2**53, 2**53 + 1, None], "x == 9007199254740993", [False, True, False]),
        (pl.String, ["9007199254740993", "", None], 'x < "a" and x >= ""', [True, True, False]),
        (pl.String, ["abc", "", None], '"b" in x', [True, False, False]),
        (pl.String, ["abc", "", None], '"" in x', [True, True, False]),
        (pl.String, ["b", "", None], 'x in "abc"', [True, True, False]),
    ],
)
def test_types_of_columns(dtype: Any, values: list[Any], condition: str, holds: list[bool]) -> None:
    frame = pl.DataFrame({"unit": ["u", "v", "w"], "x": pl.Series(values, dtype=dtype)})
    program = Program.parse(ONE.format(condition))
    expected = [None if h is None else 0 if h else 1 for h in holds]
    assert [branch for branch, _, _ in called(program, frame)] == expected
    assert [branch for branch, _, _ in framed(program, frame)] == expected
    if dtype != pl.Int128:
        assert [branch for branch, _, _ in queried(program, frame)] == expected


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime, pl.List(pl.Int64), pl.Struct({"a": pl.Int64}), pl.Binary])
def test_a_column_that_programs_do_not_compare_is_refused(dtype: Any) -> None:
    frame = pl.DataFrame({"unit": ["u"], "x": pl.Series([None], dtype=dtype)})
    with pytest.raises(SpecError, match="column x: programs compare text, numbers and booleans"):
        Program.parse(ONE.format("x == 1")).polars(frame)


def test_lazy_frames_stay_lazy() -> None:
    program = Program.parse(ONE.format("x == 1"))
    frame = pl.DataFrame({"unit": ["a", "b"], "x": [1, 2]})
    lazy = program.polars(frame.lazy())
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(program.polars(frame))
    assert program.polars(frame.clear()).height == 0


def test_expressions_are_those_of_the_frame() -> None:
    program = Program.parse(ONE.format("x == 1"))
    frame = pl.DataFrame({"unit": ["a", "b"], "x": [1, 2]})
    made = program.expressions(frame.schema)
    found = frame.with_columns(branch=made.branch).with_columns(bucket=made.bucket).with_columns(arm=made.arm)
    assert found.equals(program.polars(frame))
    sql = program.columns(kinds(frame))
    assert program.sql("units", kinds(frame)).count(sql.bucket) == 1


def test_absent_columns_are_answered_with_the_nearest() -> None:
    program = Program.parse(ONE.format('contry == "US"'))
    with pytest.raises(SpecError, match=r"'contry'.*did you mean 'country'"):
        program.polars(pl.DataFrame({"unit": ["u"], "country": ["US"]}))
    with pytest.raises(SpecError, match=r"'contry'.*did you mean 'country'"):
        program.sql("units", {"unit": "text", "country": "text"})
    with pytest.raises(DataError, match=r"contry: .*did you mean 'country'"):
        program.assign({"unit": "u", "country": "US"})


def test_columns_named_like_results_are_refused() -> None:
    program = Program.parse(ONE.format("x == 1"))
    with pytest.raises(SpecError, match="name of a result; found arm"):
        program.polars(pl.DataFrame({"unit": ["u"], "x": [1], "arm": ["a"]}))
    with pytest.raises(SpecError, match="name of a result; found Bucket"):
        program.sql("units", {"unit": "text", "x": "integer"}, keep=["Bucket"])


def test_fields_that_sql_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(SpecError, match=r"differ only in case.*Unit"):
        Program.parse(ONE.format("Unit == 1")).sql("units", {"unit": "text", "Unit": "integer"})


def test_decimal_columns_do_not_split_and_growthbook_has_no_sql() -> None:
    program = Program.parse(ONE.format("x == 1"))
    with pytest.raises(SpecError, match="decimal column cannot split"):
        program.sql("units", {"unit": "number", "x": "integer"})
    with pytest.raises(SpecError, match="decimal column cannot split"):
        program.polars(pl.DataFrame({"unit": [1.5], "x": [1]}))
    with pytest.raises(SpecError, match=r"no function for rule growthbook.*Program\.polars"):
        Program.parse(ONE.format("x == 1"), rule="growthbook").sql("units", {"unit": "text", "x": "integer"})


def test_quotes_and_sql_in_names_texts_and_salts_stay_text() -> None:
    text = """def p { salt: "'; DROP TABLE units; --" splitters: unit
      if x == "' OR 1=1 --" { return "Robert'); DROP TABLE units;--" weighted 1 }
      else if x == 'f"{__import__(1)}"' { return '${jndi}' weighted 1 }
      else { return "{{ 7 * 7 }}" weighted 1 } }"""
    frame = pl.DataFrame({"unit": ["a'b", "c", '"'], "x": ["' OR 1=1 --", 'f"{__import__(1)}"', None]})
    program = Program.parse(text)
    expected = called(program, frame)
    assert [arm for _, _, arm in expected] == ["Robert'); DROP TABLE units;--", "${jndi}", "{{ 7 * 7 }}"]
    assert framed(program, frame) == queried(program, frame) == expected


def test_a_thousand_levels_answer_in_every_reading() -> None:
    nested = "return 'deep' weighted 1"
    for level in range(1000):
        side = f"else {{ {nested} }}" if level % 3 == 0 else "else { return 'out' weighted 1 }"
        nested = (
            f"if x == {level} {{ return 'in' weighted 1 }} {side}"
            if level % 3 == 0
            else f"if x >= 0 {{ {nested} }} {side}"
        )
    program = Program.parse(f"def p {{ splitters: unit {nested} }}")
    frame = pl.DataFrame({"unit": ["a", "b", "c"], "x": [1001, 999, -1]})
    expected = called(program, frame)
    assert [arm for _, _, arm in expected] == ["deep", "in", "out"]
    assert framed(program, frame) == expected
    assert queried(program, frame) == expected
    assert parse(unparse(program.tree)) == program.tree


def test_a_condition_of_a_thousand_levels_is_called_and_refused_by_engines() -> None:
    condition = "x == 0"
    for level in range(1, 1000):
        condition = f"({condition}) {'and' if level % 2 else 'or'} x != {level}"
    program = Program.parse(ONE.format(condition))
    assert program.assign({"unit": "u", "x": 0}).branch == 0
    for read in (
        lambda: program.sql("u", {"unit": "text", "x": "integer"}),
        lambda: framed(program, pl.DataFrame({"unit": ["u"], "x": [0]})),
    ):
        with pytest.raises(SpecError, match="nests deeper than an engine takes"):
            read()


def test_a_long_condition_of_one_kind_does_not_nest() -> None:
    condition = " or ".join(f"x == {n}" for n in range(1000))
    program = Program.parse(ONE.format(condition))
    frame = pl.DataFrame({"unit": ["u", "v"], "x": [999, 1000]})
    expected = called(program, frame)
    assert [branch for branch, _, _ in expected] == [0, 1]
    assert framed(program, frame) == queried(program, frame) == expected
