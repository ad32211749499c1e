"""Blinded re-estimation: once, before the end, the variance of all units says whether the planned end moves.

It reads no arm, so it says nothing of who is ahead, and the final test keeps its error rate (Kieser, Friede 2003,
Stat. Med. 22); see :func:`~xp_pipeline.decision.extension.blinded_reestimate`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from xp_pipeline.decision.extension import Reestimate, blinded_reestimate
from xp_pipeline.design.aims import Detect, Equate
from xp_pipeline.lifecycle.asof import NotYet, conclusion, midnight_after, resolve
from xp_pipeline.lifecycle.assignment.assign import assign
from xp_pipeline.lifecycle.comparisons import decided
from xp_pipeline.lifecycle.design import design
from xp_pipeline.lifecycle.measurement.adjust import measure_all, populations
from xp_pipeline.lifecycle.measurement.measure import Cell, Reading, decisive_variant
from xp_pipeline.lifecycle.planning.aims import aim_of, pair_of, planned_days
from xp_pipeline.lifecycle.planning.plan import absolute
from xp_pipeline.lifecycle.quality.validate import validate
from xp_pipeline.lifecycle.schedule import matured
from xp_pipeline.lifecycle.sealed import Sealed, sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import DECIDING, MetricUse, RoleName
from xp_pipeline.spec.extension import Granted
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.phases import Phase
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import linearise

DAY = timedelta(days=1)


def extend(workspace: Workspace, promise: Sealed, *, as_of: date | None = None) -> Sealed:
    """The promise with its end where a planned re-estimation puts it, once the day for that has come.

    Entered in the ledger once, before any final look, and never taken back; of a population that was blocked nothing
    is read, and the plan stays.
    """
    day = promise.bound.reestimated_on
    if day is None or promise.bound.extended or not _is_due(workspace, promise, day, as_of):
        return promise
    try:
        needs = _read(workspace, promise, day)
    except NotYet as problem:
        needs, why = [], problem.what
    else:
        why = "no metric has a test to plan for"
    if needs is None:
        return promise
    granted = _granted(promise.bound, needs, day, why)
    workspace.ledger.append(
        promise.id,
        EntryKind.EXTENSION,
        by=workspace.by,
        reason=granted.why,
        payload={
            "granted": granted.model_dump(mode="json"),
            "needs": [need.said() for need in needs],
            "spec_hash": promise.spec_hash,
        },
    )
    extended = sealed(workspace, promise.id)
    design(workspace, extended)
    return extended


def _is_due(workspace: Workspace, promise: Sealed, day: date, as_of: date | None) -> bool:
    if workspace.final_look(promise.id) or conclusion(workspace, promise.id):
        return False
    latest = resolve(workspace, promise, asked=as_of).day
    return latest is not None and latest >= day


def _read(workspace: Workspace, promise: Sealed, day: date) -> list[_Need] | None:
    """What every test needs by the data of a day; None where its population is blocked."""
    assign(workspace, promise, as_of=day)
    if validate(workspace, promise, as_of=day).verdict == "failed":
        return None
    validated = workspace.read(
        promise.id, Phase.VALIDATED_EXPOSURES, spec_hash=promise.spec_hash, as_of=day.isoformat()
    )
    complete = replace(promise, bound=promise.bound.model_copy(update={"metrics": matured(promise.bound)}))
    readings, _ = measure_all(workspace, complete, validated, {})
    return list(_needs(complete.bound, readings[populations(promise)[-1]], day))


@dataclass(frozen=True)
class _Need:
    """What one metric and arm need: units of the two arms that are compared, planned for the end, and found."""

    metric: str
    arm: str
    planned: int
    found: Reestimate

    @property
    def growth(self) -> float:
        """Units needed, per unit that is on its way."""
        return self.found.units / self.planned if self.found.status == Status.OK else 1.0

    def said(self) -> dict[str, object]:
        """For the ledger."""
        found = vars(self.found) | ({} if math.isfinite(self.found.variance) else {"variance": None})
        return {"metric": self.metric, "arm": self.arm, "planned": self.planned, **found}


def _needs(bound: Bound, readings: Sequence[Reading], day: date) -> Iterator[_Need]:
    """Every metric that decides, in every arm, if units go on to come as they did."""
    days, extension = planned_days(bound), bound.experiment.analysis.extension
    assert bound.start is not None and days is not None and extension is not None
    deciding = {r.metric: r for r in readings if r.variant == decisive_variant(bound.metrics[r.metric])}
    for role, use, metric in bound.uses:
        if role in DECIDING and (use.mde or use.tolerated):
            passed = (midnight_after(day, bound) - bound.start - metric.maturity) / DAY
            pooled = _everybody(metric, deciding[metric.name])
            coming = pooled.n / passed * days
            for arm in decided(bound):
                pair = pair_of(bound, arm)
                planned = max(math.ceil(coming * sum(pair)), 1)
                most = math.ceil(planned * (days + extension.most / DAY) / days)
                found = _reestimated(bound, role, use, metric, pooled, pair, (planned, most))
                yield _Need(metric.name, arm, planned, found)


def _everybody(metric: Metric, reading: Reading) -> Moments:
    """The moments of all units, whichever arm they are in."""
    arms = [moments for cell, moments in reading.cells.items() if cell == Cell(cell.arm)]
    return Moments.merge(Moments.empty(len(metric.quantities) + len(reading.covariates)), *arms)


def _reestimated(
    bound: Bound,
    role: RoleName,
    use: MetricUse,
    metric: Metric,
    pooled: Moments,
    pair: tuple[float, float],
    limits: tuple[int, int],
) -> Reestimate:
    """By the test that the metric will have."""
    aim = aim_of(bound, role, use, metric)
    if metric.type == "ratio" and pooled.mean[1]:
        pooled, mean = linearise(pooled), float(pooled.mean[0] / pooled.mean[1])
    else:
        mean = float(pooled.mean[0]) if metric.type != "ratio" else 0.0
    return blinded_reestimate(
        pooled,
        effect=absolute(use.mde or use.tolerated, mean) or 0.0,
        planned_units=limits[0],
        most_units=limits[1],
        share=pair[1] / sum(pair),
        alpha=aim.rates.alpha if isinstance(aim, Detect) else 2 * aim.rates.alpha,
        power=(1 + aim.rates.power) / 2 if isinstance(aim, Equate) else aim.rates.power,
        control_weight=_weight(use, metric),
    )


def _weight(use: MetricUse, metric: Metric) -> float:
    """Of the control mean in the test: 1, less a relative fall or more a relative rise that is to be excluded."""
    if use.tolerated is None or not use.tolerated.relative:
        return 1.0
    falls = metric.direction == "increase" and not use.equivalence
    return 1 - use.tolerated.value if falls else 1 + use.tolerated.value


def _granted(bound: Bound, needs: list[_Need], day: date, why: str) -> Granted:
    """The days that the most needy metric takes, whole and within what is allowed."""
    days, extension = planned_days(bound), bound.experiment.analysis.extension
    assert days is not None and extension is not None and bound.planned_end is not None
    known = [need for need in needs if need.found.status == Status.OK]
    if known:
        most = max(known, key=lambda need: need.growth)
        more = min(math.ceil(days * (most.growth - 1) - 1e-9), extension.most // DAY)
        why = _why(most, more)
    else:
        more, why = 0, f"The plan stays: {needs[0].found.reason if needs else why}."
    return Granted(as_of=day.isoformat(), planned_end=bound.planned_end, days=more, why=why)


def _why(most: _Need, more: int) -> str:
    sd = math.sqrt(most.found.variance)
    read = f"with a standard deviation of {sd:.4g} over all arms, {most.metric} needs {most.found.needed:,} units"
    read += f" of {most.arm} and its baseline"
    if more < 1:
        return f"The plan suffices: {read}, and {most.planned:,} are to come."
    capped = ", the most that is allowed" if most.found.capped else ""
    return f"The end moves by {more} days{capped}: {read}, where {most.planned:,} were to come."
