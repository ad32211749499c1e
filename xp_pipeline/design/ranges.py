"""Bucket ranges: which part of [0, 1) belongs to which arm, as plain data, a scalar call and SQL."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import SpecError

_GRID = 2**52


class Range(NamedTuple):
    """Buckets from ``low`` up to but without ``high`` that belong to an arm.

    Attributes:
        low, high: 0 <= low < high <= 1, multiples of 2**-52 where this package made them, so that their
            sums and differences are exact.
        arm: Who holds them.
    """

    low: float
    high: float
    arm: str

    @property
    def width(self) -> float:
        """The share of buckets."""
        return self.high - self.low


class Flow(NamedTuple):
    """A share of all buckets that one table of ranges gives to one arm and another table to another.

    Attributes:
        before, after: The arms; None is nobody.
        share: Of all buckets, 0 to 1.
    """

    before: str | None
    after: str | None
    share: float


Ranges = tuple[Range, ...]


def gridded(x: float) -> float:
    """The smallest multiple of 2**-52 that is not below x: the same buckets lie below both."""
    return math.ceil(x * _GRID) / _GRID


def cumulative(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    """Arms that get anyone, each with the upper bound of its range, as ``buckets.choose`` has them.

    Raises:
        SpecError: a share is negative or not finite, or none is positive.
    """
    if any(not 0 <= share < math.inf for share in shares.values()):
        raise SpecError("shares are finite and not negative", found=dict(shares))
    weighted = {arm: share for arm, share in shares.items() if share > 0}
    if not weighted:
        raise SpecError("no arm has a positive share", found=dict(shares))
    total = sum(weighted.values())
    bounds = [gridded(bound / total) for bound in accumulate(weighted.values())]
    return list(zip(weighted, [*bounds[:-1], 1.0], strict=True))


def checked(ranges: Iterable[Range]) -> Ranges:
    """The ranges in order.

    Raises:
        SpecError: one is empty or outside [0, 1], or two overlap.
    """
    ordered = tuple(sorted(ranges))
    for r in ordered:
        if not 0 <= r.low < r.high <= 1:
            raise SpecError("a range of buckets lies within 0 and 1", where=r.arm, found=f"[{r.low:g}, {r.high:g})")
    for one, other in pairwise(ordered):
        if other.low < one.high:
            shared = f"[{other.low:g}, {min(one.high, other.high):g})"
            raise SpecError(f"{one.arm} and {other.arm} hold the same buckets", found=shared)
    return ordered


def merged(ranges: Iterable[Range]) -> Ranges:
    """The same buckets in as few ranges as possible, in order."""
    joined: list[Range] = []
    for r in sorted(ranges):
        if joined and joined[-1].arm == r.arm and joined[-1].high == r.low:
            joined[-1] = Range(joined[-1].low, r.high, r.arm)
        else:
            joined.append(r)
    return tuple(joined)


def arm_at(ranges: Sequence[Range], u: float) -> str | None:
    """The arm that holds bucket ``u``; None where nobody does.

    Args:
        ranges: Disjoint and in order.
        u: From 0 up to but without 1.
    """
    i = bisect_right(ranges, u, key=lambda r: r.low) - 1
    return ranges[i].arm if i >= 0 and u < ranges[i].high else None


def arm_sql(ranges: Sequence[Range], u: str) -> str:
    """The arm of a bucket as SQL, NULL where nobody holds it.

    Args:
        ranges: Disjoint and in order.
        u: A column of buckets; an expression would be computed again for every bound.
    """
    whens, reached = [], 0.0
    for r in ranges:
        if r.low > reached:
            whens.append(f"WHEN {u} < {literal(float(r.low))} THEN NULL")
        whens.append(f"WHEN {u} < {literal(float(r.high))} THEN {literal(r.arm)}")
        reached = r.high
    return f"CASE {' '.join(whens)} END" if whens else "NULL"


def held(ranges: Iterable[Range]) -> dict[str, float]:
    """The share of all buckets that each arm holds."""
    shares: dict[str, float] = {}
    for r in ranges:
        shares[r.arm] = shares.get(r.arm, 0.0) + r.width
    return shares


def flows(before: Sequence[Range], after: Sequence[Range]) -> tuple[Flow, ...]:
    """Where every bucket goes from one table of ranges to another, exactly; the shares sum to 1."""
    cuts = sorted({0.0, 1.0, *(edge for r in (*before, *after) for edge in (r.low, r.high))})
    shares: dict[tuple[str | None, str | None], float] = {}
    for low, high in pairwise(cuts):
        pair = (arm_at(before, low), arm_at(after, low))
        shares[pair] = shares.get(pair, 0.0) + (high - low)
    ordered = sorted(shares.items(), key=lambda item: tuple(arm or "" for arm in item[0]))
    return tuple(Flow(*pair, share) for pair, share in ordered)


def moves(before: Sequence[Range], after: Sequence[Range]) -> tuple[Flow, ...]:
    """The flows between two different arms: units that had one treatment and would get another."""
    return tuple(f for f in flows(before, after) if f.before and f.after and f.before != f.after)


def moved_share(before: Sequence[Range], after: Sequence[Range]) -> float:
    """The share of all buckets that change from one arm to another."""
    return math.fsum(f.share for f in moves(before, after))
