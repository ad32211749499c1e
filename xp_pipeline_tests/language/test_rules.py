"""The bucket rules: golden vectors, published cases, and an independent loop over many units."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from bisect import bisect_right
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import DataError, SpecError
from xp_pipeline.language import ExperimentGroup, Kind, Program, Rule, kernels, rules
from xp_pipeline_tests.language.programs import UNITS

GOLDEN = Path(__file__).with_name("golden_buckets.json")
VECTORS = json.loads(GOLDEN.read_text(encoding="utf-8"))["vectors"]
KINDS: dict[str, Kind] = {"text": "text", "integer": "integer", "boolean": "boolean", "null": "text"}
STORED = {"text": "VARCHAR", "integer": "HUGEINT", "boolean": "BOOLEAN", "null": "VARCHAR"}
DTYPES = {"text": pl.String, "integer": pl.Int128, "boolean": pl.Boolean, "null": pl.String}
CON = connect()


def _value(splitter: dict[str, Any]) -> Any:
    text = splitter["text"]
    read = {"text": str, "integer": int, "boolean": lambda t: t == "true", "null": lambda _: None}
    return read[splitter["type"]](text)


def _expected(vector: dict[str, Any]) -> float | None:
    return None if vector["number"] is None else int(vector["number"]) / int(vector["range"])


def _program(vector: dict[str, Any]) -> Program:
    splitters = ", ".join(s["name"] for s in vector["splitters"])
    return Program.parse(
        f"def p {{ splitters: {splitters} return 1 weighted 1 }}", rule=vector["rule"], default_salt=vector["salt"]
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: json.dumps([v["rule"], v["salt"], v["splitters"]]))
def test_golden_vectors(vector: dict[str, Any]) -> None:
    program, expected = _program(vector), _expected(vector)
    fields = {s["name"]: _value(s) for s in vector["splitters"]}
    assert program.assign(fields).bucket == expected
    columns = {s["name"]: pl.Series([_value(s)], dtype=DTYPES[s["type"]]) for s in vector["splitters"]}
    assert program.polars(pl.DataFrame(columns))["bucket"].to_list() == [expected]
    if vector["rule"] != "growthbook":
        row = ", ".join(f"CAST(${s['name']} AS {STORED[s['type']]}) AS {s['name']}" for s in vector["splitters"])
        query = program.sql(f"(SELECT {row}) AS u", {s["name"]: KINDS[s["type"]] for s in vector["splitters"]})
        assert CON.execute(f"SELECT bucket FROM ({query})", fields).fetchall() == [(expected,)]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_golden_vectors_are_those_of_another_language() -> None:
    made = subprocess.run(["node", GOLDEN.with_suffix(".mjs")], capture_output=True, check=True).stdout
    assert made == GOLDEN.read_bytes()


@pytest.mark.parametrize(
    ("seed", "unit", "expected"),
    [
        ("seed", "a", 0.0505),
        ("seed", "b", 0.2696),
        ("foo", "ab", 0.2575),
        ("foo", "def", 0.2019),
        ("89123klj", "8952klfjas09ujkasdf", 0.124),
        ("90850943850283058242805", "123", 0.7516),
        ("()**(%$##$%#$#", '___)((*":&', 0.0128),
        ("feature", "123", 0.5231),
    ],
)
def test_growthbook_published_hashes(seed: str, unit: str, expected: float) -> None:
    """GrowthBook's SDK specification 0.5.4, cases.json: "hash" of version 2, and a bucket of "feature"."""
    assert rules.bucket_growthbook(seed, unit) == expected


@pytest.mark.parametrize(
    ("coverage", "weights", "expected"),
    [
        (1, [1, 1], [(0, 0.5), (0.5, 1)]),
        (0.5, [1, 1], [(0, 0.25), (0.5, 0.75)]),
        (0, [1, 1], [(0, 0), (0.5, 0.5)]),
        (1, [1, 1, 1, 1], [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]),
        (1, [0.4, 0.6], [(0, 0.4), (0.4, 1)]),
        (1, [0.2, 0.3, 0.5], [(0, 0.2), (0.2, 0.5), (0.5, 1)]),
        (0.2, [0.2, 0.3, 0.5], [(0, 0.04), (0.2, 0.26), (0.5, 0.6)]),
        (1, [0.4, 0.5999], [(0, 0.4), (0.4, 0.9999)]),
    ],
)
def test_growthbook_published_ranges(
    coverage: float, weights: list[float], expected: list[tuple[float, float]]
) -> None:
    """The same specification, "getBucketRange"; it rounds to six digits."""
    made = rules.ranges("growthbook", _groups(weights), coverage=coverage)
    assert [(round(part.start, 6), round(part.end, 6)) for part in made] == expected


