"""A guard: whether skewness leaves the two tails of a t interval unequal."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from xp_pipeline.stats.cuped import slopes
from xp_pipeline.stats.moments import Moments, Vector
from xp_pipeline.stats.ratios import linearise

SKEW_LIMIT = 0.1
"""Skewness of the difference beyond which each tail of a 95 % interval is off by more than 0.85 points."""

KOHAVI = 355
"""Units needed per squared skewness where allocation is unequal (Kohavi, Deng, Longbotham and Xu 2014)."""

_KEPT = 1e-4
"""Share of its terms' variance that a residual keeps whose third sum is read from theirs."""


@dataclass(frozen=True, eq=False)
class ResidualCoefficients:
    """The residual that an arm's estimate averages, as sum_i weights_i (v_i - centre_i) over a unit's variables.

    Attributes:
        weights: Of outcome, denominator of a ratio, covariates; shape (k,).
        centre: What each variable is measured from, its mean in the arm; shape (k,).
    """

    weights: Vector
    centre: Vector

    def third(self, values: ArrayLike) -> float:
        """Sum of the cubed residuals of units, values of shape (n, k): what one more pass over the data sums up."""
        rows = np.asarray(values, dtype=np.float64).reshape(-1, self.weights.size)
        return float(np.sum(((rows - self.centre) @ self.weights) ** 3))

    def third_of(self, moments: Moments, *, shift: Vector, cubes: Vector) -> float | None:
        """The same from sums over the units: with q = w'(mean - shift), cubes(w, w, w) - 3 q w'C w - n q^3.

        None where the terms of the residual cancel so far that less than nine digits would be left.

        Args:
            moments: Of these units, C their comoment.
            shift: A number near the mean of every variable, shape (k,).
            cubes: Sums of the products of any three variables less their shifts, shape (k, k, k).
        """
        w = self.weights
        variance = float(w @ moments.comoment @ w)
        if not variance > _KEPT * float(np.abs(w) @ np.sqrt(moments.comoment.diagonal())) ** 2:
            return None
        q = float(w @ (moments.mean - shift))
        return float(((cubes @ w) @ w) @ w - 3 * q * variance - moments.n * q**3)


def tails_unreliable(control: Moments, treatment: Moments) -> str | None:
    """Why the tails of the interval of the difference of means cannot be trusted, or None.

    K = (T_t/n_t^3 - T_c/n_c^3) / se^3 is the skewness of the difference, T the central third sums; a tail
    shifts by about K (2 z^2 + 1) phi(z) / 6 = 0.085 K. K is noisy; so where one arm has more than twice the
    units of the other, and its skewness no longer cancels theirs, the smaller also needs 355 skewness^2
    units. None as well where third sums are not known or nothing varies: there is nothing to judge.
    """
    skew = difference_skew(control, treatment)
    if abs(skew) > SKEW_LIMIT:
        return f"skewness of the difference is {skew:+.2f} (limit {SKEW_LIMIT:g}): the tails are unequal"
    smaller, larger = sorted((control, treatment), key=lambda arm: arm.n)
    known = [abs(s) for arm in (smaller, larger) if math.isfinite(s := arm.skewness())]
    needed = KOHAVI * max(known, default=0.0) ** 2
    if larger.n > 2 * smaller.n and 2 <= smaller.n < needed:
        return (
            f"unequal allocation and skewness {max(known):.1f}: the smaller arm has {smaller.n:,} units "
            f"and would need {needed:,.0f}"
        )
    return None


def difference_skew(control: Moments, treatment: Moments) -> float:
    """Skewness of the difference of two means; NaN where it is undefined or third sums are not known."""
    if min(control.n, treatment.n) < 2:
        return math.nan
    variance = control.variance() / control.n + treatment.variance() / treatment.n
    if not 0 < variance < math.inf:
        return math.nan
    return float((treatment.third / treatment.n**3 - control.third / control.n**3) / variance**1.5)


def residual_coefficients(
    control: Moments, treatment: Moments, *, ratio: bool = False
) -> tuple[ResidualCoefficients, ResidualCoefficients] | None:
    """What to cube and sum over units so that ratio and adjusted estimates have a skewness; None if undefined.

    The residual is (y - ybar) - theta' (x - xbar), y being (y - R d)/dbar for a ratio, with theta the pooled
    within-arm slopes: its mean is 0 in each arm. Moments hold third sums of the outcome only, so this takes
    those of all variables, or one more pass over the units.

    Args:
        control, treatment: Moments of outcome (and denominator, if ``ratio``), then covariates, if any.
        ratio: Whether variable 1 is a denominator.
    """
    arms = (control, treatment)
    if min(control.n, treatment.n) < 2 or not (control.finite and treatment.finite):
        return None
    if ratio and not (control.mean[1] and treatment.mean[1]):
        return None
    c, t = (linearise(control), linearise(treatment)) if ratio else arms
    theta = slopes(c.comoment + t.comoment)[0]
    found = [ResidualCoefficients(_weights(arm, theta, ratio=ratio), arm.mean) for arm in arms]
    return found[0], found[1]


def tails_unreliable_residual(
    control: Moments, treatment: Moments, *, thirds: tuple[float, float], ratio: bool = False
) -> str | None:
    """The guard of a ratio or adjusted estimate: ``tails_unreliable`` of its residuals.

    Args:
        control, treatment, ratio: As given to ``residual_coefficients``.
        thirds: Sums of the cubed residuals of control and treatment.
    """
    residuals = residual_moments(control, treatment, thirds=thirds, ratio=ratio)
    return tails_unreliable(*residuals) if residuals else None


def residual_skew(control: Moments, treatment: Moments, *, thirds: tuple[float, float], ratio: bool = False) -> float:
    """Skewness of a ratio or adjusted difference; arguments as ``tails_unreliable_residual``'s."""
    residuals = residual_moments(control, treatment, thirds=thirds, ratio=ratio)
    return difference_skew(*residuals) if residuals else math.nan


def residual_moments(
    control: Moments, treatment: Moments, *, thirds: tuple[float, float], ratio: bool = False
) -> tuple[Moments, Moments] | None:
    """Moments of the residuals of each arm, third sums included."""
    coefficients = residual_coefficients(control, treatment, ratio=ratio)
    if coefficients is None:
        return None
    c, t = (
        replace(arm.linear(one.weights), third=third)
        for arm, one, third in zip((control, treatment), coefficients, thirds, strict=True)
    )
    return c, t


def _weights(arm: Moments, theta: Vector, *, ratio: bool) -> Vector:
    if not ratio:
        return np.concatenate([[1.0], -theta])
    denominator = arm.mean[1]
    return np.concatenate([[1 / denominator, -arm.mean[0] / denominator**2], -theta])
