"""What users pick: sticky, control when disabled, never another user's."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from typing import Literal, Optional

import pytest

from xp_pipeline.delivery import MemoryStore, Pyrosper, StoredExperiment, Symbol, Variant, pick
from xp_pipeline.delivery.errors import (
    ContextError,
    EmptyPickError,
    PickTypeError,
    StoreError,
    UnknownSymbolError,
    VariantIndexError,
)
from xp_pipeline.delivery.pyrosper import _DRAWS
from xp_pipeline.errors import DataError
from xp_pipeline_tests.delivery.duties import GREETING, Kept, enabled, greetings


def _serving(experiment: Kept) -> Pyrosper:
    return Pyrosper().with_experiment(experiment)


def test_an_assignment_is_stored_and_holds() -> None:
    experiment = enabled()
    experiment.draws = [1, 0, 2]
    pyrosper = _serving(experiment)
    picked = [pyrosper.set_for_user_sync("u").pick(GREETING) for _ in range(3)]
    assert picked == ["Hi there!"] * 3
    assert experiment.asked == 1
    assert [row.index for row in experiment.rows.values()] == [1]


@pytest.mark.parametrize("user", [0, "", -1, "0"])
@pytest.mark.parametrize("experiment_id", [0, "", None])
def test_ids_that_are_false_are_ids(user: str | int, experiment_id: object) -> None:
    experiment = Kept()
    experiment.given_id = experiment_id
    experiment.enable_sync()
    assert experiment.is_enabled
    assert experiment.id == experiment_id
    assert _serving(experiment).set_for_user_sync(user).pick(GREETING) == "Hi there!"
    assert list(experiment.rows) == [(experiment_id, user)]
    assert experiment.complete_for_user_sync(user, 1.0)


def test_nobody_is_drawn_for_and_not_stored() -> None:
    experiment = enabled()
    assert _serving(experiment).set_for_user_sync(None).pick(GREETING) == "Hi there!"
    assert experiment.rows == {}


def test_a_disabled_experiment_serves_control_to_everybody() -> None:
    experiment = enabled()
    pyrosper = _serving(experiment)
    before = pyrosper.set_for_user_sync("known")
    assert before.pick(GREETING) == "Hi there!"
    experiment.stored = experiment.stored._replace(is_enabled=False)  # type: ignore[union-attr]
    asked = experiment.asked
    assert pyrosper.set_for_user_sync("known").pick(GREETING) == "Hello!"
    assert pyrosper.set_for_user_sync("new").pick(GREETING) == "Hello!"
    assert pyrosper.set_for_user_sync(None).pick(GREETING) == "Hello!"
    assert before.pick(GREETING) == "Hello!"
    assert experiment.asked == asked


def test_an_experiment_that_is_not_stored_serves_control() -> None:
    experiment = Kept()
    experiment.safe_enable()
    assert _serving(experiment).set_for_user_sync("u").pick(GREETING) == "Hello!"
    assert not experiment.is_enabled


def test_control_may_be_any_variant() -> None:
    assert _serving(Kept(control="casual")).pick(GREETING) == "Hey!"


def test_concurrent_tasks_never_see_each_other() -> None:
    store = MemoryStore()
    experiment = StoredExperiment("greetings", greetings(), store=store)
    experiment.enable_sync()
    pyrosper = Pyrosper().with_experiment(experiment)

    async def request(user: int) -> tuple[str, str]:
        picks = await pyrosper.set_for_user(user)
        await asyncio.sleep(0)
        return pyrosper.pick(GREETING), picks.pick(GREETING)

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(*(request(user) for user in range(200)))

    served = asyncio.run(main())
    assert all(current == own for current, own in served)
    assert {current for current, _ in served} == {"Hello!", "Hi there!", "Hey!"}
    assert pyrosper.pick(GREETING) == "Hello!"


def test_two_users_that_draw_differently_at_the_same_time() -> None:
    experiment = enabled()
    experiment.draws = [0, 1]
    pyrosper = _serving(experiment)

    async def request(user: str) -> tuple[str, str]:
        picks = await pyrosper.set_for_user(user)
        await asyncio.sleep(0.01)
        return pyrosper.pick(GREETING), greetings()[picks.choices["greetings"].index].get_pick(GREETING)

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(request("u1"), request("u2"))

    assert sorted(asyncio.run(main())) == [("Hello!", "Hello!"), ("Hi there!", "Hi there!")]


def test_one_user_at_the_same_time_is_drawn_for_once() -> None:
    experiment = enabled()
    experiment.draws = [0, 1, 2, 0, 1, 2]
    pyrosper = _serving(experiment)

    async def main() -> set[int]:
        picks = await asyncio.gather(*(pyrosper.for_user("u") for _ in range(20)))
        return {p.choices["greetings"].index for p in picks}

    assert len(asyncio.run(main())) == 1
    assert experiment.asked == 1


def test_threads_never_see_each_other() -> None:
    experiment = enabled()
    experiment.draws = [0, 1, 2, 1, 0, 2, 1, 2]
    pyrosper = _serving(experiment)
    barrier = threading.Barrier(8)
    served: dict[int, tuple[str, str]] = {}

    def request(user: int) -> None:
        own = pyrosper.set_for_user_sync(user)
        barrier.wait()
        served[user] = (pyrosper.pick(GREETING), own.pick(GREETING))

    threads = [threading.Thread(target=request, args=(user,)) for user in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(current == own for current, own in served.values())
    assert len({current for current, _ in served.values()}) == 3


def test_a_task_inherits_its_user_and_a_thread_does_not() -> None:
    pyrosper = _serving(enabled())
    seen: list[str] = []

    async def main() -> None:
        await pyrosper.set_for_user("u")
        seen.append(await asyncio.create_task(_picked(pyrosper)))
        thread = threading.Thread(target=lambda: seen.append(pyrosper.pick(GREETING)))
        thread.start()
        thread.join()

    asyncio.run(main())
    assert seen == ["Hi there!", "Hello!"]


async def _picked(pyrosper: Pyrosper) -> str:
    return pyrosper.pick(GREETING)


def test_two_registries_keep_their_own_users() -> None:
    one, other = _serving(enabled()), _serving(enabled())
    one.set_for_user_sync("u")
    assert (one.pick(GREETING), other.pick(GREETING)) == ("Hi there!", "Hello!")
    other.set_for_user_sync("u")
    one.clear_user()
    assert (one.pick(GREETING), other.pick(GREETING)) == ("Hello!", "Hi there!")


def test_a_registry_per_request_is_freed() -> None:
    gone = []
    for user in range(50):
        pyrosper = _serving(enabled())
        pyrosper.set_for_user_sync(user)
        gone.append(weakref.ref(pyrosper))
    del pyrosper
    gc.collect()
    assert not [ref for ref in gone if ref() is not None]
    _serving(Kept()).set_for_user_sync("last")
    assert len(_DRAWS._values.get()) <= 2


def test_a_preview_is_seen_here_only_and_stores_nothing() -> None:
    experiment = enabled()
    pyrosper = _serving(experiment)
    experiment.use_variant("casual")
    elsewhere: list[str] = []
    thread = threading.Thread(target=lambda: elsewhere.append(pyrosper.pick(GREETING)))
    thread.start()
    thread.join()
    assert (pyrosper.pick(GREETING), elsewhere, experiment.rows) == ("Hey!", ["Hello!"], {})
    experiment.reset()
    assert pyrosper.pick(GREETING) == "Hello!"
    with pytest.raises(ValueError, match="no variant of that name"):
        experiment.use_variant("formal")


def test_an_unknown_symbol() -> None:
    pyrosper = _serving(Kept())
    assert pyrosper.has_pick(GREETING)
    assert not pyrosper.has_pick("greeting")
    with pytest.raises(UnknownSymbolError, match=r"Unable to find .*did you mean 'Symbol\(greeting\)'"):
        pyrosper.pick(Symbol("greetings"))
    with pytest.raises(ValueError, match="Unable to find"):
        pyrosper.pick("greeting")


def test_a_value_of_another_type() -> None:
    pyrosper = _serving(Kept())
    with pytest.raises(PickTypeError, match=r"Symbol\(greeting\): .* found str; allowed: int") as caught:
        pyrosper.pick(GREETING, int)  # type: ignore[call-overload]
    assert isinstance(caught.value, TypeError)
    with pytest.raises(TypeError):
        pick(pyrosper.set_for_user_sync("u"), GREETING, list[str])  # type: ignore[arg-type]


def test_a_generic_type_is_checked_by_its_origin() -> None:
    pyrosper = _serving(Kept(variants=[Variant("a", {"names": ["x"]})]))
    assert pyrosper.pick("names", list[str]) == ["x"]


def test_several_types_and_what_is_none() -> None:
    pyrosper = _serving(Kept())
    assert pyrosper.pick(GREETING, int | str) == "Hello!"  # type: ignore[call-overload]
    assert pyrosper.pick(GREETING, Optional[str]) == "Hello!"  # type: ignore[call-overload]  # noqa: UP045
    with pytest.raises(PickTypeError, match="found str; allowed: int"):
        pyrosper.pick(GREETING, int | list[str])  # type: ignore[call-overload]
    with pytest.raises(PickTypeError, match="cannot be checked"):
        pyrosper.pick(GREETING, Literal["Hello!"])  # type: ignore[call-overload]


def test_a_value_that_is_none() -> None:
    with pytest.raises(EmptyPickError) as caught:
        _serving(Kept(variants=[Variant("a", {GREETING: None})])).pick(GREETING)
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("value", [0, "", False, [], 0.0])
def test_a_value_that_is_false_is_a_value(value: object) -> None:
    assert _serving(Kept(variants=[Variant("a", {GREETING: value})])).pick(GREETING) == value


@pytest.mark.parametrize("index", [-1, 3, 5, 1.0, True, None, "1"])
def test_an_index_out_of_range_is_refused_and_not_stored(index: object) -> None:
    experiment = enabled()
    experiment.draws = [index]
    with pytest.raises(VariantIndexError, match="allowed: 0 to 2") as caught:
        _serving(experiment).set_for_user_sync("u")
    assert isinstance(caught.value, IndexError)
    assert experiment.rows == {}


@pytest.mark.parametrize("duty", ["get_experiment", "get_user_variant", "upsert_user_variant", "get_algorithm"])
def test_a_store_that_fails_serves_control_and_says_so(duty: str, caplog: pytest.LogCaptureFixture) -> None:
    experiment = enabled()
    experiment.fails[duty] = ConnectionError("down")
    with caplog.at_level(logging.ERROR):
        picks = _serving(experiment).set_for_user_sync("u")
    assert picks.pick(GREETING) == "Hello!"
    assert picks.choices["greetings"].reason == "store_error"
    assert f"{duty} failed" in caplog.text
    with pytest.raises(StoreError, match=duty) as caught:
        Pyrosper(on_store_error="raise").with_experiment(experiment).set_for_user_sync("u")
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_one_failing_experiment_leaves_the_others_alone() -> None:
    color: Symbol[str] = Symbol("color")
    broken, whole = enabled(), Kept("colors", [Variant("a", {color: "red"}), Variant("b", {color: "blue"})])
    whole.enable_sync()
    broken.fails["get_experiment"] = OSError("down")
    picks = Pyrosper().with_experiment(broken).with_experiment(whole).set_for_user_sync("u")
    assert (picks.pick(GREETING), picks.pick(color)) == ("Hello!", "blue")


def test_after_an_error_the_user_before_is_still_served() -> None:
    experiment = enabled()
    pyrosper = Pyrosper(on_store_error="raise").with_experiment(experiment)
    pyrosper.set_for_user_sync("u")
    experiment.fails["get_experiment"] = OSError("down")
    with pytest.raises(StoreError):
        pyrosper.set_for_user_sync("other")
    assert pyrosper.pick(GREETING) == "Hi there!"


def test_a_stored_index_of_a_variant_that_is_gone_serves_control() -> None:
    experiment = enabled()
    pyrosper = _serving(experiment)
    pyrosper.set_for_user_sync("u")
    experiment.rows["exp-1", "u"].index = 7
    assert pyrosper.set_for_user_sync("u").pick(GREETING) == "Hello!"


def test_an_id_that_is_none_of_the_allowed_kinds() -> None:
    experiment = StoredExperiment("greetings", greetings(), store=MemoryStore())
    experiment.enable_sync()
    with pytest.raises(DataError, match="no id of a user"):
        Pyrosper().with_experiment(experiment).set_for_user_sync(1.5)  # type: ignore[arg-type]


def test_a_blocking_call_inside_a_loop_says_what_to_do() -> None:
    pyrosper = _serving(enabled())

    async def main() -> None:
        pyrosper.set_for_user_sync("u")

    with pytest.raises(ContextError, match="await the method without _sync"):
        asyncio.run(main())


def test_what_a_user_is_served_by_name() -> None:
    picks = _serving(enabled()).set_for_user_sync("u")
    assert (picks.user, picks.variant("greetings")) == ("u", "friendly")
    with pytest.raises(ValueError, match="no experiment"):
        picks.variant("other")
