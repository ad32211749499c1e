"""Who would get which arm: the assignment of an experiment in words, and a dry run of it for single units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from xp_pipeline.design.assigning import Rule
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import DataError, SpecError, nearest
from xp_pipeline.lifecycle.assignment.explain_arms import arrangement, opening
from xp_pipeline.lifecycle.assignment.remembered import recorded
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace


@dataclass(frozen=True)
class Asked:
    """What the design says of one unit.

    Attributes:
        unit: Its id.
        arm: The arm; empty where it takes no part.
        bucket: Its number in [0, 1); None where there is none.
        decided_by: The branch or phase, in words; empty where one split is for all.
        reason: Why it takes no part.
        recorded: The arm that the record has for it; empty where it was never exposed.
    """

    unit: str
    arm: str
    bucket: float | None
    decided_by: str
    reason: str
    recorded: str


def ask(
    workspace: Workspace,
    promise: Sealed,
    units: Sequence[str],
    *,
    fields: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> list[Asked]:
    """A dry run of the assignment; nobody is exposed, nothing is recorded.

    Args:
        units: Ids as text; numbers where the source's ids are integers.
        fields: Values of the fields that a program reads, the same for all units.
        at: Moment of first exposure, for a ramp; now unless given.

    Raises:
        SpecError: the split is unknown, or a field is no column.
        DataError: an id or a field is not of its column's type, or a field that decides is missing.
    """
    bound = promise.bound
    if bound.experiment.assignment.weights == "unknown":
        raise SpecError("a split that is unknown cannot be computed", where=promise.id)
    rule = Rule(bound)
    columns = {name: raw["type"] for name, raw in bound.sources[bound.experiment.population.source]["columns"].items()}
    given = {name: _typed(name, value, columns) for name, value in (fields or {}).items()}
    known = _recorded(workspace, promise.id, units)
    moment = at or workspace.clock()
    found = []
    for unit in units:
        answer = rule.ask({**given, rule.unit: _typed(rule.unit, unit, columns)}, at=moment)
        by = _stratum_words(rule, answer.stratum)
        found.append(Asked(unit, answer.arm or "", answer.bucket, by, answer.reason, known.get(unit, "")))
    return found


def _typed(name: str, value: str, columns: Mapping[str, str]) -> object:
    if name not in columns:
        raise SpecError(f"unknown field {name!r}", allowed=nearest(name, columns))
    kind = columns[name]
    try:
        if kind == "integer":
            return int(value)
        if kind == "number":
            return float(value)
        if kind == "boolean":
            return {"true": True, "false": False}[value.lower()]
    except (ValueError, KeyError):
        raise DataError(f"{name} is {kind}", found=value) from None
    return value


def _recorded(workspace: Workspace, experiment: str, units: Sequence[str]) -> dict[str, str]:
    asked = ", ".join(literal(unit) for unit in units) or "NULL"
    with connect() as con:
        rows = con.execute(f"SELECT unit, arm FROM {recorded(workspace, experiment)} AS record WHERE unit IN ({asked})")
        return dict(rows.fetchall())


def _stratum_words(rule: Rule, stratum: str) -> str:
    if stratum.startswith("branch ") and rule.bound.program is not None and rule.program:
        number = int(stratum.removeprefix("branch "))
        when = next((route.when() for route in rule.program.routes if route.branch == number), "")
        return f"{stratum}: {when}" if when else stratum
    return stratum if rule.allocation or rule.switchback else ""


def explain_assignment(promise: Sealed) -> str:
    """The assignment in words: the rule, its arms by bucket, its branches or steps, its layer."""
    return "\n".join(_sentences(promise))


def _sentences(promise: Sealed) -> Iterator[str]:
    bound, assignment = promise.bound, promise.bound.experiment.assignment
    rule = Rule(bound)
    arm = bound.experiment.population.arm
    yield opening(bound.experiment)
    yield from arrangement(bound.experiment)
    if arm:
        yield f"Arms are read from {arm.column} of {bound.experiment.population.source}."
    if assignment.weights == "unknown":
        yield "The designed split is unknown: the sample ratio cannot be tested."
        return
    how = "held against" if arm else "computed by"
    if arm and not assignment.recomputable:
        yield "No salt, program, ramp or layer is declared, so logged arms are not recomputed."
    else:
        yield f"They are {how} bucket rule {assignment.rule}, salt {rule.salt!r}, over {_splitters(rule)}."
    if assignment.layer:
        low, high = assignment.layer.range
        yield f"Only units in buckets [{low:g}, {high:g}) of layer {assignment.layer.name} take part."
    if not rule.switchback:
        yield from _ramp(rule) if rule.allocation else _branches(rule)


def _splitters(rule: Rule) -> str:
    if rule.switchback:
        return f"{rule.unit} and the number of the block"
    return ", ".join(rule.program.splitters) if rule.program else rule.unit


def _branches(rule: Rule) -> Iterator[str]:
    if rule.program is None:
        return
    for route in rule.program.routes:
        where = f"branch {route.branch}" if route.branch is not None else "no branch"
        label = f"  {where}, {route.when()}: " if rule.bound.program is not None else "  "
        if route.branch is None:
            yield f"{label}takes no part"
        else:
            parts = rule.program.splits[route.branch]
            yield label + ", ".join(f"{p.arm} [{p.start:.6f}, {p.end:.6f})" for p in parts if p.end > p.start)


def _ramp(rule: Rule) -> Iterator[str]:
    assert rule.allocation is not None
    for number, phase in enumerate(rule.allocation.phases, start=1):
        shares = ", ".join(f"{arm} {share:.1%}" for arm, share in phase.shares.items())
        moved = f"; {phase.share_moved:.1%} of all buckets change their arm" if phase.moved else ""
        since = f"{phase.starts_at:%Y-%m-%d %H:%M} UTC"
        yield f"  phase {number} from {since}: {phase.coverage:.1%} of units, {shares}{moved}"
    if any(phase.moved for phase in rule.allocation.phases):
        yield "  Whoever was exposed stays in the arm on record; effects are averaged over the phases."