def test_growthbook_weights_that_are_not_shares_are_relative() -> None:
    """Where its SDKs fall back to equal weights, a program's weights mean what they mean in every rule."""
    made = rules.ranges("growthbook", _groups([9, 1]))
    assert [(part.start, part.end) for part in made] == [(0, 0.9), (0.9, 1.0)]


def _groups(weights: list[float]) -> list[ExperimentGroup]:
    return [ExperimentGroup(str(i), weight) for i, weight in enumerate(weights)]


@given(st.lists(st.text(st.characters(max_codepoint=127, exclude_characters="\0"), max_size=40), min_size=1), UNITS)
@settings(deadline=None)
def test_kernels_are_the_scalar_hashes(units: list[str], salt: str) -> None:
    data, offsets = "".join(units).encode(), np.cumsum([0, *map(len, units)], dtype=np.int64)
    texts = kernels.of_buffers(data, offsets.tobytes())
    assert kernels.fnv(texts, salt).tolist() == [
        rules.fnv1a32(str(rules.fnv1a32(salt + unit))) % 10_000 / 10_000 for unit in units
    ]
    expected = [int(hashlib.md5((salt + unit).encode()).hexdigest()[:13], 16) for unit in units]
    assert kernels.md5_numbers(texts, salt.encode(), 13).tolist() == expected


def test_decimal_texts_of_every_length_hash_alike() -> None:
    """All numbers below 200,000 and around every power of ten, as the second half of growthbook's hash sees them."""
    powers = [10**k + d for k in range(10) for d in (-1, 0, 1)]
    numbers = np.array([*range(200_000), *powers, 2**32 - 1], dtype=np.uint32)
    expected = [rules.fnv1a32(str(number)) for number in numbers.tolist()]
    assert kernels._fnv_decimal(numbers).tolist() == expected


@pytest.mark.parametrize("size", [55, 56, 63, 64, 119, 120, 511, 512, 513, 100_000])
@pytest.mark.parametrize("rule", ["v1", "v2", "growthbook"])
def test_long_ids_hash_as_short_ones_do(size: int, rule: Rule) -> None:
    program = Program.parse("def p { splitters: u return 1 weighted 1, 2 weighted 1 }", rule=rule)
    frame = pl.DataFrame({"u": ["x" * size, "y", None, "é" * size]})
    assert program.polars(frame).select("branch", "bucket", "arm").rows() == [
        tuple(program.assign(row)) for row in frame.to_dicts()
    ]


TWO = """
def checkout { salt: "ramp" splitters: user_id, zone
  if country == "US" and age >= 18 { return "a" weighted 3.4, "b" weighted 5, "c" weighted 3 }
  else if country in ("FR", "DE") { return "a" weighted 90, "b" weighted 10 }
  else { return "a" weighted 1 } }
"""


def _rederived(rule: str, row: dict[str, Any]) -> str:
    """The two rules as the reference words them, without a line of the package."""
    if row["country"] == "US" and row["age"] >= 18:
        arms, weights = "abc", [3.4, 5, 3]
    elif row["country"] in ("FR", "DE"):
        arms, weights = "ab", [90, 10]
    else:
        arms, weights = "a", [1]
    if rule == "v1":
        key, digits = f"ramp{row['user_id']}{row['zone']}", 8
    else:
        key, digits = f"ramp\x1f{row['user_id']}\x1f{row['zone']}", 13
    u = int(hashlib.md5(key.encode("utf-8")).hexdigest()[:digits], 16) / 16**digits
    bounds = list(accumulate(weights))
    return arms[min(bisect_right(bounds, u * bounds[-1]), len(arms) - 1)]


