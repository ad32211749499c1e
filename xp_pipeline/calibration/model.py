"""What is simulated and what is claimed of it: cells of studies, studies of claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Measures = Mapping[str, Vector]
"""Measure to one number a replicate, shape (replicates,); NaN where the measure is not defined for it."""

Simulation = Callable[[Generator, int], Measures]
"""Draws a number of replicates and measures each."""

SUBSET_SHARE = 0.1
FEWEST = 200


@dataclass(frozen=True)
class Claim:
    """That the expectation of a measure lies between two limits.

    Attributes:
        measure: Which measure, such as ``covered`` or ``rejected``.
        nominal: What it is promised to be.
        low, high: The limits: the nominal widened by the documented slack; infinite where there is none.
        kind: ``rate`` where every replicate is 0 or 1, ``mean`` otherwise.
    """

    measure: str
    nominal: float
    low: float = -math.inf
    high: float = math.inf
    kind: Literal["rate", "mean"] = "rate"

    @property
    def tested(self) -> bool:
        """Whether there is a band to be in; a claim without limits is shown only."""
        return math.isfinite(self.low) or math.isfinite(self.high)


def within(measure: str, nominal: float, slack: float, kind: Literal["rate", "mean"] = "rate") -> Claim:
    """Nominal, give or take a slack."""
    return Claim(measure, nominal, nominal - slack, nominal + slack, kind)


def between(measure: str, nominal: float, low: float, high: float) -> Claim:
    """A rate between two limits."""
    return Claim(measure, nominal, low, high)


def at_least(measure: str, nominal: float, low: float | None = None) -> Claim:
    """A rate of no less than the limit, which is the nominal unless given."""
    return Claim(measure, nominal, low=nominal if low is None else low)


def at_most(measure: str, nominal: float, high: float | None = None, kind: Literal["rate", "mean"] = "rate") -> Claim:
    """No more than the limit, which is the nominal unless given."""
    return Claim(measure, nominal, high=nominal if high is None else high, kind=kind)


def shown(measure: str, nominal: float, kind: Literal["rate", "mean"] = "rate") -> Claim:
    """No claim of ours: the figure stands there for comparison."""
    return Claim(measure, nominal, kind=kind)


class Agreement(NamedTuple):
    """How a vectorised twin compares with the shipped function it stands for.

    Attributes:
        replicates: On how many replicates both were computed.
        gap: The largest difference, relative to the shipped number where that exceeds 1.
    """

    replicates: int
    gap: float


def agreement(shipped: Vector, twin: Vector) -> Agreement:
    """The comparison of two arrays of the same shape, replicates first; NaN agrees with NaN."""
    both = np.isnan(shipped) & np.isnan(twin)
    gaps = np.where(both, 0.0, np.abs(shipped - twin) / np.maximum(1.0, np.abs(shipped)))
    return Agreement(len(shipped), float(np.max(np.where(np.isnan(gaps), np.inf, gaps))))


@dataclass(frozen=True)
class Study:
    """One simulated situation.

    Attributes:
        name: Distribution, size and effect, unique in its cell.
        simulate: Draws and measures replicates.
        claims: What must hold of its measures.
        replicates: How many the full run draws.
        fewest: How many the subset draws at least; it draws a tenth of the full number otherwise.
        batch: Replicates drawn at once, which bounds memory and never depends on the machine.
        twin: Compares a vectorised twin with the shipped function, where the study uses one.
    """

    name: str
    simulate: Simulation
    claims: tuple[Claim, ...]
    replicates: int
    fewest: int = FEWEST
    batch: int = 500
    twin: Callable[[Generator], Agreement] | None = None

    def planned(self, *, full: bool) -> int:
        """Replicates of the full run or of the subset."""
        return (
            self.replicates if full else min(self.replicates, max(self.fewest, round(self.replicates * SUBSET_SHARE)))
        )


@dataclass(frozen=True)
class Cell:
    """One promise of the package and the studies that hold it to it.

    Attributes:
        id: Such as ``C1``.
        title: Metric and method.
        sentence: What is claimed, for a reader.
        method: The shipped functions that the studies call.
        studies: The situations.
        version: Raised when the method's numbers change, so that it is judged on fresh draws.
        misses: For studies known to leave their band, why; by the beginning of their names.
    """

    id: str
    title: str
    sentence: str
    method: str
    studies: tuple[Study, ...]
    version: int = 1
    misses: Mapping[str, str] = field(default_factory=dict)

    def study(self, name: str) -> Study:
        """The study of that name."""
        return next(study for study in self.studies if study.name == name)
