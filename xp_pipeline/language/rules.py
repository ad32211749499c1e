"""The bucket rules: from a salt and a unit's splitters to a number in [0, 1), and from that to an arm.

``v2``, the default, is defined in ``buckets``. ``v1`` is the rule of the programs that came before::

    u = int(md5(key).hexdigest()[:8], 16) / 2**32

where key is the salt (nothing, if there is none) followed by the texts of the distinct splitters in alphabetical order
of their names, without separators; ``None`` stands for a null, ``True`` and ``False`` for booleans. ``growthbook`` is
hash version 2 of the GrowthBook SDKs::

    u = fnv1a32(str(fnv1a32(seed + unit))) % 10000 / 10000

over UTF-16 code units, with one splitter. All give arms half-open ranges of u.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Literal, get_args

from xp_pipeline.errors import DataError, SpecError, nearest
from xp_pipeline.language import buckets
from xp_pipeline.language.tree import ExperimentGroup, place
from xp_pipeline.language.unparser import literal

Rule = Literal["v1", "v2", "growthbook"]
RULES: tuple[Rule, ...] = get_args(Rule)

V1_RANGE = 2**32
GROWTHBOOK_RANGE = 10_000
FNV_OFFSET = 0x811C9DC5
FNV_PRIME = 0x01000193
_UINT32 = 0xFFFFFFFF
_DOUBLE_EXACT = 2**53
_JS_FIXED = 10**21


@dataclass(frozen=True)
class Range:
    """The units of an arm: those with ``start <= u < end``.

    Attributes:
        arm: The label as text, as results show it.
        label: The label as the program wrote it: a number stays a number.
        start: Smallest u, in [0, 1).
        end: First u beyond, in (0, 1]; ``start == end`` when the arm gets nobody.
    """

    arm: str
    label: int | float | str
    start: float
    end: float


def bucket(rule: Rule, salt: str, splitters: Mapping[str, object]) -> float | None:
    """A unit's number in [0, 1), or None when the rule gives the unit none: v2 and growthbook with a null.

    Raises:
        DataError: a splitter is of a type without one exact text.
    """
    if rule == "v1":
        return bucket_v1(salt, splitters)
    if any(value is None for value in splitters.values()):
        return None
    if rule == "v2":
        return buckets.bucket(salt, *splitters.values())  # type: ignore[arg-type]
    return bucket_growthbook(salt, *splitters.values())


def key_v1(salt: str, splitters: Mapping[str, object]) -> bytes:
    """The bytes that rule v1 hashes: UTF-8, which for the ASCII keys of old is the same."""
    return (salt + "".join(str(splitters[name]) for name in sorted(splitters))).encode("utf-8", "surrogatepass")


def bucket_v1(salt: str, splitters: Mapping[str, object]) -> float:
    """Rule v1 of one unit; any value has a text."""
    return int(hashlib.md5(key_v1(salt, splitters), usedforsecurity=False).hexdigest()[:8], 16) / V1_RANGE


def bucket_growthbook(seed: str, unit: object) -> float | None:
    """Rule growthbook of one unit; its SDKs give booleans and empty texts no variant.

    Raises:
        DataError: a float, or anything else that is not text or an integer.
    """
    if isinstance(unit, bool) or unit is None or unit == "":
        return None
    if not isinstance(unit, int | str):
        raise DataError("this value cannot split traffic", found=repr(unit), allowed="text, integers")
    text = unit if isinstance(unit, str) else javascript_integer(unit)
    return fnv1a32(str(fnv1a32(seed + text))) % GROWTHBOOK_RANGE / GROWTHBOOK_RANGE


def fnv1a32(text: str) -> int:
    """FNV-1a of 32 bits over the UTF-16 code units of a text, as JavaScript's ``charCodeAt`` gives them."""
    data = text.encode("utf-16-le", "surrogatepass")
    state = FNV_OFFSET
    for low, high in zip(data[::2], data[1::2], strict=True):
        state = ((state ^ (low | high << 8)) * FNV_PRIME) & _UINT32
    return state


def javascript_integer(value: int) -> str:
    """An integer's text where every number is a double: beyond 2**53 it is rounded.

    Raises:
        DataError: JavaScript would write it with an exponent.
    """
    if abs(value) <= _DOUBLE_EXACT:
        return str(value)
    if abs(value) >= _JS_FIXED:
        raise DataError("an id this large has no decimal text in JavaScript", found=value, next_step="quote it as text")
    return format(Decimal(repr(float(value))), "f").removesuffix(".0")


