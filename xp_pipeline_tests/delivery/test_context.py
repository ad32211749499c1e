"""Contexts: nested, in threads and tasks, recursive, around every kind of function, restored whatever is raised."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from xp_pipeline.delivery import BaseContext, Pyrosper, Symbol, get_current
from xp_pipeline.delivery.context import _STACK
from xp_pipeline.delivery.errors import ContextError, PickTypeError, ReadOnlyPickError
from xp_pipeline_tests.delivery.duties import GREETING, Kept


class Tracked(BaseContext):
    """Counts its entries; previews the variant it is named after."""

    def __init__(self, variant: str = "control") -> None:
        self.variant = variant
        self.entered = self.left = 0
        self.inside_teardown: Pyrosper | None = None
        self.fails = False

    def setup(self) -> Pyrosper:
        self.entered += 1
        return Pyrosper().with_experiment(Kept(control=self.variant))

    def teardown_context(self) -> None:
        self.left += 1
        self.inside_teardown = get_current()
        if self.fails:
            raise OSError("teardown")


class Other(Tracked):
    pass


def _greeting() -> str:
    return get_current().pick(GREETING)


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    assert _STACK.get() == ()
    yield
    assert _STACK.get() == ()


def test_outside_there_is_none() -> None:
    with pytest.raises(ContextError, match="no BaseContext around this code") as caught:
        get_current()
    assert isinstance(caught.value, RuntimeError)


def test_nested_contexts_restore_the_outer_one() -> None:
    with Tracked("friendly") as outer:
        assert get_current() is outer
        with Tracked("casual") as inner:
            assert get_current() is inner
            assert _greeting() == "Hey!"
        assert get_current() is outer
        assert _greeting() == "Hi there!"


def test_an_exception_leaves_and_restores() -> None:
    context = Tracked()
    with pytest.raises(KeyError, match="body"), context:
        raise KeyError("body")
    assert (context.entered, context.left) == (1, 1)


def test_a_failing_teardown_still_restores() -> None:
    outer, inner = Tracked("friendly"), Tracked("casual")
    inner.fails = True
    with outer as pyrosper:
        with pytest.raises(OSError, match="teardown"), inner:
            pass
        assert get_current() is pyrosper
        assert inner.inside_teardown is not pyrosper


def test_a_failing_setup_enters_nothing() -> None:
    class Failing(BaseContext):
        def setup(self) -> Pyrosper:
            raise OSError("setup")

    with pytest.raises(OSError, match="setup"), Failing():
        pass


@pytest.mark.parametrize("given", [None, "text"])
def test_a_setup_that_gives_no_registry(given: object) -> None:
    class Forgetful(BaseContext):
        def setup(self) -> Pyrosper:
            return given  # type: ignore[return-value]

    with pytest.raises(ContextError, match=r"Forgetful\.setup gave no registry"), Forgetful():
        pass


def test_one_object_may_be_entered_while_it_is_entered() -> None:
    context = Tracked()
    with context as outer, context as inner:
        assert outer is not inner
        assert get_current() is inner
    with context:
        pass
    assert (context.entered, context.left) == (3, 3)


def test_leaving_what_was_not_entered() -> None:
    with pytest.raises(ContextError, match="was not entered here"):
        Tracked().__exit__(None, None, None)


def test_a_thread_does_not_see_the_context_and_a_task_does() -> None:
    seen: list[str] = []

    def in_thread() -> None:
        try:
            get_current()
        except ContextError:
            seen.append("none")

    async def main() -> None:
        with Tracked("casual"):
            task = asyncio.create_task(_greeting_later())
        seen.append(await task)

    with Tracked():
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
    asyncio.run(main())
    assert seen == ["none", "Hey!"]


async def _greeting_later() -> str:
    await asyncio.sleep(0)
    return _greeting()


def test_tasks_have_contexts_of_their_own() -> None:
    async def request(variant: str) -> str:
        async with Tracked(variant):
            await asyncio.sleep(0.001)
            return _greeting()

    async def main() -> list[str]:
        return await asyncio.gather(request("control"), request("friendly"), request("casual"))

    assert asyncio.run(main()) == ["Hello!", "Hi there!", "Hey!"]


def test_an_asynchronous_setup_and_teardown() -> None:
    log: list[str] = []

    class Remote(BaseContext):
        async def setup(self) -> Pyrosper:
            await asyncio.sleep(0)
            log.append("setup")
            return Pyrosper().with_experiment(Kept())

        async def teardown_context(self) -> None:
            await asyncio.sleep(0)
            log.append(_greeting())

    async def main() -> None:
        async with Remote() as pyrosper:
            assert get_current() is pyrosper

    asyncio.run(main())
    assert log == ["setup", "Hello!"]
    with pytest.raises(ContextError, match="coroutine"), Remote():
        pass


def test_a_decorated_function_keeps_its_name() -> None:
    context = Tracked("casual")

    @context
    def greet(name: str) -> str:
        """Greets."""
        return f"{_greeting()} {name}"

    assert (greet("Ada"), greet("Bob")) == ("Hey! Ada", "Hey! Bob")
    assert (greet.__name__, greet.__doc__, context.entered, context.left) == ("greet", "Greets.", 2, 2)


def test_a_decorated_method() -> None:
    class Service:
        name = "Ada"

        @Tracked("casual")
        def greet(self) -> str:
            return f"{_greeting()} {self.name}"

    assert Service().greet() == "Hey! Ada"


def test_a_decorated_recursive_function() -> None:
    context = Tracked("casual")

    @context
    def depth(n: int) -> int:
        assert _greeting() == "Hey!"
        return n if n == 0 else 1 + depth(n - 1)

    assert depth(5) == 5
    assert (context.entered, context.left) == (6, 6)


def test_a_decorated_coroutine_runs_inside() -> None:
    context = Tracked("casual")

    @context
    async def greet() -> str:
        await asyncio.sleep(0)
        return _greeting()

    async def main() -> list[str]:
        return await asyncio.gather(greet(), greet())

    assert asyncio.run(main()) == ["Hey!", "Hey!"]
    assert asyncio.iscoroutinefunction(greet)
    assert (context.entered, context.left) == (2, 2)


def test_a_decorated_generator_runs_inside_and_its_consumer_outside() -> None:
    context = Tracked("casual")

    @context
    def greetings_forever() -> Generator[str, str, str]:
        name = ""
        while name != "stop":
            name = yield f"{_greeting()} {name}"
        return "done"

    generator = greetings_forever()
    assert next(generator) == "Hey! "
    assert _STACK.get() == ()
    with Tracked("friendly"):
        assert generator.send("Ada") == "Hey! Ada"
        assert _greeting() == "Hi there!"
    with pytest.raises(StopIteration) as stopped:
        generator.send("stop")
    assert (stopped.value.value, context.entered, context.left) == ("done", 1, 1)


def test_a_generator_sees_errors_and_its_end() -> None:
    context = Tracked("casual")
    log: list[str] = []

    @context
    def body() -> Generator[int, None, None]:
        try:
            yield 1
        except KeyError:
            log.append(_greeting())
            yield 2
        finally:
            log.append(f"closed {_greeting()}")

    generator = body()
    assert next(generator) == 1
    assert generator.throw(KeyError("x")) == 2
    generator.close()
    assert log == ["Hey!", "closed Hey!"]
    assert context.left == 1


def test_a_generator_that_fails_tears_down() -> None:
    context = Tracked()

    @context
    def body() -> Generator[int, None, None]:
        yield 1
        raise KeyError("body")

    with pytest.raises(KeyError, match="body"):
        list(body())
    assert context.left == 1


def test_a_decorated_asynchronous_generator() -> None:
    context = Tracked("casual")

    @context
    async def body() -> AsyncIterator[str]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield _greeting()

    async def main() -> list[str]:
        seen = []
        async for greeting in body():
            assert _STACK.get() == ()
            seen.append(greeting)
        return seen

    assert asyncio.run(main()) == ["Hey!"] * 3
    assert (context.entered, context.left) == (1, 1)


def test_a_context_is_found_by_its_class() -> None:
    with Tracked("friendly") as tracked, Other("casual") as other:
        assert Tracked.get_current() is other
        assert Other.get_current() is other
        assert BaseContext.get_current() is other
    with Tracked("friendly") as tracked:
        assert Tracked.get_current() is tracked
        with pytest.raises(ContextError, match="no Other around"):
            Other.get_current()


class Page:
    greeting = Tracked.pick(str, GREETING)
    wrong = Tracked.pick(int, GREETING)
    unknown = Tracked.pick(str, Symbol("nobody serves this"))


def test_a_picked_attribute_is_read_anew_and_read_only() -> None:
    page = Page()
    with Tracked("casual"):
        assert page.greeting == "Hey!"
        assert Page.greeting == "Hey!"
    with Tracked("friendly"):
        assert page.greeting == "Hi there!"
        with pytest.raises(PickTypeError):
            _ = page.wrong
        with pytest.raises(ValueError, match="Unable to find"):
            _ = page.unknown
    with pytest.raises(ContextError):
        _ = page.greeting
    with pytest.raises(ReadOnlyPickError) as caught:
        page.greeting = "x"
    assert isinstance(caught.value, AttributeError)
    with pytest.raises(ReadOnlyPickError):
        del page.greeting


def test_a_picked_attribute_is_checked_once() -> None:
    class Counted(type):
        checks = 0

        def __instancecheck__(cls, value: object) -> bool:
            Counted.checks += 1
            return isinstance(value, str)

    class Text(metaclass=Counted):
        pass

    class Titled:
        greeting = Tracked.pick(Text, GREETING)

    with Tracked("casual"):
        assert str(Titled().greeting) == "Hey!"
    assert Counted.checks == 1
