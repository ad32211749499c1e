"""Caps: type 7 over pooled positive values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.capping import pooled_percentile


def test_type_seven_by_hand() -> None:
    """Hyndman and Fan's type 7, R's default: quantile(1:10, 0.9) is 9.1."""
    assert pooled_percentile(np.arange(1, 11), 0.9) == pytest.approx(9.1)


def test_zeros_do_not_pull_the_cap_to_zero() -> None:
    values = np.concatenate([np.zeros(990), np.arange(1, 11)])
    assert pooled_percentile(values, 0.9) == pytest.approx(9.1)
    assert pooled_percentile(values, 0.9, positive_only=False) == 0.0


def test_missing_values_do_not_count() -> None:
    assert pooled_percentile([1.0, math.nan, 3.0], 0.5, positive_only=False) == 2.0
    assert pooled_percentile([1.0, math.nan, 3.0], 0.5) == 2.0


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(pooled_percentile([], 0.99))
    assert math.isnan(pooled_percentile([0.0, -1.0], 0.99))


@pytest.mark.parametrize("q", [0.0, 1.0, 99.0, math.nan])
def test_the_quantile_is_a_share(q: float) -> None:
    with pytest.raises(EvidenceError, match="share"):
        pooled_percentile([1.0], q)
