"""Bucket rule v2: from a salt and splitters to a number in [0, 1), the same to the bit in Python and SQL.

    u = int(md5(key).hexdigest()[:13], 16) / 2**52

The key is the UTF-8 text of the salt, then U+001F and the text of each splitter in declared order:
integers in decimal, booleans as ``true``/``false``. Floats and nulls are not splitters.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from xp_pipeline.errors import DataError

SEPARATOR = "\x1f"
STORAGE_SALT = "xp_pipeline/storage"
STORAGE_BUCKETS = 128
_DIGITS = 13
_RANGE = 2**52


def key(salt: str, *splitters: str | int | bool) -> bytes:
    """The bytes that are hashed.

    Raises:
        DataError: a splitter is a float, a null or anything else without one exact text.
    """
    text = SEPARATOR.join([salt, *(_text(value) for value in splitters)])
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError("half of a surrogate pair is not text", found=ascii(text)[:80]) from None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    raise DataError("this value cannot split traffic", found=repr(value), allowed="text, integers, booleans")


def bucket(salt: str, *splitters: str | int | bool) -> float:
    """The unit's number in [0, 1)."""
    return int(hashlib.md5(key(salt, *splitters), usedforsecurity=False).hexdigest()[:_DIGITS], 16) / _RANGE


def choose(u: float, shares: Mapping[str, float]) -> str:
    """The arm whose cumulative range holds ``u``; an arm of share zero is never chosen."""
    arms, bounds = _ranges(shares)
    return arms[min(bisect_right(bounds, u), len(arms) - 1)]


def _ranges(shares: Mapping[str, float]) -> tuple[list[str], list[float]]:
    """Arms that get anyone, and the upper bounds of their ranges."""
    weighted = {arm: share for arm, share in shares.items() if share > 0}
    if not weighted:
        raise DataError("no arm has a positive share", found=dict(shares))
    bounds = list(accumulate(weighted.values()))
    return list(weighted), [bound / bounds[-1] for bound in bounds]


def bucket_sql(salt: str, expressions: Sequence[str]) -> str:
    """The same number as SQL over columns of integers, text or booleans."""
    parts = " || ".join([_literal(salt), *(f"chr(31) || CAST({e} AS VARCHAR)" for e in expressions)])
    return f"(CAST('0x' || substr(md5({parts}), 1, {_DIGITS}) AS BIGINT) / CAST({_RANGE} AS DOUBLE))"


def choose_sql(u: str, shares: Mapping[str, float]) -> str:
    """The arm of a number, as SQL."""
    arms, bounds = _ranges(shares)
    cases = " ".join(
        f"WHEN {u} < CAST({bound!r} AS DOUBLE) THEN {_literal(arm)}"
        for arm, bound in zip(arms[:-1], bounds[:-1], strict=True)
    )
    return f"CASE {cases} ELSE {_literal(arms[-1])} END" if cases else _literal(arms[-1])


def storage_bucket(unit: str | int) -> int:
    """The storage bucket of a unit, 0 to 127, independent of every experiment's salt."""
    return int(bucket(STORAGE_SALT, unit) * STORAGE_BUCKETS)


def storage_bucket_sql(expression: str, count: int = STORAGE_BUCKETS) -> str:
    """The storage bucket as SQL."""
    return f"CAST(floor({bucket_sql(STORAGE_SALT, [expression])} * {count}) AS INTEGER)"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
