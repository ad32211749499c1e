"""What a plan needs of one measurement of past days: mean, variance, and what covariates and clusters make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from xp_pipeline.lifecycle.measurement.measure import Measurement, Reading, decisive_variant
from xp_pipeline.lifecycle.measurement.orders import with_orders
from xp_pipeline.lifecycle.planning.clusters import design_effects
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.cuped import residual, slopes
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.order import OrderStatistics
from xp_pipeline.stats.quantiles import quantile
from xp_pipeline.stats.ratios import linearise

_MOST_EXPLAINED = 0.999


class Figures(NamedTuple):
    """A metric at one duration.

    Attributes:
        mean, variance: As of :class:`~xp_pipeline.design.history.History`; NaN where undefined.
        counted: Units that count.
        explained: Share of variance that covariates remove.
        design_effect: Factor by which clusters multiply the variance, at least 1.
        reason: Why it is undefined; empty where it is not.
    """

    mean: float
    variance: float
    counted: int
    explained: float = 0.0
    design_effect: float = 1.0
    reason: str = ""


def figures(measurement: Measurement, *, clustered: bool) -> Iterator[tuple[str, Figures]]:
    """Every metric by name, read as the decision will read it."""
    readings = with_orders(measurement, measurement.readings())
    effects = design_effects(measurement, readings) if clustered else {}
    for columns in measurement.plan.metrics:
        metric = columns.metric
        found = _of_quantile(metric, readings) if metric.type == "quantile" else _of_moments(metric, readings)
        yield metric.name, found._replace(design_effect=effects.get(metric.name, 1.0))


def _of_quantile(metric: Metric, readings: Sequence[Reading]) -> Figures:
    reading = next(r for r in readings if r.metric == metric.name)
    order = OrderStatistics.merge(OrderStatistics.empty(), *reading.orders.values())
    found = quantile(order, order, p=metric.quantile or 0.5)
    if found.status != Status.OK:
        return Figures(math.nan, math.nan, order.n, reason=found.reason)
    return Figures(found.mean_control, found.var_control, order.n)


def _of_moments(metric: Metric, readings: Sequence[Reading]) -> Figures:
    variant = decisive_variant(metric)
    reading = next(r for r in readings if r.metric == metric.name and r.variant == variant)
    moments = Moments.merge(*reading.cells.values()) if reading.cells else Moments.empty(1)
    if moments.n < 2:
        return Figures(math.nan, math.nan, moments.n, reason="fewer than two units count")
    if metric.type == "ratio" and not moments.mean[1]:
        return Figures(math.nan, math.nan, moments.n, reason="its denominator was 0 throughout")
    moments = linearise(moments) if metric.type == "ratio" else moments
    if not moments.finite:
        return Figures(math.nan, math.nan, moments.n, reason="a value is infinite or not a number")
    return Figures(float(moments.mean[0]), moments.variance(), moments.n, explained_share(moments))


def explained_share(moments: Moments) -> float:
    """R^2 of the outcome on its covariates, which is what the adjustment removes; 0 without any."""
    total = float(moments.comoment[0, 0])
    if moments.mean.size < 2 or not total > 0:
        return 0.0
    left = float(residual(moments, slopes(moments.comoment)[0]).comoment[0, 0])
    return min(max(1 - left / total, 0.0), _MOST_EXPLAINED)
