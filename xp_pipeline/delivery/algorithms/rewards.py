"""Rewards of an arm as a count, a mean and a central sum of squares, which merge and fade."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from xp_pipeline.errors import DataError

_ROUNDING = 1e-9


class Rewards(NamedTuple):
    """What an arm was rewarded with.

    Attributes:
        n: Rewards; a discounted number of them need not be whole.
        mean: Their mean; 0 without any.
        central: Sum of squared distances from the mean (n times the variance with divisor n).
    """

    n: float = 0
    mean: float = 0.0
    central: float = 0.0

    def added(self, score: float) -> Rewards:
        """With one more reward (Welford 1962, Technometrics 4)."""
        n = self.n + 1
        step = score - self.mean
        mean = self.mean + step / n
        return Rewards(n, mean, self.central + step * (score - mean))

    def faded(self, keep: float) -> Rewards:
        """As if there were only this share of them, with the same mean and spread."""
        return Rewards(self.n * keep, self.mean, self.central * keep)


def merged(parts: Iterable[Rewards]) -> Rewards:
    """All rewards together: central = sum C + n (mean - whole mean)^2 (Chan, Golub, LeVeque 1983)."""
    filled = [part for part in parts if part.n > 0]
    if not filled:
        return Rewards()
    n = math.fsum(part.n for part in filled)
    origin = filled[0].mean
    shift = math.fsum(part.n * (part.mean - origin) for part in filled) / n
    apart = (part.n * (part.mean - origin - shift) ** 2 for part in filled)
    return Rewards(n, origin + shift, math.fsum(part.central for part in filled) + math.fsum(apart))


def checked(given: Any) -> Rewards:
    """Rewards from a triple of numbers.

    Raises:
        DataError: it is none, or no rewards have such a count, mean and central sum.
    """
    if not isinstance(given, tuple | list) or len(given) != 3 or not all(map(_is_finite, given)):
        raise DataError("rewards of an arm are n, mean and central sum", found=given, allowed="three finite numbers")
    n, mean, central = given
    if n < 0 or central < 0:
        raise DataError("a count and a sum of squares are not negative", found=tuple(given))
    if n == 0:
        return Rewards()
    if n <= 1 and central > _ROUNDING * max(1.0, mean * mean):
        raise DataError("a single reward has no spread", found=tuple(given), allowed="central 0")
    return Rewards(float(n), float(mean), float(central))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
