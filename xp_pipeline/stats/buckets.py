"""Bucketed moments: the same moments by hash bucket of the unit, the evidence of bootstrap and jackknife."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.moments import Moments

BUCKETS = 128
"""Those of storage: a unit's bucket is fixed by its hash, the same for every metric and day."""


@dataclass(frozen=True, eq=False)
class BucketedMoments:
    """Moments of one arm in each bucket; merging is bucket by bucket, so associative.

    Attributes:
        buckets: Moments of the units of each bucket, those without units empty.
    """

    buckets: tuple[Moments, ...]

    @classmethod
    def empty(cls, k: int, *, buckets: int = BUCKETS) -> BucketedMoments:
        """No units, k variables."""
        return cls((Moments.empty(k),) * buckets)

    @classmethod
    def of(cls, values: ArrayLike, bucket: ArrayLike, *, buckets: int = BUCKETS) -> BucketedMoments:
        """From raw values, shape (n,) or (n, k), and the bucket of each unit, shape (n,)."""
        table, labels = np.asarray(values, dtype=np.float64), np.asarray(bucket, dtype=np.int64)
        table = table[:, None] if table.ndim == 1 else table
        if labels.shape != (len(table),) or (labels.size and not 0 <= labels.min() <= labels.max() < buckets):
            raise EvidenceError("every unit has a bucket", allowed=f"one of 0 to {buckets - 1} for each unit")
        order = np.argsort(labels, kind="stable")
        ends = np.searchsorted(labels[order], np.arange(1, buckets))
        return cls(tuple(Moments.of(part) for part in np.split(table[order], ends)))

    @classmethod
    def from_parts(cls, parts: Mapping[int, Moments], k: int, *, buckets: int = BUCKETS) -> BucketedMoments:
        """From the buckets that have units, as a query grouped by bucket returns them; k variables."""
        strange = sorted(set(parts) - set(range(buckets)))
        if strange:
            raise EvidenceError("not a bucket", found=strange, allowed=f"0 to {buckets - 1}")
        return cls(tuple(parts.get(i, Moments.empty(k)) for i in range(buckets)))

    @staticmethod
    def merge(*parts: BucketedMoments) -> BucketedMoments:
        """Pool disjoint groups of units, bucket by bucket."""
        if not parts:
            raise EvidenceError("nothing to merge")
        sizes = {len(part.buckets) for part in parts}
        if len(sizes) > 1:
            raise EvidenceError("evidence in different numbers of buckets does not merge", found=sorted(sizes))
        columns = zip(*(part.buckets for part in parts), strict=True)
        return BucketedMoments(tuple(Moments.merge(*column) for column in columns))

    def total(self) -> Moments:
        """The moments of all units, merged in the order of buckets."""
        return Moments.merge(*self.buckets)

    def take(self, indices: Sequence[int]) -> BucketedMoments:
        """Some of the variables, in every bucket."""
        return BucketedMoments(tuple(moments.take(indices) for moments in self.buckets))

    @property
    def n(self) -> int:
        """Units."""
        return sum(moments.n for moments in self.buckets)

    @property
    def filled(self) -> tuple[Moments, ...]:
        """The buckets that have units."""
        return tuple(moments for moments in self.buckets if moments.n)
