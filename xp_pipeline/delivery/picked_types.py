"""The type that a pick is asked for."""

from __future__ import annotations

from collections.abc import Hashable
from types import UnionType
from typing import Any, Union, get_args, get_origin

from xp_pipeline.delivery.errors import PickTypeError


def check_type(symbol: Hashable, value: object, pick_type: Any) -> None:
    """Refuse a value that is not of the type that is asked for.

    Raises:
        PickTypeError: it is not, or nothing can be checked against that type.
    """
    if not _is_of(value, pick_type):
        raise PickTypeError(
            "the value is not of the type that is asked for",
            where=str(symbol),
            found=type(value).__name__,
            allowed=getattr(pick_type, "__name__", str(pick_type)),
        )


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value is of a class, of a generic's class, or of one of several."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return any(_is_of(value, member) for member in get_args(kind))
    try:
        return isinstance(value, origin or kind)
    except TypeError:
        raise PickTypeError("values cannot be checked against this", found=kind, allowed="a class") from None
