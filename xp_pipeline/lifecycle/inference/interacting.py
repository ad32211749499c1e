"""Two experiments on the same units: whether their assignments are independent and their effects add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import product
from typing import Any

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import literal
from xp_pipeline.engine.queries import render
from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.lifecycle.assignment.arms import dropped_rows
from xp_pipeline.lifecycle.frames import parquet
from xp_pipeline.lifecycle.inference.strata import is_divided
from xp_pipeline.lifecycle.measurement.columns import Horizon, Plan
from xp_pipeline.lifecycle.measurement.measure import Measurement, Reading, decisive_variant
from xp_pipeline.lifecycle.planning.plan import planned_units
from xp_pipeline.lifecycle.sealed import Sealed, sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import SealedArtifact
from xp_pipeline.spec.experiment import DECIDING
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.phases import Phase
from xp_pipeline.spec.source import Source
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.interactions import Interaction, assignment_independence, interaction
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.multiplicity import family
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.sequences import boundary, burn_in

Row = dict[str, Any]
SEPARATOR = "\x1f"
POOLED = "phases or branches with other shares are pooled, which can make arms look dependent"
DEPENDENT = 0.001
"""p-value below which the two assignments are said to depend on each other."""


@dataclass(frozen=True)
class _Side:
    """One of the two experiments, with its validated population."""

    promise: Sealed
    validated: SealedArtifact

    @property
    def relation(self) -> str:
        return parquet(self.validated.path("population.parquet"))

    @property
    def ended(self) -> bool:
        return bool(self.validated.manifest.summary["final"])

    @property
    def until(self) -> datetime | None:
        text = self.validated.manifest.summary["until"]
        return datetime.fromisoformat(text) if text else None

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return self.promise.bound.metrics


def interactions(workspace: Workspace, first: str, second: str, *, metric: str | None = None) -> list[Row]:
    """Rows as ``spec.tables.INTERACTIONS`` has them: independence, then each metric and pair of treatments.

    Metrics are those that both experiments measure and either decides by, or the one named. Windows begin when a
    unit is in both experiments, and close at the earlier of both ends.

    Raises:
        SpecError: one experiment twice, or a metric that is not measured by both.
        PhaseOrderError, SRMError, BlockedError: a population is not validated, or blocked.
    """
    if first == second:
        raise SpecError("an experiment does not interact with itself", found=first)
    sides = _side(workspace, first), _side(workspace, second)
    wanted = _shared(sides, metric)
    begin = _begin(sides)
    joint = (
        f"({render('joint_units', first=sides[0].relation, second=sides[1].relation, separator=literal(SEPARATOR))})"
    )
    rows = [begin | _independence(sides, joint)]
    if rows[0]["units"]:
        rows += [begin | row for row in _measured(workspace, sides, wanted, joint)]
    else:
        rows += [begin | _named(m) | _undefined(Status.NOT_TESTABLE, "no unit is in both") for m in wanted]
    return _adjusted(rows, sides[0].promise.bound.experiment.analysis.alpha)


def _side(workspace: Workspace, experiment: str) -> _Side:
    workspace.folder.experiment(experiment)
    promise = sealed(workspace, experiment)
    return _Side(promise, workspace.read(experiment, Phase.VALIDATED_EXPOSURES, spec_hash=promise.spec_hash))


def _shared(sides: tuple[_Side, _Side], asked: str | None) -> list[Metric]:
    both = [metric.name for _, _, metric in sides[0].promise.bound.uses if metric.name in sides[1].metrics]
    if asked is not None:
        if asked not in both:
            raise SpecError(
                f"metric {asked!r} is not measured by both experiments",
                allowed=nearest(asked, both) if both else "none is shared",
            )
        return [sides[0].metrics[asked]]
    deciding = {use.metric for side in sides for role, use, _ in side.promise.bound.uses if role in DECIDING}
    return [sides[0].metrics[name] for name in both if name in deciding]


def _begin(sides: tuple[_Side, _Side]) -> Row:
    first, second = sides
    return {
        "first": first.promise.id,
        "second": second.promise.id,
        "first_as_of": first.validated.manifest.as_of or "",
        "second_as_of": second.validated.manifest.as_of or "",
    }


def _named(metric: Metric) -> Row:
    return {"kind": "interaction", "metric": metric.name, "direction": metric.direction}


def _undefined(status: Status, reason: str) -> Row:
    return {"status": str(status), "reason": reason}


def _independence(sides: tuple[_Side, _Side], joint: str) -> Row:
    """Pearson's chi-square on the units in both experiments, by their arms."""
    arms = [side.promise.bound.experiment.assignment.arms for side in sides]
    with connect() as con:
        query = render("unit_counts", by=["first_arm", "second_arm"], where="TRUE", relation=f"{joint} AS joint")
        counted = {(one, other): n for one, other, n in con.execute(query).fetchall()}
    table = [[counted.get((one, other), 0) for other in arms[1]] for one in arms[0]]
    found = assignment_independence(table)
    ok = found.status == Status.OK
    return {
        "kind": "independence",
        "metric": "",
        "status": str(found.status),
        "reason": _said(found.reason, _caution(sides)),
        "units": sum(map(sum, table)),
        "df": float(found.df) if ok else None,
        "statistic": found.statistic,
        "strength": found.cramers_v,
        "counts": serialize_to_json(
            {one: dict(zip(arms[1], row, strict=True)) for one, row in zip(arms[0], table, strict=True)}
        ),
        "p_value": found.p_value,
        "significant": found.p_value < DEPENDENT if ok else None,
    }


