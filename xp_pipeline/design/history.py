"""A metric's history: what experiments of every length, begun at the start of some past days, would have read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xp_pipeline.design.baseline import Baseline, Kind
from xp_pipeline.design.traffic import Traffic
from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.moments import Vector

_BY_DURATION = ("mean", "variance", "counted", "variance_explained", "design_effect")


@dataclass(frozen=True, eq=False)
class History:
    """A metric over past days, measured as an experiment of every length would have measured it.

    Pretend that enrolment opened on the first day: a unit enters at its first event, its windows are anchored
    there, and an experiment of d days analyses the units whose windows are complete by the end of day d.
    Durations at which a mean or variance is not a number were not measured and are left out.

    Attributes:
        traffic: Distinct units entered by day; a unit counts once.
        durations: Lengths in days for which the metric was measured, ascending, shape (L,).
        mean: The metric at each (for a ratio sum over sum), shape (L,).
        variance: Per-unit variance at each (for a ratio of the linearised residual, for a quantile n times its
            variance), shape (L,). With an open window it grows with the duration, as units have longer to act.
        counted: Share of the units with complete windows that count, by the null policy, shape (L,) or one number.
        variance_explained: Share of variance that covariates remove, shape (L,) or one number.
        design_effect: As of :class:`~xp_pipeline.design.baseline.Baseline`, shape (L,) or one number.
        kind: Likewise.
        delay: Days from a unit's entry until its windows are complete; 0 where it counts at once.
    """

    traffic: Traffic
    durations: Vector
    mean: Vector
    variance: Vector
    counted: ArrayLike = 1.0
    variance_explained: ArrayLike = 0.0
    design_effect: ArrayLike = 1.0
    kind: Kind = "mean"
    delay: float = 0.0

    def __post_init__(self) -> None:
        durations = _vector(self.durations)
        columns = {name: _vector(getattr(self, name)) for name in _BY_DURATION}
        if any(column.size not in (1, durations.size) for column in columns.values()):
            raise EvidenceError("a history has one figure for every duration", found=[c.size for c in columns.values()])
        if not (durations.size and durations[0] > 0 and np.all(np.diff(durations) > 0)):
            raise EvidenceError("durations are positive days and ascend", found=durations.tolist()[:5])
        if not 0 <= self.delay < np.inf:
            raise EvidenceError("a window takes days to complete", found=self.delay, allowed="0 or more")
        columns = {name: np.broadcast_to(column, durations.shape) for name, column in columns.items()}
        measured = np.isfinite(columns["mean"]) & np.isfinite(columns["variance"])
        if not measured.any():
            raise EvidenceError("the metric was measured at no duration", found=durations.tolist()[:5])
        if not np.all((columns["counted"][measured] >= 0) & (columns["counted"][measured] <= 1)):
            raise EvidenceError("those that count are a share", found=columns["counted"].tolist(), allowed="0 to 1")
        for name, column in {"durations": durations, **columns}.items():
            object.__setattr__(self, name, column[measured])

    @classmethod
    def constant(cls, baseline: Baseline, traffic: Traffic, *, delay: float = 0.0) -> History:
        """The same baseline at every duration, as where numbers are typed."""
        return cls(
            traffic, np.ones(1), _vector(baseline.mean), _vector(baseline.variance),
            variance_explained=baseline.variance_explained, design_effect=baseline.design_effect,
            kind=baseline.kind, delay=delay,
        )  # fmt: skip

    def units(self, day: float) -> float:
        """Units analysed after some days: entered, their windows complete, and counting."""
        counted = np.interp(day, self.durations, np.asarray(self.counted))
        return float(self.traffic.at(max(day - self.delay, 0.0)) * counted)

    def baseline(self, day: float) -> Baseline:
        """The metric after some days: linear between durations, that of the nearest before and beyond them."""
        mean, variance, explained, effect = (
            float(np.interp(day, self.durations, np.asarray(getattr(self, name))))
            for name in ("mean", "variance", "variance_explained", "design_effect")
        )
        if self.kind == "proportion":
            variance = mean * (1 - mean)
        return Baseline(mean, variance, self.kind, explained, max(effect, 1.0))

    def extrapolated(self, day: float) -> bool:
        """Whether the units of a day were not observed, or the metric that changes with the duration was not."""
        unseen = self.traffic.growth is None and day - self.delay > self.traffic.days
        return bool(unseen or (np.size(self.durations) > 1 and day > self.durations[-1]))


def _vector(values: ArrayLike) -> Vector:
    return np.atleast_1d(np.asarray(values, dtype=np.float64))
