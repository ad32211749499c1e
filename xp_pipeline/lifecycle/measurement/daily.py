"""Evidence by days since exposure: moments of each day's values in a cohort that was seen on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.queries import render
from xp_pipeline.lifecycle.assignment.arms import dropped_rows
from xp_pipeline.lifecycle.frames import moment, parquet
from xp_pipeline.lifecycle.measurement.columns import CLOCKED, Column, Horizon, Plan, interval, products
from xp_pipeline.lifecycle.measurement.measure import Measurement
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import SealedArtifact
from xp_pipeline.spec.experiment import DECIDING
from xp_pipeline.spec.metric import Metric, Window
from xp_pipeline.stats.moments import Moments

SHORTEST, LONGEST = 3, 14
"""Days since exposure that are read: a trend needs three, and after two weeks few experiments have units left."""

LEAST_SHARE = 0.5
"""Share of the units that the cohort holds at least; fewer days are read before it holds less."""

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Daily:
    """What was measured by days since exposure.

    Attributes:
        days: How many, from day 0; 0 where the cohort is too short.
        units, cohort: Units of the population, and those that were seen on all the days.
        arms: Metric to arm to the moments of its daily values, one variable a day.
        refused: Metric to why it has none.
    """

    days: int
    units: int
    cohort: int
    arms: Mapping[str, Mapping[str, Moments]]
    refused: Mapping[str, str]


def sealed(workspace: Workspace, promise: Sealed, validated: SealedArtifact, populations: Mapping[str, str]) -> bytes:
    """The daily evidence of the deciding metrics as it is sealed; empty unless asked for, and before the end.

    Args:
        populations: Name to relation over ``{units}``, the deciding one last.
    """
    summary = validated.manifest.summary
    if not (promise.bound.experiment.analysis.novelty and summary["final"]):
        return b"{}"
    shown = [name for name in populations if name not in summary["blocked_populations"]] or list(populations)
    relation = populations[shown[-1]].format(units=parquet(validated.path("population.parquet")))
    until = datetime.fromisoformat(summary["until"]) if summary["until"] else None
    horizon = Horizon(until, promise.bound.end, promise.bound.timezone)
    return serialize_to_json(_written(_measured(workspace, promise, relation, horizon))).encode()


def read(content: Mapping[str, Any]) -> Daily | None:
    """The evidence that was sealed; None where none was asked for."""
    if not content:
        return None
    arms = {
        metric: {arm: _moments(parts) for arm, parts in by_arm.items()} for metric, by_arm in content["arms"].items()
    }
    return Daily(content["days"], content["units"], content["cohort"], arms, content["refused"])


def _measured(workspace: Workspace, promise: Sealed, relation: str, horizon: Horizon) -> Daily:
    bound = promise.bound
    deciding = [metric for role, _, metric in bound.uses if role in DECIDING]
    refused = {m.name: reason for m in deciding if (reason := _refusal(workspace, m))}
    units, days, cohort = _cohort(relation, horizon)
    if days < SHORTEST:
        reason = f"half of the units have to be seen for {SHORTEST} whole days; they were for {days}"
        return Daily(0, units, cohort, {}, {m.name: reason for m in deciding} | refused)
    metrics = [metric for metric in deciding if metric.name not in refused]
    if not metrics:
        return Daily(days, units, cohort, {}, refused)
    asked = [_of_day(metric, day) for metric in metrics for day in range(days)]
    plan = Plan(workspace, asked, horizon, dropped=lambda source: dropped_rows(bound, source))
    assert horizon.cut
    seen = f"(SELECT * FROM {relation} AS everyone WHERE t0 + {interval(days * DAY)} <= {moment(horizon.cut)})"
    memory_limit = workspace.folder.project.engine.memory_limit
    with Measurement(seen, plan, memory_limit=memory_limit) as measurement:
        names = [columns.outcomes[0] for columns in plan.metrics]
        arms = {m.name: _arms(measurement, names[i * days : (i + 1) * days]) for i, m in enumerate(metrics)}
    return Daily(days, units, cohort, arms, refused)


def _refusal(workspace: Workspace, metric: Metric) -> str:
    """Why a metric has no value a day; empty where it has one."""
    quantity, source = metric.quantities[0], workspace.folder.sources[metric.quantities[0].source]
    if metric.type in ("ratio", "quantile") or quantity.aggregate not in ("sum", "count", "any"):
        return "only sums, counts and occurrences are read by day"
    if metric.nulls != "zero" and quantity.aggregate != "count":
        return "units without a row would be left out on some days and not on others"
    if source.kind not in CLOCKED or not source.timestamp:
        return f"the rows of {source.name} have no time"
    return ""


def _cohort(relation: str, horizon: Horizon) -> tuple[int, int, int]:
    """Units with a time of entry, the most days that enough of them have been seen for, and how many those are."""
    if horizon.cut is None:
        return 0, 0, 0
    days = range(1, LONGEST + 1)
    with connect() as con:
        query = render("cohort_days", days=days, until=moment(horizon.cut), relation=f"{relation} AS everyone")
        units, *seen = con.execute(query).fetchone() or (0,)
    enough = [k for k, n in zip(days, seen, strict=False) if n and n >= LEAST_SHARE * units]
    return (units, enough[-1], int(seen[enough[-1] - 1])) if enough else (units, 0, 0)


def _of_day(metric: Metric, day: int) -> Metric:
    """The metric on one day since exposure alone: plain, and 0 for a unit that did nothing."""
    window = Window(kind="conversion", delay=day * DAY, length=DAY)
    plain = {"covariates": (), "cap": None, "log": False, "mature": False, "nulls": "zero"}
    return metric.model_copy(update={"name": f"{metric.name}, day {day}", "window": window, **plain})


def _arms(measurement: Measurement, names: Sequence[str]) -> dict[str, Moments]:
    """The moments of some per-unit columns by arm."""
    asked = ", ".join(f"avg({name})" for name in names)
    means = next((row for row in measurement.rows(f"SELECT {asked} FROM unit_values") if row[0] is not None), None)
    if means is None:
        return {}
    shift = [float(mean) for mean in means]
    variables = [Column(f"v{i}", f"{name} - {shift[i]!r}") for i, name in enumerate(names)]
    pairs = products(len(names))
    sums = [Column("n", "count(*)"), *(Column(f"s_{i}", f"sum(v{i})") for i in range(len(names)))]
    sums += [Column(f"p_{i}_{j}", f"sum(v{i} * v{j})") for i, j in pairs]
    query = render("moments", segments=[], variables=variables, sums=sums, relation="unit_values")
    parts: dict[str, list[Moments]] = {}
    for arm, _, n, *numbers in measurement.rows(query):
        matrix = np.zeros((len(names), len(names)))
        for (i, j), value in zip(pairs, numbers[len(names) :], strict=True):
            matrix[i, j] = matrix[j, i] = value
        parts.setdefault(arm, []).append(Moments.from_sums(n, shift, numbers[: len(names)], matrix, float("nan")))
    return {arm: Moments.merge(*found) for arm, found in parts.items()}


def _written(daily: Daily) -> dict[str, Any]:
    arms = {
        metric: {arm: {"n": m.n, "mean": m.mean.tolist(), "comoment": m.comoment.tolist()} for arm, m in by_arm.items()}
        for metric, by_arm in daily.arms.items()
    }
    return {**vars(daily), "arms": arms, "refused": dict(daily.refused)}


def _moments(parts: Mapping[str, Any]) -> Moments:
    return Moments(parts["n"], np.array(parts["mean"]), np.array(parts["comoment"]), float("nan"))
