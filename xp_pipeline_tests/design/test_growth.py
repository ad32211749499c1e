"""Arms that grow and shrink: what they keep, what they take, and what that costs exposed units."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.design.growth import Ground
from xp_pipeline.design.ranges import Flow, Range, arm_at, checked, cumulative, held, moved_share

GRID = 2**52
BUCKETS = st.integers(0, GRID - 1).map(lambda i: i / GRID)
WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9).map(float), min_size=1)
SETTLEMENTS = st.lists(st.tuples(WEIGHTS, st.integers(1, 20).map(lambda i: i / 20)), min_size=1, max_size=5)


def settled(*steps: tuple[dict[str, float], float]) -> Ground:
    """The ground after phases of (shares, coverage)."""
    ground = Ground()
    for shares, coverage in steps:
        ground.settle(cumulative(shares), coverage)
    return ground


@given(steps=SETTLEMENTS)
def test_every_arm_holds_its_share_and_no_bucket_has_two_arms(steps: list[tuple[dict[str, float], float]]) -> None:
    ground = settled(*steps)
    shares, coverage = steps[-1]
    assert checked(ground.ranges) == ground.ranges
    for arm, share in shares.items():
        assert held(ground.ranges)[arm] == pytest.approx(coverage * share / sum(shares.values()), abs=1e-14)
    assert set(held(ground.ranges)) == set(shares)


@given(one=WEIGHTS, other=WEIGHTS)
def test_no_more_moves_than_the_arms_that_shrink_have_too_much(one: dict[str, float], other: dict[str, float]) -> None:
    before, after = ({a: w / sum(s.values()) for a, w in s.items()} for s in (one, other))
    excess = math.fsum(max(share - after.get(arm, 0.0), 0.0) for arm, share in before.items())
    first, second = settled((one, 1.0)), settled((one, 1.0), (other, 1.0))
    assert moved_share(first.ranges, second.ranges) == pytest.approx(excess, abs=1e-14)
    assert math.fsum(flow.share for flow in second.moved) == pytest.approx(excess, abs=1e-14)


@given(steps=SETTLEMENTS, u=BUCKETS)
def test_a_bucket_changes_its_arm_only_where_the_phase_says_so(
    steps: list[tuple[dict[str, float], float]], u: float
) -> None:
    ground, arm, last = Ground(), None, None
    for shares, coverage in steps:
        ground.settle(cumulative(shares), coverage)
        now = arm_at(ground.ranges, u)
        declared = {(flow.before, flow.after) for flow in ground.moved}
        if last is not None and now != last and (now is not None or arm is not None):
            assert (last, now) in declared
        arm, last = now, now or last


def test_a_fourth_equal_arm_takes_a_quarter_and_moves_nobody_between_the_old_ones() -> None:
    ground = settled((dict.fromkeys("abc", 1.0), 1.0), (dict.fromkeys("abcd", 1.0), 1.0))
    assert {flow.after for flow in ground.moved} == {"d"}
    assert math.fsum(flow.share for flow in ground.moved) == pytest.approx(0.25, abs=1e-14)


def test_an_arm_grows_into_buckets_of_its_own_past_before_others() -> None:
    half = {"a": 1.0, "b": 1.0}
    ground = settled((half, 0.5), ({"a": 3.0, "b": 1.0}, 0.25), (half, 0.5))
    assert ground.ranges == settled((half, 0.5)).ranges
    assert ground.moved == ()


def test_buckets_never_exposed_are_taken_before_those_of_others() -> None:
    ground = settled(({"a": 3.0, "b": 1.0}, 0.5), ({"a": 1.0, "b": 3.0}, 0.5))
    assert ground.moved == (Flow("a", None, 0.25),)


def test_buckets_given_back_to_nobody_are_listed_once() -> None:
    half = {"a": 1.0, "b": 1.0}
    paused = settled((half, 1.0), (half, 0.5))
    assert set(paused.moved) == {Flow("a", None, 0.25), Flow("b", None, 0.25)}
    paused.settle(cumulative(half), 0.5)
    assert paused.moved == ()


def test_the_first_phase_at_part_coverage_leaves_each_arm_room_to_grow() -> None:
    assert settled(({"a": 1.0, "b": 1.0}, 0.5)).ranges == (Range(0.0, 0.25, "a"), Range(0.5, 0.75, "b"))
