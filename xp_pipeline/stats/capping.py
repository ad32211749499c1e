"""The cap of a winsorised metric: one percentile over all arms together."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from xp_pipeline.errors import EvidenceError


def pooled_percentile(values: ArrayLike, q: float, positive_only: bool = True) -> float:
    """The q-quantile (Hyndman and Fan's type 7) of unit values pooled over arms; NaN without values.

    A cap per arm would let the treatment choose its own cap, so pass every arm's values at once.

    Args:
        values: One value a unit; NaN is a unit that does not count.
        q: Share of values below the cap, such as 0.99.
        positive_only: Take it over positive values, so that a metric of mostly zeros is not capped at 0.
    """
    if not 0 < q < 1:
        raise EvidenceError(
            "a cap's quantile is a share of the values", found=q, allowed="between 0 and 1, such as 0.99"
        )
    numbers = np.asarray(values, dtype=float).ravel()
    numbers = numbers[numbers > 0] if positive_only else numbers[~np.isnan(numbers)]
    return float(np.quantile(numbers, q, method="linear")) if numbers.size else math.nan
