"""PLANNED: sample size, smallest detectable effect and run time of every metric and arm, from numbers or history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from xp_pipeline.design.power import (
    Baseline,
    minimum_detectable_effect,
    power_with,
    run_days,
    sample_size,
)
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.language.buckets import storage_bucket_sql
from xp_pipeline.lifecycle.columns import Horizon, Plan
from xp_pipeline.lifecycle.frames import moment, relation, time_of, unit_of
from xp_pipeline.lifecycle.measure import decisive_variant, measured
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.experiment import MetricUse
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.phases import ExperimentState, Phase
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import linearise

LONGEST_HISTORY = timedelta(days=28)
DEFAULT_PLANNED_UNITS = 10_000


def plan(workspace: Workspace, promise: Sealed) -> Manifest:
    """Seal the plan of a registered experiment; a metric without a baseline is planned as far as it goes."""
    spec = workspace.read(promise.id, Phase.REGISTERED_SPEC, spec_hash=promise.spec_hash)
    inputs = {"phase:registered_spec": spec.manifest.digest}
    found = workspace.unchanged(promise.id, Phase.POWER_PLAN, as_of=None, spec_hash=promise.spec_hash, inputs=inputs)
    manifest = found or workspace.seal(
        promise.id,
        Phase.POWER_PLAN,
        as_of=None,
        spec_hash=promise.spec_hash,
        verdict="passed",
        inputs=inputs,
        files={"plan.json": serialize_to_json(make_plan(workspace, promise), indent=1).encode()},
        summary={},
    )
    workspace.reach(promise.id, ExperimentState.PLANNED, payload={"plan": manifest.digest})
    return manifest


def make_plan(workspace: Workspace, promise: Sealed) -> dict[str, Any]:
    """The plan as shown and sealed: one entry a metric and arm, and what it rests on."""
    experiment = promise.bound.experiment
    days = _planned_days(promise)
    per_day, assumptions = _traffic(workspace, promise)
    entries = []
    for role, use, metric in promise.bound.uses:
        baseline, origin = _baseline(workspace, promise, use, metric)
        for arm in experiment.assignment.treatments:
            entry: dict[str, Any] = {
                "metric": metric.name,
                "role": role,
                "arm": arm,
                "n": None,
                "baseline": origin,
            }
            if baseline:
                entry |= _planned(promise, use, baseline, arm, per_day, days)
            entries.append(entry)
    analysis = experiment.analysis
    assumptions.append(
        f"Two-sided alpha {analysis.alpha:g}, power {analysis.power:g}, "
        f"Bonferroni over {_family(promise)} primary tests."
    )
    return {"metrics": entries, "run_days": days, "units_per_day": per_day, "assumptions": assumptions}


def _family(promise: Sealed) -> int:
    experiment = promise.bound.experiment
    return len(experiment.metrics.primary) * len(experiment.assignment.treatments)


def _planned_days(promise: Sealed) -> float | None:
    bound = promise.bound
    return (bound.end - bound.start) / timedelta(days=1) if bound.start and bound.end else None


def _planned(
    promise: Sealed, use: MetricUse, baseline: Baseline, arm: str, per_day: float | None, days: float | None
) -> dict[str, Any]:
    """Units and days for the effect asked for, and the effect that the calendar allows."""
    experiment = promise.bound.experiment
    shares = experiment.assignment.shares or dict.fromkeys(
        experiment.assignment.arms, 1 / len(experiment.assignment.arms)
    )
    pair = (shares[experiment.assignment.control], shares[arm])
    rates: dict[str, Any] = {"alpha": experiment.analysis.alpha, "power": experiment.analysis.power}
    comparisons = _family(promise) if use in experiment.metrics.primary else 1
    planned: dict[str, Any] = {
        "baseline_mean": baseline.mean, "baseline_sd": math.sqrt(baseline.variance),
        "variance_explained": baseline.variance_explained,
    }  # fmt: skip
    effect = absolute(use, baseline.mean)
    if effect:
        size = sample_size(baseline, effect=effect, shares=pair, comparisons=comparisons, **rates)
        everyone = size.treatment / pair[1]
        planned |= {
            "n": size.treatment,
            "n_control": size.control,
            "planned_effect": effect,
            "units": everyone,
        }
        planned["days"] = run_days(everyone, per_day=per_day) if per_day else None
    if per_day and days:
        units = per_day * days
        mde = minimum_detectable_effect(
            baseline, n_control=units * pair[0], n_treatment=units * pair[1], comparisons=comparisons, **rates
        )
        planned |= {"mde": mde, "mde_relative": mde / abs(baseline.mean) if baseline.mean else None}
        planned["n"] = planned.get("n") or round(units * pair[1])
    return planned


def absolute(use: MetricUse, mean: float) -> float | None:
    """The effect worth detecting in the metric's unit."""
    if use.mde is None:
        return None
    return use.mde.value * abs(mean) if use.mde.relative else use.mde.value


def _baseline(workspace: Workspace, promise: Sealed, use: MetricUse, metric: Metric) -> tuple[Baseline | None, str]:
    kind: Any = "ratio" if metric.type == "ratio" else "proportion" if metric.binary else "mean"
    if use.baseline:
        mean, sd = use.baseline.mean, use.baseline.sd
        variance = mean * (1 - mean) if kind == "proportion" else sd**2 if sd is not None else math.nan
        if not math.isfinite(variance):
            return None, "typed without a standard deviation"
        return Baseline(mean, variance, kind, use.baseline.variance_explained), "typed"
    measured_moments = history(workspace, promise, metric)
    if measured_moments is None or measured_moments.n < 2:
        return None, "no baseline typed, and no pre-period to measure"
    moments = linearise(measured_moments) if kind == "ratio" else measured_moments
    explained = _explained(moments)
    return (
        Baseline(float(moments.mean[0]), moments.variance(), kind, explained),
        f"measured before the start on {moments.n:,} units",
    )


