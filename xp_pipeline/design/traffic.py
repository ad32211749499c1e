"""Traffic: how many distinct units have come by a day, and how many of them count by then."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.moments import Vector


@dataclass(frozen=True, eq=False)
class Traffic:
    """Distinct units by day since the start; units that come again do not count again.

    Beyond the observed days the growth goes on as N(t) = N(D) (t / D)^b: distinct units grow more and more slowly,
    because of those who come many have come before.

    Attributes:
        units: Distinct units by the end of day 1..D, shape (D,), never falling.
        growth: Exponent b, 1 for a steady stream of new units; fitted to the later half of the days unless given.
    """

    units: Vector
    growth: float | None = None
    _exponent: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        units = np.atleast_1d(np.asarray(self.units, dtype=np.float64))
        falls = not (units.ndim == 1 and units.size and np.all(np.isfinite(units))) or np.any(np.diff(units) < 0)
        if falls or not (units[0] >= 0 and units[-1] > 0):
            raise EvidenceError("distinct units by day are positive and never fall", found=units.ravel().tolist()[:5])
        if self.growth is not None and not 0 <= self.growth <= 1:
            raise EvidenceError("an exponent of growth", found=self.growth, allowed="0 (no more units) to 1 (steady)")
        object.__setattr__(self, "units", units)
        object.__setattr__(self, "_exponent", _fitted(units) if self.growth is None else self.growth)

    @classmethod
    def steady(cls, per_day: float) -> Traffic:
        """The same number of new units every day."""
        if not 0 < per_day < math.inf:
            raise EvidenceError("a run time needs units arriving", found=f"{per_day:g} a day")
        return cls(np.array([float(per_day)]), growth=1.0)

    @property
    def days(self) -> int:
        """Days that were observed."""
        return self.units.size

    @property
    def exponent(self) -> float:
        """The exponent of growth in force, given or fitted."""
        return self._exponent

    def at(self, days: ArrayLike) -> Vector:
        """Distinct units after some days, linear within a day; none before the start."""
        t = np.asarray(days, dtype=np.float64)
        within = np.interp(t, np.arange(self.days + 1), np.concatenate([[0.0], self.units]))
        beyond = self.units[-1] * (np.maximum(t, self.days) / self.days) ** self._exponent
        return np.asarray(np.where(t <= self.days, within, beyond), dtype=np.float64)

    def extrapolated(self, days: ArrayLike) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether some days lie beyond those that the growth was observed on."""
        return (np.asarray(days, dtype=np.float64) > self.days) & (self.growth is None)


def _fitted(units: Vector) -> float:
    """Least-squares slope of log units on log days over the later half, within [0, 1]; 1 from a single day."""
    later = np.arange(units.size // 2, units.size)
    later = later[units[later] > 0]
    if later.size < 2:
        return 1.0
    x, y = np.log(later + 1.0), np.log(units[later])
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    return min(max(slope, 0.0), 1.0)