def _measured(workspace: Workspace, sides: tuple[_Side, _Side], wanted: Sequence[Metric], joint: str) -> Iterator[Row]:
    alike = [m for m in wanted if sides[1].metrics[m.name] == m and m.type != "quantile"]
    for metric in wanted:
        if metric not in alike:
            reason = "a quantile has no interaction" if metric.type == "quantile" else "the two define it differently"
            yield _named(metric) | _undefined(Status.NOT_TESTABLE, reason)
    if not alike:
        return
    plan = Plan(workspace, alike, _horizon(sides), dropped=lambda source: _dropped(sides, source))
    memory_limit = workspace.folder.project.engine.memory_limit
    with Measurement(joint, plan, memory_limit=memory_limit) as measurement:
        readings = measurement.readings()
    planned = planned_units(workspace, sides[0].promise)
    for metric in alike:
        reading = next(r for r in readings if r.metric == metric.name and r.variant == decisive_variant(metric))
        yield from _pairs(sides, metric, reading, planned)


def _horizon(sides: tuple[_Side, _Side]) -> Horizon:
    untils = [side.until for side in sides if side.until]
    ends = [side.promise.bound.end for side in sides if side.promise.bound.end]
    zone = sides[0].promise.bound.timezone
    return Horizon(min(untils) if untils else None, min(ends) if ends else None, zone)


def _dropped(sides: tuple[_Side, _Side], source: Source) -> str | None:
    found = [rule for side in sides if (rule := dropped_rows(side.promise.bound, source))]
    return " OR ".join(f"({rule})" for rule in found) or None


def _pairs(sides: tuple[_Side, _Side], metric: Metric, reading: Reading, planned: int) -> Iterator[Row]:
    """Every treatment of the first with every treatment of the second."""
    cells = {tuple(cell.arm.split(SEPARATOR)): moments for cell, moments in reading.cells.items()}
    one, other = (side.promise.bound.experiment.assignment for side in sides)
    estimator, alpha = _estimator(metric, reading), sides[0].promise.bound.experiment.analysis.alpha
    for arm, beside in product(one.treatments, other.treatments):
        found = interaction(
            cells,  # type: ignore[arg-type]
            first=(one.control, arm),
            second=(other.control, beside),
            estimator=estimator,
            alpha=alpha,
        )
        row = _named(metric) | {
            "first_arm": arm,
            "first_control": one.control,
            "second_arm": beside,
            "second_control": other.control,
            **_numbers(found),
            **(_tested(found) if all(side.ended for side in sides) else _banded(found, planned, alpha)),
        }
        yield row | {"reason": _said(row["reason"], _caution(sides))}


def _caution(sides: tuple[_Side, _Side]) -> str:
    return POOLED if any(is_divided(side.promise.bound) for side in sides) else ""


def _said(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _estimator(metric: Metric, reading: Reading) -> Callable[[Moments, Moments], Estimate]:
    """The estimator that decides, on the moments of control and treatment."""
    if reading.covariates:
        return partial(cuped, ratio=metric.type == "ratio")
    if metric.type == "ratio":
        return ratio
    return proportion if metric.binary else welch


def _numbers(found: Interaction) -> Row:
    within = found.within_control, found.within_treatment
    return {
        "status": str(found.interaction.status),
        "reason": found.interaction.reason,
        "units": sum(e.n_control + e.n_treatment for e in within),
        "estimator": ",".join(sorted({e.estimator for e in within})),
        "effect_in_control": within[0].effect,
        "effect_in_arm": within[1].effect,
        "difference": found.interaction.difference,
        "se": found.interaction.se,
        "df": found.interaction.df,
        "ci_level": found.interaction.level,
    }


def _tested(found: Interaction) -> Row:
    test = found.interaction
    interval = {"ci_low": test.low, "ci_high": test.high, "interval_kind": "confidence"}
    return interval | ({"p_value": test.p_value} if test.status == Status.OK else {})


def _banded(found: Interaction, planned: int, alpha: float) -> Row:
    """While either runs: a band of the difference that holds at all looks, and no p-value."""
    test, within = found.interaction, (found.within_control, found.within_treatment)
    if test.status != Status.OK:
        return {"interval_kind": "sequence"}
    waiting = next((missing for e in within if (missing := burn_in(e))), "")
    if waiting:
        return {"interval_kind": "sequence", "reason": waiting}
    half = boundary(sum(e.n_control + e.n_treatment for e in within), planned, alpha) * test.se
    low, high = test.difference - half, test.difference + half
    return {"ci_low": low, "ci_high": high, "interval_kind": "sequence", "reason": "tested once both have ended"}


def _adjusted(rows: list[Row], alpha: float) -> list[Row]:
    """Interactions as one family under Benjamini-Hochberg."""
    tests = [row for row in rows if row["kind"] == "interaction"]
    found = family([row.get("p_value") for row in tests], method="fdr_bh", alpha=alpha)
    for row, p, holds in zip(tests, found.p_adjusted, found.significant, strict=True):
        row |= {"p_adjusted": p, "family_size": found.size, "significant": holds}
    return rows
