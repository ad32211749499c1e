"""Balance of a pre-exposure covariate between two arms."""

from __future__ import annotations

import math

from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments


def standardized_difference(control: Moments, treatment: Moments, i: int = 0) -> float:
    """(m_t - m_c) / sqrt((s_c^2 + s_t^2)/2) of variable i (Austin 2009); NaN where neither arm varies.

    Beyond 0.1 in size a covariate is usually called imbalanced, whatever the sample size.
    """
    pooled = math.sqrt((control.variance(i) + treatment.variance(i)) / 2)
    return float(treatment.mean[i] - control.mean[i]) / pooled if pooled > 0 else math.nan


def balance_p_value(control: Moments, treatment: Moments, i: int = 0) -> float:
    """Welch's two-sided p-value that variable i has the same mean in both arms; NaN where undefined."""
    return welch(control.take([i]), treatment.take([i])).p_value
