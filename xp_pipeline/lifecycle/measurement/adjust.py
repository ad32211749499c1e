"""Every metric's evidence: the fused pass over the validated population, sealed as moments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from xp_pipeline.engine.queries import render
from xp_pipeline.lifecycle.assignment.arms import dropped_rows
from xp_pipeline.lifecycle.assignment.cells import rows_of
from xp_pipeline.lifecycle.frames import parquet
from xp_pipeline.lifecycle.inference import beside, strata
from xp_pipeline.lifecycle.measurement import daily, evidence, orders, residuals
from xp_pipeline.lifecycle.measurement.columns import Column, Horizon, MetricColumns, Plan
from xp_pipeline.lifecycle.measurement.measure import Measurement, Reading, measured
from xp_pipeline.lifecycle.schedule import frozen_caps, measured_metrics, occasion
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Content, Manifest, SealedArtifact
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.canonical import digest
from xp_pipeline.spec.phases import Phase

POPULATIONS = {
    "enrolled": "(SELECT *, t0 AS exposed_at FROM {units})",
    "triggered": "(SELECT * REPLACE (triggered_at AS t0), t0 AS exposed_at FROM {units} "
    "WHERE triggered_at IS NOT NULL)",
}


def adjust(workspace: Workspace, promise: Sealed, *, as_of: date | None = None) -> Manifest:
    """Seal the moments of all metrics, by population, arm and segment.

    Raises:
        SRMError, BlockedError: the population was blocked.
        PhaseOrderError: it was not validated.
    """
    validated = workspace.read(
        promise.id,
        Phase.VALIDATED_EXPOSURES,
        spec_hash=promise.spec_hash,
        as_of=as_of.isoformat() if as_of else None,
    )
    inputs = {"phase:validated_exposures": validated.manifest.digest} | {
        f"source:{name}": workspace.version(name).version for name in promise.bound.source_names
    }
    day = validated.manifest.as_of
    caps = frozen_caps(workspace, promise, as_of=day)
    if caps:
        inputs["ledger:caps"] = digest(caps)
    found = workspace.unchanged(
        promise.id, Phase.ADJUSTED_METRICS, as_of=day, spec_hash=promise.spec_hash, inputs=inputs
    )
    return found or _seal(workspace, promise, validated, inputs, caps)


def _seal(
    workspace: Workspace,
    promise: Sealed,
    validated: SealedArtifact,
    inputs: dict[str, str],
    caps: Mapping[str, float],
) -> Manifest:
    readings, clusters = measure_all(workspace, promise, validated, caps)
    by_day = {name: POPULATIONS[name] for name in populations(promise)}
    files: dict[str, Content] = {
        "moments.parquet": lambda path: evidence.write(path, readings),
        "orders.parquet": lambda path: orders.write(path, readings),
        "clusters.json": serialize_to_json(clusters).encode(),
        "residuals.json": residuals.sealed(readings),
        "daily.json": daily.sealed(workspace, promise, validated, by_day),
    }
    if promise.bound.experiment.analysis.resampling:
        files["buckets.parquet"] = lambda path: beside.write(path, readings)
    kept = ("units", "final", "until", "rows", "retrospective", "blocked_populations")
    return workspace.seal(
        promise.id,
        Phase.ADJUSTED_METRICS,
        as_of=validated.manifest.as_of,
        spec_hash=promise.spec_hash,
        verdict="passed",
        inputs=inputs,
        files=files,
        summary={key: validated.manifest.summary[key] for key in kept},
    )


def measure_all(
    workspace: Workspace, promise: Sealed, validated: SealedArtifact, caps: Mapping[str, float]
) -> tuple[dict[str, list[Reading]], dict[str, Any]]:
    """Readings by population, and the sums by cluster of the enrolled."""
    experiment = promise.bound.experiment
    day, final = validated.manifest.as_of, bool(validated.manifest.summary["final"])
    claims = occasion(workspace, promise, as_of=day, final=final).claims
    units = parquet(validated.path("population.parquet"))
    until = validated.manifest.summary["until"]
    horizon = Horizon(datetime.fromisoformat(until) if until else None, promise.bound.end, promise.bound.timezone)
    readings: dict[str, list[Reading]] = {}
    clusters: dict[str, Any] = {}
    for name in populations(promise):
        plan = Plan(
            workspace,
            measured_metrics(promise.bound, final=final).values(),
            horizon,
            dropped=lambda source: dropped_rows(promise.bound, source),
            rows=lambda source: rows_of(workspace, promise.bound, source),
        )
        with measured(
            strata.population(promise.bound, POPULATIONS[name].format(units=units)),
            plan,
            segments=strata.segments(promise.bound),
            extra=["cluster"] if experiment.analysis.cluster else [],
            memory_limit=workspace.folder.project.engine.memory_limit,
            caps=caps,
            bucketed=bool(experiment.analysis.resampling),
        ) as measurement:
            found = orders.with_orders(measurement, measurement.readings(cubed=claims))
            if claims:
                found = residuals.with_thirds(measurement, found, promise.bound)
            readings[name] = [strata.gathered(promise.bound, reading) for reading in found]
            if experiment.analysis.cluster and name == "enrolled":
                clusters = _clusters(measurement) | orders.threshold_counts(measurement, found, promise.bound)
    return readings, clusters


def populations(promise: Sealed) -> list[str]:
    """Enrolled, and triggered where the spec has an entry point."""
    return ["enrolled", "triggered"] if promise.bound.experiment.population.trigger else ["enrolled"]


def _clusters(measurement: Measurement) -> dict[str, Any]:
    """Metric to arm to cluster to [outcome, units]; units are the denominator of a ratio."""
    metrics = [columns for columns in measurement.plan.metrics if columns.metric.type != "quantile"]
    sums = [column for i, m in enumerate(metrics) for column in _cluster_sums(i, m)]
    query = render("cluster_sums", cluster="cluster", sums=sums, relation="unit_values")
    totals: dict[str, dict[str, dict[str, list[float]]]] = {}
    for cluster, arm, *values in measurement.rows(query):
        for i, columns in enumerate(metrics):
            y, d = values[2 * i : 2 * i + 2]
            arms = totals.setdefault(columns.metric.name, {}).setdefault(arm, {})
            known = arms.get(cluster, [0.0, 0.0])
            arms[cluster] = [known[0] + (y or 0.0), known[1] + (d or 0.0)]
    return totals


def _cluster_sums(i: int, columns: MetricColumns) -> list[Column]:
    y = columns.outcomes[0]
    size = f"sum({columns.outcomes[1]})" if len(columns.outcomes) > 1 else f"count({y})"
    return [Column(f"y_{i}", f"sum({y})"), Column(f"d_{i}", size)]


def read_readings(artifact: SealedArtifact, bound: Bound) -> dict[str, list[Reading]]:
    """The sealed readings of every population."""
    found = orders.read(artifact.path("orders.parquet"), evidence.read(artifact.path("moments.parquet")))
    if bound.experiment.analysis.resampling:
        found = beside.restored(artifact.path("buckets.parquet"), found)
    return residuals.read(artifact.json("residuals.json"), bound, found)


def read_clusters(artifact: SealedArtifact) -> Mapping[str, Any]:
    """The sealed sums by cluster."""
    return dict(json.loads(artifact.bytes("clusters.json")))
