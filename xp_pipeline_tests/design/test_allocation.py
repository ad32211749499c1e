"""Allocation by phases: a ramp keeps every exposed unit in its arm, and a change of weights says what it moves."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.allocation import Allocation, Step, allocate
from xp_pipeline.design.ranges import Flow
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.errors import SpecError
from xp_pipeline.language.buckets import bucket, choose
from xp_pipeline.stats.srm import chi_square_phases

DAY = timedelta(days=1)
START = datetime(2026, 3, 1)
EVEN = {"control": 1.0, "treatment": 1.0}
WEIGHTS = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 100).map(float), min_size=1)
UNITS = st.lists(st.one_of(st.text(max_size=12), st.integers(-(2**70), 2**70)), min_size=1, max_size=40)
COVERAGES = st.lists(st.floats(0.001, 1), min_size=2, max_size=6, unique=True).map(sorted)


def ramp(shares: dict[str, float], *coverages: float) -> Allocation:
    """One step a day."""
    return allocate([Step(START + i * DAY, shares, coverage) for i, coverage in enumerate(coverages)], sticky=False)


@given(units=UNITS, weights=WEIGHTS, salt=st.text(max_size=8))
def test_a_ramp_from_10_to_50_percent_keeps_every_exposed_unit_in_its_arm(
    units: list[str | int], weights: dict[str, float], salt: str
) -> None:
    before, after = ramp(weights, 0.1, 0.5).phases
    for u in (bucket(salt, unit) for unit in units):
        if before.arm(u) is not None:
            assert after.arm(u) == before.arm(u)
    assert after.moved == ()


@given(coverages=COVERAGES, units=UNITS)
def test_a_ramp_of_any_steps_only_adds_units(coverages: list[float], units: list[str | int]) -> None:
    phases = ramp({"a": 1.0, "b": 3.0, "c": 2.0}, *coverages).phases
    for u in (bucket("ramp", unit) for unit in units):
        seen = [arm for phase in phases if (arm := phase.arm(u)) is not None]
        assert len(set(seen)) <= 1
        assert [phase.arm(u) is not None for phase in phases] == sorted(phase.arm(u) is not None for phase in phases)


@given(weights=WEIGHTS, coverages=COVERAGES)
def test_the_steps_taken_do_not_matter(weights: dict[str, float], coverages: list[float]) -> None:
    assert ramp(weights, *coverages).phases[-1].ranges == ramp(weights, coverages[-1]).phases[-1].ranges


@given(weights=WEIGHTS, units=UNITS, coverage=st.floats(0.01, 1))
def test_at_full_coverage_the_arms_are_those_of_the_bucket_rule(
    weights: dict[str, float], units: list[str | int], coverage: float
) -> None:
    phases = ramp(weights, *([coverage, 1.0] if coverage < 1 else [1.0])).phases
    for u in (bucket("x", unit) for unit in units):
        assert phases[-1].arm(u) == choose(u, weights)


def test_coverage_and_shares_are_met_on_real_units() -> None:
    phase = ramp({"a": 1.0, "b": 3.0}, 0.2).phases[0]
    arms = Counter(phase.arm(bucket("salt", unit)) for unit in range(20_000))
    assert phase.shares == {"a": 0.25, "b": 0.75}
    for arm, share in ((None, 0.8), ("a", 0.05), ("b", 0.15)):
        error = math.sqrt(share * (1 - share) / 20_000)
        assert arms[arm] / 20_000 == pytest.approx(share, abs=4 * error)


def test_a_changed_split_keeps_those_exposed_before_and_tells_what_recomputing_would_move() -> None:
    change = START + 7 * DAY
    plan = allocate([Step(START, {"control": 9, "treatment": 1}), Step(change, EVEN)])
    assert plan.phases[1].moved == (Flow("control", "treatment", pytest.approx(0.4)),)
    assert plan.phases[1].share_moved == pytest.approx(0.4)
    assert plan.phases[0].share_moved == 0.0
    for unit in range(500):
        u = bucket("salt", unit)
        assert plan.arm(u, START) == plan.phases[0].arm(u)
        assert plan.arm(u, change) == plan.phases[1].arm(u)
        if plan.arm(u, START) == "treatment":
            assert plan.arm(u, change) == "treatment"


def test_without_a_record_a_step_that_moves_exposed_units_is_refused() -> None:
    steps = [Step(START, {"control": 9, "treatment": 1}), Step(START + DAY, EVEN)]
    with pytest.raises(SpecError, match=r"2026-03-02T00:00:00: .* control to treatment 40\.0000%"):
        allocate(steps, sticky=False)


def test_without_a_record_a_step_that_drops_exposed_units_is_refused() -> None:
    steps = [Step(START, EVEN, 0.5), Step(START + DAY, EVEN, 0.25)]
    with pytest.raises(SpecError, match=r"control to no arm 12\.5000%, treatment to no arm 12\.5000%"):
        allocate(steps, sticky=False)


def test_moments_of_any_zone_fall_in_the_phase_of_their_instant() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    after_spring_forward = datetime(2026, 3, 29, 3, 30, tzinfo=berlin)
    plan = allocate([Step(datetime(2026, 3, 1, tzinfo=berlin), EVEN, 0.1), Step(after_spring_forward, EVEN, 0.5)])
    assert [phase.starts_at for phase in plan.phases] == [datetime(2026, 2, 28, 23), datetime(2026, 3, 29, 1, 30)]
    assert plan.phase_at(datetime(2026, 2, 28, 22, 59)) is None
    assert plan.phase_at(datetime(2026, 2, 28, 23)) == 0
    assert plan.phase_at(datetime(2026, 3, 29, 1, 29, tzinfo=UTC)) == 0
    assert plan.phase_at(datetime(2026, 3, 28, 18, 30, tzinfo=timezone(timedelta(hours=-7)))) == 1
    assert plan.arm(0.0, datetime(2026, 2, 1)) is None


def test_sql_and_scalar_agree_on_phase_and_arm() -> None:
    steps = [(0, {"a": 9, "b": 1}, 0.2), (3, {"a": 9, "b": 1}, 1.0), (5, {"a": 1, "b": 1, "c'": 1}, 0.9)]
    plan = allocate([Step(START + day * DAY, shares, coverage) for day, shares, coverage in steps])
    rows = [(bucket("s", unit), START - DAY + timedelta(hours=unit)) for unit in range(240)]
    with connect() as con:
        con.execute("CREATE TABLE t (u DOUBLE, seen TIMESTAMP)")
        con.executemany("INSERT INTO t VALUES (?, ?)", rows)
        found = con.execute(f"SELECT {plan.phase_sql('seen')}, {plan.arm_sql('u', 'seen')} FROM t").fetchall()
    assert found == [(plan.phase_at(seen), plan.arm(u, seen)) for u, seen in rows]
    assert {phase for phase, _ in found} == {None, 0, 1, 2}


def test_sample_ratios_hold_against_the_weights_in_force_at_exposure() -> None:
    plan = allocate([Step(START, {"a": 9, "b": 1}), Step(START + DAY, {"a": 1, "b": 1})])
    counts = [Counter(plan.arm(bucket("s", u), START + i * DAY) for u in range(i, 8000, 2)) for i in (0, 1)]
    found = chi_square_phases([(c, phase.shares) for c, phase in zip(counts, plan.phases, strict=True)])
    pooled = chi_square_phases([(counts[0] + counts[1], plan.phases[-1].shares)])
    assert found.p_value > 0.001 > pooled.p_value


@settings(max_examples=30)
@given(gap=st.integers(-5, 0))
def test_steps_follow_each_other(gap: int) -> None:
    with pytest.raises(SpecError, match="follow each other"):
        allocate([Step(START, EVEN), Step(START + gap * DAY, EVEN)])


@pytest.mark.parametrize("coverage", [0.0, -0.5, 1.5, math.nan])
def test_a_coverage_is_a_share(coverage: float) -> None:
    with pytest.raises(SpecError, match="coverage"):
        allocate([Step(START, EVEN, coverage)])


def test_an_allocation_has_a_step_and_an_arm_with_weight() -> None:
    with pytest.raises(SpecError, match="at least one step"):
        allocate([])
    with pytest.raises(SpecError, match="no arm has a positive share"):
        allocate([Step(START, {"a": 0})])