def _explained(moments: Moments) -> float:
    """Share of variance that one covariate removes, 0 without any."""
    if moments.mean.size < 2 or not moments.comoment[1, 1] > 0 or not moments.comoment[0, 0] > 0:
        return 0.0
    return float(moments.comoment[0, 1] ** 2 / (moments.comoment[0, 0] * moments.comoment[1, 1]))


def history(workspace: Workspace, promise: Sealed, metric: Metric) -> Moments | None:
    """The metric over the pre-period, by the same pass that will measure it.

    Units are those with a row in its source up to four weeks before the start, anchored at their first;
    None where source or spec has no clock, or nothing precedes the start.
    """
    start = promise.bound.start
    source = workspace.folder.sources[metric.quantities[0].source]
    if start is None or not source.timestamp or source.kind not in ("event_log", "unit_periods"):
        return None
    length = metric.window.delay + (metric.window.length or timedelta(0))
    population = _history_units(workspace, source.name, start - LONGEST_HISTORY, start - length)
    with measured(population, Plan(workspace, [metric], Horizon(start, start, promise.bound.timezone))) as measurement:
        readings = [r for r in measurement.readings() if r.variant == decisive_variant(metric)]
    cells = readings[0].cells
    return next(iter(cells.values()), None)


def _history_units(workspace: Workspace, name: str, since: datetime, until: datetime) -> str:
    source = workspace.folder.sources[name]
    time = time_of(source, workspace.folder.project.timezone)
    return (
        f"(SELECT unit, unit AS event_unit, 'history' AS arm, t0 AS exposed_at, t0, "
        f"{storage_bucket_sql('unit')} AS bucket "
        f"FROM (SELECT {unit_of(source)} AS unit, min({time}) AS t0 FROM {relation(workspace, name)} "
        f"WHERE {time} >= {moment(since)} AND {time} < {moment(until)} GROUP BY 1))"
    )


def _traffic(workspace: Workspace, promise: Sealed) -> tuple[float | None, list[str]]:
    """Units a day: typed, or new units a day in the source of the first primary metric before the start."""
    typed = promise.bound.experiment.planning.units_per_day
    if typed:
        return typed, [f"{typed:,.0f} new units a day (typed)."]
    start = promise.bound.start
    metric = promise.bound.metrics[promise.bound.experiment.metrics.primary[0].metric]
    name = metric.quantities[0].source
    source = workspace.folder.sources[name]
    if start is None or not source.timestamp or source.kind not in ("event_log", "unit_periods"):
        return None, ["Traffic is unknown: set planning.units_per_day to plan run times."]
    units = _history_units(workspace, name, start - LONGEST_HISTORY, start)
    with connect() as con:
        row = con.execute(f"SELECT count(*), min(t0) FROM {units}").fetchone()
    if not row or not row[0]:
        return None, [f"Traffic is unknown: {name} has no row before the start."]
    days = max((start.replace(tzinfo=None) - row[1]) / timedelta(days=1), 1.0)
    per_day = row[0] / days
    return per_day, [f"{per_day:,.0f} new units a day, as {name} had over the {days:.0f} days before the start."]


def planned_units(workspace: Workspace, promise: Sealed) -> int:
    """Units of two arms that interim bands are tuned to."""
    entries = _entries(workspace, promise)
    sizes = [e["n"] + (e.get("n_control") or e["n"]) for e in entries if e["n"]]
    return int(max(sizes, default=DEFAULT_PLANNED_UNITS))


def _entries(workspace: Workspace, promise: Sealed) -> list[dict[str, Any]]:
    artifact = workspace.read(promise.id, Phase.POWER_PLAN, spec_hash=promise.spec_hash)
    return list(artifact.json("plan.json")["metrics"])


def read_powers(workspace: Workspace, promise: Sealed, rows: Sequence[dict[str, Any]]) -> None:
    """Add power at the planned effect, and the smallest effect detectable now, to the deciding rows."""
    experiment = promise.bound.experiment
    uses = {use.metric: use for _, use in experiment.metrics.items()}
    for row in rows:
        if not row.get("decisive") or row["status"] != "ok" or not row["se"]:
            continue
        alpha = row["alpha"] / (_family(promise) if row["role"] == "primary" else 1)
        row["mde"] = _detectable(row["se"], row["df"], alpha, experiment.analysis.power)
        effect = absolute(uses[row["metric"]], row["mean_baseline"])
        if effect:
            row["power"] = power_with(
                effect=effect,
                var_mean_control=row["se"] ** 2,
                var_mean_treatment=0.0,
                df=row["df"],
                alpha=alpha,
            )


def _detectable(se: float, df: float, alpha: float, power: float) -> float:
    """Smallest effect with the power asked for, at the standard error an experiment has."""
    low, high = 0.0, 20 * se
    for _ in range(60):
        middle = (low + high) / 2
        reached = power_with(effect=middle, var_mean_control=se**2, var_mean_treatment=0.0, df=df, alpha=alpha) >= power
        low, high = (low, middle) if reached else (middle, high)
    return high


def planned_effects(promise: Sealed, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the effect each was planned for, which the decision holds its precision against."""
    uses = {use.metric: use for _, use in promise.bound.experiment.metrics.items()}
    return [row | {"planned_mde": absolute(uses[row["metric"]], row.get("mean_baseline") or math.nan)} for row in rows]
