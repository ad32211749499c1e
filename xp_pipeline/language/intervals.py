"""Intervals for a binomial share, to see whether a split came out as it was weighted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Literal

from xp_pipeline.errors import EvidenceError

Method = Literal["agresti-coull", "wald", "wilson"]


def probit(p: float) -> float:
    """The quantile of the standard normal distribution: ``probit(0.975)`` is 1.95996.

    Raises:
        EvidenceError: p is not a probability.
    """
    if not 0 <= p <= 1:
        raise EvidenceError("a probability lies in [0, 1]", found=p)
    return NormalDist().inv_cdf(p) if 0 < p < 1 else math.copysign(math.inf, p - 0.5)


def confidence_interval(
    n: int, p: float, confidence: float = 0.95, method: Method = "agresti-coull"
) -> tuple[float, float]:
    """A confidence interval for a share, within [0, 1].

    Args:
        n: Number of trials, at least 1.
        p: Observed share of successes.
        confidence: Share of such intervals that hold the truth; at 1 the interval is everything.
        method: ``agresti-coull`` (Agresti & Coull 1998), ``wilson`` (Wilson 1927), or ``wald``, which covers less
            than it says when n is small or p near 0 or 1.

    Raises:
        EvidenceError: an argument outside its range.
    """
    if n < 1 or not 0 <= p <= 1 or not 0 < confidence <= 1:
        raise EvidenceError("no interval for these", found=f"n={n}, p={p}, confidence={confidence}")
    if method not in _METHODS:
        raise EvidenceError("unknown method", found=method, allowed=", ".join(_METHODS))
    if confidence == 1:
        return 0.0, 1.0
    middle, half = _METHODS[method](n, p, probit((1 + confidence) / 2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _wald(n: float, p: float, z: float) -> tuple[float, float]:
    """p ± z sqrt(p (1 - p) / n)."""
    return p, z * math.sqrt(p * (1 - p) / n)


def _agresti_coull(n: float, p: float, z: float) -> tuple[float, float]:
    """Wald's with z²/2 successes and z²/2 failures added."""
    trials = n + z**2
    return _wald(trials, (n * p + z**2 / 2) / trials, z)


def _wilson(n: float, p: float, z: float) -> tuple[float, float]:
    """The shares from which p is within z standard errors, the errors taken at the share."""
    trials = n + z**2
    return (n * p + z**2 / 2) / trials, z / trials * math.sqrt(n * p * (1 - p) + z**2 / 4)


_METHODS: Mapping[str, Callable[[float, float, float], tuple[float, float]]] = {
    "agresti-coull": _agresti_coull,
    "wald": _wald,
    "wilson": _wilson,
}