@pytest.mark.parametrize("rule", ["v1", "v2"])
def test_a_loop_over_hashlib_agrees_on_a_million_units(rule: Rule) -> None:
    program = Program.parse(TWO, rule=rule)
    row = pl.int_range(1_000_000, eager=True)
    frame = pl.DataFrame(
        {
            "user_id": row * 7919 - 1_000_000,
            "zone": pl.Series(["", "ü", "eu-west", "ユ"]).gather(row % 4),
            "country": pl.Series(["US", "FR", "DE", "GB"]).gather(row // 4 % 4),
            "age": row % 60,
        }
    )
    CON.register("many", frame.to_arrow())
    query = program.sql(
        "many", {"user_id": "integer", "zone": "text", "country": "text", "age": "integer"}, keep=["user_id"]
    )
    found = [arm for (arm,) in CON.execute(f"SELECT arm FROM ({query}) ORDER BY user_id").fetchall()]
    expected = [_rederived(rule, row) for row in frame.iter_rows(named=True)]
    assert found == expected
    assert program.polars(frame)["arm"].to_list() == expected


@pytest.mark.parametrize("rule", ["v1", "v2"])
def test_shares_come_out_as_weighted(rule: Rule) -> None:
    """100,000 units, weights 0.2, 0.3, 0.5: chi-square with 2 degrees of freedom under 13.8 (p > 0.001)."""
    program = Program.parse(
        'def p { splitters: u return "a" weighted 0.2, "b" weighted 0.3, "c" weighted 0.5 }', rule=rule
    )
    counts = dict(program.polars(pl.DataFrame({"u": range(100_000)}))["arm"].value_counts().iter_rows())
    chi2 = sum(
        (counts[arm] - share * 1e5) ** 2 / (share * 1e5) for arm, share in {"a": 0.2, "b": 0.3, "c": 0.5}.items()
    )
    assert chi2 < 13.8


@given(st.lists(st.floats(0, 100), min_size=1, max_size=5), st.sampled_from(["v1", "v2", "growthbook"]))
def test_ranges_are_adjacent_and_whole(weights: list[float], rule: Rule) -> None:
    if sum(weights) < 1e-6:
        return
    made = rules.ranges(rule, _groups(weights))
    assert made[0].start == 0.0
    assert all(one.end == other.start for one, other in pairwise(made))
    if rule != "growthbook":
        assert made[-1].end == 1.0
    assert all(part.start <= part.end for part in made)
    if rule == "v2":
        assert all(part.start == part.end for part, weight in zip(made, weights, strict=True) if weight == 0)


@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from([0, 1, 3.4, 5, 0.1, 1e-9]), min_size=1, max_size=4))
def test_v1_ranges_give_every_number_the_arm_it_had(number: int, weights: list[float]) -> None:
    bounds = list(accumulate(weights))
    if not bounds[-1]:
        return
    had = bisect_right(bounds, number / 2**32 * (bounds[-1] + 0.0), 0, len(bounds) - 1)
    part = rules.arm_of(number / 2**32, rules.ranges("v1", _groups(weights)))
    assert part is not None
    assert part.arm == str(had)


@pytest.mark.parametrize("value", [1.5, b"x", [1], 2**70])
def test_what_javascript_has_no_text_for_is_refused(value: object) -> None:
    with pytest.raises(DataError):
        rules.bucket_growthbook("s", value)


def test_what_v2_has_no_text_for_is_refused() -> None:
    program = Program.parse("def p { splitters: u return 1 weighted 1 }")
    for value in (1.5, b"x", [1], "\ud800"):
        with pytest.raises(DataError, match=r"cannot split|surrogate"):
            program.assign({"u": value})
    with pytest.raises(DataError, match=r"user: the program splits by a field.*did you mean 'user_id'"):
        Program.parse("def p { splitters: user return 1 weighted 1 }").assign({"user_id": 1})


def test_rules_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match="allowed: v1, v2, growthbook"):
        Program.parse("def p { splitters: u return 1 weighted 1 }", rule="v3")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="nothing splits the traffic"):
        Program.parse("def p { return 1 weighted 1 }")
    with pytest.raises(SpecError, match="growthbook hashes one attribute; found u, v"):
        Program.parse("def p { splitters: u, v return 1 weighted 1 }", rule="growthbook")
    with pytest.raises(SpecError, match="only rule growthbook has a coverage"):
        Program.parse("def p { splitters: u return 1 weighted 1 }", coverage=0.5)
    with pytest.raises(SpecError, match="a coverage is a share"):
        Program.parse("def p { splitters: u return 1 weighted 1 }", rule="growthbook", coverage=1.5)
