"""The distributions of the benchmark, each with its mean and variance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.model import Vector
from xp_pipeline.stats.moments import Moments

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Law:
    """A distribution of unit values.

    Attributes:
        name: For the names of studies.
        mean: Expectation without a lift.
        variance: Of one unit, without a lift.
        draw: Values of a shape; a lift of r multiplies their expectation by 1 + r.
        share: Probability of a drawn value; the others are 0.
        scales: Whether a lift multiplies values, and with them their standard deviation.
    """

    name: str
    mean: float
    variance: float
    draw: Callable[[Generator, Shape, float], Vector]
    share: float = 1.0
    scales: bool = False

    def effect(self, lift: float) -> float:
        """The difference of means that a lift makes."""
        return self.mean * lift

    def values(self, rng: Generator, shape: Shape, lift: float = 0.0) -> Vector:
        """Values of units."""
        if self.share == 1:
            return self.draw(rng, shape, lift)
        values = np.zeros(shape)
        other = rng.random(shape) < self.share
        values[other] = self.draw(rng, (int(other.sum()),), lift)
        return values

    def arms(self, rng: Generator, count: int, sizes: tuple[int, int], lift: float = 0.0) -> tuple[Vector, Vector]:
        """Values of control and treatment, shapes (count, n)."""
        return self.values(rng, (count, sizes[0])), self.values(rng, (count, sizes[1]), lift)

    def moments(self, rng: Generator, count: int, n: int, lift: float = 0.0) -> list[Moments]:
        """Moments of n units, as often as counted; zeros are not drawn one by one."""
        if self.share == 1:
            return [Moments.of(row) for row in self.draw(rng, (count, n), lift)]
        return [_with_zeros(self.draw(rng, (k,), lift), n) for k in rng.binomial(n, self.share, count).tolist()]

    def sums(self, rng: Generator, shape: Shape, n: int, lift: float = 0.0) -> tuple[Vector, Vector]:
        """Sum and sum of squares over n units around the mean without a lift, of a shape."""
        if self.share == 1:
            centred = np.asarray(self.draw(rng, (*shape, n), lift) - self.mean)
            return np.asarray(centred.sum(axis=-1)), np.asarray((centred**2).sum(axis=-1))
        counts = rng.binomial(n, self.share, shape).ravel()
        owner, drawn = np.repeat(np.arange(counts.size), counts), self.draw(rng, (int(counts.sum()),), lift)
        total, squares = (
            np.bincount(owner, weights=w, minlength=counts.size).reshape(shape) for w in (drawn, drawn**2)
        )
        centred = squares - 2 * self.mean * total + n * self.mean**2
        return np.asarray(total - n * self.mean, dtype=np.float64), np.asarray(centred, dtype=np.float64)


def _with_zeros(values: Vector, n: int) -> Moments:
    """Moments of these values among n units, of which the others are 0."""
    sums = values.sum(keepdims=True), np.array([[values @ values]])
    return Moments.from_sums(n, np.zeros(1), *sums, cubes=float((values**3).sum()))


def normal(mean: float = 10.0, sd: float = 3.0) -> Law:
    """Normal; a lift shifts it."""
    return Law(
        f"normal cv {sd / mean:.2g}", mean, sd**2, lambda rng, shape, lift: rng.normal(mean * (1 + lift), sd, shape)
    )


def lognormal(sigma: float) -> Law:
    """Log-normal with median 1; a lift scales it."""
    mean = math.exp(sigma**2 / 2)
    return Law(
        f"lognormal {sigma:g}",
        mean,
        mean**2 * math.expm1(sigma**2),
        lambda rng, shape, lift: (1 + lift) * rng.lognormal(0.0, sigma, shape),
        scales=True,
    )


def bernoulli(p: float) -> Law:
    """0 or 1; a lift raises the probability."""
    return Law(
        f"bernoulli {p:g}", p, p * (1 - p), lambda rng, shape, lift: (rng.random(shape) < p * (1 + lift)).astype(float)
    )


def zero_heavy(p: float, sigma: float) -> Law:
    """Log-normal with probability p, else 0; a lift scales it."""
    mean = p * math.exp(sigma**2 / 2)
    return Law(
        f"zero-heavy {p:g}/{sigma:g}",
        mean,
        p * math.exp(2 * sigma**2) - mean**2,
        lambda rng, shape, lift: (1 + lift) * rng.lognormal(0.0, sigma, shape),
        share=p,
        scales=True,
    )
