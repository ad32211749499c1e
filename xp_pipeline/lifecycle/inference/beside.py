"""Second readings that a spec asks for: the effect averaged over a segment, or with an error by resampling."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.measurement.measure import Reading, decisive_variant
from xp_pipeline.lifecycle.measurement.residuals import everybody
from xp_pipeline.spec.experiment import Analysis
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.buckets import BucketedMoments
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.resampling import adjusted_means, bootstrap, jackknife, means, ratios
from xp_pipeline.stats.stratified import Stratum, stratified


def second_readings(
    metric: Metric, reading: Reading, comparison: Comparison, analysis: Analysis, *, alpha: float
) -> Iterator[Estimate]:
    """The readings beside the deciding one of everybody; none of a quantile."""
    if metric.type == "quantile" or reading.variant != decisive_variant(metric):
        return
    if analysis.post_stratify:
        yield _over_segment(metric, reading, comparison, analysis.post_stratify, alpha)
    if analysis.resampling and reading.buckets:
        yield _resampled(metric, reading, comparison, analysis.resampling, alpha)


def _over_segment(metric: Metric, reading: Reading, comparison: Comparison, segment: str, alpha: float) -> Estimate:
    levels = sorted({cell.level for cell in reading.cells if cell.segment == segment})
    sides = comparison.against, comparison.arms
    strata = [Stratum(*(everybody(reading, metric, side, segment, level) for side in sides)) for level in levels]
    return stratified(strata, alpha=alpha, ratio=metric.type == "ratio")


def _resampled(metric: Metric, reading: Reading, comparison: Comparison, method: str, alpha: float) -> Estimate:
    size = len(metric.quantities) + len(reading.covariates)
    control, treatment = (
        BucketedMoments.merge(*(BucketedMoments.from_parts(reading.buckets.get(arm, {}), size) for arm in side))
        for side in (comparison.against, comparison.arms)
    )
    if metric.type == "ratio":
        pair, kept = ratios, [0, 1]
    else:
        pair, kept = (adjusted_means if reading.covariates else means), list(range(size))
    c, t = control.take(kept), treatment.take(kept)
    if method == "jackknife":
        return jackknife(c, t, pair=pair, alpha=alpha)
    seed = int(hashlib.sha256(f"{metric.name}|{comparison.name}".encode()).hexdigest()[:8], 16)
    return bootstrap(c, t, pair=pair, alpha=alpha, seed=seed)


def write(path: Path, readings: Mapping[str, list[Reading]]) -> None:
    """Write the bucketed moments of every population."""
    rows = [
        {
            "population": population, "metric": reading.metric, "variant": reading.variant, "arm": arm,
            "bucket": bucket, "n": m.n, "mean": m.mean.tolist(), "comoment": m.comoment.ravel().tolist(),
            "third": float(m.third),
        }
        for population, found in readings.items() for reading in found
        for arm, parts in sorted(reading.buckets.items()) for bucket, m in sorted(parts.items())
    ]  # fmt: skip
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)


def restored(path: Path, readings: Mapping[str, list[Reading]]) -> dict[str, list[Reading]]:
    """The readings with the bucketed moments that were written for them."""
    found: dict[tuple[str, str, str], dict[str, dict[int, Moments]]] = {}
    for row in pl.read_parquet(path, glob=False, hive_partitioning=False).iter_rows(named=True):
        key = (row["population"], row["metric"], row["variant"])
        found.setdefault(key, {}).setdefault(row["arm"], {})[row["bucket"]] = _moments(row)
    return {
        population: [replace(r, buckets=found.get((population, r.metric, r.variant), {})) for r in parts]
        for population, parts in readings.items()
    }


def _moments(row: Mapping[str, Any]) -> Moments:
    mean = np.array(row["mean"], dtype=float)
    return Moments(row["n"], mean, np.array(row["comoment"], dtype=float).reshape(mean.size, mean.size), row["third"])
