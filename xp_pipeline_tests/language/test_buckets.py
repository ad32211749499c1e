"""Bucket rule v2, re-derived independently and compared with SQL."""

from __future__ import annotations

import hashlib

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import DataError
from xp_pipeline.language import buckets


def _independently(*parts: str) -> float:
    digest = hashlib.md5("\x1f".join(parts).encode()).digest()
    return (int.from_bytes(digest[:7], "big") >> 4) / 4503599627370496


@given(st.text(), st.lists(st.one_of(st.text(), st.integers(), st.booleans()), min_size=1, max_size=3))
def test_the_rule_to_the_byte(salt: str, splitters: list[str | int | bool]) -> None:
    texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in splitters]
    assert buckets.bucket(salt, *splitters) == _independently(salt, *texts)


@pytest.mark.parametrize("salt", ["checkout", 'it\'s "quoted"', "соль", ""])
def test_sql_gives_the_same_number(salt: str) -> None:
    units = [0, 1, 2**53 + 1, -7, *range(1000, 21_000)]
    with duckdb.connect() as con:
        con.execute("CREATE TABLE u AS SELECT unnest(?::BIGINT[]) AS unit", [units])
        found = con.execute(f"SELECT unit, {buckets.bucket_sql(salt, ['unit'])} FROM u").fetchall()
    assert all(u == buckets.bucket(salt, unit) for unit, u in found)


@pytest.mark.parametrize("unit", ["", "a'b", "ユーザー", "with space", "\x1f"])
def test_text_of_any_alphabet(unit: str) -> None:
    with duckdb.connect() as con:
        query = f"SELECT {buckets.bucket_sql('s', ['$unit'])}, {buckets.storage_bucket_sql('$unit')}"
        row = con.execute(query, {"unit": unit}).fetchone()
    assert row == (buckets.bucket("s", unit), buckets.storage_bucket(unit))


def test_arms_by_share_and_never_one_of_share_zero() -> None:
    shares = {"control": 0.5, "gone": 0.0, "treatment": 0.5}
    chosen = [buckets.choose(buckets.bucket("x", unit), shares) for unit in range(20_000)]
    assert set(chosen) == {"control", "treatment"}
    assert abs(chosen.count("control") - 10_000) < 400
    with duckdb.connect() as con:
        sql = buckets.choose_sql(buckets.bucket_sql("x", ["range"]), shares)
        assert [r[0] for r in con.execute(f"SELECT {sql} FROM range(20000) ORDER BY range").fetchall()] == chosen


@pytest.mark.parametrize("value", [1.5, None, b"x"])
def test_what_has_no_exact_text_does_not_split(value: object) -> None:
    with pytest.raises(DataError, match="cannot split"):
        buckets.bucket("s", value)  # type: ignore[arg-type]


def test_different_salts_are_independent() -> None:
    both = sum((buckets.bucket("a", u) < 0.5) == (buckets.bucket("b", u) < 0.5) for u in range(20_000))
    assert abs(both - 10_000) < 400
