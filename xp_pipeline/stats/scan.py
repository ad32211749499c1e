"""The scan of segments: each against the rest of its population, under Benjamini-Hochberg."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.heterogeneity import Difference, effect_difference
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.multiplicity import Method, family
from xp_pipeline.stats.stratified import Stratum

Estimator = Callable[[Moments, Moments], Estimate]

_ROUNDING = 8 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Scanned:
    """One segment against the rest; exploratory whatever it shows.

    Attributes:
        segment: Its name.
        inside, rest: The effect of treatment in the segment and outside it.
        against: How much the effect inside exceeds that of the rest.
        p_adjusted: Over all segments with a p-value; NaN where undefined.
        differs: Whether p_adjusted <= alpha; None where undefined.
    """

    segment: str
    inside: Estimate
    rest: Estimate
    against: Difference
    p_adjusted: float
    differs: bool | None


@dataclass(frozen=True)
class Scan:
    """All segments, those that differ most first.

    Attributes:
        segments: By adjusted p-value, undefined ones last, ties by name.
        tested, left: Segments with a p-value, and without one.
        reason: How many have none; empty when all have.
    """

    segments: tuple[Scanned, ...]
    tested: int
    left: int
    reason: str


def scan(
    whole: Stratum,
    segments: Mapping[str, Stratum],
    *,
    estimator: Estimator = welch,
    alpha: float = 0.05,
    method: Method = "fdr_bh",
) -> Scan:
    """Which segments' effects differ from that of everybody else.

    The rest is the whole less the segment, by subtraction of moments, so that nothing is read again and segments of
    several dimensions may overlap; the difference of the two effects is tested, of disjoint units. Tests of
    overlapping segments depend on each other; Benjamini-Hochberg holds under positive dependence, fdr_by under any.

    Args:
        whole: Moments of control and treatment over all units.
        segments: The same by segment, of the same units.
        estimator: ``welch``, ``ratio``, ``cuped`` or ``proportion``, with its settings bound.
        alpha: False discovery rate.
    """
    names = list(segments)
    pairs = [(estimator(*segments[name]), estimator(*_rest(whole, segments[name]))) for name in names]
    against = [effect_difference(rest, inside) for inside, rest in pairs]
    tests = family([d.p_value if d.status == Status.OK else None for d in against], method=method, alpha=alpha)
    found = [
        Scanned(name, inside, rest, difference, p, differs)
        for name, (inside, rest), difference, p, differs in zip(
            names, pairs, against, tests.p_adjusted, tests.significant, strict=True
        )
    ]
    found.sort(key=lambda s: (s.differs is None, s.p_adjusted if s.differs is not None else 0.0, s.segment))
    return Scan(tuple(found), tests.size, tests.left, tests.reason)


def without(whole: Moments, part: Moments) -> Moments:
    """The moments of the units that are not in a part of the whole.

    With d = mean_part - mean, around the mean of the whole: sums -n_p d, products C - C_p - n_p d d', cubes T - T_p -
    3 d C_p - n_p d^3. What is left below the rounding of the whole is a constant.

    Raises:
        EvidenceError: The part has more units, or other variables, than the whole.
    """
    if part.mean.size != whole.mean.size or part.n > whole.n:
        raise EvidenceError(
            "a part has the variables of the whole and no more units", found=(part.n, whole.n), allowed="a subset"
        )
    if part.n == 0:
        return whole
    if part.n == whole.n:
        return Moments.empty(whole.mean.size)
    with np.errstate(invalid="ignore", over="ignore"):
        d = part.mean - whole.mean
        removed = part.comoment + part.n * np.outer(d, d)
        products = whole.comoment - removed
        cubes = whole.third - part.third - 3 * d[0] * part.comoment[0, 0] - part.n * d[0] ** 3
        noise = _ROUNDING * whole.n * (whole.comoment.diagonal() + removed.diagonal())
        constant = products.diagonal() - (part.n * d) ** 2 / (whole.n - part.n) <= noise
    rest = Moments.from_sums(whole.n - part.n, whole.mean, -part.n * d, products, float(cubes))
    if not constant.any():
        return rest
    kept = np.where(constant[:, None] | constant[None, :], 0.0, rest.comoment)
    return Moments(rest.n, rest.mean, kept, 0.0 if constant[0] else rest.third)


def _rest(whole: Stratum, segment: Stratum) -> Stratum:
    return Stratum(without(whole.control, segment.control), without(whole.treatment, segment.treatment))
