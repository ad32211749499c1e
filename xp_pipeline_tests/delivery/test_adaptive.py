"""A service that follows the published weights: new users by the newest ones, known users in their arms."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from xp_pipeline.delivery import MemoryStore, Pyrosper, RegisteredExperiment, Symbol
from xp_pipeline.delivery.algorithms import Allocation
from xp_pipeline.delivery.algorithms.published import folder_of, weights_path, write
from xp_pipeline.delivery.designs import read_design
from xp_pipeline.delivery.errors import RegistrationError
from xp_pipeline.delivery.rules import assigner
from xp_pipeline.errors import PhaseOrderError, SpecError
from xp_pipeline_tests.lifecycle.learners import START, Learners, learners

ARM: Symbol[str] = Symbol("arm")
PICKS = {"a": {ARM: "a"}, "b": {ARM: "b"}}


class _Clock:
    def __init__(self) -> None:
        self.now = START + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.now


def _publish(world: Learners, number: int, share: float) -> Allocation:
    weights = Allocation("learnt", {"b": share, "a": 1 - share}, f"test@{number}")
    write(weights_path(folder_of(world.root / "record", "learnt"), number, weights.version), weights.dump())
    return weights


def test_new_users_follow_new_weights_and_known_ones_keep_their_arm(tmp_path: Path) -> None:
    world, clock = learners(tmp_path), _Clock()
    served = RegisteredExperiment.open(tmp_path, "learnt", PICKS, store=MemoryStore(), clock=clock)
    first = {user: served.choose_sync(user) for user in range(300)}
    assert {choice.version for choice in first.values()} == {world.weights.version}
    assert {choice.propensity for choice in first.values()} == {0.5}
    _publish(world, 2, 0.9)
    assert served.choose_sync(300).version == first[0].version
    clock.now += timedelta(seconds=31)
    later = [served.choose_sync(user) for user in range(1000, 2000)]
    assert {choice.version for choice in later} == {"test@2"}
    arms = Counter((served.variants[choice.index].name, round(choice.propensity, 9)) for choice in later)
    assert set(arms) == {("b", 0.9), ("a", 0.1)}
    assert 850 < arms["b", 0.9] < 950
    assert {user: served.choose_sync(user) for user in range(300)} == first


def test_weights_that_cannot_be_read_leave_the_last_ones_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world, clock = learners(tmp_path), _Clock()
    served = RegisteredExperiment.open(tmp_path, "learnt", PICKS, store=MemoryStore(), clock=clock)
    weights_path(folder_of(tmp_path / "record", "learnt"), 2, "test@2").write_text("{")
    clock.now += timedelta(minutes=1)
    with caplog.at_level(logging.ERROR):
        assert served.choose_sync(7).version.startswith("fixed@")
    assert "the last ones stay in force" in caplog.text
    assert world.day == 0


def test_a_registry_serves_an_adaptive_experiment_as_any_other(tmp_path: Path) -> None:
    learners(tmp_path)
    served = RegisteredExperiment.open(tmp_path, "learnt", PICKS, store=MemoryStore(), clock=_Clock())
    assert Pyrosper().with_experiment(served).set_for_user_sync(7).pick(ARM) in ("a", "b")


def test_an_adaptive_experiment_needs_a_store(tmp_path: Path) -> None:
    learners(tmp_path)
    with pytest.raises(RegistrationError, match="learnt: an adaptive experiment needs a store"):
        RegisteredExperiment.open(tmp_path, "learnt", PICKS)


def test_without_published_weights_nobody_is_served(tmp_path: Path) -> None:
    learners(tmp_path)
    for path in folder_of(tmp_path / "record", "learnt").glob("*"):
        path.unlink()
    with pytest.raises(PhaseOrderError, match="no weights are published yet; next: xp run learnt"):
        RegisteredExperiment.open(tmp_path, "learnt", PICKS, store=MemoryStore())
    with pytest.raises(SpecError, match="published, not sealed"):
        assigner(read_design(tmp_path, "learnt"))
