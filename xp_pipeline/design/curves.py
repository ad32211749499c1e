"""The power curve: power over effects."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detection import power_of
from xp_pipeline.stats.moments import Vector


def power_curve(
    baseline: Baseline,
    *,
    effects: ArrayLike,
    n_control: float,
    n_treatment: float,
    alpha: float = 0.05,
    comparisons: int = 1,
    two_sided: bool = True,
    inflation: float = 1.0,
) -> Vector:
    """Power at each of some absolute effects, in their shape."""
    wanted = np.asarray(effects, dtype=np.float64)
    found = [
        power_of(
            baseline, effect=float(effect), n_control=n_control, n_treatment=n_treatment, alpha=alpha,
            comparisons=comparisons, two_sided=two_sided, inflation=inflation,
        )
        for effect in wanted.ravel()
    ]  # fmt: skip
    return np.array(found, dtype=np.float64).reshape(wanted.shape)
