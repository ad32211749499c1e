"""Names in a spec refer to something: sources, columns, metrics and arms, checked with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec.experiment import Experiment, MetricUse, Population
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
    source = known(experiment.population.source, sources, "source", document, ("population", "source"))
    _check_population(experiment, source, document)
    _check_other_sources(experiment.population, source, sources, document)
    _check_segments(experiment, source, sources, document)
    _check_analysis(experiment, source, document)
    for role, use in experiment.metrics.items():
        metric = known(use.metric, metrics, "metric", document, ("metrics", role))
        _check_units(experiment, metric, sources, document, ("metrics", role))


def _check_population(experiment: Experiment, source: Source, document: Document) -> None:
    population, arms = experiment.population, experiment.assignment.arms
    label = f"column of {source.name}"
    for column in population.where:
        known(column, source.columns, label, document, ("population", "where", column))
    if population.arm:
        known(population.arm.column, source.columns, label, document, ("population", "arm"))
        for arm in population.arm.labels.values():
            known(arm, arms, "arm", document, ("population", "arm", "labels"))
    if population.mismatch:
        known(population.mismatch.column, source.columns, label, document, ("population", "mismatch", "column"))
        for arm in population.mismatch.expected:
            known(arm, arms, "arm", document, ("population", "mismatch", "expected"))


def _check_other_sources(
    population: Population, source: Source, sources: Mapping[str, Source], document: Document
) -> None:
    """The trigger has a clock, and the identity its column."""
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
        spot = ("population", "identity")
        mapping = known(population.identity.source, sources, "source", document, (*spot, "source"))
        known(population.identity.to, mapping.columns, f"column of {mapping.name}", document, spot)


def _check_segments(experiment: Experiment, source: Source, sources: Mapping[str, Source], document: Document) -> None:
    for i, segment in enumerate(experiment.segments):
        if not segment.cross:
            table = known(segment.source or source.name, sources, "source", document, ("segments", i, "source"))
            column = segment.column or segment.name
            known(column, table.columns, f"column of {table.name}", document, ("segments", i))


def _check_analysis(experiment: Experiment, source: Source, document: Document) -> None:
    analysis = experiment.analysis
    for column in experiment.balance:
        known(column, source.columns, f"column of {source.name}", document, ("balance",))
    if analysis.cluster:
        known(analysis.cluster, source.columns, f"column of {source.name}", document, ("analysis", "cluster"))
    if analysis.post_stratify:
        names = [segment.name for segment in experiment.segments]
        known(analysis.post_stratify, names, "segment", document, ("analysis", "post_stratify"))


def check_tests(experiment: Experiment, metrics: Mapping[str, Metric], document: Document) -> None:
    """The tests have what they need: a mixture its effect, a relative margin a scale with a zero.

    Args:
        metrics: Those of the experiment, with what it replaces of their settings.
    """
    for role, use in experiment.metrics.items():
        _check_test(experiment, role, use, metrics[use.metric], document.where(("metrics", role)))


def _check_test(experiment: Experiment, role: str, use: MetricUse, metric: Metric, where: str) -> None:
    looks = experiment.analysis.looks
    primary = role == "primary"
    if primary and looks and looks.method == "msprt" and use.mde is None and use.equivalence is None:
        raise SpecError(
            f"the mixture of msprt needs the effect looked for: {use.metric} has no mde",
            where=where,
            next_step="give it an mde, such as mde: 2%",
        )
    if use.tolerated and use.tolerated.relative and metric.log and not metric.cap:
        raise SpecError(
            f"the test of {use.metric} is on the scale of log(1 + value), which has no lift",
            where=where,
            found=f"a margin of {use.tolerated}",
            allowed="an absolute margin on that scale, such as 0.02",
        )


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
