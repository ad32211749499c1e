"""The project's own history: every metric over past days, as experiments of several lengths would have read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xp_pipeline.design.baseline import Kind
from xp_pipeline.design.history import History
from xp_pipeline.design.traffic import Traffic
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import identifier, literal
from xp_pipeline.engine.queries import render
from xp_pipeline.language.buckets import storage_bucket_sql
from xp_pipeline.lifecycle.assignment.arms import dropped_rows
from xp_pipeline.lifecycle.assignment.cells import is_switchback
from xp_pipeline.lifecycle.frames import matching, moment, parquet, relation, time_of, unit_of
from xp_pipeline.lifecycle.measurement.columns import Horizon, Plan, interval
from xp_pipeline.lifecycle.measurement.measure import measured
from xp_pipeline.lifecycle.planning.figures import Figures, figures
from xp_pipeline.lifecycle.planning.span import Span, replayable, span
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.metric import Metric

DURATIONS = (1, 2, 3, 5, 7, 10, 14, 21, 28, 42, 56)


@dataclass(frozen=True)
class Past:
    """What is known of the time before an experiment.

    Attributes:
        span: The days replayed; None without any.
        reason: Why there are none; empty where there are some.
        traffic: Distinct units that entered by day; None without any.
        metrics: The history of every metric that could be measured, or why it could not.
        clustered: Whether the units of the declared clusters were told apart.
    """

    span: Span | None = None
    reason: str = ""
    traffic: Traffic | None = None
    metrics: Mapping[str, History | str] = field(default_factory=dict)
    clustered: bool = False


def look_back(workspace: Workspace, promise: Sealed) -> Past:
    """Measure the history of every metric whose rows tell what happened before a moment."""
    if is_switchback(promise.bound):
        return Past(reason="past days hold units, not the cells of a switchback")
    days = span(workspace, promise)
    if isinstance(days, str):
        return Past(reason=days)
    metrics = {
        name: metric
        for name, metric in promise.bound.metrics.items()
        if all(replayable(workspace.folder.sources[quantity.source]) for quantity in metric.quantities)
    }
    untold = {name: "its source has no clock" for name in promise.bound.metrics if name not in metrics}
    cluster = _cluster(workspace, promise, days)
    with _entered(workspace, promise, days, cluster) as population:
        units = _by_day(population, days)
        if not units[-1]:
            return Past(reason=f"{days.source} has no entry in the {days.days} days before the start")
        found = _measured(workspace, promise, days, population, metrics, cluster)
    traffic = Traffic(np.array(units, dtype=np.float64))
    told = {name: _history(metrics[name], traffic, by_duration) for name, by_duration in found.items()}
    return Past(days, "", traffic, untold | told, cluster is not None)


def kind_of(metric: Metric) -> Kind:
    """How a metric's variance is planned."""
    if metric.type in ("ratio", "quantile"):
        return metric.type  # type: ignore[return-value]
    return "proportion" if metric.binary else "mean"


def _cluster(workspace: Workspace, promise: Sealed, days: Span) -> str | None:
    """The declared cluster's column, where units enter through a source that has it."""
    column = promise.bound.experiment.analysis.cluster
    return column if column in workspace.folder.sources[days.source].columns else None


@contextmanager
def _entered(workspace: Workspace, promise: Sealed, days: Span, cluster: str | None) -> Iterator[str]:
    """The units that entered in the span, as a relation."""
    source = workspace.folder.sources[days.source]
    query = render(
        "history_units",
        unit=unit_of(source),
        time=time_of(source, promise.bound.timezone),
        cluster=identifier(cluster) if cluster else None,
        relation=relation(workspace, source.name),
        since=moment(days.begin),
        until=moment(days.until),
        where=matching(days.where, source),
        bucket=storage_bucket_sql("entered.unit"),
    )
    with TemporaryDirectory(prefix="xp_plan_") as folder:
        path = Path(folder) / "entered.parquet"
        with connect(memory_limit=workspace.folder.project.engine.memory_limit) as con:
            con.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet)")
        yield parquet(path)


def _by_day(population: str, days: Span) -> list[int]:
    """Distinct units entered by the end of each day."""
    counts = ", ".join(f"count(*) FILTER (WHERE t0 < {moment(days.after(k))})" for k in range(1, days.days + 1))
    with connect() as con:
        return list(con.execute(f"SELECT {counts} FROM {population}").fetchall()[0])


def _measured(
    workspace: Workspace,
    promise: Sealed,
    days: Span,
    population: str,
    metrics: Mapping[str, Metric],
    cluster: str | None,
) -> dict[str, dict[int, Figures]]:
    """Metric to duration to figures, each by the very pass that will measure the experiment."""
    found: dict[str, dict[int, Figures]] = {name: {} for name in metrics}
    for maturity, duration in _passes(days.days, metrics.values()):
        end = days.after(duration)
        plan = Plan(
            workspace,
            [metric for metric in metrics.values() if metric.maturity == maturity],
            Horizon(end, end, promise.bound.timezone),
            dropped=lambda source: dropped_rows(promise.bound, source),
        )
        with measured(
            f"(SELECT * FROM {population} WHERE t0 < {moment(end)} AND t0 + {interval(maturity)} <= {moment(end)})",
            plan,
            extra=["cluster"] if cluster else [],
            memory_limit=workspace.folder.project.engine.memory_limit,
        ) as measurement:
            for name, at in figures(measurement, clustered=cluster is not None):
                found[name][duration] = at
    return found


def _passes(days: int, metrics: Iterable[Metric]) -> Iterator[tuple[timedelta, int]]:
    """Maturity and duration of each pass; complete windows have one length, so that one duration tells all."""
    for maturity in sorted({metric.maturity for metric in metrics}):
        if not maturity:
            yield from ((maturity, duration) for duration in DURATIONS if duration < days)
        yield maturity, days


def _history(metric: Metric, traffic: Traffic, by_duration: Mapping[int, Figures]) -> History | str:
    """The history of one metric, or the reason that its longest duration gives for having none."""
    durations = np.array(sorted(by_duration), dtype=np.float64)
    columns = [by_duration[int(duration)] for duration in durations]
    delay = metric.maturity / timedelta(days=1)
    if durations[-1] <= delay:
        return f"a window of {delay:g} days does not fit into {durations[-1]:g} days of history"
    if all(np.isnan(at.variance) for at in columns):
        return f"{columns[-1].reason} in {durations[-1]:g} days of history"
    grown = np.maximum(traffic.at(np.maximum(durations - delay, 0.0)), 1.0)
    return History(
        traffic,
        durations,
        mean=np.array([at.mean for at in columns]),
        variance=np.array([at.variance for at in columns]),
        counted=np.minimum(np.array([at.counted for at in columns]) / grown, 1.0),
        variance_explained=np.array([at.explained for at in columns]),
        design_effect=np.array([at.design_effect for at in columns]),
        kind=kind_of(metric),
        delay=delay,
    )
