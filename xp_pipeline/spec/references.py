"""Names in a spec refer to something: sources, columns, metrics and arms, checked with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.loader import Document
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.source import ROW_UNIT, Source
from xp_pipeline.spec.values import zoned


def check_metric(metric: Metric, sources: Mapping[str, Source], document: Document, at: tuple[Any, ...] = ()) -> None:
    """Sources and columns a metric names exist, and its window has a clock to run on."""
    parts = ("numerator", "denominator") if metric.type == "ratio" else ("",)
    for part, quantity in zip(parts, metric.quantities, strict=True):
        spot = (*at, part) if part else at
        source = known(quantity.source, sources, "source", document, (*spot, "source"))
        columns = [("value", quantity.value)] if quantity.value else []
        for key, column in [*columns, *(("where", c) for c in quantity.where)]:
            known(column, source.columns, f"column of {source.name}", document, (*spot, key))
        if metric.window.kind != "none" and (not source.timestamp or source.kind == "unit_table"):
            raise SpecError(
                f"metric {metric.name!r} has a window, but the rows of {source.name!r} ({source.kind}) have no time",
                where=document.where((*at, "window")),
                next_step="add timestamp to the source, or leave the window out",
            )
    for i, covariate in enumerate(metric.covariates):
        _check_covariate(metric, i, sources, document, at)
        if covariate.lookback and not sources[metric.quantities[0].source].timestamp:
            raise SpecError(
                f"metric {metric.name!r} has a lookback covariate, but its source has no timestamp",
                where=document.where((*at, "covariates", i)),
            )


def _check_covariate(
    metric: Metric, i: int, sources: Mapping[str, Source], document: Document, at: tuple[Any, ...]
) -> None:
    covariate = metric.covariates[i]
    if covariate.column is None:
        return
    name = covariate.source or metric.quantities[0].source
    source = known(name, sources, "source", document, (*at, "covariates", i, "source"))
    known(covariate.column, source.columns, f"column of {name}", document, (*at, "covariates", i, "column"))


def check_span(experiment: Experiment, zone: ZoneInfo, document: Document) -> None:
    """An experiment ends after it starts, a time without a zone being the project's."""
    start, end = zoned(experiment.start, zone), zoned(experiment.end, zone)
    if start and end and end <= start:
        raise SpecError("the end is not after the start", where=document.where(("end",)), found=f"{start} to {end}")


def check_experiment(
    experiment: Experiment, sources: Mapping[str, Source], metrics: Mapping[str, Metric], document: Document
) -> None:
    """Sources, columns, metrics and arms an experiment names exist."""
    population = experiment.population
    source = known(population.source, sources, "source", document, ("population", "source"))
    label = f"column of {source.name}"
    for column in population.where:
        known(column, source.columns, label, document, ("population", "where", column))
    if population.arm:
        known(population.arm.column, source.columns, label, document, ("population", "arm"))
        for arm in population.arm.labels.values():
            known(arm, experiment.assignment.arms, "arm", document, ("population", "arm", "labels"))
    if population.mismatch:
        known(population.mismatch.column, source.columns, label, document, ("population", "mismatch", "column"))
        for arm in population.mismatch.expected:
            known(arm, experiment.assignment.arms, "arm", document, ("population", "mismatch", "expected"))
    if population.trigger:
        trigger = known(population.trigger.source, sources, "source", document, ("population", "trigger", "source"))
        if not (trigger.timestamp and source.timestamp):
            raise SpecError(
                "a trigger needs timestamps on both sources", where=document.where(("population", "trigger"))
            )
        for column in population.trigger.where:
            at = ("population", "trigger", "where", column)
            known(column, trigger.columns, f"column of {trigger.name}", document, at)
    if population.identity:
        mapping = known(population.identity.source, sources, "source", document, ("population", "identity", "source"))
        known(
            population.identity.to,
            mapping.columns,
            f"column of {mapping.name}",
            document,
            ("population", "identity"),
        )
    for i, segment in enumerate(experiment.segments):
        if segment.cross:
            continue
        table = known(segment.source or source.name, sources, "source", document, ("segments", i, "source"))
        known(
            segment.column or segment.name,
            table.columns,
            f"column of {table.name}",
            document,
            ("segments", i),
        )
    for column in (
        *experiment.balance,
        *([experiment.analysis.cluster] if experiment.analysis.cluster else []),
    ):
        known(column, source.columns, label, document, ("balance",))
    if experiment.analysis.post_stratify:
        names = [segment.name for segment in experiment.segments]
        known(experiment.analysis.post_stratify, names, "segment", document, ("analysis", "post_stratify"))
    looks = experiment.analysis.looks
    for use in experiment.metrics.primary if looks and looks.method == "msprt" else ():
        if use.mde is None:
            raise SpecError(
                f"the mixture of msprt needs the effect looked for: {use.metric} has no mde",
                where=document.where(("metrics", "primary")),
                next_step="give it an mde, such as mde: 2%",
            )
    for role, use in experiment.metrics.items():
        metric = known(use.metric, metrics, "metric", document, ("metrics", role))
        _check_units(experiment, metric, sources, document, ("metrics", role))


def _check_units(
    experiment: Experiment, metric: Metric, sources: Mapping[str, Source], document: Document, at: tuple[Any, ...]
) -> None:
    """The ids of a metric's sources are of the type that the population's are; else nothing would ever match."""
    identity = experiment.population.identity
    source = sources[experiment.population.source]
    population = sources[identity.source].columns[identity.to].type if identity else unit_type(source)
    names = {q.source for q in metric.quantities} | {c.source for c in metric.covariates if c.source}
    for name in sorted(names):
        if unit_type(sources[name]) != population:
            raise SpecError(
                f"the unit ids of source {name!r} are {unit_type(sources[name])}, those of the population {population}",
                where=document.where(at),
                next_step="declare both unit columns as the same type",
            )


def unit_type(source: Source) -> str:
    """The type of a source's unit ids; row numbers are integers."""
    return "integer" if source.unit == ROW_UNIT else source.columns[source.unit].type


def known(name: Any, names: Any, what: str, document: Document, at: tuple[Any, ...]) -> Any:
    """The named thing, or a SpecError with the nearest right name."""
    if name not in names:
        raise SpecError(f"unknown {what} {name!r}", where=document.where(at), allowed=nearest(str(name), names))
    return names[name] if isinstance(names, Mapping) else name
