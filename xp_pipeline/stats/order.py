"""Order statistics: the sorted values of an arm and how often each occurs, the evidence of quantiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.moments import Moments, Vector


@dataclass(frozen=True, eq=False)
class OrderStatistics:
    """All values of an arm, exactly; merging is associative and never depends on order.

    Attributes:
        values: Distinct values in ascending order, shape (v,).
        counts: How many observations have each, shape (v,).
    """

    values: Vector
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, values: ArrayLike, *, zeros: int = 0) -> OrderStatistics:
        """From raw values, with so many further observations of 0 (units without an event)."""
        numbers = np.asarray(values, dtype=np.float64).ravel()
        return cls.from_counts(np.append(numbers, 0.0), np.append(np.ones(numbers.size, np.int64), zeros))

    @classmethod
    def from_counts(cls, values: ArrayLike, counts: ArrayLike) -> OrderStatistics:
        """From values, in any order and repeated at will, and how often each occurs, as a query returns them."""
        numbers = np.asarray(values, dtype=np.float64) + 0.0
        given = np.asarray(counts)
        if numbers.ndim != 1 or numbers.shape != given.shape or np.any(given < 0) or np.any(given != np.floor(given)):
            raise EvidenceError("every value has a count", allowed="two lists of one length, counts 0, 1, 2 …")
        distinct, place = np.unique(numbers, return_inverse=True)
        total = np.zeros(distinct.size, dtype=np.int64)
        np.add.at(total, place, given.astype(np.int64))
        return cls(distinct[total > 0], total[total > 0])

    @classmethod
    def empty(cls) -> OrderStatistics:
        """No observation."""
        return cls(np.empty(0), np.empty(0, dtype=np.int64))

    @staticmethod
    def merge(*parts: OrderStatistics) -> OrderStatistics:
        """Pool disjoint groups of observations."""
        if not parts:
            raise EvidenceError("nothing to merge")
        return OrderStatistics.from_counts(
            np.concatenate([part.values for part in parts]), np.concatenate([part.counts for part in parts])
        )

    @property
    def n(self) -> int:
        """Observations, zeros included."""
        return int(self.counts.sum())

    @property
    def finite(self) -> bool:
        """Whether every value is a finite number."""
        return bool(np.isfinite(self.values).all())

    def at(self, rank: int) -> float:
        """The value of a rank from 1 (smallest) to n (largest); ranks beyond are those."""
        place = np.searchsorted(np.cumsum(self.counts), min(max(rank, 1), self.n))
        return float(self.values[place])

    def quantile(self, p: float) -> float:
        """The p-quantile, Hyndman and Fan's type 7 (1996, Am. Stat. 50); NaN without observations."""
        if not self.n:
            return math.nan
        place = (self.n - 1) * p
        below = math.floor(place)
        low, high = self.at(below + 1), self.at(below + 2)
        return low + (place - below) * (high - low) if high > low else low

    def ties(self, p: float) -> int:
        """The most observations that share one value at the p-quantile."""
        if not self.n:
            return 0
        rank = math.floor((self.n - 1) * p) + 1
        shared = np.isin(self.values, [self.at(rank), self.at(rank + 1)])
        return int(self.counts[shared].max())


@dataclass(frozen=True, eq=False)
class ThresholdCounts:
    """How many of each unit's observations lie at or below a threshold, for observations alike within units.

    Attributes:
        threshold: The arm's own sample quantile, as ``OrderStatistics.quantile`` returned it.
        moments: Moments over units of the observations at or below it (variable 0) and of all (variable 1).
    """

    threshold: float
    moments: Moments

    @classmethod
    def of(cls, below: ArrayLike, observations: ArrayLike, *, threshold: float) -> ThresholdCounts:
        """From the counts of each unit, shape (units,) both."""
        return cls(threshold, Moments.of(np.column_stack([np.asarray(below, float), np.asarray(observations, float)])))

    @staticmethod
    def merge(*parts: ThresholdCounts) -> ThresholdCounts:
        """Pool disjoint groups of units counted against one threshold."""
        thresholds = {part.threshold for part in parts}
        if len(thresholds) != 1:
            raise EvidenceError("counts against different thresholds do not merge", found=sorted(thresholds))
        return ThresholdCounts(thresholds.pop(), Moments.merge(*(part.moments for part in parts)))
