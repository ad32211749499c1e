"""The smallest effect, and the smallest tolerable harm, that given arms can tell from nothing."""

from __future__ import annotations

import math

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detection import effective_units, non_inferiority_power, power_of
from xp_pipeline.design.levels import check_power
from xp_pipeline.design.search import smallest


def minimum_detectable_effect(
    baseline: Baseline,
    *,
    n_control: float,
    n_treatment: float,
    alpha: float = 0.05,
    power: float = 0.8,
    comparisons: int = 1,
    two_sided: bool = True,
    inflation: float = 1.0,
    pooled: bool = False,
    increase: bool = True,
) -> float:
    """Smallest change that is detected with the power asked for, as a positive number; NaN where none is.

    ``baseline.lift`` turns it into a relative one.

    Args:
        increase: Whether the change is an increase: for a proportion, the other way has another variance.
    """
    check_power(power)
    scale = _scale(baseline, (n_control, n_treatment), inflation)
    if math.isnan(scale):
        return math.nan

    sign = 1 if increase else -1

    def reached(effect: float) -> bool:
        found = power_of(
            baseline, effect=sign * effect, n_control=n_control, n_treatment=n_treatment, alpha=alpha,
            comparisons=comparisons, two_sided=two_sided, inflation=inflation, pooled=pooled,
        )  # fmt: skip
        return found >= power

    left = 1 - baseline.mean if increase else baseline.mean
    largest = left if baseline.kind == "proportion" else 1e9 * scale
    return smallest(reached, low=0.0, start=min(scale, largest), largest=largest)


def smallest_margin(
    baseline: Baseline,
    *,
    n_control: float,
    n_treatment: float,
    relative: bool = False,
    increase_is_good: bool = True,
    effect: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
    comparisons: int = 1,
    inflation: float = 1.0,
) -> float:
    """Smallest margin within which harm is ruled out with the power asked for; NaN where none is.

    Args:
        relative: Whether the margin is a share of |mean|.
        effect: True difference in the metric's unit.
    """
    check_power(power)
    scale = _scale(baseline, (n_control, n_treatment), inflation)
    if math.isnan(scale) or (relative and baseline.mean == 0):
        return math.nan

    def reached(margin: float) -> bool:
        found = non_inferiority_power(
            baseline, margin=margin, n_control=n_control, n_treatment=n_treatment, relative=relative,
            increase_is_good=increase_is_good, effect=effect, alpha=alpha, comparisons=comparisons,
            inflation=inflation,
        )  # fmt: skip
        return found >= power

    start = scale / abs(baseline.mean) if relative else scale
    return smallest(reached, low=0.0, start=start, largest=1e9 * start)


def _scale(baseline: Baseline, units: tuple[float, float], inflation: float) -> float:
    """Standard error under no effect; NaN where an arm has fewer than two units or nothing varies."""
    effective = effective_units(baseline, units, inflation)
    variances = baseline.variances(0.0)
    if min(effective) < 2 or not sum(variances) > 0:
        return math.nan
    return math.sqrt(sum(v / n for v, n in zip(variances, effective, strict=True)))
