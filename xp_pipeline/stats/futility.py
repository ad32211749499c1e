"""Futility bounds: when a planned effect has become improbable enough to advise stopping without it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.boundaries import Look
from xp_pipeline.stats.brownian import NEVER, Path
from xp_pipeline.stats.spending import Spending


def futility_bounds(looks: Sequence[Look], *, drift: float, beta: float, spending: Spending) -> tuple[float, ...]:
    """The z below which each look advises to stop, non-binding.

    At the planned effect, the first look below its bound is this one with the probability b(t) less what was
    spent (Pampallona, Tsiatis, Kim 2001, Drug Inf. J. 35). The upper boundaries were computed as if nobody
    followed the advice, so that ignoring it costs no error. No bound lies above the upper boundary.

    Args:
        looks: Looks in order, of a plan or of the ledger; their upper boundaries are read.
        drift: Mean of the statistic at the planned information under the planned effect, at least 0.
        beta: Probability of stopping for futility under the planned effect, over all looks.
        spending: How beta is spent.

    Raises:
        EvidenceError: The drift is negative or not finite, or beta not one from 0 to 0.5.
    """
    if not 0 <= drift < math.inf:
        raise EvidenceError("futility is judged at a planned effect", found=drift, allowed="a drift of 0 or more")
    bounds: list[float] = []
    for path, look, spent in _surviving(looks, bounds, drift, beta, spending):
        share = spending.spent(look.information, alpha=beta) - spent
        if path.below(look.information, look.upper, drift) <= share:
            break
        bounds.append(min(-path.mirrored().upper_bound(look.information, share, -drift), look.upper))
    return (*bounds, *(look.upper for look in looks[len(bounds) :]))


def advised_power(looks: Sequence[Look], bounds: Sequence[float], *, drift: float) -> float:
    """Probability to cross an upper boundary when the advice of the futility bounds is followed."""
    power, path = 0.0, Path.start()
    for index, (look, low) in enumerate(zip(looks, bounds, strict=True)):
        power += path.above(look.information, look.upper, drift)
        if low >= look.upper or index + 1 == len(looks):
            break
        path = _advanced(path, looks, index, low)
    return power


def _surviving(
    looks: Sequence[Look], bounds: list[float], drift: float, beta: float, spending: Spending
) -> Iterator[tuple[Path, Look, float]]:
    """Each look with the path that reaches it between the bounds found so far, and the beta spent."""
    path, spent = Path.start(), 0.0
    for index, look in enumerate(looks):
        yield path, look, spent
        if bounds[-1] >= look.upper or index + 1 == len(looks):
            return
        spent = spending.spent(look.information, alpha=beta)
        path = _advanced(path, looks, index, bounds[-1])


def _advanced(path: Path, looks: Sequence[Look], index: int, low: float) -> Path:
    t, following = looks[index].information, looks[index + 1].information
    finest = min(t - path.information, following - t)
    return path.advance(t, max(low, -NEVER), looks[index].upper, finest=finest)
