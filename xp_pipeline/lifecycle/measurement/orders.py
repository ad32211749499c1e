"""Evidence of quantile metrics: how often each value occurs, and counts by cluster at or below a quantile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from xp_pipeline.engine.predicates import literal
from xp_pipeline.engine.queries import render
from xp_pipeline.lifecycle.comparisons import comparisons
from xp_pipeline.lifecycle.measurement.columns import MetricColumns
from xp_pipeline.lifecycle.measurement.measure import Cell, Measurement, Reading
from xp_pipeline.spec.binding import Bound
from xp_pipeline.stats.order import OrderStatistics, ThresholdCounts

Orders = Mapping[Cell, OrderStatistics]
Thresholds = dict[str, dict[str, Any]]
_COLUMNS = pl.Schema({
    "population": pl.String, "metric": pl.String, "segment": pl.String, "level": pl.String, "arm": pl.String,
    "value": pl.Float64, "units": pl.Int64,
})  # fmt: skip


def with_orders(measurement: Measurement, readings: Sequence[Reading]) -> list[Reading]:
    """The readings, those of quantile metrics with the order statistics of every cell."""
    found = {m.metric.name: _orders(measurement, m) for m in _quantiles(measurement)}
    return [replace(reading, orders=found.get(reading.metric, {})) for reading in readings]


def _quantiles(measurement: Measurement) -> list[MetricColumns]:
    return [columns for columns in measurement.plan.metrics if columns.metric.type == "quantile"]


def _orders(measurement: Measurement, columns: MetricColumns) -> Orders:
    counted: dict[Cell, tuple[list[float], list[int]]] = {}
    for segment in ("", *measurement.segments):
        query = render("value_counts", segment=segment, value=columns.outcomes[0], relation="unit_values")
        for arm, level, value, units in measurement.rows(query):
            values, counts = counted.setdefault(Cell(arm, segment, level or ""), ([], []))
            values.append(value)
            counts.append(units)
    return {cell: OrderStatistics.from_counts(*both) for cell, both in counted.items()}


def threshold_counts(measurement: Measurement, readings: Sequence[Reading], bound: Bound) -> dict[str, Thresholds]:
    """Metric to compared arms to counts by cluster at or below these arms' own quantile."""
    by_metric = {reading.metric: reading.orders for reading in readings}
    groups = {group for c in comparisons(bound) for group in (c.arms, c.against)}
    return {
        columns.metric.name: {
            "+".join(group): _below(measurement, columns, group, by_metric[columns.metric.name])
            for group in sorted(groups)
        }
        for columns in _quantiles(measurement)
    }


def _below(measurement: Measurement, columns: MetricColumns, group: Sequence[str], orders: Orders) -> dict[str, Any]:
    threshold = pooled(orders, group).quantile(columns.metric.quantile or 0.5)
    query = render(
        "threshold_counts",
        cluster="cluster",
        value=columns.outcomes[0],
        threshold=f"CAST({literal(repr(threshold))} AS DOUBLE)",
        arms=[literal(arm) for arm in group],
        relation="unit_values",
    )
    counts: dict[str, list[int]] = {}
    for cluster, below, units in measurement.rows(query):
        known = counts.get(cluster, [0, 0])
        counts[cluster] = [known[0] + int(below), known[1] + units]
    return {"threshold": threshold, "counts": [counts[name] for name in sorted(counts)]}


def pooled(orders: Orders, arms: Iterable[str], segment: str = "", level: str = "") -> OrderStatistics:
    """All values of some arms."""
    return OrderStatistics.merge(*(orders.get(Cell(arm, segment, level), OrderStatistics.empty()) for arm in arms))


def counts_of(thresholds: Thresholds, group: Sequence[str]) -> ThresholdCounts:
    """The sealed counts of the arms of one side of a comparison."""
    entry = thresholds["+".join(group)]
    below, units = zip(*entry["counts"], strict=True) if entry["counts"] else ((), ())
    return ThresholdCounts.of(below, units, threshold=float(entry["threshold"]))


def write(path: Path, readings: Mapping[str, Sequence[Reading]]) -> None:
    """Write the order statistics of every population."""
    parts = [frame for population, found in readings.items() for r in found for frame in _frames(population, r)]
    pl.concat([pl.DataFrame(schema=_COLUMNS), *parts]).write_parquet(path)


def _frames(population: str, reading: Reading) -> Iterator[pl.DataFrame]:
    for cell, order in sorted(reading.orders.items(), key=lambda item: (item[0].segment, item[0].level, item[0].arm)):
        named = {
            "population": population, "metric": reading.metric, "segment": cell.segment, "level": cell.level,
            "arm": cell.arm,
        }  # fmt: skip
        numbers = {"value": order.values, "units": order.counts}
        yield pl.DataFrame(numbers).select(*(pl.lit(v).alias(k) for k, v in named.items()), *numbers).cast(_COLUMNS)


def read(path: Path, readings: Mapping[str, Sequence[Reading]]) -> dict[str, list[Reading]]:
    """The readings with the order statistics that were written for them."""
    table = pl.read_parquet(path, glob=False, hive_partitioning=False)
    found: dict[tuple[str, str], dict[Cell, OrderStatistics]] = {}
    keys = ["population", "metric", "segment", "level", "arm"]
    for (population, metric, segment, level, arm), part in table.group_by(keys, maintain_order=True):
        order = OrderStatistics.from_counts(part["value"].to_numpy(), part["units"].to_numpy())
        found.setdefault((str(population), str(metric)), {})[Cell(str(arm), str(segment), str(level))] = order
    return {
        population: [replace(r, orders=found.get((population, r.metric), {})) for r in parts]
        for population, parts in readings.items()
    }
