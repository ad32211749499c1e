"""Published weights: what a batch writes, what a service follows, and what it refuses."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from xp_pipeline.delivery import Design, MemoryStore, Pyrosper, RegisteredExperiment, Symbol
from xp_pipeline.delivery.algorithms import Allocation, FixedWeights, ThompsonBeta, following
from xp_pipeline.errors import DataError, SourceError
from xp_pipeline.language.buckets import bucket

ARMS = ("control", "short", "long")
REWARDS = ((100, 0.10, 9.0), (100, 0.20, 16.0), (100, 0.15, 12.75))


def allocation(algorithm: Any = None, rewards: Any = REWARDS) -> Allocation:
    algorithm = algorithm or ThompsonBeta()
    return Allocation.of("titles", ARMS, algorithm, algorithm.consume(algorithm.initial(3), "2026-03-01", rewards))


def test_weights_survive_json() -> None:
    published = allocation()
    again = Allocation.load(json.loads(json.dumps(published.dump())))
    assert again == published
    assert sum(published.shares.values()) == 1.0
    assert list(published.shares) == list(ARMS)


def test_the_version_tells_states_and_settings_apart() -> None:
    versions = {
        allocation().version,
        allocation(ThompsonBeta(floor=0.1)).version,
        allocation(ThompsonBeta(discount=0.9)).version,
        allocation(rewards=((0, 0, 0),) * 3).version,
    }
    assert len(versions) == 4
    assert allocation().version == allocation().version
    assert allocation().version.startswith("thompson_beta@")


def test_fixed_weights_publish_too() -> None:
    assert allocation(FixedWeights([1, 2, 1])).shares == {"control": 0.25, "short": 0.5, "long": 0.25}


def test_units_arrive_in_the_published_shares() -> None:
    """10,000 units; five standard errors."""
    published = allocation()
    assign = published.assigner("salt")
    drawn = [assign({"unit": unit}) for unit in range(10_000)]
    counts = Counter(row.arm for row in drawn if row)
    for arm, share in published.shares.items():
        assert abs(counts[arm] / 10_000 - share) < 5 * math.sqrt(share * (1 - share) / 10_000)
    assert {(row.arm, row.propensity) for row in drawn if row} == set(published.shares.items())
    assert {row.version for row in drawn if row} == {published.version}


def test_the_bucket_rule_is_that_of_the_design() -> None:
    published = Allocation("titles", {"control": 0.25, "short": 0.75}, "v")
    for unit in range(100):
        assigned = published.assigner("salt")({"unit": unit})
        assert assigned is not None
        assert assigned.arm == ("control" if bucket("salt", unit) < 0.25 else "short")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"format": 2},
        {"format": 1, "experiment": "e", "shares": {"a": 0.5, "b": 0.6}, "version": "v"},
        {"format": 1, "experiment": "e", "shares": {"a": 1.5, "b": -0.5}, "version": "v"},
        {"format": 1, "experiment": "e", "shares": {"a": "1"}, "version": "v"},
        {"format": 1, "experiment": "e", "shares": {"a": math.nan, "b": 0.5}, "version": "v"},
        {"format": 1, "experiment": "e", "shares": [1.0], "version": "v"},
        {"format": 1, "shares": {"a": 1.0}, "version": "v"},
    ],
)
def test_broken_weights_are_refused(broken) -> None:
    with pytest.raises(DataError):
        Allocation.load(broken)


def test_a_state_of_other_arms_is_refused() -> None:
    algorithm = ThompsonBeta()
    with pytest.raises(DataError, match="other arms"):
        Allocation.of("titles", ARMS, algorithm, algorithm.initial(2))


def test_a_service_follows_and_keeps_the_last_weights_when_it_cannot_read(caplog) -> None:
    now, source = [0.0], [Allocation("e", {"control": 1.0}, "one")]

    def read() -> Allocation:
        if not source:
            raise SourceError("the weights are gone")
        return source[0]

    assign = following(read, "salt", refresh=30, clock=lambda: now[0])

    def version(at: float) -> str:
        now[0] = at
        assigned = assign({"unit": 1})
        assert assigned is not None
        return assigned.version

    assert version(0) == "one"
    source[0] = Allocation("e", {"short": 1.0}, "two")
    assert version(29) == "one"
    assert version(30) == "two"
    source.clear()
    assert version(61) == "two"
    assert "the last ones stay in force" in caplog.text
    source.append(Allocation("e", {"long": 1.0}, "three"))
    assert version(90) == "two"
    assert version(91) == "three"


def test_weights_must_be_readable_at_first() -> None:
    def read() -> Allocation:
        raise SourceError("no weights yet")

    with pytest.raises(SourceError):
        following(read, "salt")


def test_a_registered_experiment_serves_published_weights_and_known_users_keep_their_arm() -> None:
    title: Symbol[str] = Symbol("title")
    shares = dict.fromkeys(ARMS, 1 / 3)
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    design = Design("titles", ARMS, "control", shares, "v2", "salt", start, end, "hash", "digest")
    source = [Allocation("titles", {"control": 0.1, "short": 0.8, "long": 0.1}, "thompson_beta@1")]
    experiment = RegisteredExperiment(
        design,
        {arm: {title: arm} for arm in ARMS},
        store=MemoryStore(),
        assign=following(lambda: source[0], design.salt, refresh=0),
        clock=lambda: datetime(2026, 6, 1, tzinfo=UTC),
    )
    pyrosper = Pyrosper().with_experiment(experiment)
    first = {user: pyrosper.set_for_user_sync(user).pick(title) for user in range(200)}
    source[0] = Allocation("titles", {"control": 0.1, "short": 0.1, "long": 0.8}, "thompson_beta@2")
    assert {user: pyrosper.set_for_user_sync(user).pick(title) for user in first} == first
    fresh = Counter(pyrosper.set_for_user_sync(user).pick(title) for user in range(1000, 1200))
    assert Counter(first.values()).most_common(1)[0][0] == "short"
    assert fresh.most_common(1)[0][0] == "long"
