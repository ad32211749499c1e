"""Bands that an honest run leaves once in a hundred runs, over all of its claims together."""

from __future__ import annotations

import math
from typing import NamedTuple

from xp_pipeline.calibration.model import Claim

FAMILY_ERROR = 0.01


class Band(NamedTuple):
    """Where an estimate may lie if its claim is true."""

    low: float
    high: float

    def holds(self, estimate: float) -> bool:
        """Whether the estimate lies in the band; an estimate that is not a number does not."""
        return self.low <= estimate <= self.high


def claim_alpha(claims: int) -> float:
    """Error of one claim out of many: 1 - (1 - 0.01)^(1/m) (Šidák 1967)."""
    return -math.expm1(math.log1p(-FAMILY_ERROR) / max(claims, 1))


def band(claim: Claim, *, replicates: int, error: float, alpha: float) -> Band:
    """The limits of a claim, widened by Monte-Carlo error.

    A rate at its limit is binomial: the band ends at the exact quantiles of Binomial(R, limit). A mean is
    normal: limit -+ z error. Two-sided claims spend half of alpha on each side.

    Args:
        claim: The claim; a side without a limit has no end.
        replicates: Replicates on which the measure is defined.
        error: Monte-Carlo standard error, for means.
        alpha: Error of this claim.
    """
    sides = math.isfinite(claim.low) + math.isfinite(claim.high)
    share = alpha / max(sides, 1)
    if claim.kind == "mean":
        from scipy.special import ndtri

        reach = -float(ndtri(share)) * error
        return Band(claim.low - reach, claim.high + reach)
    return Band(_binomial_low(claim.low, replicates, share), _binomial_high(claim.high, replicates, share))


def _binomial_low(limit: float, replicates: int, alpha: float) -> float:
    """The smallest share of successes whose being undercut has probability below alpha."""
    from scipy.stats import binom

    return float(binom.ppf(alpha, replicates, limit)) / replicates if math.isfinite(limit) and replicates else -math.inf


def _binomial_high(limit: float, replicates: int, alpha: float) -> float:
    """The largest share of successes whose being exceeded has probability below alpha."""
    from scipy.stats import binom

    return float(binom.isf(alpha, replicates, limit)) / replicates if math.isfinite(limit) and replicates else math.inf
