"""The probability that each of several arms is the best one, by quadrature; nothing is drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

_POINTS = 6
_STEP = 0.7
_FURTHEST = 31
_NEGLIGIBLE = -35.0


class Density(Protocol):
    """An unnormalised density with one peak."""

    @property
    def centre(self) -> float:
        """Where it is highest."""
        ...

    @property
    def scale(self) -> float:
        """About its standard deviation."""
        ...

    def log(self, distance: float) -> float:
        """Logarithm of the density at this distance from the centre, relative to that at the centre."""
        ...


@dataclass(frozen=True, slots=True)
class LogOdds:
    """The log odds of a Beta-distributed proportion: density e^(a x) / (1 + e^x)^(a + b).

    Attributes:
        a, b: Parameters of the Beta distribution.
    """

    a: float
    b: float

    @property
    def centre(self) -> float:
        """log(a / b)."""
        return math.log(self.a) - math.log(self.b)

    @property
    def scale(self) -> float:
        """sqrt(1/a + 1/b), the standard deviation for large a and b."""
        return math.sqrt(1 / self.a + 1 / self.b)

    def log(self, distance: float) -> float:
        """a d - (a + b) log(1 + a/(a + b) (e^d - 1)), towards the right by its mirror image."""
        near, far = (self.b, self.a) if distance > 0 else (self.a, self.b)
        d = -abs(distance)
        return near * d - (near + far) * math.log1p(near / (near + far) * math.expm1(d))


@dataclass(frozen=True, slots=True)
class StudentT:
    """Student's t, shifted and scaled.

    Attributes:
        df: Degrees of freedom, at least 1.
        centre: Its median.
        scale: What it is scaled by.
    """

    df: float
    centre: float
    scale: float

    def log(self, distance: float) -> float:
        """-(df + 1)/2 log(1 + (d/scale)^2 / df)."""
        z = distance / self.scale
        return -(self.df + 1) / 2 * math.log1p(z * z / self.df)


@lru_cache(maxsize=256)
def probabilities_best(arms: tuple[Density, ...]) -> tuple[float, ...]:
    """P(arm i is the largest of all), for independent arms: the integral of f_i times the other arms' F_j.

    The line is cut where any arm's density changes, in steps that grow with the distance from its centre; on each
    piece densities are integrated by Gauss-Legendre with 6 points, and distribution functions by integrating the
    interpolating polynomial up to each point. All terms are positive, so small probabilities keep their digits. Errors
    are below 1e-8 for posteriors of learned arms.
    """
    pieces = _pieces(arms)
    densities = [_normalised(arm, pieces) for arm in arms]
    below = [_cumulated(density, pieces) for density in densities]
    wins = [0.0] * len(arms)
    weights = [w * half for _, half in pieces for w in _RULE.weights]
    for k, weight in enumerate(weights):
        for i, density in enumerate(densities):
            mass = weight * density[k]
            if mass > 0:
                wins[i] += mass * math.prod(F[k] for j, F in enumerate(below) if j != i)
    total = math.fsum(wins)
    return tuple(win / total for win in wins)


def top_two(best: Sequence[float], leader: float) -> tuple[float, ...]:
    """Shares of top-two Thompson sampling: p_i (b + (1 - b) sum over j != i of p_j / (1 - p_j)).

    The leader of a draw is played with probability b, else the leader of another draw in which it is not the same
    arm (Russo 2020, Oper. Res. 68). Where one arm is best for certain, the others divide 1 - b.
    """
    others = [math.fsum(p for j, p in enumerate(best) if j != i) for i in range(len(best))]
    shares = []
    for i, p in enumerate(best):
        second = 0.0
        for j, rest in enumerate(others):
            if j != i:
                second += best[j] * (p / rest if rest > 0 else 1 / (len(best) - 1))
        shares.append(leader * p + (1 - leader) * second)
    return tuple(shares)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Gauss-Legendre on [-1, 1]: points, weights, and the integrals of the interpolation's basis up to each point."""

    points: tuple[float, ...]
    weights: tuple[float, ...]
    up_to: tuple[tuple[float, ...], ...]


def _legendre(n: int, x: float) -> list[float]:
    """P_0 to P_n at x, by Bonnet's recursion."""
    values = [1.0, x]
    for k in range(1, n):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
    return values[: n + 1]


def _rule(n: int) -> _Rule:
    points, weights = [], []
    for i in range(n):
        x = -math.cos(math.pi * (i + 0.75) / (n + 0.5))
        for _ in range(50):
            *_, before, value = _legendre(n, x)
            x -= value * (x * x - 1) / (n * (x * value - before))
        before = _legendre(n, x)[n - 1]
        points.append(x)
        weights.append(2 * (1 - x * x) / (n * before) ** 2)
    return _Rule(tuple(points), tuple(weights), tuple(_integrals(n, x, points, weights) for x in points))


def _integrals(n: int, x: float, points: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    """Integrals from -1 to x of the Lagrange polynomials, through their Legendre coefficients."""
    at_x = _legendre(n + 1, x)
    upto = [x + 1, *((at_x[k + 1] - at_x[k - 1]) / (2 * k + 1) for k in range(1, n))]
    return tuple(
        w * math.fsum((2 * k + 1) / 2 * p * upto[k] for k, p in enumerate(_legendre(n - 1, point)))
        for point, w in zip(points, weights, strict=True)
    )


_RULE = _rule(_POINTS)


def _pieces(arms: Sequence[Density]) -> list[tuple[float, float]]:
    """Middle and half width of each piece of the line."""
    cuts = sorted({cut for arm in arms for cut in _cuts(arm)})
    return [((a + b) / 2, (b - a) / 2) for a, b in pairwise(cuts)]


def _cuts(arm: Density) -> list[float]:
    """Points from the centre outwards until what is left is negligible."""
    found = [arm.centre]
    for side in (-1, 1):
        for k in range(1, _FURTHEST):
            distance = arm.scale * math.sinh(_STEP * k)
            found.append(arm.centre + side * distance)
            if arm.log(side * distance) + math.log1p(distance / arm.scale) < _NEGLIGIBLE:
                break
    return found


def _normalised(arm: Density, pieces: Sequence[tuple[float, float]]) -> list[float]:
    """The density at all points; it integrates to 1."""
    values = [math.exp(arm.log(mid - arm.centre + half * x)) for mid, half in pieces for x in _RULE.points]
    sums = (_RULE.weights[k % _POINTS] * pieces[k // _POINTS][1] * value for k, value in enumerate(values))
    whole = math.fsum(sums)
    return [value / whole for value in values]


def _cumulated(density: Sequence[float], pieces: Sequence[tuple[float, float]]) -> list[float]:
    """The distribution function at all points."""
    found, before = [], 0.0
    for k, (_, half) in enumerate(pieces):
        values = density[k * _POINTS : (k + 1) * _POINTS]
        for row in _RULE.up_to:
            found.append(before + half * max(sum(b * f for b, f in zip(row, values, strict=True)), 0.0))
        before += half * sum(w * f for w, f in zip(_RULE.weights, values, strict=True))
    return found
