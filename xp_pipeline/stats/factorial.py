"""Effects of a factorial experiment: contrasts of several arms' means, from the arms' moments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.cuped import residual, slope_factor, slopes
from xp_pipeline.stats.estimates import Estimate, Status, without_lift
from xp_pipeline.stats.means import Joint, contrast
from xp_pipeline.stats.moments import Moments, Vector
from xp_pipeline.stats.ratios import few_denominators, linearise

_ROUNDING = 1e-9


class _Cell(NamedTuple):
    """An arm in a contrast: its weight, and the moments of its outcome and covariates."""

    weight: float
    arm: Moments


class _Side(NamedTuple):
    """The arms of one sign: units, mean, variance of the mean."""

    n: int
    mean: float
    variance: float


def factorial_effect(
    arms: Mapping[str, Moments],
    weights: Mapping[str, float],
    *,
    alpha: float = 0.05,
    null: float = 0.0,
    ratio: bool = False,
    interaction: bool = False,
) -> Estimate:
    """sum_a w_a m_a over arms, with Var = sum w_a^2 s_a^2 / n_a: no arm's size or variance is taken for another's.

    The effect is the mean over the arms of positive weight minus the mean over those of negative weight, each
    arm counted by its weight and not by its units. Weights of 2 / (number of arms), with the signs of a
    product of two-level factors, give the textbook effects: a main effect is the mean at the high level minus
    that at the low; the interaction of two is *half* the difference of their differences; of k factors, one
    part in 2^(k-1) (Box, Hunter, Hunter 2005, Statistics for Experimenters, chapter 5; Montgomery 2017, Design and
    Analysis of Experiments, chapter 6). It is twice the coefficient of the regression on -1 and 1 that is
    saturated in the arms, and the error is twice its HC2 error (MacKinnon, White 1985, J. Econometrics 29).
    Degrees of freedom are Satterthwaite's, (sum v)^2 / sum v^2 / (n - 1) with v = w^2 s^2 / n (1946, Biometrics
    Bulletin 2), which Welch's are for two arms.

    Covariates adjust with one slope pooled within the arms of the contrast, as in ``cuped``. A ratio is each arm's
    own, linearised. The lift is that over the arms of negative weight; an interaction has none.

    Args:
        arms: Moments by arm of outcome (and denominator, if ``ratio``), then covariates, if any.
        weights: Weight by arm; the positive ones sum to 1 and the negative ones to -1. Arms of weight 0 are not
            read.
        alpha: One minus the level of the interval.
        null: The effect tested against.
        ratio: Whether variable 1 is a denominator.
        interaction: Whether the contrast is of more than one factor.

    Raises:
        EvidenceError: the weights are not those of a contrast, or name an unknown arm.
    """
    used = _checked(arms, weights)
    size = next(iter(used.values())).mean.size
    estimator = "factorial" + ("_ratio" if ratio else "") + ("_cuped" if size > 1 + ratio else "")
    units = tuple(sum(m.n for arm, m in used.items() if weights[arm] * sign > 0) for sign in (-1, 1))
    status, reason = _unusable(used, ratio)
    if status != Status.OK:
        return _refused(status, reason, estimator, units[0], units[1])
    cells = [_Cell(float(weights[arm]), linearise(m) if ratio else m) for arm, m in used.items()]
    found = _adjusted(cells, estimator, alpha, null)
    if interaction and found.status == Status.OK:
        found = replace(found, relative=without_lift(Status.UNDEFINED_RELATIVE, "an interaction has no control mean"))
    return found.cautioned(few_denominators(*used.values()) if ratio else None).cautioned(_dropped(cells))


def _checked(arms: Mapping[str, Moments], weights: Mapping[str, float]) -> dict[str, Moments]:
    """The arms that the contrast reads."""
    halves = [math.fsum(w for w in weights.values() if w * sign > 0) * sign for sign in (-1, 1)]
    if not all(abs(half - 1) < _ROUNDING for half in halves):
        raise EvidenceError(
            "the weights of a contrast sum to 1 on its positive side and to -1 on its negative", found=dict(weights)
        )
    used = {arm: weight for arm, weight in weights.items() if weight}
    if unknown := [arm for arm in used if arm not in arms]:
        raise EvidenceError("a contrast names an unknown arm", found=", ".join(unknown), allowed=", ".join(arms))
    return {arm: arms[arm] for arm in used}


def _unusable(arms: Mapping[str, Moments], ratio: bool) -> tuple[Status, str]:
    """Why there can be no estimate, naming the arm."""
    for arm, moments in arms.items():
        if moments.n < 2:
            return Status.INSUFFICIENT_DATA, f"arm {arm} has {'one unit' if moments.n else 'no unit'}"
    for arm, moments in arms.items():
        if not moments.finite:
            return Status.INVALID_DATA, f"a value of arm {arm} is infinite or not a number"
        if ratio and moments.mean[1] == 0:
            return Status.DEGENERATE, f"the denominators of arm {arm} sum to 0"
    return Status.OK, ""


def _adjusted(cells: list[_Cell], estimator: str, alpha: float, null: float) -> Estimate:
    """The contrast of y - theta x; without covariates, of y."""
    n = sum(cell.arm.n for cell in cells)
    comoment = np.sum([cell.arm.comoment for cell in cells], axis=0)
    theta, rank = slopes(comoment)
    left = n - len(cells)
    if left <= rank:
        reason = f"{n} units in {len(cells)} arms are too few for {rank} covariates"
        return _refused(Status.INSUFFICIENT_DATA, reason, estimator, *(_side(cells, s).n for s in (-1, 1)))
    centre = sum(cell.arm.n * cell.arm.mean[1:] for cell in cells) / n
    moved = [_Cell(cell.weight, _around(residual(cell.arm, theta), float(theta @ centre))) for cell in cells]
    gap = np.sum([cell.weight * cell.arm.mean[1:] for cell in cells], axis=0)
    spread = math.fsum(cell.weight**2 / cell.arm.n for cell in cells)
    factor = left / (left - rank) * slope_factor(gap, comoment, spread)
    low, high = (_side(moved, sign, factor) for sign in (-1, 1))
    plain_low, plain_high = (_side(cells, sign) for sign in (-1, 1))
    variance, plain = low.variance + high.variance, plain_low.variance + plain_high.variance
    found = contrast(
        estimator, (low.n, high.n), (low.mean, high.mean), _joint(cells, theta, n, low.variance, high.variance),
        df=_satterthwaite(moved) if 0 < variance < math.inf else None, alpha=alpha, null=null, variance=variance,
    )  # fmt: skip
    if found.status != Status.OK:
        found = replace(found, reason=found.reason.replace("either arm", "any arm"))
    return replace(
        found,
        var_control=low.variance * low.n,
        var_treatment=high.variance * high.n,
        theta=tuple(float(slope) for slope in theta),
        unadjusted_effect=plain_high.mean - plain_low.mean,
        variance_reduction=1 - variance / plain if theta.size and plain > 0 else 0.0,
    )


def _dropped(cells: list[_Cell]) -> str | None:
    """A caution where covariates say nothing, or the same as others."""
    products = np.sum([cell.arm.comoment for cell in cells], axis=0)
    lost = len(products) - 1 - slopes(products)[1]
    return f"{lost} covariate{'s' if lost > 1 else ''} constant or collinear" if lost else None


def _around(residuals: Moments, shift: float) -> Moments:
    """Residuals moved so that covariates count as deviations from their pooled mean."""
    return residuals.linear([[1.0]], [shift])


def _side(cells: list[_Cell], sign: int, factor: float = 1.0) -> _Side:
    """The weighted mean of the arms of one sign."""
    chosen = [(abs(weight), arm) for weight, arm in cells if weight * sign > 0]
    mean = math.fsum(weight * float(arm.mean[0]) for weight, arm in chosen)
    variance = math.fsum(weight**2 * arm.variance() / arm.n for weight, arm in chosen) * factor
    return _Side(sum(arm.n for _, arm in chosen), mean, variance)


def _joint(cells: list[_Cell], theta: Vector, n: int, low: float, high: float) -> Joint:
    """Variances of the two sides' means and their covariance, which the shared pooled mean of covariates makes.

    A unit of arm a moves its own side by |w_a| (y - theta x)/n_a + theta x / N, and the other side by theta x / N.
    """
    mixed, common = {-1: 0.0, 1: 0.0}, 0.0
    for weight, arm in cells:
        explained = float(theta @ arm.comoment[1:, 1:] @ theta) / (arm.n - 1)
        along = float(theta @ arm.comoment[1:, 0]) / (arm.n - 1) - explained
        mixed[1 if weight > 0 else -1] += abs(weight) * along / n
        common += arm.n * explained / n**2
    return low + 2 * mixed[-1] + common, high + 2 * mixed[1] + common, mixed[-1] + mixed[1] + common


def _satterthwaite(cells: list[_Cell]) -> float:
    """Degrees of freedom of a sum of independent variance estimates, by shares so that no square underflows."""
    terms = [(weight**2 * arm.variance() / arm.n, arm.n) for weight, arm in cells]
    total = math.fsum(term for term, _ in terms)
    return 1 / math.fsum((term / total) ** 2 / (n - 1) for term, n in terms)


def _refused(status: Status, reason: str, estimator: str, control: int, treatment: int) -> Estimate:
    return Estimate(status, reason, estimator, control, treatment, relative=without_lift(status, reason))
