"""Equivalence: whether an effect, up or down, is shown to lie within margins."""

from __future__ import annotations

from dataclasses import dataclass

from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.noninferiority import non_inferiority


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests.

    Attributes:
        status, reason: Whether the numbers may be read; a reason beside ``ok`` is a caution.
        p_value: The larger of the two one-sided p-values; NaN where undefined.
        holds: Whether p_value <= alpha, which is when [low, high] lies within the margins; None where undefined.
        low, high: Interval of the effect (or lift) at level 1 - 2 alpha.
        margin_low, margin_high: Fall and rise tolerated, positive; in the metric's unit, or shares of |mean_control|.
    """

    status: Status
    reason: str
    p_value: float
    holds: bool | None
    low: float
    high: float
    margin_low: float
    margin_high: float


def equivalence(
    estimate: Estimate,
    *,
    margin: float,
    margin_high: float | None = None,
    relative: bool = False,
    alpha: float = 0.05,
) -> Equivalence:
    """Test that the effect is neither below -margin nor above margin_high (Schuirmann 1987, two one-sided tests).

    Both tests run at ``alpha`` and both must reject, so neither is adjusted; with little data the truth at a
    margin is accepted less often than alpha. Margins, lifts and small counts are treated as in
    :func:`~xp_pipeline.stats.noninferiority.non_inferiority`.

    Args:
        margin: Fall tolerated, positive; the rise too unless ``margin_high`` is given.
        relative: Whether margins are shares of |mean_control|.
        alpha: One-sided error rate of either test.
    """
    highest = margin if margin_high is None else margin_high
    fall = non_inferiority(estimate, margin=margin, relative=relative, increase_is_good=True, alpha=alpha)
    rise = non_inferiority(estimate, margin=highest, relative=relative, increase_is_good=False, alpha=alpha)
    undefined = next((side for side in (fall, rise) if side.status != Status.OK), None)
    if undefined:
        return Equivalence(undefined.status, undefined.reason, NAN, None, NAN, NAN, margin, highest)
    p_value = max(fall.p_value, rise.p_value)
    return Equivalence(fall.status, fall.reason, p_value, p_value <= alpha, fall.bound, rise.bound, margin, highest)
