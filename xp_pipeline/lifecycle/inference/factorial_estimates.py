"""Estimates of the effects of factors: contrasts over the arms, raw and adjusted, each with its cautions."""

from __future__ import annotations

from collections.abc import Mapping

from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.measurement.measure import Cell, Reading
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.factorial import factorial_effect
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.skew import tails_unreliable, tails_unreliable_residual


def factorial_estimates(
    metric: Metric, reading: Reading, comparison: Comparison, segment: str, level: str, *, alpha: float
) -> list[Estimate]:
    """The raw effect, and the adjusted one where there are covariates; decisions read the last."""
    empty = Moments.empty(len(metric.quantities) + len(reading.covariates))
    arms = {arm: reading.cells.get(Cell(arm, segment, level), empty) for arm in comparison.weights}
    outcome = list(range(len(metric.quantities)))
    raw = {arm: moments.take(outcome) for arm, moments in arms.items()}
    found = [_effect(metric, comparison, raw, alpha).cautioned(_caution(metric, comparison, raw))]
    if reading.covariates:
        found.append(_effect(metric, comparison, arms, alpha))
    thirds = reading.thirds.get(comparison.name) if not segment else None
    if thirds:
        pair, is_ratio = (thirds[0], thirds[1]), metric.type == "ratio"
        found[-1] = found[-1].cautioned(
            tails_unreliable_residual(*_sides(comparison, arms), thirds=pair, ratio=is_ratio)
        )
    return found


def _effect(metric: Metric, comparison: Comparison, arms: Mapping[str, Moments], alpha: float) -> Estimate:
    is_ratio, is_interaction = metric.type == "ratio", comparison.order > 1
    return factorial_effect(arms, comparison.weights, alpha=alpha, ratio=is_ratio, interaction=is_interaction)


def _caution(metric: Metric, comparison: Comparison, arms: Mapping[str, Moments]) -> str | None:
    """Whether the tails of both sides, each of all its arms, are too skewed for the interval."""
    if metric.type == "ratio" or metric.binary:
        return None
    return tails_unreliable(*_sides(comparison, arms))


def _sides(comparison: Comparison, arms: Mapping[str, Moments]) -> tuple[Moments, Moments]:
    """All units of the arms of either sign, the baseline's first."""
    low, high = (Moments.merge(*(arms[arm] for arm in side)) for side in (comparison.against, comparison.arms))
    return low, high
