"""Small tools for code that is called from event loops, from threads, and from neither."""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from xp_pipeline.delivery.errors import ContextError

T = TypeVar("T")
V = TypeVar("V")
_POLL_SECONDS = 0.001


def blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, for callers without an event loop.

    Raises:
        ContextError: a loop runs in this thread; it would stand still.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    coroutine.close()
    raise ContextError("a blocking call inside an event loop", next_step="await the method without _sync in its name")


async def awaited(value: T | Awaitable[T]) -> T:
    """A value, or what an awaitable gives: duties may be plain functions or coroutines."""
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def exclusively(lock: threading.Lock) -> AsyncIterator[None]:
    """Hold a lock among all tasks of all loops of all threads, without standing in a loop's way."""
    while not lock.acquire(blocking=False):
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


class Owner:
    """Stands for an object in a ``Scoped`` without keeping it alive."""

    __slots__ = ("_referent",)

    def __init__(self, referent: object) -> None:
        self._referent = weakref.ref(referent)

    @property
    def is_alive(self) -> bool:
        return self._referent() is not None


class Scoped(Generic[V]):
    """A value per owner that only the current thread or task sees, and the tasks it starts from then on.

    One context variable holds an immutable mapping for all owners, for a variable of each would never be freed;
    whoever writes drops the owners that are gone.
    """

    def __init__(self, name: str) -> None:
        empty: Mapping[Owner, V] = {}
        self._values: ContextVar[Mapping[Owner, V]] = ContextVar(name, default=empty)

    def get(self, owner: Owner) -> V | None:
        """The owner's value here, if it has one."""
        return self._values.get().get(owner)

    def put(self, owner: Owner, value: V | None) -> None:
        """Set the owner's value here; None removes it."""
        held = self._values.get()
        if len(held) == 1 and owner in held and value is not None:
            self._values.set({owner: value})
            return
        kept = {o: v for o, v in held.items() if o is not owner and o.is_alive}
        self._values.set(kept if value is None else {**kept, owner: value})


class Stripes:
    """Locks shared out by key, so that two keys rarely meet and no lock has to be thrown away."""

    def __init__(self, count: int = 64) -> None:
        self._locks = tuple(threading.Lock() for _ in range(count))

    def of(self, key: object) -> threading.Lock:
        """The lock of a key."""
        return self._locks[hash(key) % len(self._locks)]


async def off_loop(call: Callable[..., T], *args: Any) -> T:
    """A blocking call, in a thread."""
    return await asyncio.to_thread(call, *args)
