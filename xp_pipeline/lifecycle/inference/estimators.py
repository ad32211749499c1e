"""The estimators of a metric: raw, and adjusted where there are covariates, each with its cautions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.inference.adaptive_estimates import adaptive_estimates, as_if_fixed, is_weighted
from xp_pipeline.lifecycle.inference.beside import second_readings
from xp_pipeline.lifecycle.inference.factorial_estimates import factorial_estimates
from xp_pipeline.lifecycle.inference.strata import Strata, stratified_estimates
from xp_pipeline.lifecycle.measurement.measure import Reading
from xp_pipeline.lifecycle.measurement.orders import pooled
from xp_pipeline.lifecycle.measurement.residuals import everybody
from xp_pipeline.spec.experiment import Analysis
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import at_level, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.quantiles import quantile
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.skew import tails_unreliable, tails_unreliable_residual

Estimator = Callable[..., Estimate]


def estimates(
    metric: Metric,
    reading: Reading,
    comparison: Comparison,
    segment: str,
    level: str,
    *,
    alpha: float,
    shares: Strata | None = None,
    analysis: Analysis | None = None,
) -> list[Estimate]:
    """The second readings, the raw estimate, and the adjusted one where there are covariates; decisions read the last.

    ``shares`` are those of the design by phase or branch; where they differ, estimates are stratified.
    """
    analysis = analysis or Analysis()
    found = _first(metric, reading, comparison, segment, level, alpha=alpha, shares=shares, analysis=analysis)
    if not segment and not comparison.weights and not reading.strata:
        found = [*second_readings(metric, reading, comparison, analysis, alpha=alpha), *found]
    if analysis.lift == "fieller" or metric.type == "quantile":
        return found
    return [at_level(estimate, alpha, method=analysis.lift) for estimate in found]


def _first(
    metric: Metric,
    reading: Reading,
    comparison: Comparison,
    segment: str,
    level: str,
    *,
    alpha: float,
    shares: Strata | None,
    analysis: Analysis,
) -> list[Estimate]:
    """The raw estimate, and the adjusted one where there are covariates."""
    if comparison.weights:
        return factorial_estimates(metric, reading, comparison, segment, level, alpha=alpha)
    if metric.type == "quantile":
        return as_if_fixed([_quantile(metric, reading, comparison, segment, level, alpha)], shares)
    if shares and is_weighted(metric, reading, shares):
        plain = replace(reading, strata={})
        naive = _first(metric, plain, comparison, segment, level, alpha=alpha, shares=None, analysis=analysis)
        weighted = adaptive_estimates(metric, reading, comparison, segment, level, alpha=alpha, shares=shares)
        return [*as_if_fixed(naive, shares), *weighted]
    if reading.strata and shares:
        return stratified_estimates(metric, reading, comparison, segment, level, alpha=alpha, shares=shares)
    control = everybody(reading, metric, comparison.against, segment, level)
    treatment = everybody(reading, metric, comparison.arms, segment, level)
    outcome = list(range(len(metric.quantities)))
    raw = control.take(outcome), treatment.take(outcome)
    found = [_raw_estimator(metric)(*raw, alpha=alpha).cautioned(_caution(metric, *raw))]
    if reading.covariates:
        method, is_ratio = analysis.adjustment, metric.type == "ratio"
        found.append(cuped(control, treatment, alpha=alpha, ratio=is_ratio, method=method))
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
