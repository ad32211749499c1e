"""The second, clustered reading of every metric: sums by cluster instead of units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xp_pipeline.lifecycle.comparisons import Comparison, comparisons
from xp_pipeline.lifecycle.inference.rows import Row, Setting, described
from xp_pipeline.lifecycle.measurement.measure import Cell, Reading
from xp_pipeline.lifecycle.measurement.orders import Thresholds, counts_of, pooled
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.clusters import clustered
from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.quantiles import quantile


def clustered_rows(setting: Setting, readings: Sequence[Reading], clusters: Mapping[str, Any]) -> Iterator[Row]:
    """The second reading of every metric, by cluster."""
    plain = {reading.metric: reading for reading in readings if not reading.variant}
    for role, _, metric in setting.bound.uses:
        if not clusters.get(metric.name):
            continue
        for comparison in comparisons(setting.bound):
            by_cluster = _quantile if metric.type == "quantile" else _sums
            estimate = by_cluster(setting, plain[metric.name], metric, comparison, clusters[metric.name])
            row = described(setting, metric, role, comparison, "", "", estimate, Reading(metric.name, "", (), {}))
            if not setting.final and estimate.status == Status.OK:
                row["reason"] = "interim band on clusters"
            yield row | {
                "population": "enrolled",
                "estimator": estimate.estimator,
                "main": False,
                "decisive": False,
                "mature_share": NAN,
                "estimate": estimate,
            }


def _sums(
    setting: Setting, reading: Reading, metric: Metric, comparison: Comparison, arms: Mapping[str, Any]
) -> Estimate:
    names = sorted({cluster for sums in arms.values() for cluster in sums})
    control, treatment = (_cluster_table(arms, group, names) for group in (comparison.against, comparison.arms))
    counted = control[:, 1].sum() + treatment[:, 1].sum()
    caution = _unclustered(reading, metric, comparison, counted)
    return clustered(control, treatment, alpha=setting.level_alpha).cautioned(caution)


def _quantile(
    setting: Setting, reading: Reading, metric: Metric, comparison: Comparison, thresholds: Thresholds
) -> Estimate:
    counts = counts_of(thresholds, comparison.against), counts_of(thresholds, comparison.arms)
    control, treatment = (pooled(reading.orders, group) for group in (comparison.against, comparison.arms))
    if control.n + treatment.n > sum(c.moments.n * c.moments.mean[1] for c in counts if c.moments.n):
        reason = "some units have no cluster, so the clustered quantile is undefined"
        return Estimate(Status.INVALID_DATA, reason, "clustered_quantile", control.n, treatment.n)
    return quantile(control, treatment, p=metric.quantile or 0.5, alpha=setting.level_alpha, clusters=counts)


def _unclustered(reading: Reading, metric: Metric, comparison: Comparison, counted: float) -> str | None:
    """A caution about units that have no cluster and are left out of this reading."""
    if metric.type == "ratio":
        return None
    cells = reading.cells
    everyone = sum(cells[Cell(a)].n for a in (*comparison.arms, *comparison.against) if Cell(a) in cells)
    return f"{everyone - counted:,.0f} units without a cluster are left out" if everyone > counted else None


def _cluster_table(arms: Mapping[str, Any], group: Sequence[str], names: Sequence[str]) -> Any:
    table = np.zeros((len(names), 2))
    for arm in group:
        sums = arms.get(arm, {})
        table += np.array([sums.get(name, (0.0, 0.0)) for name in names], dtype=float).reshape(-1, 2)
    return table
