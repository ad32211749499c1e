"""A guard: whether skewness leaves the two tails of a t interval unequal."""

from __future__ import annotations

import math

from xp_pipeline.stats.moments import Moments

SKEW_LIMIT = 0.1
"""Skewness of the difference beyond which each tail of a 95 % interval is off by more than 0.85 points."""

KOHAVI = 355
"""Units needed per squared skewness where allocation is unequal (Kohavi, Deng, Longbotham and Xu 2014)."""


def tails_unreliable(control: Moments, treatment: Moments) -> str | None:
    """Why the tails of the interval of the difference of means cannot be trusted, or None.

    K = (T_t/n_t^3 - T_c/n_c^3) / se^3 is the skewness of the difference, T the central third sums; a tail
    shifts by about K (2 z^2 + 1) phi(z) / 6 = 0.085 K. K is noisy; so where one arm has more than twice the
    units of the other, and its skewness no longer cancels theirs, the smaller also needs 355 skewness^2
    units. None as well where third sums are not known or nothing varies: there is nothing to judge.
    """
    if min(control.n, treatment.n) < 2:
        return None
    se = math.sqrt(control.variance() / control.n + treatment.variance() / treatment.n)
    if not se > 0:
        return None
    skew = (treatment.third / treatment.n**3 - control.third / control.n**3) / se**3
    if abs(skew) > SKEW_LIMIT:
        return f"skewness of the difference is {skew:+.2f} (limit {SKEW_LIMIT:g}): the tails are unequal"
    smaller, larger = sorted((control, treatment), key=lambda arm: arm.n)
    known = [abs(s) for arm in (smaller, larger) if math.isfinite(s := arm.skewness())]
    needed = KOHAVI * max(known, default=0.0) ** 2
    if larger.n > 2 * smaller.n and smaller.n < needed:
        return (
            f"unequal allocation and skewness {max(known):.1f}: the smaller arm has {smaller.n:,} units "
            f"and would need {needed:,.0f}"
        )
    return None
