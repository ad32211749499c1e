"""Bucket ranges: the same arms as the bucket rule, in Python and SQL, and exact flows between two tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.ranges import (
    Flow,
    Range,
    Ranges,
    arm_at,
    arm_sql,
    checked,
    cumulative,
    flows,
    gridded,
    held,
    merged,
    moved_share,
    moves,
)
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import SpecError
from xp_pipeline.language.buckets import choose

GRID = 2**52
BUCKETS = st.integers(0, GRID - 1).map(lambda i: i / GRID)
SHARES = st.dictionaries(
    st.sampled_from("abcdef"), st.floats(0, 1e6, allow_subnormal=False), min_size=1
).filter(lambda shares: sum(shares.values()) > 1e-3)  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> Ranges:
    """Disjoint ranges of a few arms, with gaps."""
    cuts = sorted(draw(st.lists(BUCKETS, min_size=2, max_size=8, unique=True)))
    arms = draw(st.lists(st.sampled_from([None, "a", "b", "c'"]), min_size=len(cuts) - 1, max_size=len(cuts) - 1))
    pieces = zip(cuts, cuts[1:], arms, strict=False)
    return tuple(Range(low, high, arm) for low, high, arm in pieces if arm is not None)


@given(shares=SHARES, u=BUCKETS)
def test_cumulative_ranges_are_those_of_the_bucket_rule(shares: dict[str, float], u: float) -> None:
    bounds = cumulative(shares)
    assert bounds[-1][1] == 1.0
    assert next(arm for arm, bound in bounds if u < bound) == choose(u, shares)


@given(x=st.floats(0, 1), u=BUCKETS)
def test_no_bucket_lies_between_a_bound_and_its_place_on_the_grid(x: float, u: float) -> None:
    assert (u < x) == (u < gridded(x))
    assert float(gridded(x) * GRID).is_integer()


@pytest.mark.parametrize("shares", [{"a": -1.0, "b": 2.0}, {"a": math.inf}, {"a": math.nan, "b": 1.0}, {"a": 0.0}, {}])
def test_shares_without_meaning_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        cumulative(shares)


@given(table=tables(), others=st.lists(BUCKETS, max_size=5))
@settings(deadline=None, max_examples=30)
def test_sql_and_scalar_give_the_same_arm(table: Ranges, others: list[float]) -> None:
    us = sorted({0.0, *others, *(r.low for r in table), *(math.nextafter(r.high, 0) for r in table)})
    with connect() as con:
        con.execute("CREATE TABLE t AS SELECT unnest($1::DOUBLE[]) AS u", [us])
        rows = con.execute(f"SELECT u, {arm_sql(table, 'u')} FROM t ORDER BY u").fetchall()
    assert rows == [(u, arm_at(table, u)) for u in us]


def test_a_bound_belongs_to_the_range_above_it() -> None:
    table = (Range(0.0, 0.25, "a"), Range(0.5, 1.0, "b"))
    assert [arm_at(table, u) for u in (0.0, 0.2, 0.25, 0.4, 0.5, 0.9)] == ["a", "a", None, None, "b", "b"]
    assert arm_at((), 0.5) is None
    assert arm_sql((), "u") == "NULL"


@given(before=tables(), after=tables(), u=BUCKETS)
def test_every_bucket_is_in_one_flow(before: Ranges, after: Ranges, u: float) -> None:
    found = flows(before, after)
    assert math.fsum(flow.share for flow in found) == 1.0
    pair = arm_at(before, u), arm_at(after, u)
    assert pair in [(flow.before, flow.after) for flow in found]
    assert len({(flow.before, flow.after) for flow in found}) == len(found)


def test_a_changed_split_says_who_moves_where() -> None:
    before = (Range(0.0, 0.75, "a"), Range(0.75, 1.0, "b"))
    after = (Range(0.0, 0.5, "a"), Range(0.5, 0.875, "b"))
    assert moves(before, after) == (Flow("a", "b", 0.25),)
    assert moved_share(before, after) == 0.25
    assert flows(before, after) == (
        Flow("a", "a", 0.5),
        Flow("a", "b", 0.25),
        Flow("b", None, 0.125),
        Flow("b", "b", 0.125),
    )


def test_a_fourth_equal_arm_under_the_plain_rule_moves_half_of_the_units() -> None:
    def table(arms: str) -> Ranges:
        bounds = cumulative(dict.fromkeys(arms, 1.0))
        lows = [0.0, *(bound for _, bound in bounds)]
        return tuple(Range(low, high, arm) for low, (arm, high) in zip(lows, bounds, strict=False))

    found = moves(table("abc"), table("abcd"))
    assert math.fsum(f.share for f in found) == pytest.approx(0.5)
    assert math.fsum(f.share for f in found if f.after != "d") == pytest.approx(0.25)


def test_adjacent_ranges_of_an_arm_are_joined() -> None:
    parts = [Range(0.5, 0.75, "a"), Range(0.0, 0.25, "a"), Range(0.25, 0.5, "a"), Range(0.75, 1.0, "b")]
    assert merged(parts) == (Range(0.0, 0.75, "a"), Range(0.75, 1.0, "b"))
    assert held(parts) == {"a": 0.75, "b": 0.25}


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.5), (0.5, 0.5), (0.5, 1.1), (0.6, 0.5), (math.nan, 1.0)])
def test_a_range_lies_within_0_and_1(low: float, high: float) -> None:
    with pytest.raises(SpecError, match="within 0 and 1"):
        checked([Range(low, high, "a")])


def test_ranges_that_overlap_are_refused_with_their_names() -> None:
    with pytest.raises(SpecError, match=r"a and b hold the same buckets; found \[0.4, 0.5\)"):
        checked([Range(0.4, 1.0, "b"), Range(0.0, 0.5, "a")])
    assert checked([Range(0.5, 1.0, "b"), Range(0.0, 0.5, "a")])[0].arm == "a"
