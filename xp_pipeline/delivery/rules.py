"""The rule of a sealed design: shares, a program or a ramp, for the units of its layer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from xp_pipeline.delivery.designs import UNIT, Design, Step
from xp_pipeline.delivery.programs import program_assigner
from xp_pipeline.delivery.protocols import Assigned, Assigner
from xp_pipeline.errors import SpecError
from xp_pipeline.language import buckets
from xp_pipeline.language.rules import Rule, ranges
from xp_pipeline.language.tree import ExperimentAST, ExperimentGroup


def _now() -> datetime:
    return datetime.now(UTC)


def assigner(design: Design, *, clock: Callable[[], datetime] = _now) -> Assigner:
    """The rule by which a design assigns a unit, from the unit's fields.

    Args:
        design: As sealed.
        clock: Says which step of a ramp is in force; who is stored keeps the arm of their first exposure.

    Raises:
        SpecError: the split is unknown, is adaptive, or changes from block to block.
    """
    if design.shares is None and design.program is None:
        raise SpecError(
            "an experiment with an unknown split cannot be served",
            where=design.experiment,
            next_step="state its weights, or leave the assignment to the service that makes it",
        )
    if design.rule == "stratified":
        raise SpecError(
            "a stratified assignment cannot be served: it is drawn over the whole list of units at once",
            where=design.experiment,
            next_step="read the arms from the record",
        )
    if design.rule == "switchback":
        raise SpecError(
            "a switchback cannot be served: its arms change from block to block, and no user keeps one",
            where=design.experiment,
            next_step="ask its schedule for the arm of a unit at a moment",
        )
    if design.adaptive:
        raise SpecError(
            "the weights of an adaptive experiment are published, not sealed",
            where=design.experiment,
            next_step="RegisteredExperiment.open, which follows them",
        )
    if design.phases:
        return within(design, _ramp(design, clock))
    if design.program is not None or design.rule != "v2":
        return within(design, _program(design))
    return within(design, _shares(design))


def within(design: Design, assign: Assigner) -> Assigner:
    """The rule for the units of the design's layer; all others are left out."""
    if design.layer is None:
        return assign
    salt, low, high = design.layer

    def member(fields: Mapping[str, Any]) -> Assigned | None:
        return assign(fields) if low <= buckets.bucket(salt, fields[UNIT]) < high else None

    return member


def _shares(design: Design) -> Assigner:
    shares, salt, version = design.shares or {}, design.salt, f"{design.rule}@{design.digest[:12]}"
    parts = ranges("v2", [ExperimentGroup(arm, share) for arm, share in shares.items()], where=design.experiment)
    ends = [part.end for part in parts]
    arms = [Assigned(part.arm, shares[part.arm], version) for part in parts]

    def assign(fields: Mapping[str, Any]) -> Assigned:
        return arms[bisect_right(ends, buckets.bucket(salt, fields[UNIT]))]

    return assign


def _ramp(design: Design, clock: Callable[[], datetime]) -> Assigner:
    salt, version = design.salt, f"{design.rule}@{design.digest[:12]}"

    def assign(fields: Mapping[str, Any]) -> Assigned | None:
        step = _in_force(design.phases, clock())
        if step is None:
            return None
        u = buckets.bucket(salt, fields[UNIT])
        arm = next((arm for low, high, arm in step.ranges if low <= u < high), None)
        return Assigned(arm, step.shares[arm], version) if arm is not None else None

    return assign


def _in_force(steps: tuple[Step, ...], now: datetime) -> Step | None:
    begun = [step for step in steps if step.at <= now]
    return begun[-1] if begun else None


def _program(design: Design) -> Assigner:
    from xp_pipeline.language.program import Program

    rule: Rule = design.rule  # type: ignore[assignment]
    settings: Any = {"rule": rule, "default_salt": design.salt, "default_splitters": (design.unit,)}
    if design.program is not None:
        program = Program.parse(design.program, where=design.experiment, **settings)
    else:
        groups = tuple(ExperimentGroup(arm, share) for arm, share in (design.shares or {}).items())
        program = Program.of(ExperimentAST(design.experiment, None, None, groups), **settings)
    return program_assigner(program, design, unit=design.unit)
