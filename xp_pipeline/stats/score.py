"""Miettinen and Nurminen's score statistics for two proportions, and the intervals they invert to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from xp_pipeline.errors import EvidenceError

_NUDGE = 1e-13
"""How far inside its estimate a search for a limit starts: there the statistic is 0/0 in the corner cases."""


class Counts(NamedTuple):
    """Events and units of control (c) and treatment (t)."""

    events_c: int
    n_c: int
    events_t: int
    n_t: int

    @classmethod
    def of_proportions(cls, p_c: float, n_c: int, p_t: float, n_t: int) -> Counts:
        """From stored proportions and units, such as those of a row of results."""
        return cls(round(p_c * n_c), n_c, round(p_t * n_t), n_t)

    @property
    def difference(self) -> float:
        """p_t - p_c."""
        return self.events_t / self.n_t - self.events_c / self.n_c

    @property
    def events(self) -> int:
        """Events of both arms."""
        return self.events_c + self.events_t

    @property
    def units(self) -> int:
        """Units of both arms."""
        return self.n_c + self.n_t

    @property
    def fewest(self) -> int:
        """The smallest of the four cells: events and non-events by arm."""
        return min(self.events_c, self.n_c - self.events_c, self.events_t, self.n_t - self.events_t)

    @property
    def swapped(self) -> Counts:
        """The same with the arms' roles exchanged."""
        return Counts(self.events_t, self.n_t, self.events_c, self.n_c)

    @staticmethod
    def z(distance: float, se: float) -> float:
        """Distance over standard error; infinite where the hypothesis leaves no room for chance."""
        if se > 0:
            return distance / se
        return math.copysign(math.inf, distance) if abs(distance) > _NUDGE else 0.0


def difference_se(counts: Counts, delta: float) -> float:
    """Standard error of p_t - p_c when it is delta (Miettinen and Nurminen 1985).

    se^2 = (q_c(1 - q_c)/n_c + q_t(1 - q_t)/n_t) N/(N - 1), q being the maximum likelihood proportions under
    q_t - q_c = delta.
    """
    if delta < 0:
        return difference_se(counts.swapped, -delta)
    if delta >= 1:
        return 0.0
    q_c = _smaller_proportion(counts, delta)
    q_t = min(q_c + delta, 1.0)
    return math.sqrt(_variance(counts, q_c, q_t))


def ratio_se(counts: Counts, phi: float) -> float:
    """Standard error of p_t - phi p_c when the risk ratio p_t / p_c is phi (Miettinen and Nurminen 1985).

    q_c solves the quadratic N phi q^2 - (n_t phi + x_t + n_c + x_c phi) q + x_c + x_t = 0.
    """
    if phi <= 0:
        return 0.0
    events, total = counts.events, counts.units
    b = counts.n_t * phi + counts.events_t + counts.n_c + counts.events_c * phi
    q_c = min(2 * events / (b + math.sqrt(max(b * b - 4 * total * phi * events, 0.0))), 1.0)
    return math.sqrt(_variance(counts, q_c, min(phi * q_c, 1.0), phi))


def score_interval(counts: Counts, *, alpha: float = 0.05) -> tuple[float, float]:
    """Miettinen and Nurminen's interval of p_t - p_c at any alpha, such as that of a family (alpha / m)."""
    from scipy import special

    if not 0 < alpha < 1:
        raise EvidenceError("alpha is a probability", found=alpha, allowed="between 0 and 1, such as 0.05")
    if not (0 <= counts.events_c <= counts.n_c and 0 <= counts.events_t <= counts.n_t and min(counts[1::2]) > 0):
        raise EvidenceError(
            "counts are events of units", found=tuple(counts), allowed="0 <= events <= units, units > 0"
        )
    return difference_limits(counts, float(special.ndtri(1 - alpha / 2)))


def difference_limits(counts: Counts, q: float) -> tuple[float, float]:
    """All differences p_t - p_c whose score statistic is at most q in size, as an interval."""
    return _lower_difference(counts, q), -_lower_difference(counts.swapped, q)


def ratio_limits(counts: Counts, q: float) -> tuple[float, float]:
    """All risk ratios p_t / p_c whose score statistic is at most q in size; control needs an event."""
    return _lower_ratio(counts, q), 1 / _lower_ratio(counts.swapped, q)


def _variance(counts: Counts, q_c: float, q_t: float, phi: float = 1.0) -> float:
    total = counts.units
    variance = q_t * (1 - q_t) / counts.n_t + phi**2 * q_c * (1 - q_c) / counts.n_c
    return max(variance, 0.0) * total / (total - 1)


def _smaller_proportion(counts: Counts, gap: float) -> float:
    """Maximum likelihood q_c under q_t = q_c + gap, gap >= 0.

    The likelihood's slope x_c/q + x_t/(q + gap) - f_t/(w - q) - f_c/(w - q + gap), with w = 1 - gap and f
    non-events, falls in q: the root is bracketed by the values where a part of the terms alone would vanish.
    """
    from scipy.optimize import brentq

    x_c, x_t = counts.events_c, counts.events_t
    f_c, f_t = counts.n_c - x_c, counts.n_t - x_t
    width = 1 - gap
    if width <= 0:
        return 0.0
    if gap == 0:
        return (x_c + x_t) / (counts.n_c + counts.n_t)

    def slope(q: float) -> float:
        rise = (x_c / q if x_c else 0.0) + x_t / (q + gap)
        return rise - (f_t / (width - q) if f_t else 0.0) - f_c / (width - q + gap)

    low = width * x_c / (x_c + f_c + f_t) if x_c else 0.0
    high = width * (x_c + x_t) / (x_c + x_t + f_t) if f_t else width
    if low >= high or slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    return float(brentq(slope, low, high, xtol=1e-18, rtol=1e-14))


def _lower_difference(counts: Counts, q: float) -> float:
    estimate = counts.difference
    return _root(lambda delta: estimate - delta - q * difference_se(counts, delta), -1.0, estimate - _NUDGE)


def _lower_ratio(counts: Counts, q: float) -> float:
    if not counts.events_t:
        return 0.0
    p_c, p_t = counts.events_c / counts.n_c, counts.events_t / counts.n_t

    def excess(phi: float) -> float:
        return p_t - phi * p_c - q * ratio_se(counts, phi)

    high = p_t / p_c * (1 - _NUDGE) if p_c else 1.0
    while excess(high) > 0:
        high *= 2
    return _root(excess, 0.0, high)


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where a function falls from positive to negative; ``low`` where it never is positive."""
    from scipy.optimize import brentq

    if low >= high or excess(low) <= 0:
        return low
    return float(brentq(excess, low, high, xtol=1e-15, rtol=1e-13))
