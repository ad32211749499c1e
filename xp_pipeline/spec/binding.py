"""A bound experiment: with its metrics, sources and zone resolved, it is all that a registration seals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError

from xp_pipeline.errors import SpecError
from xp_pipeline.spec.arrangements import check_arrangement
from xp_pipeline.spec.canonical import digest
from xp_pipeline.spec.experiment import DECIDING, Experiment, MetricUse, RoleName
from xp_pipeline.spec.extension import Granted
from xp_pipeline.spec.folder import Folder
from xp_pipeline.spec.looks import FIXED, GROUP_SEQUENTIAL, Looks
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.references import check_tests
from xp_pipeline.spec.values import Model, zoned

FORMAT = 1
DAY = timedelta(days=1)


class Bound(Model):
    """The promise in full. ``sources`` holds their meaning and contracts; addresses stay in the folder."""

    format: int = FORMAT
    timezone: str
    experiment: Experiment
    metrics: dict[str, Metric]
    sources: dict[str, dict[str, Any]]
    program: str | None = Field(None, description="Text of the assignment program.")
    added: tuple[str, ...] = Field((), description="Metrics and segments added after registration: exploratory.")
    allocations: dict[str, dict[str, float]] = Field(
        {}, exclude=True, description="Shares by version of the weights published so far; no part of the promise."
    )
    extended: Granted | None = Field(
        None, exclude=True, description="What a planned re-estimation came to; no part of the promise."
    )

    @property
    def id(self) -> str:
        return self.experiment.id

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def start(self) -> datetime | None:
        return zoned(self.experiment.start, self.zone)

    @property
    def planned_end(self) -> datetime | None:
        return zoned(self.experiment.end, self.zone)

    @property
    def end(self) -> datetime | None:
        """The planned end, or what a planned extension has made of it."""
        planned, extended, allowed = self.planned_end, self.extended, self.experiment.analysis.extension
        if not (planned and extended and allowed and _utc(extended.planned_end) == _utc(planned)):
            return planned
        return planned + min(extended.days * DAY, allowed.most)

    @property
    def reestimated_on(self) -> date | None:
        """The last day of the share of the planned time after which a planned extension reads the variance."""
        extension = self.experiment.analysis.extension
        if extension is None or not (self.start and self.planned_end):
            return None
        passed = _utc(self.start) + extension.at * (_utc(self.planned_end) - _utc(self.start))
        return (passed - timedelta(microseconds=1)).astimezone(self.zone).date()

    @property
    def follow_up(self) -> timedelta:
        """How long after the end the last unit's deciding windows are still open."""
        uses = [u for role, u in self.experiment.metrics.items() if role in DECIDING]
        return max((self.metrics[u.metric].maturity for u in uses), default=timedelta(0))

    @property
    def uses(self) -> list[tuple[RoleName, MetricUse, Metric]]:
        """Every metric with its role; one added after registration is exploratory whatever it says."""
        return [
            ("exploratory" if use.metric in self.added else role, use, self.metrics[use.metric])
            for role, use in self.experiment.metrics.items()
        ]

    @property
    def looks(self) -> Looks:
        """The look schedule: declared, or by default sequential where there is a planned end to spend alpha until."""
        planned = self.start and self.end and self.sources[self.experiment.population.source].get("timestamp")
        if self.experiment.assignment.adaptive:
            return FIXED
        return self.experiment.analysis.looks or (GROUP_SEQUENTIAL if planned else FIXED)

    @property
    def source_names(self) -> tuple[str, ...]:
        return tuple(sorted(self.sources))

    def document(self) -> dict[str, Any]:
        """The canonical document that is hashed and stored in the ledger."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"format": self.format}

    @property
    def digest(self) -> str:
        return digest(self.document())


def bind(folder: Folder, experiment_id: str) -> Bound:
    """Resolve an experiment of the folder.

    Raises:
        SpecError: unknown id, a broken file, or an override that its metric refuses.
    """
    experiment = folder.experiment(experiment_id)
    metrics = {use.metric: _overridden(folder, experiment, use) for _, use in experiment.metrics.items()}
    document = folder.documents["experiment", experiment_id]
    check_arrangement(experiment, folder.sources, metrics, document)
    check_tests(experiment, metrics, document)
    names = _sources_of(experiment, metrics)
    sources = {name: folder.sources[name].promised() for name in sorted(names)}
    program = experiment.assignment.program
    return Bound(
        timezone=folder.project.timezone,
        experiment=experiment,
        metrics=metrics,
        sources=sources,
        program=folder.programs[program] if program else None,
    )


def restore(document: Mapping[str, Any]) -> Bound:
    """A bound experiment from its canonical document."""
    return Bound.model_validate(dict(document))


def _overridden(folder: Folder, experiment: Experiment, use: MetricUse) -> Metric:
    metric = folder.metrics[use.metric]
    if not use.override:
        return metric
    try:
        return Metric.model_validate({**metric.model_dump(), **use.override, "name": metric.name})
    except ValidationError as problem:
        message = problem.errors()[0]["msg"].removeprefix("Value error, ")
        raise SpecError(
            f"the override of metric {use.metric!r} is refused: {message}",
            where=folder.where("experiment", experiment.id, "metrics"),
        ) from None


def _sources_of(experiment: Experiment, metrics: Mapping[str, Metric]) -> set[str]:
    population = experiment.population
    names = {population.source}
    names |= {part.source for part in (population.trigger, population.identity) if part}
    names |= {segment.source for segment in experiment.segments if segment.source}
    for metric in metrics.values():
        names |= {quantity.source for quantity in metric.quantities}
        names |= {covariate.source for covariate in metric.covariates if covariate.source}
    return names


def _utc(moment: datetime) -> datetime:
    """The same moment in UTC, where moments of two zones are compared without folds."""
    return moment.astimezone(UTC)
