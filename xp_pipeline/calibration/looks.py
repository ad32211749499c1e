"""Many experiments watched at their looks at once: vectorised twins of Welch's test and of non-inferiority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import special

from xp_pipeline.calibration.draws import Law
from xp_pipeline.calibration.model import Vector
from xp_pipeline.stats.boundaries import Look
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.means import SMALLEST_P, welch
from xp_pipeline.stats.moments import Moments

_LARGEST_P = 1 - 2**-53


class Watched(NamedTuple):
    """Two arms as they grow from look to look.

    Attributes:
        n: Units of either arm at each look, shape (looks,).
        mean: Of control and treatment, shape (replicates, looks, 2).
        variance: Per unit, likewise.
    """

    n: Vector
    mean: Vector
    variance: Vector

    @property
    def effect(self) -> Vector:
        """Difference of means, shape (replicates, looks)."""
        return np.asarray(self.mean[..., 1] - self.mean[..., 0])

    def estimate(self, replicate: int, look: int) -> Estimate:
        """The shipped comparison of one replicate at one look."""
        n = int(self.n[look])
        arms = [
            Moments(n, mean[None], variance[None, None] * (n - 1), float("nan"))
            for mean, variance in zip(self.mean[replicate, look], self.variance[replicate, look], strict=True)
        ]
        return welch(*arms)


def watch(law: Law, rng: Generator, count: int, sizes: Sequence[int], lift: float = 0.0) -> Watched:
    """Replicates of an experiment whose arms have these many units at its looks."""
    steps = np.diff([0, *sizes]).tolist()
    parts = [[law.sums(rng, (count,), n, arm_lift) for n in steps] for arm_lift in (0.0, lift)]
    sums = np.cumsum(np.array(parts).transpose(2, 3, 1, 0), axis=2)
    n = np.array(sizes, dtype=float)
    total, squares = sums[0], sums[1]
    mean = total / n[:, None]
    return Watched(n, law.mean + mean, (squares - total * mean) / (n[:, None] - 1))


def z_scores(watched: Watched) -> Vector:
    """Of Welch's t, as :func:`~xp_pipeline.stats.boundaries.z_of` makes them."""
    return _z(watched, watched.effect, 1.0)


def harm_z_scores(watched: Watched, *, margin: float, relative: bool, increase_is_good: bool = True) -> Vector:
    """Of non-inferiority, upwards when harm as large as the margin is ruled out."""
    good = 1 if increase_is_good else -1
    if not relative:
        return _z(watched, margin + good * watched.effect, 1.0)
    kept = 1 - good * margin
    return _z(watched, good * (watched.mean[..., 1] - kept * watched.mean[..., 0]), kept)


def same_z_scores(watched: Watched, *, margin: float, relative: bool) -> Vector:
    """Of equivalence, upwards when a fall and a rise as large as the margin are both ruled out."""
    sides = (harm_z_scores(watched, margin=margin, relative=relative, increase_is_good=good) for good in (True, False))
    return np.minimum(*sides)


def _z(watched: Watched, distance: Vector, weight: float) -> Vector:
    """The normal quantile of a distance over its standard error, control weighted."""
    parts = watched.variance / watched.n[:, None] * np.array([weight**2, 1.0])
    total = parts.sum(axis=-1)
    df = total**2 / (parts**2 / (watched.n[:, None] - 1)).sum(axis=-1)
    t = distance / np.sqrt(total)
    tail = np.clip(special.stdtr(df, -np.abs(t)), SMALLEST_P, _LARGEST_P)
    return np.asarray(np.copysign(special.ndtri(tail), t))


class Stops(NamedTuple):
    """How experiments ended.

    Attributes:
        crossed: The boundary crossed: 1 the upper, -1 the lower, 0 none; shape (replicates,).
        look: Index of the look at which it was, the last where none was.
    """

    crossed: NDArray[np.int64]
    look: NDArray[np.int64]


def stops(looks: Sequence[Look], z: Vector) -> Stops:
    """The first look of every replicate that crosses a boundary; z has shape (replicates, looks)."""
    upper = np.array([look.upper for look in looks])
    lower = np.array([-np.inf if look.lower is None else look.lower for look in looks])
    side = np.where(z >= upper, 1, np.where(z <= lower, -1, 0))
    first = np.where(side.any(axis=1), (side != 0).argmax(axis=1), len(looks) - 1)
    return Stops(side[np.arange(len(side)), first], first)
