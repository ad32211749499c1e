"""The second, clustered reading of every metric: sums by cluster instead of units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xp_pipeline.lifecycle.comparisons import Comparison, comparisons
from xp_pipeline.lifecycle.measure import Cell, Reading
from xp_pipeline.lifecycle.rows import Row, Setting, described
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.clusters import clustered
from xp_pipeline.stats.estimates import NAN, Status


def clustered_rows(setting: Setting, readings: Sequence[Reading], clusters: Mapping[str, Any]) -> Iterator[Row]:
    """The second reading of every metric, by cluster."""
    for role, _, metric in setting.bound.uses:
        arms = clusters.get(metric.name)
        if not arms:
            continue
        names = sorted({cluster for sums in arms.values() for cluster in sums})
        for comparison in comparisons(setting.bound):
            control, treatment = (_cluster_table(arms, group, names) for group in (comparison.against, comparison.arms))
            estimate = clustered(control, treatment, alpha=setting.level_alpha).cautioned(
                _unclustered(readings, metric, comparison, control[:, 1].sum() + treatment[:, 1].sum())
            )
            reading = Reading(metric.name, "", (), {})
            row = described(setting, metric, role, comparison, "", "", estimate, reading)
            if not setting.final and estimate.status == Status.OK:
                row["reason"] = "interim band on clusters"
            yield row | {
                "population": "enrolled",
                "estimator": "clustered",
                "main": False,
                "decisive": False,
                "mature_share": NAN,
            }


def _unclustered(readings: Sequence[Reading], metric: Metric, comparison: Comparison, counted: float) -> str | None:
    """A caution about units that have no cluster and are left out of this reading."""
    if metric.type == "ratio":
        return None
    cells = next(r.cells for r in readings if r.metric == metric.name and not r.variant)
    everyone = sum(cells[Cell(a)].n for a in (*comparison.arms, *comparison.against) if Cell(a) in cells)
    return f"{everyone - counted:,.0f} units without a cluster are left out" if everyone > counted else None


def _cluster_table(arms: Mapping[str, Any], group: Sequence[str], names: Sequence[str]) -> Any:
    table = np.zeros((len(names), 2))
    for arm in group:
        sums = arms.get(arm, {})
        table += np.array([sums.get(name, (0.0, 0.0)) for name in names], dtype=float).reshape(-1, 2)
    return table
