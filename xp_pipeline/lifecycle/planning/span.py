"""Which past days a plan replays: whose entries count as enrolment, from when to when."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.lifecycle.asof import midnight_after
from xp_pipeline.lifecycle.frames import matching, relation, time_of
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.sources.closing import closed_through, instant
from xp_pipeline.spec.source import Source
from xp_pipeline.spec.values import Where

DAY = timedelta(days=1)
LEAST_DAYS = 28
MOST_DAYS = 84
FEWEST_BEHIND = 7
"""Days that must be left to replay for lookbacks to be given the days before them."""


@dataclass(frozen=True)
class Span:
    """Past days to replay.

    Attributes:
        source: The source in which units enter.
        where: Its rows that count as an entry.
        begin, until: First moment, and first that no longer counts (UTC).
        days: Whole days between them.
        looked_back: Whether all covariates can look back their whole length from ``begin``.
    """

    source: str
    where: Where
    begin: datetime
    until: datetime
    days: int
    looked_back: bool

    def after(self, day: int) -> datetime:
        """The end of a day, 1 for the first; days before a change of clocks are still whole."""
        return self.until - (self.days - day) * DAY


def span(workspace: Workspace, promise: Sealed) -> Span | str:
    """The days before the start (or up to now, where it lies ahead), or why there are none."""
    until = _until(workspace, promise)
    if isinstance(until, str):
        return until
    for name, where in _entries(workspace, promise):
        source, version = workspace.folder.sources[name], workspace.version(name)
        if version.first is None:
            continue
        end = min(until, _closed(workspace, source, promise))
        found = math.ceil((end - instant(source, version.first, promise.bound.zone)) / DAY)
        if found < 1:
            continue
        back = math.ceil(max(metric.lookback for metric in promise.bound.metrics.values()) / DAY)
        room = found - back
        days = min(_wanted(promise), room if room >= FEWEST_BEHIND else found)
        end = end.astimezone(promise.bound.zone)
        return Span(name, where, end - days * DAY, end, days, found - days >= back)
    return "no source has rows of days before the start"


def _entries(workspace: Workspace, promise: Sealed) -> Iterator[tuple[str, Where]]:
    """Where units would enter, best first: the entry point, the population, the first primary metric's events."""
    experiment = promise.bound.experiment
    population = experiment.population
    metric = promise.bound.metrics[experiment.metrics.primary[0].metric]
    wanted = [(population.trigger.source, population.trigger.where)] if population.trigger else []
    wanted += [] if population.identity else [(population.source, population.where)]
    wanted += [(metric.quantities[0].source, {})]
    for name, where in wanted:
        if replayable(workspace.folder.sources[name]):
            yield name, where


def replayable(source: Source) -> bool:
    """Whether what happened before a moment can be told from its rows; exposures begin with their experiment."""
    return source.kind in ("event_log", "unit_periods") and source.timestamp is not None


def _wanted(promise: Sealed) -> int:
    """As many days as the experiment is to run, its windows included, within reason."""
    bound = promise.bound
    planned = (bound.end - bound.start) / DAY if bound.start and bound.end else 0.0
    window = max(metric.maturity for metric in bound.metrics.values()) / DAY
    return min(max(math.ceil(planned + window), LEAST_DAYS), MOST_DAYS)


def _until(workspace: Workspace, promise: Sealed) -> datetime | str:
    """The start; without one the midnight before the first exposure, or far ahead where there is none yet."""
    bound = promise.bound
    if bound.start:
        return bound.start.astimezone(UTC)
    population = bound.experiment.population
    source = workspace.folder.sources[population.source]
    if not source.timestamp:
        return f"no start is planned, and {source.name} has no clock to tell what came before"
    time, rows = time_of(source, bound.timezone), relation(workspace, source.name)
    with connect() as con:
        row = con.execute(f"SELECT min({time}) FROM {rows} WHERE {matching(population.where, source)}").fetchone()
    if not row or row[0] is None:
        return datetime.max.replace(tzinfo=UTC)
    day = row[0].replace(tzinfo=UTC).astimezone(bound.zone).date()
    return midnight_after(day - DAY, bound)


def _closed(workspace: Workspace, source: Source, promise: Sealed) -> datetime:
    """The end of a source's last closed day."""
    version, zone = workspace.version(source.name), promise.bound.zone
    day = closed_through(source, version, zone=zone, root=workspace.root)
    if day == date.max and version.last:
        day = instant(source, version.last, zone).astimezone(zone).date()
    return midnight_after(day, promise.bound) if day else datetime.min.replace(tzinfo=UTC)
