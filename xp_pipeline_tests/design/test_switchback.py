"""Switchbacks: cells of unit and time block, their arms, and what burn-in and burn-out cut away."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.switchback import Cell, Switchback
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import SpecError

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
START = datetime(2026, 3, 1)
EVEN = {"control": 1.0, "treatment": 1.0}


def schedule(**changes: Any) -> Switchback:
    """Hourly blocks from the first of March at equal shares, with changes."""
    given_ = {"start": START, "block": HOUR, "shares": EVEN, "salt": "e"}
    return Switchback(**{**given_, **changes})


def test_a_moment_falls_into_its_block_and_the_cell_is_the_cluster() -> None:
    plan = schedule(burn_in=10 * MINUTE, burn_out=5 * MINUTE, end=START + 48 * HOUR)
    arm = plan.arm("berlin", 3)
    cells = {minute: plan.cell("berlin", START + 3 * HOUR + minute * MINUTE) for minute in (0, 9, 10, 54, 55, 59)}
    assert cells[10] == Cell("berlin#3", 3, arm, analysable=True)
    assert {minute: cell.analysable for minute, cell in cells.items() if cell} == {
        0: False, 9: False, 10: True, 54: True, 55: False, 59: False,
    }  # fmt: skip
    assert plan.cell("berlin", START - timedelta(microseconds=1)) is None
    assert plan.cell("berlin", START + 48 * HOUR) is None
    last = plan.cell("berlin", START + 48 * HOUR - timedelta(microseconds=1))
    assert last is not None and last.block == 47


def test_the_arm_is_constant_within_a_block_and_drawn_anew_in_the_next() -> None:
    plan = schedule()
    arms = [plan.arm("berlin", block) for block in range(4000)]
    treated = arms.count("treatment") / 4000
    switched = sum(one != other for one, other in pairwise(arms)) / 3999
    assert treated == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))
    assert switched == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(3999))


def test_units_are_drawn_independently_of_each_other() -> None:
    plan = schedule()
    agreed = sum(plan.arm("berlin", block) == plan.arm("paris", block) for block in range(4000)) / 4000
    assert agreed == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))


@given(
    units=st.lists(st.one_of(st.text(max_size=5), st.integers()), min_size=1, max_size=5),
    counts=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    first=st.integers(0, 50),
)
def test_each_cycle_holds_every_arm_as_often_as_its_share_says(
    units: list[str | int], counts: list[int], first: int
) -> None:
    cycle = sum(counts)
    plan = schedule(shares={f"a{i}": float(count) for i, count in enumerate(counts)}, cycle=cycle)
    for unit in units:
        found = Counter(plan.arm(unit, first * cycle + j) for j in range(cycle))
        assert found == {f"a{i}": count for i, count in enumerate(counts)}


def test_the_order_within_a_cycle_is_random() -> None:
    plan = schedule(cycle=2)
    first = Counter(plan.arm("berlin", 2 * pair) for pair in range(4000))
    assert first["treatment"] / 4000 == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))


def test_unequal_shares_are_met_with_and_without_cycles() -> None:
    for cycle in (None, 4):
        plan = schedule(shares={"a": 3.0, "b": 1.0, "off": 0.0}, cycle=cycle)
        found = Counter(plan.arm(unit, block) for unit in range(20) for block in range(200))
        assert found["b"] / 4000 == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 4000))
        assert found["off"] == 0


def test_blocks_last_as_long_across_a_change_of_clocks() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    plan = schedule(start=datetime(2026, 3, 29, 0, tzinfo=berlin))
    at_four = plan.cell("x", datetime(2026, 3, 29, 4, tzinfo=berlin))
    assert at_four is not None and at_four.block == 3
    assert plan.cell("x", datetime(2026, 3, 29, 2, tzinfo=UTC)) == at_four


@given(
    cycle=st.sampled_from([None, 2, 4]),
    minutes=st.lists(st.integers(-120, 6000), min_size=1, max_size=30),
    burns=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    ended=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_sql_and_scalar_agree(cycle: int | None, minutes: list[int], burns: tuple[int, int], ended: bool) -> None:
    plan = schedule(
        block=45 * MINUTE, burn_in=burns[0] * MINUTE, burn_out=burns[1] * MINUTE, cycle=cycle,
        end=START + 60 * HOUR if ended else None, shares={"a": 3.0, "b'": 1.0} if cycle == 4 else EVEN,
    )  # fmt: skip
    rows = [(f"u{i % 3}", START + minute * MINUTE, i) for i, minute in enumerate(minutes)]
    with connect() as con:
        con.execute("CREATE TABLE t (unit VARCHAR, seen TIMESTAMP, i INTEGER)")
        con.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        query = plan.cells_sql("t", "unit", "seen")
        found = con.execute(f"SELECT i, cluster, block, arm, analysable FROM ({query}) ORDER BY i").fetchall()
    wanted = [(i, plan.cell(unit, at)) for unit, at, i in rows]
    assert found == [(i, c.cluster, c.block, c.arm, c.analysable) for i, c in wanted if c]


def test_sql_puts_the_edges_of_blocks_where_they_are_to_the_microsecond() -> None:
    plan = schedule(block=7 * MINUTE)
    edges = [START + block * 7 * MINUTE + timedelta(microseconds=d) for block in (1, 99_991) for d in (-1, 0)]
    with connect() as con:
        con.execute("CREATE TABLE t AS SELECT 'u' AS unit, unnest($1::TIMESTAMP[]) AS seen", [edges])
        found = con.execute(f"SELECT block FROM ({plan.cells_sql('t', 'unit', 'seen')}) ORDER BY seen").fetchall()
    assert [block for (block,) in found] == [0, 1, 99_990, 99_991]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": timedelta(0)}, "a block lasts some time"),
        ({"burn_in": 30 * MINUTE, "burn_out": 30 * MINUTE}, "leave nothing of a block"),
        ({"burn_in": -MINUTE}, "leave nothing of a block"),
        ({"end": START}, "ends after it starts"),
        ({"cycle": 3}, "do not divide a cycle"),
        ({"cycle": 1}, "do not divide a cycle"),
        ({"cycle": 66}, "2 to 64 blocks"),
        ({"shares": {"a": -1.0, "b": 1.0}}, "shares are finite"),
    ],
)
def test_schedules_without_meaning_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        schedule(**changes)
