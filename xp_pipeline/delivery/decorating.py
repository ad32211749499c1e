"""Functions whose bodies run inside a context, whatever kind of function they are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from xp_pipeline.delivery.concurrency import awaited

if TYPE_CHECKING:
    from xp_pipeline.delivery.context import BaseContext

P = ParamSpec("P")
T = TypeVar("T")
AnyFunction = Callable[..., Any]


def decorated(context: BaseContext, function: Callable[P, T]) -> Callable[P, T]:
    """The function inside the context: for a coroutine or generator, as long as its body runs."""
    wrap: Callable[[BaseContext, AnyFunction], AnyFunction] = _around_function
    if inspect.iscoroutinefunction(function):
        wrap = _around_coroutine
    elif inspect.isgeneratorfunction(function):
        wrap = _around_generator
    elif inspect.isasyncgenfunction(function):
        wrap = _around_async_generator
    return cast("Callable[P, T]", functools.wraps(function)(wrap(context, function)))


def _around_function(context: BaseContext, function: AnyFunction) -> AnyFunction:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with context:
            return function(*args, **kwargs)

    return wrapper


def _around_coroutine(context: BaseContext, function: AnyFunction) -> AnyFunction:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        async with context:
            return await function(*args, **kwargs)

    return wrapper


def _around_generator(context: BaseContext, function: AnyFunction) -> AnyFunction:
    """One set-up for the whole generator; the context is around each of its steps, not around its consumer's."""

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        pyrosper = context.setup()
        generator = function(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(next, generator)
        try:
            while True:
                try:
                    with context.around(pyrosper):
                        value = step()
                except StopIteration as finished:
                    return finished.value
                step = yield from _next_step(generator, value)
        finally:
            with context.around(pyrosper):
                try:
                    generator.close()
                finally:
                    context.teardown_context()

    return wrapper


def _next_step(generator: Generator[Any, Any, Any], value: Any) -> Generator[Any, Any, Callable[[], Any]]:
    """Hand a value to the consumer; what comes back, a value or an error, is for the generator's next step."""
    try:
        return functools.partial(generator.send, (yield value))
    except GeneratorExit:
        raise
    except BaseException as raised:
        return functools.partial(generator.throw, raised)


def _around_async_generator(context: BaseContext, function: AnyFunction) -> AnyFunction:
    """As for a generator."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        pyrosper = await awaited(context.setup())
        generator = function(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(anext, generator)
        try:
            while True:
                try:
                    with context.around(pyrosper):
                        value = await step()
                except StopAsyncIteration:
                    return
                try:
                    step = functools.partial(generator.asend, (yield value))
                except GeneratorExit:
                    raise
                except BaseException as raised:
                    step = functools.partial(generator.athrow, raised)
        finally:
            with context.around(pyrosper):
                try:
                    await generator.aclose()
                finally:
                    await awaited(context.teardown_context())

    return wrapper
