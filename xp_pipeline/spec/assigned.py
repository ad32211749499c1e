"""Checks of assignment blocks: programs that can be used, ramps in order, layers whose experiments share nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec.assignment import LayerSlot
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.loader import Document
from xp_pipeline.spec.project import Project
from xp_pipeline.spec.source import ROW_UNIT, Source
from xp_pipeline.spec.values import zoned

PROGRAMS = "assignments"
_TAKEN = ("branch", "bucket", "row_arm", "designed_arm", "designed_stratum")
_READABLE = ("integer", "number", "text", "boolean")


def programs_in(root: Path) -> dict[str, str]:
    """The texts of the programs of a project, by file name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((root / PROGRAMS).glob("*.pyab"))}


def check_assignment(
    experiment: Experiment,
    sources: Mapping[str, Source],
    programs: Mapping[str, str],
    zone: ZoneInfo,
    document: Document,
) -> None:
    """The program can assign the units of the population; a ramp begins with the experiment and goes forward."""
    assignment = experiment.assignment
    source = sources[experiment.population.source]
    if assignment.program:
        _check_program(experiment, source, programs, document)
    if experiment.population.arm is None or assignment.recomputable or assignment.adaptive:
        _check_names(source, document)
    if experiment.population.arm is None:
        _check_computed(experiment, source, document)
    if assignment.stratify:
        _check_stratify(experiment, source, document)
    if assignment.phases:
        _check_ramp(experiment, source, zone, document)


def _check_program(experiment: Experiment, source: Source, programs: Mapping[str, str], document: Document) -> None:
    name = experiment.assignment.program or ""
    if name not in programs:
        raise SpecError(
            f"no program {name!r} in {PROGRAMS}/",
            where=document.where(("assignment", "program")),
            allowed=nearest(name, programs),
        )
    for severity, where, message in _findings(experiment, source, programs[name]):
        if severity == "error":
            raise SpecError(message, where=where)


def program_warnings(experiment: Experiment, source: Source, text: str) -> list[str]:
    """What a usable program may not mean as it stands, such as who falls through: one line each, with its place."""
    return [
        f"{where}: {message}" for severity, where, message in _findings(experiment, source, text) if severity != "error"
    ]


def _findings(experiment: Experiment, source: Source, text: str) -> Iterator[tuple[str, str, str]]:
    """Severity, place and message of everything that is wrong with a program."""
    from xp_pipeline.language.checks import check
    from xp_pipeline.language.parser import parse

    where = f"{PROGRAMS}/{experiment.assignment.program}"
    kinds: Any = {column: c.type for column, c in source.columns.items() if c.type in _READABLE}
    for finding in check(parse(text, where=where), arms=experiment.assignment.arms, columns=kinds):
        yield finding.severity, f"{where}:{finding.line}:{finding.column}" if finding.line else where, finding.message


def _check_names(source: Source, document: Document) -> None:
    """The rows are laid beside the design in columns of these names."""
    taken = [name for name in source.columns if name.lower() in _TAKEN]
    if taken:
        raise SpecError(
            f"source {source.name!r} has a column that the design needs for itself",
            where=document.where(("assignment",)),
            found=", ".join(taken),
            next_step="rename it in a SELECT over the source",
        )


def _check_computed(experiment: Experiment, source: Source, document: Document) -> None:
    assignment = experiment.assignment
    if assignment.weights == "unknown":
        raise SpecError(
            "a split that is unknown cannot be computed",
            where=document.where(("population",)),
            next_step="name the column of the arm: population.arm",
        )
    if experiment.population.mismatch:
        raise SpecError("a mismatch rule needs logged arms", where=document.where(("population", "mismatch")))
    if source.unit == ROW_UNIT and (assignment.program or assignment.layer or assignment.phases):
        raise SpecError("row numbers are no ids that a rule could assign", where=document.where(("assignment",)))


def _check_stratify(experiment: Experiment, source: Source, document: Document) -> None:
    """Strata are values of a closed list of units, known before anybody is assigned."""
    where = document.where(("assignment", "stratify"))
    if source.kind != "unit_table" or source.unit == ROW_UNIT:
        raise SpecError("a stratified assignment needs a unit table with ids", where=where, found=source.kind)
    for column in experiment.assignment.stratify:
        if column not in source.columns:
            raise SpecError(f"unknown column {column!r}", where=where, allowed=nearest(column, source.columns))
        if source.columns[column].type not in ("integer", "text", "boolean"):
            raise SpecError(
                f"{column} cannot stratify", where=where, found=source.columns[column].type,
                allowed="integer, text or boolean",
            )  # fmt: skip


def _check_ramp(experiment: Experiment, source: Source, zone: ZoneInfo, document: Document) -> None:
    phases = experiment.assignment.phases
    moments = [zoned(phase.at, zone) for phase in phases]
    start = zoned(experiment.start, zone)
    if start is None or not source.timestamp:
        raise SpecError(
            "a ramp needs a start, and exposures that have a time", where=document.where(("assignment", "phases"))
        )
    for i, (before, after) in enumerate(pairwise(moments), start=1):
        if before and after and after <= before:
            raise SpecError(
                "the steps of a ramp follow each other in time",
                where=document.where(("assignment", "phases", i)),
                found=f"{after} after {before}",
            )
    if moments[0] and moments[0] > start:
        raise SpecError(
            "the first step of a ramp begins with the experiment",
            where=document.where(("assignment", "phases", 0)),
            found=moments[0],
            allowed=f"{start} or earlier",
        )


def overlaps(
    project: Project, experiments: Mapping[str, Experiment], documents: Mapping[tuple[str, str], Document]
) -> Iterator[tuple[str, SpecError]]:
    """Experiments whose place in a layer is taken: the id, and why."""
    zone = ZoneInfo(project.timezone)
    placed = [
        (name, e.assignment.layer, zoned(e.start, zone), zoned(e.end, zone))
        for name, e in sorted(experiments.items())
        if e.assignment.layer and not e.draft
    ]
    for name, slot, _, _ in placed:
        where = _where(documents, name)
        if slot.name not in project.layers:
            known = nearest(slot.name, project.layers) or "none"
            yield name, SpecError(f"unknown layer {slot.name!r}", where=where, allowed=known)
            continue
        for held, buckets in project.layers[slot.name].holdouts.items():
            if common := _common(slot.range, buckets):
                yield name, _shared(slot, f"holdout {held}", common, where)
    for one, other in combinations(placed, 2):
        common = _common(one[1].range, other[1].range)
        if one[1].name == other[1].name and common and _meet(one[2:], other[2:]):
            yield other[0], _shared(other[1], one[0], common, _where(documents, other[0]))


def _shared(slot: LayerSlot, with_whom: str, common: tuple[float, float], where: str) -> SpecError:
    return SpecError(
        f"its units of layer {slot.name} would be those of {with_whom}",
        where=where,
        found=f"buckets [{common[0]:g}, {common[1]:g}) in common",
        next_step="move one of them to free buckets, or to another time",
    )


def _where(documents: Mapping[tuple[str, str], Document], name: str) -> str:
    return documents["experiment", name].where(("assignment", "layer"))


def _common(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float] | None:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if low < high else None


def _meet(one: Any, other: Any) -> bool:
    """Whether two spans [start, end) have a moment in common; None is without limit."""

    def before(end: datetime | None, start: datetime | None) -> bool:
        return bool(end and start and end <= start)

    return not (before(one[1], other[0]) or before(other[1], one[0]))
