"""The estimators of a metric: raw, and adjusted where there are covariates, each with its cautions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.measure import Cell, Reading
from xp_pipeline.lifecycle.orders import pooled
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.quantiles import quantile
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.skew import tails_unreliable

Estimator = Callable[..., Estimate]


def estimates(
    metric: Metric, reading: Reading, comparison: Comparison, segment: str, level: str, *, alpha: float
) -> list[Estimate]:
    """The raw estimate, and the adjusted one where there are covariates; decisions read the last."""
    if metric.type == "quantile":
        return [_quantile(metric, reading, comparison, segment, level, alpha)]
    size = len(metric.quantities) + len(reading.covariates)
    control = _pooled(reading, comparison.against, segment, level, size)
    treatment = _pooled(reading, comparison.arms, segment, level, size)
    outcome = list(range(len(metric.quantities)))
    found = [_raw_estimator(metric)(control.take(outcome), treatment.take(outcome), alpha=alpha)]
    if reading.covariates:
        found.append(cuped(control, treatment, alpha=alpha, ratio=metric.type == "ratio"))
    caution = _caution(metric, control, treatment)
    return [estimate.cautioned(caution) for estimate in found]


def _quantile(
    metric: Metric, reading: Reading, comparison: Comparison, segment: str, level: str, alpha: float
) -> Estimate:
    against, arms = (pooled(reading.orders, group, segment, level) for group in (comparison.against, comparison.arms))
    return quantile(against, arms, p=metric.quantile or 0.5, alpha=alpha)


def _pooled(reading: Reading, arms: Sequence[str], segment: str, level: str, size: int) -> Moments:
    return Moments.merge(*(reading.cells.get(Cell(arm, segment, level), Moments.empty(size)) for arm in arms))


def _raw_estimator(metric: Metric) -> Estimator:
    if metric.type == "ratio":
        return ratio
    return proportion if metric.binary else welch


def _caution(metric: Metric, control: Moments, treatment: Moments) -> str | None:
    if metric.type == "ratio" or metric.binary:
        return None
    return tails_unreliable(control, treatment)


def matured(estimate: Estimate, metric: Metric, everyone: int) -> Estimate:
    if metric.mature and estimate.status == Status.INSUFFICIENT_DATA and everyone:
        return Estimate(
            Status.IMMATURE,
            "no unit's window has passed yet",
            estimate.estimator,
            estimate.n_control,
            estimate.n_treatment,
        )
    return estimate
