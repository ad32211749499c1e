"""Moments: the count, means, central products and third moment that every mean-like statistic reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xp_pipeline.errors import EvidenceError

Vector = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)
_CANCELLED = 1e-12
"""A combination that keeps less than this share of its terms' variance is a constant up to rounding."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Sufficient statistics of k variables over n units; merging is associative.

    Variables are ordered outcome, then the denominator of a ratio, then covariates.

    Attributes:
        n: Units.
        mean: Means, shape (k,).
        comoment: Central sums of products, shape (k, k).
        third: Central sum of cubes of variable 0; NaN where it was not kept.
    """

    n: int
    mean: Vector
    comoment: Vector
    third: float

    @classmethod
    def empty(cls, k: int) -> Moments:
        """No units."""
        return cls(0, np.zeros(k), np.zeros((k, k)), 0.0)

    @classmethod
    def of(cls, values: ArrayLike) -> Moments:
        """From raw values, shape (n,) or (n, k)."""
        table = np.asarray(values, dtype=np.float64)
        table = table[:, None] if table.ndim == 1 else table
        if len(table) == 0:
            return cls.empty(table.shape[1])
        with np.errstate(invalid="ignore", over="ignore"):
            mean = table.mean(axis=0)
            centred = table - mean
            return cls.from_sums(
                len(table),
                shift=mean,
                sums=centred.sum(axis=0),
                products=centred.T @ centred,
                cubes=float(np.sum(centred[:, 0] ** 3)),
            )

    @classmethod
    def from_sums(cls, n: int, shift: ArrayLike, sums: ArrayLike, products: ArrayLike, cubes: float) -> Moments:
        """From sums over units of (v - shift), its outer products, and the cubes of variable 0.

        Exact to rounding whatever the mean, as long as the shift lies within some deviations of it. A
        variance within the rounding of its sums, or of the values themselves, is that of a constant: 0.
        """
        if n < 0:
            raise EvidenceError("a count of units is not negative", found=n)
        if n == 0:
            return cls.empty(np.size(shift))
        total = np.asarray(sums, dtype=np.float64)
        product = np.asarray(products, dtype=np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            offset = total / n
            comoment = product - np.outer(total, total) / n
            third = cubes - 3 * offset[0] * product[0, 0] + 2 * n * offset[0] ** 3
            mean = np.asarray(shift, dtype=np.float64) + offset
            lost = comoment.diagonal() <= n * _EPSILON * product.diagonal()
        return _settled(n, mean, comoment, float(third), lost)

    @staticmethod
    def merge(*parts: Moments) -> Moments:
        """Pool disjoint groups of units; their order does not matter, empty groups are neutral.

        With d_p = mean_p - mean: comoment = sum C_p + n_p d_p d_p', third = sum T_p + 3 d_p C_p + n_p d_p^3
        (Chan, Golub, LeVeque 1983; Pebay 2008 for cubes), for all groups at once and relative to the first
        group's mean, so that a large common mean cancels exactly.
        """
        if not parts:
            raise EvidenceError("nothing to merge")
        if len({part.mean.size for part in parts}) > 1:
            sizes = [part.mean.size for part in parts]
            raise EvidenceError("moments of different variables do not merge", found=sizes)
        filled = [part for part in parts if part.n]
        if len(filled) < 2:
            return filled[0] if filled else parts[0]
        counts = np.array([float(part.n) for part in filled])
        comoments = np.array([part.comoment for part in filled])
        with np.errstate(invalid="ignore", over="ignore"):
            offsets = np.array([part.mean - filled[0].mean for part in filled])
            centre = counts @ offsets / counts.sum()
            apart = offsets - centre
            comoment = comoments.sum(axis=0) + (apart * counts[:, None]).T @ apart
            first = apart[:, 0]
            third = sum(part.third for part in filled) + float(
                np.sum(3 * first * comoments[:, 0, 0] + counts * first**3)
            )
        return _settled(sum(part.n for part in filled), filled[0].mean + centre, comoment, third)

    def take(self, indices: Sequence[int]) -> Moments:
        """The moments of some of the variables, the first of which stays the outcome."""
        chosen = list(indices)
        third = self.third if chosen and chosen[0] == 0 else float("nan")
        return Moments(self.n, self.mean[chosen], self.comoment[np.ix_(chosen, chosen)], third)

    def linear(self, weights: ArrayLike, constant: ArrayLike | float = 0.0) -> Moments:
        """The moments of m linear combinations, weights of shape (m, k), constant of shape (m,).

        The third survives where the first combination is a multiple of variable 0. A combination whose terms
        cancel to rounding is a constant.
        """
        w = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        only_first = not np.any(w[0, 1:])
        third = self.third * w[0, 0] ** 3 if only_first else float("nan")
        comoment = w @ self.comoment @ w.T
        terms = np.abs(w) @ np.sqrt(np.maximum(self.comoment.diagonal(), 0.0))
        comoment = _without(comoment, comoment.diagonal() <= _CANCELLED * terms**2)
        return Moments(self.n, w @ self.mean + np.asarray(constant, dtype=np.float64), comoment, float(third))

    def variance(self, i: int = 0) -> float:
        """Sample variance (divisor n - 1) of a variable; NaN below two units."""
        return self.covariance(i, i)

    def covariance(self, i: int = 0, j: int = 0) -> float:
        """Sample covariance of two variables; NaN below two units."""
        return float(self.comoment[i, j] / (self.n - 1)) if self.n > 1 else float("nan")

    def skewness(self) -> float:
        """Moment skewness of the outcome; NaN where it is undefined."""
        spread = self.comoment[0, 0]
        return float(np.sqrt(self.n) * self.third / spread**1.5) if self.n > 2 and spread > 0 else float("nan")

    @property
    def finite(self) -> bool:
        """Whether every mean and product is a finite number."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.comoment).all())


def _settled(n: int, mean: Vector, comoment: Vector, third: float, lost: NDArray[np.bool_] | None = None) -> Moments:
    """Moments with exact zeros for variables that vary by no more than the rounding of their values."""
    with np.errstate(invalid="ignore", over="ignore"):
        constant = comoment.diagonal() <= n * (4 * _EPSILON * mean) ** 2
    constant = constant if lost is None else constant | lost
    constant &= np.isfinite(comoment.diagonal())
    return Moments(n, mean, _without(comoment, constant), 0.0 if constant[0] else third)


def _without(comoment: Vector, constant: NDArray[np.bool_]) -> Vector:
    """The comoment with zeros in the rows and columns of constants."""
    return np.where(constant[:, None] | constant[None, :], 0.0, comoment)
