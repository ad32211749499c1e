"""Families of p-values: adjustment by name, and the level of the intervals that go with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xp_pipeline.errors import EvidenceError, nearest
from xp_pipeline.stats.moments import Vector

Method = Literal["holm", "bonferroni", "fdr_bh", "hochberg", "hommel", "fdr_by", "none"]


def adjust(p_values: Sequence[float | None], *, method: Method) -> list[float | None]:
    """Adjusted p-values in the order given; undefined ones (None or NaN) leave the family and stay None.

    Raises:
        EvidenceError: The method is unknown, or a p-value is outside [0, 1].
    """
    family = np.array([np.nan if p is None else p for p in p_values], dtype=np.float64)
    return [None if math.isnan(p) else float(p) for p in adjusted(family, method=method)]


def adjusted(p_values: ArrayLike, *, method: Method) -> Vector:
    """Adjusted p-values of many families at once; NaN leaves its family and stays NaN.

    Family-wise error: bonferroni; holm (Holm 1979, Scand. J. Stat. 6); hommel (1988, Biometrika 75) and hochberg
    (1988, Biometrika 75), both under positive dependence. False discovery rate: fdr_bh (Benjamini, Hochberg 1995,
    J. R. Stat. Soc. B 57; positive dependence), fdr_by (Benjamini, Yekutieli 2001, Ann. Stat. 29; any dependence).

    Args:
        p_values: Shape (..., m); the last axis is a family.

    Returns:
        The same shape.
    """
    if method not in get_args(Method):
        raise EvidenceError("unknown correction", found=repr(method), allowed=nearest(method, get_args(Method)))
    raw = np.asarray(p_values, dtype=np.float64)
    if np.any((raw < 0) | (raw > 1)):
        raise EvidenceError("a p-value is a probability", found=_outside(raw), allowed="0 to 1")
    if method == "none" or raw.size == 0:
        return raw.copy()
    families = raw.reshape(-1, raw.shape[-1])
    order = np.argsort(families, axis=1)
    ascending = np.take_along_axis(families, order, axis=1)
    sizes = np.isfinite(families).sum(axis=1)
    for m in np.unique(sizes[sizes > 0]):
        rows = sizes == m
        ascending[rows, :m] = np.minimum(_STEPS[method](ascending[rows, :m]), 1.0)
    found = np.empty_like(families)
    np.put_along_axis(found, order, ascending, axis=1)
    return found.reshape(raw.shape)


@dataclass(frozen=True)
class Family:
    """Tests read together, each with its decision and the level of the interval that goes with it.

    Attributes:
        method, alpha: The correction, and the error rate of the family.
        p_adjusted: In the order given; NaN for a member that left.
        significant: Whether p_adjusted <= alpha; None for a member that left.
        size, left: Members with a p-value, and members without one.
        reason: How many left, empty where none did.
        interval_alpha: One minus the level of every member's interval.
        simultaneous: Whether all intervals hold together with probability 1 - alpha; after Benjamini-Hochberg
            and Benjamini-Yekutieli only the expected share that misses, of those selected, is alpha.
        dual: Whether a member is significant exactly when its interval leaves out the null. Not so for Holm,
            Hochberg and Hommel, which reject more than Bonferroni's intervals do.
    """

    method: Method
    alpha: float
    p_adjusted: tuple[float, ...]
    significant: tuple[bool | None, ...]
    size: int
    left: int
    reason: str
    interval_alpha: float
    simultaneous: bool
    dual: bool


def family(p_values: Sequence[float | None], *, method: Method, alpha: float = 0.05) -> Family:
    """The adjusted p-values of a family, its decisions, and the level of its intervals.

    Bonferroni: alpha/m; also beside Holm, Hochberg and Hommel, with which they are compatible but not dual.
    Benjamini-Hochberg: R alpha/m for R rejections, Benjamini-Yekutieli that over sum 1/j (both 2001 and 2005),
    which leave out the null of just those R.

    Args:
        p_values: None or NaN where a test is undefined; it leaves the family, which is counted.
        alpha: Error rate of the family.
    """
    found = tuple(math.nan if p is None else p for p in adjust(p_values, method=method))
    size = sum(not math.isnan(p) for p in found)
    left = len(found) - size
    rejected = tuple(None if math.isnan(p) else p <= alpha for p in found)
    return Family(
        method, alpha, found, rejected, size, left,
        reason=f"{left} of {len(found)} tests have no p-value and left the family" if left else "",
        interval_alpha=_interval_alpha(alpha, sum(1 for r in rejected if r), size, method),
        simultaneous=method in ("bonferroni", "holm", "hochberg", "hommel") or size < 2,
        dual=method in ("bonferroni", "fdr_bh", "fdr_by", "none") or size < 2,
    )  # fmt: skip


def critical_p(p_values: Sequence[float | None], index: int, *, method: Method, alpha: float = 0.05) -> float:
    """The largest p-value with which a member would be significant, the others being as they are.

    Adjustments grow with the p-value, so it is found by bisection; at least alpha/m over sum 1/j.

    Args:
        index: Of the member, which need not have a p-value itself.
    """

    def rejected(p: float) -> bool:
        raw = [*p_values[:index], p, *p_values[index + 1 :]]
        found = adjust(raw, method=method)[index]
        return found is not None and found <= alpha

    low, high = 0.0, 1.0
    while high - low > 1e-15 + 1e-13 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low


def simultaneous_alpha(alpha: float, m: int) -> float:
    """Level alpha/m of each of m intervals that hold together with probability 1 - alpha (Bonferroni).

    These are the intervals shown beside the p-values of Holm, Hochberg and Hommel, which reject at least as often.
    """
    if m < 1:
        raise EvidenceError("a family has at least one member", found=m)
    return alpha / m


def selected_alpha(alpha: float, selected: int, m: int) -> float:
    """Level alpha R/m of the intervals of the R members that Benjamini-Hochberg selected.

    Of the intervals so shown, the expected share that misses is at most alpha (false coverage rate; Benjamini,
    Yekutieli 2005, J. Am. Stat. Assoc. 100). With nothing selected there is nothing to show; alpha/m then.
    """
    if not 0 <= selected <= m:
        raise EvidenceError("no more members are selected than the family has", found=f"{selected} of {m}")
    return simultaneous_alpha(alpha, m) * max(selected, 1)


def preferential_weights(primary: Sequence[bool], *, primary_share: float = 0.5) -> tuple[float, ...]:
    """Shares of alpha that keep a primary test as powerful however many others are added (preferential Bonferroni).

    The primary tests divide ``primary_share`` of alpha equally, the others the rest; a family of one kind divides
    all of it.

    Args:
        primary: For each member of the family, whether it is a primary test.
        primary_share: Alpha of all primary tests together, as a share between 0 and 1.
    """
    if not 0 < primary_share < 1:
        raise EvidenceError("a share of alpha", found=primary_share, allowed="between 0 and 1, such as 0.5")
    count = sum(primary), len(primary) - sum(primary)
    parts = (primary_share, 1 - primary_share) if all(count) else (1.0, 1.0)
    return tuple(parts[0] / count[0] if first else parts[1] / count[1] for first in primary)


def weighted_bonferroni(p_values: ArrayLike, weights: ArrayLike) -> Vector:
    """Adjusted p-values min(1, p / w) of a family that divides alpha by weights w summing to at most 1.

    The interval that goes with a member has level w alpha. NaN stays NaN; its share is not handed on, so that a
    promised level does not depend on which results turn out to be defined.
    """
    shares = np.asarray(weights, dtype=np.float64)
    if np.any(shares <= 0) or shares.sum() > 1 + 1e-12:
        raise EvidenceError("weights divide alpha", found=shares.tolist(), allowed="positive, summing to at most 1")
    found: Vector = np.minimum(np.asarray(p_values, dtype=np.float64) / shares, 1.0)
    return found


def _interval_alpha(alpha: float, rejected: int, m: int, method: Method) -> float:
    if method == "none" or m < 2:
        return alpha
    if method in ("fdr_bh", "fdr_by"):
        selected = selected_alpha(alpha, rejected, m)
        return selected / _harmonic(m) if method == "fdr_by" else selected
    return simultaneous_alpha(alpha, m)


def _harmonic(m: int) -> float:
    return math.fsum(1 / j for j in range(1, m + 1))


def _outside(p: Vector) -> list[float]:
    return [float(value) for value in p[(p < 0) | (p > 1)][:5]]


def _bonferroni(p: Vector) -> Vector:
    found: Vector = p * p.shape[1]
    return found


def _holm(p: Vector) -> Vector:
    return np.maximum.accumulate(p * np.arange(p.shape[1], 0, -1), axis=1)


def _hochberg(p: Vector) -> Vector:
    return _least_above(p * np.arange(p.shape[1], 0, -1))


def _hommel(p: Vector) -> Vector:
    """Closed testing with Simes tests.

    Of the intersections of s hypotheses that contain one, the hardest to reject holds the s - 1 largest others.
    Its Simes p-value is the least of s p and s p_(m-s+k) / k, k = 2..s, so the greatest of these over s is wanted.
    """
    m = p.shape[1]
    found = p.copy()
    for s in range(2, m + 1):
        largest = (s * p[:, m - s + 1 :] / np.arange(2, s + 1)).min(axis=1, keepdims=True)
        own = s * p[:, np.minimum(np.arange(m), m - s)]
        found = np.maximum(found, np.minimum(own, largest))
    return found


def _benjamini_hochberg(p: Vector) -> Vector:
    m = p.shape[1]
    return _least_above(p * m / np.arange(1, m + 1))


def _benjamini_yekutieli(p: Vector) -> Vector:
    return _benjamini_hochberg(p) * _harmonic(p.shape[1])


def _least_above(p: Vector) -> Vector:
    """The least of each value and those after it."""
    least: NDArray[np.float64] = np.minimum.accumulate(p[:, ::-1], axis=1)[:, ::-1]
    return least


_STEPS: dict[str, Callable[[Vector], Vector]] = {
    "bonferroni": _bonferroni,
    "holm": _holm,
    "hochberg": _hochberg,
    "hommel": _hommel,
    "fdr_bh": _benjamini_hochberg,
    "fdr_by": _benjamini_yekutieli,
}
"""Adjustments of p-values in ascending order, shape (families, m), before they are held to 1."""
