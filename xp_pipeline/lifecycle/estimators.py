"""The estimators of a metric: raw, and adjusted where there are covariates, each with its cautions."""

from __future__ import annotations

from collections.abc import Callable

from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.measure import Reading
from xp_pipeline.lifecycle.orders import pooled
from xp_pipeline.lifecycle.residuals import everybody
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.quantiles import quantile
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.skew import tails_unreliable, tails_unreliable_residual

Estimator = Callable[..., Estimate]


def estimates(
    metric: Metric, reading: Reading, comparison: Comparison, segment: str, level: str, *, alpha: float
) -> list[Estimate]:
    """The raw estimate, and the adjusted one where there are covariates; decisions read the last."""
    if metric.type == "quantile":
        return [_quantile(metric, reading, comparison, segment, level, alpha)]
    control = everybody(reading, metric, comparison.against, segment, level)
    treatment = everybody(reading, metric, comparison.arms, segment, level)
    outcome = list(range(len(metric.quantities)))
    raw = control.take(outcome), treatment.take(outcome)
    found = [_raw_estimator(metric)(*raw, alpha=alpha).cautioned(_caution(metric, *raw))]
    if reading.covariates:
        found.append(cuped(control, treatment, alpha=alpha, ratio=metric.type == "ratio"))
    thirds = reading.thirds.get(comparison.name) if not segment else None
    if thirds:
        pair, is_ratio = (thirds[0], thirds[1]), metric.type == "ratio"
        found[-1] = found[-1].cautioned(tails_unreliable_residual(control, treatment, thirds=pair, ratio=is_ratio))
    return found


def _quantile(
    metric: Metric, reading: Reading, comparison: Comparison, segment: str, level: str, alpha: float
) -> Estimate:
    against, arms = (pooled(reading.orders, group, segment, level) for group in (comparison.against, comparison.arms))
    return quantile(against, arms, p=metric.quantile or 0.5, alpha=alpha)


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
