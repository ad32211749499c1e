"""Stratified assignment: exact shares within strata, and for every unit exactly the designed chance."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.strata import Stratum, stratified, stratified_sql
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import DataError, SpecError

EVEN = {"control": 1.0, "treatment": 1.0}
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
VALUES = st.one_of(st.none(), st.sampled_from(["", "x", "y"]), TEXTS)
ROWS = st.lists(
    st.tuples(TEXTS, VALUES, st.sampled_from([None, True, False])), unique_by=lambda row: row[0], max_size=40
)
SHARES = st.dictionaries(st.sampled_from("abc"), st.integers(1, 9).map(float), min_size=1)


def four_sigma(share: float, n: int) -> float:
    """Four standard errors of an observed share."""
    return 4 * math.sqrt(share * (1 - share) / n)


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), shares=SHARES, salt=TEXTS)
def test_within_a_stratum_an_arm_is_off_its_share_by_less_than_a_unit(
    sizes: list[int], shares: dict[str, float], salt: str
) -> None:
    strata: list[tuple[Stratum, ...]] = [(k,) for k, size in enumerate(sizes) for _ in range(size)]
    found = stratified(range(len(strata)), strata, shares, salt=salt)
    for k, size in enumerate(sizes):
        counts = Counter(arm for arm, stratum in zip(found, strata, strict=True) if stratum == (k,))
        assert sum(counts.values()) == size
        for arm, share in shares.items():
            assert abs(counts[arm] - size * share / sum(shares.values())) < 1 + 1e-9


@pytest.mark.parametrize(("size", "strata"), [(1, 5000), (3, 3000)])
def test_leftover_units_are_fair_coins_and_not_all_of_control(size: int, strata: int) -> None:
    """Rounded down to control, strata of one gave 5000/0 and strata of three 2:1."""
    units = range(size * strata)
    found = Counter(stratified(units, [(i // size,) for i in units], EVEN, salt="e"))
    leftover = (found["treatment"] - strata * (size // 2)) / strata
    assert leftover == pytest.approx(0.5, abs=four_sigma(0.5, strata))


def test_a_stratum_of_one_is_a_draw_from_the_shares() -> None:
    found = Counter(stratified(range(8000), [(i,) for i in range(8000)], {"a": 1, "b": 7, "off": 0}, salt="e"))
    assert found["a"] / 8000 == pytest.approx(0.125, abs=four_sigma(0.125, 8000))
    assert found["off"] == 0


def test_every_unit_gets_every_arm_with_the_designed_probability() -> None:
    """Over 4,000 salts; a stratum of three, so that ranks and the common start both matter."""
    shares, salts = {"a": 0.2, "b": 0.3, "c": 0.5}, 4000
    drawn = [stratified(["u", "v", "w"], [()] * 3, shares, salt=f"s{i}") for i in range(salts)]
    for unit in range(3):
        counts = Counter(arms[unit] for arms in drawn)
        for arm, share in shares.items():
            assert counts[arm] / salts == pytest.approx(share, abs=four_sigma(share, salts))


def test_leftovers_of_different_strata_are_independent() -> None:
    pairs = [stratified([1, 2], [("x",), ("y",)], EVEN, salt=f"s{i}") for i in range(4000)]
    assert sum(one == other for one, other in pairs) / 4000 == pytest.approx(0.5, abs=four_sigma(0.5, 4000))


def test_a_missing_value_is_a_stratum_of_its_own_and_nobody_is_left_out() -> None:
    values: list[tuple[Stratum, ...]] = [(None,), (None,), ("",), ("",), ("x",), ("x",)]
    found = stratified("abcdef", values, EVEN, salt="e")
    assert [len({one, other}) for one, other in zip(found[::2], found[1::2], strict=True)] == [2, 2, 2]


def test_the_order_of_the_list_does_not_matter() -> None:
    units = [f"u{i}" for i in range(200)]
    strata = [(i % 7,) for i in range(200)]
    forwards = dict(zip(units, stratified(units, strata, EVEN, salt="e"), strict=True))
    backwards = dict(zip(units[::-1], stratified(units[::-1], strata[::-1], EVEN, salt="e"), strict=True))
    assert forwards == backwards


@given(rows=ROWS, shares=SHARES, salt=TEXTS)
@settings(deadline=None, max_examples=25)
def test_sql_and_scalar_agree(
    rows: list[tuple[str, str | None, bool | None]], shares: dict[str, float], salt: str
) -> None:
    units, strata = [row[0] for row in rows], [row[1:] for row in rows]
    with connect() as con:
        con.execute("CREATE TABLE t (unit VARCHAR, region VARCHAR, paying BOOLEAN)")
        for row in rows:
            con.execute("INSERT INTO t VALUES (?, ?, ?)", row)
        found = con.execute(stratified_sql("t", "unit", ["region", "paying"], shares, salt=salt)).fetchall()
        whole = con.execute(stratified_sql("t", "unit", [], shares, salt=salt)).fetchall()
    assert dict(found) == dict(zip(units, stratified(units, strata, shares, salt=salt), strict=True))
    assert dict(whole) == dict(zip(units, stratified(units, [()] * len(units), shares, salt=salt), strict=True))


@pytest.mark.parametrize(
    ("units", "strata", "message"),
    [
        ([1, "1"], [(), ()], "a unit is assigned once; found 1 units again"),
        ([1, 2], [()], "every unit has a stratum; found 2 units, 1 strata"),
        ([1], [(1.5,)], "this value cannot make strata; found 1.5"),
        ([1.5], [("x",)], "this value cannot split traffic"),
    ],
)
def test_what_cannot_be_assigned_is_refused(units: list[int], strata: list[tuple[Stratum]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        stratified(units, strata, EVEN, salt="e")


def test_shares_without_meaning_are_refused() -> None:
    with pytest.raises(SpecError, match="no arm has a positive share"):
        stratified([1], [()], {"a": 0.0}, salt="e")
