"""Factors in a spec: runs as pyDOE has them, an order that storage keeps, refusals in place, and the schema."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import jsonschema
import numpy as np
import pydoe
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xp_pipeline.spec.assignment import Assignment
from xp_pipeline.spec.blocks import Blocks
from xp_pipeline.spec.canonical import canonical_bytes
from xp_pipeline.spec.factors import LETTERS, arm_of, runs_of
from xp_pipeline.spec.schema import json_schema

TWO = ("low", "high")


def two_level(n: int) -> dict[str, tuple[str, ...]]:
    """Factors of two levels, lettered."""
    return dict.fromkeys(LETTERS[:n], TWO)


@given(st.integers(2, 5), st.data())
def test_generated_runs_are_those_of_pydoe(free: int, data: st.DataObject) -> None:
    words = [w for order in range(2, free + 1) for w in combinations(LETTERS[:free], order)]
    chosen = data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True))
    signs = data.draw(st.lists(st.sampled_from("+-"), min_size=len(chosen), max_size=len(chosen)))
    made = list(zip(LETTERS[free:], chosen, signs, strict=False))
    text = [*LETTERS[:free].lower(), *(sign + "".join(word).lower() for _, word, sign in made)]
    table = pydoe.fracfact(" ".join(text))
    expected = {tuple(TWO[int(value > 0)] for value in run) for run in np.asarray(table)}
    generators = [f"{factor}={sign}{''.join(word)}" for factor, word, sign in made]
    runs = runs_of(two_level(free + len(made)), generators=generators)
    assert {tuple(run.values()) for run in runs} == expected
    assert len(runs) == 2**free


@pytest.mark.parametrize(("factors", "resolution", "runs"), [(3, 3, 4), (7, 3, 8), (4, 4, 8), (8, 4, 16), (5, 5, 16)])
def test_a_resolution_takes_the_textbook_number_of_runs(factors: int, resolution: int, runs: int) -> None:
    # Box, Hunter, Hunter 2005, table 6.22: 2^(3-1) III, 2^(7-4) III, 2^(4-1) IV, 2^(8-4) IV, 2^(5-1) V.
    found = runs_of(two_level(factors), resolution=resolution)
    assert len(found) == runs
    assert dict.fromkeys(two_level(factors), "low") in found


def test_the_order_of_factors_outlives_storage_that_sorts_keys() -> None:
    given_ = Assignment.model_validate(
        {"factors": {"size": ["s", "l"], "colour": ["red", "blue"], "free": [False, True]}}
    )
    stored = json.loads(canonical_bytes(given_.model_dump(mode="json", exclude_defaults=True)))
    restored = Assignment.model_validate(stored)
    assert list(restored.levels) == ["size", "colour", "free"]
    assert restored.levels["free"] == ("false", "true")
    assert restored == given_
    assert restored.arms == given_.arms == tuple(arm_of(run) for run in given_.runs)
    assert restored.control == "size=s,colour=red,free=false"
    assert restored.shares == dict.fromkeys(given_.arms, 1 / 8)


def test_a_plain_split_is_stored_as_before() -> None:
    plain = Assignment.model_validate({"control": "a", "weights": {"a": 0.5, "b": 0.5}})
    assert set(plain.model_dump(mode="json", exclude_defaults=True)) == {"control", "weights", "arms"}


def test_given_weights_and_control_stay() -> None:
    weights = {"a=0,b=0": 0.1, "a=1,b=0": 0.2, "a=0,b=1": 0.3, "a=1,b=1": 0.4}
    found = Assignment.model_validate({"factors": {"a": [0, 1], "b": [0, 1]}, "weights": weights, "control": "a=1,b=1"})
    assert found.shares == pytest.approx(weights)
    assert found.control == "a=1,b=1"
    assert set(found.treatments) == set(weights) - {"a=1,b=1"}


@pytest.mark.parametrize(
    ("assignment", "at", "said"),
    [
        ({"factors": {"a": [0, 1], "b c": [0, 1]}}, ("factors",), "letters, digits and underscores"),
        ({"factors": {"a": [0, 1], "b": ["x,y", "z"]}}, ("factors",), "without commas"),
        ({"factors": {"a": [0, 1], "b": [0, 1, 2]}, "generators": ["b=a"]}, ("generators",), "two levels"),
        ({"factors": {"a": [0, 1], "b": [0, 1]}, "generators": ["b=c"]}, ("generators",), "no such factor"),
        ({"factors": {f: [0, 1] for f in "abcdefghj"}}, (), "too many arms"),
        ({"factors": {f: [0, 1] for f in "abcd"}, "generators": ["D=ABC"], "resolution": "IV"}, (), "both"),
        ({"factors": {"a": [0, 1], "b": [0, 1]}, "weights": "unknown"}, (), "known weights"),
        ({"resolution": "IV", "control": "a", "weights": {"a": 0.5, "b": 0.5}}, ("resolution",), "which are missing"),
        ({"control": "a", "weights": "unknown", "arms": ["a", "b"], "switchback": {"block": "4h"}}, (),
         "known weights"),
        ({"control": "a", "weights": {"a": 0.5, "b": 0.5}, "switchback": {"block": "0h"}}, ("switchback",),
         "some time"),
    ],
)  # fmt: skip
def test_bad_blocks_are_refused_where_they_stand(assignment: Any, at: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValidationError) as problem:
        Assignment.model_validate(assignment)
    (error,) = problem.value.errors()
    assert error["loc"] == at
    assert said in error["msg"]


def test_blocks_are_stored_in_the_shortest_spelling() -> None:
    blocks = Blocks.model_validate({"block": "240m", "burn_in": "30m"})
    assert blocks.model_dump(mode="json", exclude_defaults=True)["block"] == "4h"
    assert Blocks.model_validate(blocks.model_dump(mode="json")) == blocks


@pytest.mark.parametrize(
    ("assignment", "valid"),
    [
        ({"factors": {"a": [0, 1], "b": ["x", "y", "z"]}}, True),
        ({"factors": {"a": [0, 1], "b": [0, 1]}, "resolution": "IV"}, True),
        ({"control": "a", "weights": {"a": 0.5, "b": 0.5}, "switchback": {"block": "4h", "cycle": 2}}, True),
        ({"factors": {"a": [0]}}, False),
        ({"weights": {"a": 0.5, "b": 0.5}}, False),
        ({"control": "a", "weights": {"a": 0.5, "b": 0.5}, "switchback": {"burn_in": "4h"}}, False),
    ],
)
def test_the_schema_knows_the_blocks(assignment: Any, valid: bool) -> None:
    experiment = {"id": "x", "assignment": assignment, "population": {"source": "s"}, "metrics": {"primary": ["m"]}}
    assert jsonschema.Draft202012Validator(json_schema("experiment")).is_valid(experiment) is valid
