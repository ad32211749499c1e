"""Checks of adaptive assignments: what their population, metrics and analysis must be like."""

from __future__ import annotations

from collections.abc import Mapping

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec.adaptive import BINARY, Adaptive
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.loader import Document
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.source import Source

AT = ("assignment", "adaptive")
_UNWEIGHTED = ("ratio", "quantile")
_SECOND_READINGS = {
    "cluster": "second reading by cluster",
    "post_stratify": "second reading averaged over a segment",
    "resampling": "second reading by resampling",
    "novelty": "reading by days since exposure",
}


def check_adaptive(
    experiment: Experiment, sources: Mapping[str, Source], metrics: Mapping[str, Metric], document: Document
) -> None:
    """Refuse what cannot be learned from, or not be analysed afterwards, by file and line."""
    adaptive = experiment.assignment.adaptive
    if adaptive is None:
        return
    _check_log(experiment, sources[experiment.population.source], adaptive, document)
    _check_shares(experiment, adaptive, document)
    _check_reward(experiment, metrics, adaptive, document)
    _check_analysis(experiment, metrics, document)


def _check_log(experiment: Experiment, source: Source, adaptive: Adaptive, document: Document) -> None:
    if experiment.population.arm is None:
        raise SpecError(
            "an adaptive experiment needs logged arms: its weights change while it runs",
            where=document.where(("population",)),
            next_step="name the column of the arm: population.arm",
        )
    if source.timestamp is None or source.kind == "unit_table":
        raise SpecError(
            f"an adaptive experiment needs exposures that have a time, but the rows of {source.name!r} have none",
            where=document.where(("population", "source")),
            next_step="read the exposure log of the service that follows the weights",
        )
    if adaptive.version not in source.columns:
        raise SpecError(
            f"unknown column of {source.name} {adaptive.version!r}",
            where=document.where((*AT, "version")),
            allowed=nearest(adaptive.version, source.columns),
            next_step="name the column with the version of the weights by which a unit was assigned",
        )


def _check_shares(experiment: Experiment, adaptive: Adaptive, document: Document) -> None:
    arms = experiment.assignment.arms
    if adaptive.floor * len(arms) > 1:
        raise SpecError(
            "the floors of the arms exceed the traffic",
            where=document.where((*AT, "floor")),
            found=adaptive.floor,
            allowed=f"at most 1/{len(arms)}",
        )
    below = [arm for arm, share in (experiment.assignment.shares or {}).items() if share < adaptive.floor]
    if below and adaptive.algorithm != "fixed":
        raise SpecError(
            "the first weights lie below the floor",
            where=document.where(("assignment", "weights")),
            found=", ".join(below),
            allowed=f"at least {adaptive.floor:g} for every arm",
        )


def _check_reward(
    experiment: Experiment, metrics: Mapping[str, Metric], adaptive: Adaptive, document: Document
) -> None:
    where = document.where((*AT, "reward"))
    names = [use.metric for _, use in experiment.metrics.items()]
    if adaptive.reward not in names:
        raise SpecError(
            f"the reward {adaptive.reward!r} is no metric of the experiment",
            where=where,
            allowed=nearest(adaptive.reward, names),
        )
    metric = metrics[adaptive.reward]
    if adaptive.algorithm in BINARY and not metric.binary:
        raise SpecError(
            f"{adaptive.algorithm} learns from rewards 0 and 1",
            where=where,
            found=f"{metric.name}, a {metric.type}",
            allowed="a proportion or retention",
            next_step=f"use {adaptive.algorithm.replace('beta', 'gaussian')}",
        )
    if metric.type in _UNWEIGHTED:
        raise SpecError(
            f"a {metric.type} is no reward: it has no value per unit that adds up",
            where=where,
            found=metric.name,
            allowed="a mean, revenue, count, proportion or retention",
        )
    if metric.direction == "decrease":
        raise SpecError(
            "an algorithm gives traffic to the arm with the higher reward, which is the worse one of this metric",
            where=where,
            found=f"{metric.name}, direction decrease",
            next_step="reward a metric that should increase",
        )


def _check_analysis(experiment: Experiment, metrics: Mapping[str, Metric], document: Document) -> None:
    analysis = experiment.analysis
    if analysis.looks and analysis.looks.schedule != "fixed":
        raise SpecError(
            "the intervals of an adaptive experiment hold at one look that was fixed beforehand",
            where=document.where(("analysis", "looks")),
            found=analysis.looks.schedule,
            allowed="fixed",
        )
    for part, what in _SECOND_READINGS.items():
        if getattr(analysis, part):
            raise SpecError(
                f"a {what} is made as if the shares had been fixed, which adaptive ones are not",
                where=document.where(("analysis", part)),
            )
    if analysis.primary_correction == "dunnett":
        raise SpecError(
            "Dunnett's correction is for means of independent units, which adaptive assignment does not leave",
            where=document.where(("analysis", "primary_correction")),
            allowed="holm, bonferroni, hochberg, hommel, preferential, none",
        )
    for role, use in experiment.metrics.items():
        metric = metrics[use.metric]
        if role in ("primary", "guardrail") and metric.type in _UNWEIGHTED:
            raise SpecError(
                f"metric {metric.name!r} is a {metric.type}, which has no adaptively weighted estimate to decide on",
                where=document.where(("metrics", role)),
                next_step="make it secondary, or decide on a mean or a proportion",
            )
