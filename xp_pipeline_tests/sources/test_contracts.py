"""The contract: pandera and the predicates made from it refuse the same rows for the same reasons."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import ContractError, SpecError
from xp_pipeline.sources.contracts import failures, predicates, schema
from xp_pipeline.sources.rules import Rule
from xp_pipeline_tests.sources.tables import declared, from_csv, kept, quarantined

STORED = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String, "boolean": pl.Boolean}
VALUES = {
    "integer": st.integers(-3, 3) | st.sampled_from([2**53, 2**53 + 1, -(2**63)]),
    "number": st.sampled_from([-1.5, 0.0, 0.1, 2.0, math.nan, math.inf, -math.inf, 1e300]),
    "text": st.sampled_from(["a", "b", "ж", "", "it's"]),
    "boolean": st.booleans(),
}
ALLOWED = {
    "integer": st.integers(-3, 3),
    "number": st.sampled_from([-1.5, 0.1, 2, 0]),
    "text": st.sampled_from(["a", "ж", "", "it's"]),
    "boolean": st.booleans(),
}


@st.composite
def contracts(draw: st.DrawFn) -> tuple[dict[str, Any], pl.DataFrame]:
    """Columns with any mixture of promises, and rows that may break each."""
    rows = draw(st.integers(0, 12))
    columns: dict[str, Any] = {}
    data = {}
    for name in draw(st.lists(st.sampled_from(["id", 'o"dd', "ж: x"]), min_size=1, unique=True)):
        type_ = draw(st.sampled_from(["integer", "text"] if name == "id" else list(VALUES)))
        allowed = draw(st.none() | st.lists(ALLOWED[type_], min_size=1, max_size=3))
        numeric = type_ in ("integer", "number")
        bound = st.none() | st.sampled_from([-1.0, 0.0, 0.1, 2.0**53]) if numeric else st.none()
        columns[name] = {
            "type": type_,
            "nullable": draw(st.booleans()),
            "unique": draw(st.booleans()),
            "one_of": allowed,
            "at_least": draw(bound),
            "at_most": draw(bound),
        }
        values = draw(st.lists(st.none() | VALUES[type_], min_size=rows, max_size=rows))
        data[name] = pl.Series(values, dtype=STORED[type_])
    return columns, pl.DataFrame(data)


def _by_predicates(rules: list[Rule], frame: pl.DataFrame) -> dict[int, int]:
    """Row to the position of the first rule it breaks."""
    with connect() as con:
        con.register("rows", frame.with_row_index("_row"))
        asked = ", ".join(f"({rule.broken})" for rule in rules) or "FALSE"
        found = con.execute(f"SELECT _row, {asked} FROM rows ORDER BY _row").fetchall()
    return {row: broken.index(True) for row, *broken in found if True in broken}


@settings(max_examples=150, deadline=None)
@given(contracts())
def test_pandera_and_the_predicates_agree(drawn: tuple[dict[str, Any], pl.DataFrame]) -> None:
    columns, frame = drawn
    source = declared(unit="id" if "id" in columns else "@row", columns=columns)
    contract = schema(source)
    rules = predicates(contract)
    refused = failures(contract, frame, rules)
    assert dict(refused.rows()) == _by_predicates(rules, frame)


COLUMNS = {
    "id": "text",
    "at": "timestamp",
    "order": {"type": "integer", "unique": True},
    "kind": {"type": "text", "one_of": ["a", "b"]},
    "value": {"type": "number", "at_least": 0, "at_most": 10, "nullable": False},
}
ROWS = """id,at,order,kind,value
u1,2024-01-01 10:00,1,a,5
u2,2024-01-01 10:00,1,a,5
u3,2024-01-01 10:00,2,c,50
,2024-01-01 10:00,3,a,5
u5,,4,a,5
u6,2024-01-01 10:00,5,,
u7,2024-01-01 10:00,6,b,-0.5
u8,2024-01-01 10:00,,b,nan
u9,2024-01-01 10:00,,b,x
u10,2024-01-01 10:00,7,b,0
u11,2024-01-01 10:00,7,z,0
"""
REFUSED = [
    (2, "order", "order: repeated"),
    (3, "kind", "kind: not one of the allowed values"),
    (4, "id", "id: null"),
    (5, "at", "at: null"),
    (6, "value", "value: null"),
    (7, "value", "value: below 0"),
    (8, "value", "value: not finite"),
    (9, "value", "value: not a number"),
    (11, "kind", "kind: not one of the allowed values"),
]


@pytest.mark.parametrize("kind", ["event_log", "exposure_log", "unit_periods", "unit_table", "dimension"])
def test_every_kind_of_source_refuses_the_same_rows(tmp_path: Path, kind: str) -> None:
    version = from_csv(tmp_path, ROWS, kind=kind, columns=COLUMNS, timestamp="at", timezone="UTC")
    assert quarantined(version) == REFUSED
    assert kept(version, "id") == ["u1", "u10"]
    assert kept(version, "_row") == [1, 10]
    assert sum(version.rejected.values()) == len(REFUSED)


def test_a_repeated_value_keeps_its_first_row_and_nulls_do_not_repeat(tmp_path: Path) -> None:
    columns = {"id": "text", "x": {"type": "integer", "unique": True}}
    version = from_csv(tmp_path, "id,x\na,1\nb,\nc,1\nd,\ne,1\n", columns=columns)
    assert kept(version, "id") == ["a", "b", "d"]


def test_a_promise_that_its_type_cannot_keep_is_a_fault_of_the_declaration(tmp_path: Path) -> None:
    for column in (
        {"type": "text", "at_least": 1},
        {"type": "integer", "one_of": ["a"]},
        {"type": "date", "one_of": []},
    ):
        with pytest.raises(SpecError, match="x"):
            from_csv(tmp_path, "id,x\na,1\n", columns={"id": "text", "x": column})


def test_rows_without_the_declared_columns_are_never_waved_through() -> None:
    contract = schema(declared(columns={"id": "text", "x": "integer"}))
    with pytest.raises(ContractError, match="declared columns"):
        failures(contract, pl.DataFrame({"id": ["a"], "x": ["1"]}), predicates(contract))


def test_a_switch_in_the_environment_does_not_turn_validation_off() -> None:
    from pandera.config import config_context

    contract = schema(declared())
    with config_context(validation_enabled=False):
        refused = failures(contract, pl.DataFrame({"id": ["a", None]}), predicates(contract))
    assert refused["index"].to_list() == [1]
