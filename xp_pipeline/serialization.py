"""Anything the package computes, as JSON that every parser accepts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum
from typing import Any

from xp_pipeline.errors import XpError

_CONVERSIONS = ("to_dict", "model_dump", "to_list")
"""Methods by which results, pydantic models and columns of data frames say what they hold."""


def make_serializable(obj: Any) -> Any:
    """Convert a nested object to dicts, lists, text, numbers, booleans and None.

    NaN and infinities become the texts ``nan``, ``inf`` and ``-inf``; sets become sorted lists; dataclasses,
    named tuples and whatever has ``to_dict`` become dicts, converted in turn; dates become ISO 8601 text;
    what has no form of its own becomes its text.

    Raises:
        XpError: two keys of one mapping become the same text, the object contains itself, or its own
            conversion fails.
    """
    try:
        return _converted(obj)
    except RecursionError:
        raise XpError(
            "the object is nested too deeply for JSON, or contains itself", found=type(obj).__name__
        ) from None


def serialize_to_json(obj: Any, indent: int | None = None) -> str:
    """The object as JSON text, keys in their given order.

    Raises:
        XpError: as ``make_serializable``.
    """
    return json.dumps(make_serializable(obj), indent=indent, allow_nan=False)


def _converted(obj: Any) -> Any:
    if isinstance(obj, Enum):
        return _converted(obj.value)
    if obj is None or isinstance(obj, bool | int | float | str):
        return _scalar(obj)
    if isinstance(obj, Mapping):
        return _mapping(obj)
    if isinstance(obj, list | tuple | set | frozenset):
        return _sequence(obj)
    if isinstance(obj, date | time):
        return obj.isoformat()
    return _from_numpy(obj) if _is_numpy(obj) else _from_object(obj)


def _scalar(value: bool | int | float | str | None) -> Any:
    """A JSON scalar of exactly the builtin type; booleans are tested first, for they are integers too."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    return int(value)


def _mapping(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for key, value in mapping.items():
        text = str(_converted(key))
        if text in converted:
            raise XpError("two keys of a mapping become the same text", found=repr(text), next_step="rename one")
        converted[text] = _converted(value)
    return converted


def _sequence(items: Any) -> Any:
    if hasattr(items, "_asdict"):
        return _mapping(items._asdict())
    converted = [_converted(item) for item in items]
    return _ordered(converted) if isinstance(items, set | frozenset) else converted


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Sorted by value, or by JSON text where the values do not compare."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))


def _is_numpy(obj: Any) -> bool:
    """Without importing NumPy: where nothing has imported it, nothing is of it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(obj, numpy.generic | numpy.ndarray)


def _from_numpy(obj: Any) -> Any:
    if obj.dtype.kind in "mM":  # the integers that tolist gives for nanoseconds would lose their unit
        return obj.astype(str).tolist()
    plain = obj.tolist()
    return _converted(float(plain) if _is_numpy(plain) else plain)


def _from_object(obj: Any) -> Any:
    if isinstance(obj, type):
        return str(obj)
    for name in _CONVERSIONS:
        if callable(getattr(obj, name, None)):
            return _converted(_called(obj, name))
    if is_dataclass(obj):
        return {field.name: _converted(getattr(obj, field.name)) for field in fields(obj)}
    return str(obj)


def _called(obj: Any, name: str) -> Any:
    try:
        return getattr(obj, name)()
    except Exception as problem:
        raise XpError(f"{type(obj).__name__}.{name} failed: {problem}") from problem