def ranges(
    rule: Rule, groups: Sequence[ExperimentGroup], *, coverage: float = 1.0, where: str = "program"
) -> tuple[Range, ...]:
    """The ranges of a split's arms, in declared order.

    ``coverage`` is growthbook's: each arm keeps the first part of its range, the rest gets no arm.

    Raises:
        SpecError: the weights do not add up to a positive finite number, or a coverage that the rule does not have.
    """
    if rule != "growthbook" and coverage != 1.0:
        raise SpecError("only rule growthbook has a coverage", found=coverage, where=where)
    if not 0 <= coverage <= 1:
        raise SpecError("a coverage is a share", found=coverage, allowed="0 to 1", where=where)
    weights = positive_weights(groups, where=where)
    if rule == "growthbook":
        bounds = _growthbook_bounds(weights, coverage)
    else:
        ends = _ends_v1(weights) if rule == "v1" else _ends_v2(weights)
        bounds = list(zip([0.0, *ends[:-1]], ends, strict=True))
    return tuple(
        Range(label_text(group.group_definition), group.group_definition, start, end)
        for group, (start, end) in zip(groups, bounds, strict=True)
    )


def positive_weights(groups: Sequence[ExperimentGroup], *, where: str) -> list[float]:
    """The weights as numbers.

    Raises:
        SpecError: their total is zero or not finite.
    """
    try:
        weights = [float(group.group_weight) for group in groups]
        total = sum(weights)
    except OverflowError:
        weights, total = [], math.inf
    if not 0 < total < math.inf:
        raise SpecError(
            "the weights of a split add up to a positive finite number",
            where=place(where, groups[0].at if groups else None),
            found=f"a total of {total:g}",
        )
    return weights


def label_text(label: int | float | str) -> str:
    """An arm's label as text."""
    return label if isinstance(label, str) else literal(label)


def _ends_v2(weights: Sequence[float]) -> list[float]:
    """The bounds of ``buckets.choose``: cumulative weight over total; the last arm with any ends at 1."""
    cumulative = list(accumulate(weights))
    ends = [bound / cumulative[-1] for bound in cumulative]
    last = max(i for i, weight in enumerate(weights) if weight)
    return [1.0 if i >= last else end for i, end in enumerate(ends)]


def _ends_v1(weights: Sequence[float]) -> list[float]:
    """The bounds that give each of the 2**32 numbers the arm of ``bisect_right(cumulative, u * total)``."""
    cumulative = list(accumulate(weights))
    total, last = cumulative[-1] + 0.0, len(weights) - 1
    numbers = range(V1_RANGE)
    firsts = [
        bisect_right(numbers, i, key=lambda n: bisect_right(cumulative, n / V1_RANGE * total, 0, last))
        for i in range(last)
    ]
    return [*(first / V1_RANGE for first in firsts), 1.0]


def _growthbook_bounds(weights: Sequence[float], coverage: float) -> list[tuple[float, float]]:
    """Each arm starts where the one before would end at full coverage; weights are shares."""
    total = list(accumulate(weights))[-1]
    shares = weights if 0.99 <= total <= 1.01 else [weight / total for weight in weights]
    starts = [0.0, *accumulate(shares)]
    return [(start, start + coverage * share) for start, share in zip(starts, shares, strict=False)]


def arm_of(u: float, split: Sequence[Range]) -> Range | None:
    """The range that holds u; None in a gap that a coverage leaves."""
    return next((part for part in split if part.start <= u < part.end), None)


def splitter_values(splitters: Sequence[str], fields: Mapping[str, object]) -> dict[str, object]:
    """The values that are hashed, in declared order, numpy's scalars as Python's.

    Raises:
        DataError: one was not given.
    """
    absent = next((name for name in splitters if name not in fields), None)
    if absent is not None:
        raise DataError(
            "the program splits by a field that was not given", where=absent, allowed=nearest(absent, fields)
        )
    return {name: _plain(fields[name]) for name in splitters}


def _plain(value: object) -> object:
    return value.item() if hasattr(value, "item") else value
