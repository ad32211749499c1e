"""Contexts: a registry that code inside a ``with`` block, or a decorated function, finds without being handed it."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, NamedTuple, NoReturn, ParamSpec, TypeVar

from xp_pipeline.delivery.concurrency import awaited
from xp_pipeline.delivery.errors import ContextError, ReadOnlyPickError
from xp_pipeline.delivery.pyrosper import Pyrosper

T = TypeVar("T")
P = ParamSpec("P")


class _Entered(NamedTuple):
    context: BaseContext
    pyrosper: Pyrosper


_STACK: ContextVar[tuple[_Entered, ...]] = ContextVar("xp_pipeline_contexts", default=())


def get_current() -> Pyrosper:
    """The registry of the innermost context around the caller.

    A new task inherits the contexts of the task that starts it; a new thread has none.

    Raises:
        ContextError: there is none.
    """
    return BaseContext.get_current()


class BaseContext(ABC):
    """A context manager, plain or ``async``, and a decorator, around a registry made by ``setup``.

    Contexts nest, and one object may be entered again while it is entered. A decorated coroutine or generator
    function is inside the context whenever its body runs; what consumes a generator is not.
    """

    @abstractmethod
    def setup(self) -> Pyrosper | Awaitable[Pyrosper]:
        """Make or find the registry; runs at each entry. A coroutine needs ``async with``."""

    def teardown_context(self) -> Awaitable[None] | None:
        """Clean up; runs at each exit, before the outer context is restored, which an error here does not prevent."""
        return None

    @classmethod
    def get_current(cls) -> Pyrosper:
        """The registry of the innermost context of this class around the caller.

        Raises:
            ContextError: there is none.
        """
        for entered in reversed(_STACK.get()):
            if isinstance(entered.context, cls):
                return entered.pyrosper
        raise ContextError(
            f"no {cls.__name__} around this code", next_step=f"run it inside `with {cls.__name__}(…):`, or decorate it"
        )

    @classmethod
    def pick(cls, pick_type: type[T], symbol: Hashable) -> Picked[T]:
        """A class attribute that is picked anew, from the current context, whenever it is read."""
        return Picked(cls, pick_type, symbol)

    def __enter__(self) -> Pyrosper:
        return self._enter(self.setup())

    def __exit__(self, *raised: object) -> None:
        position = self._position()
        try:
            self.teardown_context()
        finally:
            _restore(position)

    async def __aenter__(self) -> Pyrosper:
        return self._enter(await awaited(self.setup()))

    async def __aexit__(self, *raised: object) -> None:
        position = self._position()
        try:
            await awaited(self.teardown_context())
        finally:
            _restore(position)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Decorate a function, coroutine function, generator function or asynchronous generator function."""
        from xp_pipeline.delivery.decorating import decorated

        return decorated(self, function)

    @contextmanager
    def around(self, pyrosper: object) -> Iterator[None]:
        """Inside this context with a registry that has been set up before; nothing is set up or torn down."""
        position = len(_STACK.get())
        self._enter(pyrosper)
        try:
            yield
        finally:
            _restore(position)

    def _enter(self, pyrosper: object) -> Pyrosper:
        if not isinstance(pyrosper, Pyrosper):
            if inspect.iscoroutine(pyrosper):
                pyrosper.close()
            raise ContextError(
                f"{type(self).__name__}.setup gave no registry",
                found=type(pyrosper).__name__,
                allowed="a Pyrosper (and a coroutine of one with `async with`)",
            )
        _STACK.set((*_STACK.get(), _Entered(self, pyrosper)))
        return pyrosper

    def _position(self) -> int:
        """Where this object was entered last."""
        stack = _STACK.get()
        for position in reversed(range(len(stack))):
            if stack[position].context is self:
                return position
        raise ContextError(
            f"this {type(self).__name__} was not entered here",
            next_step="leave a context in the thread or task that entered it",
        )


class Picked(Generic[T]):
    """A read-only attribute whose value is picked from the current context at each read."""

    def __init__(self, context: type[BaseContext], pick_type: type[T], symbol: Hashable) -> None:
        self._context = context
        self._type = pick_type
        self._symbol = symbol

    def __get__(self, instance: object, owner: type | None = None) -> T:
        return self._context.get_current().pick(self._symbol, self._type)

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise ReadOnlyPickError("a picked attribute is read-only", where=str(self._symbol))

    def __delete__(self, instance: object) -> NoReturn:
        raise ReadOnlyPickError("a picked attribute is read-only", where=str(self._symbol))


def _restore(position: int) -> None:
    _STACK.set(_STACK.get()[:position])
