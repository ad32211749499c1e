"""Families of p-values: adjustment by name, and the level of the matching simultaneous intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from xp_pipeline.errors import EvidenceError, nearest

Method = Literal["holm", "bonferroni", "fdr_bh", "hochberg", "hommel", "fdr_by", "none"]

_STATSMODELS = {"hochberg": "simes-hochberg"}


def adjust(p_values: Sequence[float | None], *, method: Method) -> list[float | None]:
    """Adjusted p-values in the order given; undefined ones (None or NaN) leave the family and stay None.

    Family-wise error: holm, bonferroni, hommel, hochberg (the last two under positive dependence). False
    discovery rate: fdr_bh (positive dependence), fdr_by (any dependence).

    Raises:
        EvidenceError: The method is unknown, or a p-value is outside [0, 1].
    """
    if method not in get_args(Method):
        raise EvidenceError("unknown correction", found=repr(method), allowed=nearest(method, get_args(Method)))
    family = [p for p in p_values if p is not None and not math.isnan(p)]
    if any(not 0 <= p <= 1 for p in family):
        raise EvidenceError("a p-value is a probability", found=family, allowed="0 to 1")
    adjusted = iter(_corrected(family, method))
    return [None if p is None or math.isnan(p) else next(adjusted) for p in p_values]


def simultaneous_alpha(alpha: float, m: int) -> float:
    """Level alpha/m of each of m intervals that hold together with probability 1 - alpha (Bonferroni).

    These are the intervals shown beside Holm's p-values, which reject at least as often.
    """
    if m < 1:
        raise EvidenceError("a family has at least one member", found=m)
    return alpha / m


def _corrected(family: list[float], method: Method) -> list[float]:
    if method == "none" or not family:
        return [float(p) for p in family]
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(family, method=_STATSMODELS.get(method, method))[1]]
