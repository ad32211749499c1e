"""How alike the units of a cluster were in the past: the design effect of every metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from xp_pipeline.engine.predicates import literal
from xp_pipeline.engine.queries import render
from xp_pipeline.lifecycle.measurement.columns import Column, MetricColumns
from xp_pipeline.lifecycle.measurement.measure import Measurement, Reading
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.moments import Moments, Vector
from xp_pipeline.stats.order import OrderStatistics, ThresholdCounts
from xp_pipeline.stats.ratios import linearise


def design_effects(measurement: Measurement, readings: Sequence[Reading]) -> dict[str, float]:
    """Metric to the variance of its mean by clusters over that by units, at least 1; 1 where it is undefined.

    By clusters it is the delta method's on cluster sums, G / (G - 1) times the sum of squared pulls
    (y_g - R d_g) / sum d, as :func:`~xp_pipeline.stats.clusters.clustered` has it.
    """
    plain = {reading.metric: reading for reading in readings if not reading.variant}
    effects = _of_sums(measurement, plain) | {
        columns.metric.name: _of_quantile(measurement, columns, _order(plain[columns.metric.name]))
        for columns in measurement.plan.metrics
        if columns.metric.type == "quantile"
    }
    return {name: max(effect, 1.0) if math.isfinite(effect) else 1.0 for name, effect in effects.items()}


def _of_sums(measurement: Measurement, plain: Mapping[str, Reading]) -> dict[str, float]:
    metrics = [columns for columns in measurement.plan.metrics if columns.metric.type != "quantile"]
    if not metrics:
        return {}
    sums = [column for i, columns in enumerate(metrics) for column in _sums(i, columns)]
    query = render("cluster_sums", cluster="cluster", sums=sums, relation="unit_values")
    clusters: dict[str, Vector] = {}
    for cluster, _, *values in measurement.rows(query):
        clusters[cluster] = clusters.get(cluster, np.zeros(len(sums))) + np.array(values, dtype=np.float64)
    table = np.array(list(clusters.values())).reshape(-1, len(metrics), 2)
    return {
        columns.metric.name: _effect(table[:, i], columns.metric, plain[columns.metric.name])
        for i, columns in enumerate(metrics)
    }


def _sums(i: int, columns: MetricColumns) -> tuple[Column, Column]:
    y = columns.outcomes[0]
    size = f"sum({columns.outcomes[1]})" if len(columns.outcomes) > 1 else f"count({y})"
    return Column(f"y_{i}", f"coalesce(sum({y}), 0)"), Column(f"d_{i}", f"coalesce({size}, 0)")


def _effect(table: Vector, metric: Metric, reading: Reading) -> float:
    """Of one metric, from its sums by cluster, shape (clusters, 2)."""
    table = table[table[:, 1] > 0]
    if len(table) < 2:
        return math.nan
    moments = Moments.merge(*reading.cells.values())
    moments = linearise(moments) if metric.type == "ratio" else moments
    total = table.sum(axis=0)
    pulls = (table[:, 0] - total[0] / total[1] * table[:, 1]) / total[1]
    by_units = moments.variance() / moments.n
    by_clusters = float(np.sum(pulls**2)) * len(table) / (len(table) - 1)
    return by_clusters / by_units if by_units > 0 else math.nan


def _order(reading: Reading) -> OrderStatistics:
    return OrderStatistics.merge(OrderStatistics.empty(), *reading.orders.values())


def _of_quantile(measurement: Measurement, columns: MetricColumns, order: OrderStatistics) -> float:
    """Of a quantile: variance of the share at or below it by clusters over that by units."""
    p = columns.metric.quantile or 0.5
    if not order.n:
        return math.nan
    threshold = order.quantile(p)
    query = render(
        "threshold_counts",
        cluster="cluster",
        value=columns.outcomes[0],
        threshold=f"CAST({literal(repr(threshold))} AS DOUBLE)",
        arms=[literal("history")],
        relation="unit_values",
    )
    counts: dict[str, Vector] = {}
    for cluster, below, units in measurement.rows(query):
        counts[cluster] = counts.get(cluster, np.zeros(2)) + np.array([below, units], dtype=np.float64)
    table = np.array(list(counts.values())).reshape(-1, 2)
    share = linearise(ThresholdCounts.of(table[:, 0], table[:, 1], threshold=threshold).moments)
    return share.variance() / share.n / (p * (1 - p) / order.n) if share.n > 1 else math.nan
