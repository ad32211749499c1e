"""Heterogeneity: whether effects differ between segments, by Cochran's Q and by the difference of two effects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.means import SMALLEST_P, checked_level, t_quantile, two_sided_p
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.relative import delta

Scale = Literal["absolute", "relative"]


@dataclass(frozen=True)
class Heterogeneity:
    """Cochran's test that all segments have one effect.

    Attributes:
        status, reason: ``not_testable`` with fewer than two segments; a reason beside ``ok`` counts the segments
            without an estimate, which are left out.
        q: Sum of squared distances from the common effect, in standard errors.
        df: Segments less one.
        p_value: Upper tail of chi-square.
        i_squared: Share of Q beyond its expectation, 0 to 1: variation that is not noise.
        common: Effect common to all, weighted by precision; its standard error is ``common_se``.
    """

    status: Status
    reason: str
    q: float = NAN
    df: int = 0
    p_value: float = NAN
    i_squared: float = NAN
    common: float = NAN
    common_se: float = NAN


def cochran_q(segments: Sequence[Estimate], *, scale: Scale = "absolute") -> Heterogeneity:
    """Q = sum w (e - e_w)^2, w = 1/se^2, against chi-square of k - 1 degrees of freedom (Cochran 1954, Biometrics 10).

    I^2 = max(0, 1 - (k - 1)/Q) (Higgins, Thompson 2002, Stat. Med. 21). Standard errors are taken as known: with
    segments of a few dozen units Q rejects somewhat too often. Effects that are equal in absolute terms differ in
    relative ones where control means differ, so the scale is part of the question.

    Args:
        segments: One estimate a segment, of disjoint units.
        scale: Effects, or lifts with the delta method's variance.
    """
    known = [pair for pair in (_effect(estimate, scale) for estimate in segments) if pair]
    left = len(segments) - len(known)
    reason = f"{left} of {len(segments)} segments have no estimate" if left else ""
    if len(known) < 2:
        return Heterogeneity(Status.NOT_TESTABLE, reason or "fewer than two segments")
    smallest = min(se for _, se in known)
    weights = [(smallest / se) ** 2 for _, se in known]
    origin = known[0][0]
    total = math.fsum(weights)
    common = origin + math.fsum(w * (e - origin) for w, (e, _) in zip(weights, known, strict=True)) / total
    q = math.fsum(((e - common) / se) ** 2 for e, se in known)
    df = len(known) - 1
    p_value = min(1.0, max(float(special.chdtrc(df, q)), SMALLEST_P))
    i_squared = max(0.0, 1 - df / q) if q > 0 else 0.0
    return Heterogeneity(Status.OK, reason, q, df, p_value, i_squared, common, smallest / math.sqrt(total))


@dataclass(frozen=True)
class Difference:
    """How much one effect exceeds another.

    Attributes:
        status, reason: Of the first effect that is undefined; otherwise ``ok``.
        difference: Second effect minus first, in their unit; ``se`` its standard error.
        df: Satterthwaite's degrees of freedom.
        p_value: Two-sided; below 1 - level exactly when [low, high] leaves out 0.
        low, high: Interval of the difference at ``level``.
    """

    status: Status
    reason: str
    difference: float = NAN
    se: float = NAN
    df: float = NAN
    p_value: float = NAN
    low: float = NAN
    high: float = NAN
    level: float = NAN


def effect_difference(first: Estimate, second: Estimate, *, alpha: float = 0.05) -> Difference:
    """Second effect minus first, of disjoint units: se^2 = se_1^2 + se_2^2, df = se^4 / (se_1^4/df_1 + se_2^4/df_2).

    A segment "differs" only by this test: one effect being significant and another not is no difference. For
    means this is the interaction of ordinary regression with HC2 errors.
    """
    checked_level(alpha)
    for estimate in (first, second):
        if estimate.status != Status.OK:
            return Difference(estimate.status, estimate.reason or "an effect is undefined")
    variance = first.se**2 + second.se**2
    if not 0 < variance < math.inf:
        return Difference(Status.DEGENERATE, "no variance in either effect")
    shares = first.se**2 / variance, second.se**2 / variance
    df = 1 / (shares[0] ** 2 / first.df + shares[1] ** 2 / second.df) if _finite(first, second) else math.inf
    return difference_of(second.effect - first.effect, math.sqrt(variance), df, alpha=alpha)


def difference_of(difference: float, se: float, df: float, *, alpha: float = 0.05) -> Difference:
    """The test of a difference with its standard error and degrees of freedom."""
    half = t_quantile(1 - alpha / 2, df) * se
    p_value = two_sided_p(difference / se, df)
    return Difference(Status.OK, "", difference, se, df, p_value, difference - half, difference + half, 1 - alpha)


Levels = tuple[str, ...]


def margin(cells: Mapping[Levels, Moments], *, keep: Sequence[int]) -> dict[Levels, Moments]:
    """Cells of a crossing merged over the dimensions that are not kept; exact, as merging is.

    Args:
        cells: Moments by the levels of crossed dimensions, such as ``("DE", "phone")``.
        keep: Positions of the dimensions to stay; (0, 1) of three is their two-way crossing, () the whole.
    """
    sizes = {len(levels) for levels in cells}
    if len(sizes) > 1 or any(not 0 <= place < size for place in keep for size in sizes):
        raise EvidenceError("cells have one level of every dimension", found=(sorted(sizes), tuple(keep)))
    merged: dict[Levels, list[Moments]] = {}
    for levels, moments in cells.items():
        merged.setdefault(tuple(levels[place] for place in keep), []).append(moments)
    return {levels: Moments.merge(*parts) for levels, parts in merged.items()}


def crossed_name(names: Sequence[str]) -> str:
    """How a crossing of dimensions, or of their levels, is called: ``country x device``."""
    return " x ".join(names)


def _finite(first: Estimate, second: Estimate) -> bool:
    return math.isfinite(first.df) or math.isfinite(second.df)


def _effect(estimate: Estimate, scale: Scale) -> tuple[float, float] | None:
    """An effect with its standard error, on a scale; None where it is undefined."""
    if estimate.status != Status.OK:
        return None
    if scale == "absolute":
        return estimate.effect, estimate.se
    variances = estimate.var_mean_control, estimate.var_mean_treatment, estimate.cov_means
    lift = delta(estimate.mean_control, estimate.mean_treatment, *variances, q=1.0)
    usable = lift.status == Status.OK and lift.high > lift.low and estimate.relative.status == Status.OK
    return (lift.lift, (lift.high - lift.low) / 2) if usable else None
