"""Enable, complete, disable of experiments that keep their own state: in order, exactly once, nothing by halves."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from xp_pipeline.delivery import BaseExperiment, Pyrosper
from xp_pipeline.delivery.errors import RegistrationError, UnknownNameError
from xp_pipeline_tests.delivery.duties import GREETING, Kept, enabled

TWELVE = [
    "delete_algorithm",
    "delete_experiment",
    "delete_user_variant",
    "delete_user_variants",
    "get_algorithm",
    "get_experiment",
    "get_user_variant",
    "get_variant_index",
    "reward_algorithm",
    "upsert_algorithm",
    "upsert_experiment",
    "upsert_user_variant",
]


def test_a_subclass_has_twelve_duties() -> None:
    assert sorted(BaseExperiment.__abstractmethods__) == TWELVE
    with pytest.raises(TypeError, match="abstract"):
        BaseExperiment("greetings", [])  # type: ignore[abstract]


def test_it_is_never_enabled_without_an_algorithm() -> None:
    experiment = Kept()
    experiment.enable_sync()
    duties = experiment.log_of_duties
    assert duties == [
        "get_experiment",
        "upsert_experiment",
        "get_algorithm",
        "upsert_algorithm",
        "upsert_experiment",
    ]
    assert experiment.stored == ("greetings", True, "exp-1")
    assert (experiment.is_enabled, experiment.id) == (True, "exp-1")


@pytest.mark.parametrize("duty", ["get_algorithm", "upsert_algorithm"])
def test_a_failed_enable_leaves_nothing(duty: str) -> None:
    experiment = Kept()
    experiment.fails[duty] = ConnectionError("down")
    with pytest.raises(ConnectionError):
        experiment.enable_sync()
    assert experiment.stored is None
    assert (experiment.is_enabled, experiment.id, experiment.has_algorithm) == (False, None, False)


def test_enabling_again_keeps_what_is_stored() -> None:
    experiment = enabled()
    Pyrosper().with_experiment(experiment).set_for_user_sync("u")
    experiment.complete_for_user_sync("u", 2.0)
    experiment.enable_sync()
    assert (experiment.learned, experiment.is_enabled) == ({1: 2.0}, True)


def test_disable_switches_off_before_it_removes_anything() -> None:
    experiment = enabled()
    Pyrosper().with_experiment(experiment).set_for_user_sync("u")
    experiment.log_of_duties.clear()
    experiment.disable_sync()
    assert experiment.log_of_duties == [
        "get_experiment",
        "upsert_experiment",
        "delete_user_variants",
        "delete_experiment",
        "delete_algorithm",
    ]
    assert (experiment.stored, experiment.rows, experiment.has_algorithm) == (None, {}, False)
    assert (experiment.is_enabled, experiment.id) == (False, None)


def test_what_is_not_stored_cannot_be_disabled() -> None:
    with pytest.raises(UnknownNameError, match="no stored experiment") as caught:
        Kept().disable_sync()
    assert isinstance(caught.value, ValueError)


def test_a_disable_that_fails_half_way_serves_control() -> None:
    experiment = enabled()
    pyrosper = Pyrosper().with_experiment(experiment)
    pyrosper.set_for_user_sync("u")
    experiment.fails["delete_experiment"] = ConnectionError("down")
    with pytest.raises(ConnectionError):
        experiment.disable_sync()
    assert pyrosper.set_for_user_sync("u").pick(GREETING) == "Hello!"
    del experiment.fails["delete_experiment"]
    experiment.disable_sync()
    assert experiment.stored is None


def test_a_reward_is_given_once() -> None:
    experiment = enabled()
    Pyrosper().with_experiment(experiment).set_for_user_sync("u")
    assert [experiment.complete_for_user_sync("u", 0.5) for _ in range(3)] == [True, False, False]
    assert experiment.learned == {1: 0.5}


def test_nobody_a_stranger_and_a_disabled_experiment_reward_nothing() -> None:
    experiment = enabled()
    Pyrosper().with_experiment(experiment).set_for_user_sync("u")
    assert not experiment.complete_for_user_sync(None, 1.0)
    assert not experiment.complete_for_user_sync("stranger", 1.0)
    experiment.safe_disable()
    assert not experiment.complete_for_user_sync("u", 1.0)
    assert experiment.learned == {}
    assert len(experiment.rows) == 1


@pytest.mark.parametrize("duty", ["get_algorithm", "reward_algorithm", "upsert_algorithm", "delete_user_variant"])
def test_a_failing_reward_loses_neither_row_nor_reward(duty: str) -> None:
    experiment = enabled()
    Pyrosper().with_experiment(experiment).set_for_user_sync("u")
    experiment.fails[duty] = ConnectionError("down")
    with pytest.raises(ConnectionError):
        experiment.complete_for_user_sync("u", 0.5)
    assert (len(experiment.rows), experiment.learned) == (1, {})
    del experiment.fails[duty]
    assert experiment.complete_for_user_sync("u", 0.5)
    assert experiment.learned == {1: 0.5}


def test_a_cancelled_reward_loses_neither() -> None:
    experiment = enabled()
    Pyrosper().with_experiment(experiment).set_for_user_sync("u")

    async def main() -> None:
        task = asyncio.create_task(experiment.complete_for_user("u", 0.5))
        while "reward_algorithm" not in experiment.log_of_duties:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (len(experiment.rows), experiment.learned) == (1, {})


def test_many_completions_at_once_count_each_user_once() -> None:
    experiment = enabled()
    pyrosper = Pyrosper().with_experiment(experiment)

    async def main() -> list[bool]:
        for user in range(20):
            await pyrosper.for_user(user)
        return await asyncio.gather(*(experiment.complete_for_user(i % 20, 1.0) for i in range(60)))

    assert sum(asyncio.run(main())) == 20
    assert experiment.learned == {1: 20.0}


def test_completions_from_threads_count_each_user_once() -> None:
    experiment = enabled()
    pyrosper = Pyrosper().with_experiment(experiment)
    for user in range(12):
        pyrosper.for_user_sync(user)
    done: list[bool] = []

    def complete() -> None:
        done.extend(experiment.complete_for_user_sync(user, 1.0) for user in range(12))

    threads = [threading.Thread(target=complete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(done), experiment.learned) == (12, {1: 12.0})


def test_get_variant() -> None:
    experiment = enabled()
    variant = experiment.get_variant_sync("u")
    assert variant is not None
    assert variant.name == "friendly"
    experiment.safe_disable()
    assert experiment.get_variant_sync("u") is None
    assert asyncio.run(experiment.get_variant("u")) is None
    with pytest.raises(RegistrationError, match="Empty variants"):
        Kept(variants=[]).get_variant_sync("u")


def test_duties_may_be_plain_functions() -> None:
    class Plain(Kept):
        def get_user_variant(self, user_id: Any, experiment_id: Any) -> Any:  # type: ignore[override]
            return self.rows.get((experiment_id, user_id))

        def get_variant_index(self, algorithm: Any) -> int:  # type: ignore[override]
            return 2

    experiment = Plain()
    experiment.enable_sync()
    assert Pyrosper().with_experiment(experiment).set_for_user_sync("u").pick(GREETING) == "Hey!"


def test_another_process_that_stored_first_wins() -> None:
    class Raced(Kept):
        async def upsert_user_variant(self, user_variant: Any) -> None:
            user_variant.index = 2
            await super().upsert_user_variant(user_variant)

    experiment = Raced()
    experiment.enable_sync()
    assert Pyrosper().with_experiment(experiment).set_for_user_sync("u").pick(GREETING) == "Hey!"
