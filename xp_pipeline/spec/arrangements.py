"""Checks of factorial designs, switchbacks and clusters: what their population, metrics and analysis must be like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec.adapting import check_adaptive
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.loader import Document
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.source import ROW_UNIT, Source

_TAKEN = {"in_its_block", "switched_unit", "designed_arm", "designed_stratum"}
"""Names of the columns that rows of a switchback are given."""
_SECOND_READINGS = {
    "cluster": "second reading by cluster: declare the cluster as the unit of the population",
    "post_stratify": "second reading averaged over a segment",
    "resampling": "second reading by resampling",
    "novelty": "reading by days since exposure",
}


def check_arrangement(
    experiment: Experiment, sources: Mapping[str, Source], metrics: Mapping[str, Metric], document: Document
) -> None:
    """Refuse what a factorial design, a switchback, clusters or adaptive weights cannot carry, by file and line."""
    if experiment.assignment.factors:
        _check_factorial(experiment, metrics, document)
    if experiment.assignment.switchback:
        _check_switchback(experiment, sources, metrics, document)
    if experiment.population.member:
        _check_member(experiment, sources[experiment.population.source], document)
    check_adaptive(experiment, sources, metrics, document)


def _check_factorial(experiment: Experiment, metrics: Mapping[str, Metric], document: Document) -> None:
    for role, use in experiment.metrics.items():
        if metrics[use.metric].type == "quantile":
            raise SpecError(
                f"metric {use.metric!r} is a quantile, whose effects do not add up over the arms of a factorial design",
                where=document.where(("metrics", role)),
                next_step="use a mean, a proportion or a ratio, or compare two arms in an experiment of their own",
            )
    analysis = experiment.analysis
    for part, what in _SECOND_READINGS.items():
        if getattr(analysis, part):
            raise SpecError(f"the effects of factors have no {what}", where=document.where(("analysis", part)))
    if analysis.primary_correction == "dunnett":
        raise SpecError(
            "Dunnett's correction is for arms that share a control, which the effects of factors do not",
            where=document.where(("analysis", "primary_correction")),
            allowed="holm, bonferroni, hochberg, hommel, preferential, none",
        )


def _check_switchback(
    experiment: Experiment, sources: Mapping[str, Source], metrics: Mapping[str, Metric], document: Document
) -> None:
    population = experiment.population
    source = sources[population.source]
    if experiment.start is None:
        where = document.where(("assignment", "switchback"))
        raise SpecError("blocks are counted from the start", where=where, next_step="add start")
    if source.unit == ROW_UNIT:
        raise SpecError("row numbers are no units that a schedule could switch", where=document.where(("population",)))
    _check_clock(source, ("population", "source"), document)
    for name in sorted({source.name} | {q.source for metric in metrics.values() for q in metric.quantities}):
        _check_columns(sources[name], document)
    for part in ("trigger", "identity"):
        if getattr(population, part):
            raise SpecError(f"a switchback has no {part}", where=document.where(("population", part)))
    for i, segment in enumerate(experiment.segments):
        if segment.source not in (None, source.name):
            raise SpecError(
                "a segment of a switchback is a column of the population's source",
                where=document.where(("segments", i)),
                found=segment.source,
                allowed=source.name,
            )
    if experiment.analysis.novelty:
        where = document.where(("analysis", "novelty"))
        raise SpecError("a cell is over with its block, so that nothing of it can wear off", where=where)
    for role, use in experiment.metrics.items():
        _check_metric(metrics[use.metric], sources, ("metrics", role), document)


def _check_columns(source: Source, document: Document) -> None:
    """Rows are given columns of these names."""
    if taken := sorted(_TAKEN & {column.lower() for column in source.columns}):
        raise SpecError(
            f"source {source.name!r} has a column that the blocks need for themselves",
            where=document.where(("assignment", "switchback")),
            found=", ".join(taken),
            next_step="rename it in a SELECT over the source",
        )


def _check_metric(metric: Metric, sources: Mapping[str, Source], at: tuple[Any, ...], document: Document) -> None:
    """Rows belong to the block that they fall into, so that a metric can look neither forward nor back."""
    if metric.window.kind != "none" or metric.window.delay:
        raise SpecError(
            f"metric {metric.name!r} has a window, but in a switchback rows count in the block they fall into",
            where=document.where(at),
            found=metric.window.kind,
            allowed="a metric without a window",
        )
    if metric.covariates:
        raise SpecError(
            f"metric {metric.name!r} has covariates, which are of units and not of their blocks",
            where=document.where(at),
            next_step="override: {covariates: []}",
        )
    for quantity in metric.quantities:
        _check_clock(sources[quantity.source], at, document)


def _check_clock(source: Source, at: tuple[Any, ...], document: Document) -> None:
    timed = source.timestamp is not None and source.columns[source.timestamp].type == "timestamp"
    if not timed or source.kind == "unit_table":
        raise SpecError(
            f"a switchback maps rows to blocks by their time, but those of {source.name!r} ({source.kind}) have none",
            where=document.where(at),
            next_step="use a source with a timestamp column of type timestamp",
        )


def _check_member(experiment: Experiment, source: Source, document: Document) -> None:
    member = experiment.population.member
    where = document.where(("population", "member"))
    if member not in source.columns:
        allowed = nearest(str(member), source.columns)
        raise SpecError(f"unknown column of {source.name} {member!r}", where=where, allowed=allowed)
    if source.kind == "unit_table":
        raise SpecError(
            f"{source.name!r} has one row per cluster, so that its members cannot be counted",
            where=where,
            next_step="use a source with a row per member, of kind event_log, exposure_log or unit_periods",
        )
    if member == source.unit:
        raise SpecError("the member is the unit itself", where=where, found=member, next_step="leave it out")
