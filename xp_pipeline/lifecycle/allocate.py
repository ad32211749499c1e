"""Learning: the rewards of every exposure day into the state, and new weights where they change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from xp_pipeline.delivery.algorithms import Allocation, Rewards
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import DataError, PhaseOrderError
from xp_pipeline.lifecycle.asof import conclusion, midnight_after
from xp_pipeline.lifecycle.assignment.arms import dropped_rows
from xp_pipeline.lifecycle.assignment.published import Publication, algorithm_of, last, learned, mend, publish
from xp_pipeline.lifecycle.frames import moment, parquet
from xp_pipeline.lifecycle.measurement.adjust import POPULATIONS
from xp_pipeline.lifecycle.measurement.columns import Horizon, Plan
from xp_pipeline.lifecycle.measurement.measure import decisive_variant, measured
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.artifacts import SealedArtifact
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.phases import Phase

DAY = "exposure_day"


@dataclass(frozen=True)
class Allocated:
    """What a day's learning came to.

    Attributes:
        publication: The weights that are in force now.
        is_new: Whether they were published by it.
        reason: Why nothing was published; empty where something was.
    """

    publication: Publication
    is_new: bool
    reason: str = ""


def allocate(workspace: Workspace, promise: Sealed, *, as_of: date | None = None) -> Allocated | None:
    """Learn from the rewards up to a day, and publish the weights that follow; None for an experiment that is not
    adaptive.

    A batch is the units first exposed on a day of the project's zone. Every batch is handed over anew, complete: a
    replay changes nothing, and late rewards take the place of what was known of their day. Nothing is published where
    the shares stay as they are, once the experiment has ended, or for a day before that of the weights in force.

    Raises:
        SRMError, BlockedError: the population was blocked; its weights stay in force.
        PhaseOrderError: the design or the population is not sealed.
        DataError: the algorithm cannot learn from the rewards.
        TamperError, DataError: the stored state is not the published one, or cannot be read.
    """
    if promise.bound.experiment.assignment.adaptive is None:
        return None
    held = last(workspace, promise.id)
    if held is None:
        raise PhaseOrderError("no weights are published yet", where=promise.id, next_step=f"xp run {promise.id}")
    mend(workspace, held)
    day = as_of.isoformat() if as_of else None
    validated = workspace.read(promise.id, Phase.VALIDATED_EXPOSURES, spec_hash=promise.spec_hash, as_of=day)
    if quiet := _quiet(workspace, promise, validated, held):
        return Allocated(held, False, quiet)
    return _published(workspace, promise, validated, held)


def _quiet(workspace: Workspace, promise: Sealed, validated: SealedArtifact, held: Publication) -> str:
    """Why nobody is to be assigned by what this day would teach; empty where somebody is."""
    day, until = validated.manifest.as_of, validated.manifest.summary["until"]
    end = promise.bound.end
    over = bool(end and until and datetime.fromisoformat(until) >= end)
    if over or validated.manifest.summary["final"] or workspace.final_look(promise.id):
        return "the experiment has ended"
    if conclusion(workspace, promise.id):
        return "the experiment was concluded"
    if held.as_of and day and day < held.as_of:
        return f"the weights in force were learned up to {held.as_of}"
    return ""


def _published(workspace: Workspace, promise: Sealed, validated: SealedArtifact, held: Publication) -> Allocated:
    algorithm, arms = algorithm_of(promise.bound), promise.bound.experiment.assignment.arms
    before = learned(workspace, promise, held)
    batches = rewards(workspace, promise, validated)
    gone = [known.id for known in getattr(before, "batches", ()) if known.id not in batches]
    state = before
    try:
        for day, batch in sorted({**batches, **dict.fromkeys(gone, [Rewards()] * len(arms))}.items()):
            state = algorithm.consume(state, day, batch)
    except DataError as problem:
        raise DataError(problem.what, where=promise.id, found=problem.found, allowed=problem.allowed) from None
    if held.as_of is None and not batches:
        return Allocated(held, False, "nobody's reward is known yet")
    found = Allocation.of(promise.id, arms, algorithm, state)
    if dict(found.shares) == dict(held.allocation.shares):
        return Allocated(held, False, "the shares stay as they are")
    new = publish(workspace, promise, found, state, as_of=validated.manifest.as_of, after=held)
    return Allocated(new, True)


def rewards(workspace: Workspace, promise: Sealed, validated: SealedArtifact) -> dict[str, list[Rewards]]:
    """Exposure day to the rewards of each arm, in the order of the arms; days without any unit are left out.

    Of a metric with a conversion window only units whose window has passed count: others would pull down the arms
    that got their traffic lately.
    """
    bound = promise.bound
    metric = _rewarded(bound)
    until = validated.manifest.summary["until"]
    horizon = Horizon(datetime.fromisoformat(until) if until else None, bound.end, bound.timezone)
    units = POPULATIONS["enrolled"].format(units=parquet(validated.path("population.parquet")))
    plan = Plan(workspace, [metric], horizon, dropped=lambda source: dropped_rows(bound, source))
    limit = workspace.folder.project.engine.memory_limit
    with measured(_by_day(units, bound), plan, segments=[DAY], memory_limit=limit) as measurement:
        reading = next(r for r in measurement.readings() if r.variant == decisive_variant(metric))
    found: dict[str, list[Rewards]] = {}
    arms = bound.experiment.assignment.arms
    for cell, moments in sorted(reading.cells.items(), key=lambda item: (item[0].level, item[0].arm)):
        if cell.segment == DAY and moments.n and cell.arm in arms:
            batch = found.setdefault(cell.level, [Rewards()] * len(arms))
            batch[arms.index(cell.arm)] = Rewards(moments.n, float(moments.mean[0]), float(moments.comoment[0, 0]))
    return found


def _rewarded(bound: Bound) -> Metric:
    adaptive = bound.experiment.assignment.adaptive
    assert adaptive is not None
    metric = bound.metrics[adaptive.reward]
    return metric.model_copy(update={"covariates": (), "mature": metric.mature or metric.growing})


def _by_day(units: str, bound: Bound) -> str:
    """The units beside the day of their first exposure."""
    with connect() as con:
        first, latest = con.execute(f"SELECT min(t0), max(t0) FROM {units} AS everyone").fetchone() or (None, None)
    if first is None or latest is None:
        return f"(SELECT *, '' AS {DAY} FROM {units} AS everyone)"
    day, end = (at.replace(tzinfo=UTC).astimezone(bound.zone).date() for at in (first, latest))
    cases = []
    while day <= end:
        cases.append(f"WHEN t0 < {moment(midnight_after(day, bound))} THEN {literal(day.isoformat())}")
        day += timedelta(days=1)
    return f"(SELECT *, CASE {' '.join(cases)} END AS {DAY} FROM {units} AS everyone)"
