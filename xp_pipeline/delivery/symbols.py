"""Symbols: the names under which long-lived code asks for what an experiment varies."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)


class Symbol(Generic[T_co]):
    """A name with the type of the values behind it; two symbols of one description are one object.

    >>> Symbol("greeting") is Symbol("greeting")
    True
    >>> limit: Symbol[int] = Symbol("limit")   # a type checker knows that its picks are integers

    Args:
        description: What it names, unique among the experiments that are served together.
    """

    __slots__ = ("__weakref__", "description")
    description: str

    def __new__(cls, description: str) -> Symbol[T_co]:
        with _LOCK:
            known = _KNOWN.get(description)
            if known is None:
                known = object.__new__(cls)
                object.__setattr__(known, "description", description)
                _KNOWN[description] = known
            return known

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a symbol has no attribute {name!r} to set")

    def __repr__(self) -> str:
        return f"Symbol({self.description})"

    def __reduce__(self) -> tuple[type[Symbol[Any]], tuple[str]]:
        return Symbol, (self.description,)


_LOCK = threading.Lock()
_KNOWN: WeakValueDictionary[str, Symbol[Any]] = WeakValueDictionary()
