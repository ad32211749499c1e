"""From the assignment block to a rule: which arm a unit gets, when, and by which designed shares it was drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from xp_pipeline.design.allocation import Allocation, Step, allocate
from xp_pipeline.design.layers import Layer, Slot
from xp_pipeline.design.switchback import Switchback
from xp_pipeline.language.buckets import bucket
from xp_pipeline.language.program import Program
from xp_pipeline.language.tree import ExperimentAST, ExperimentGroup
from xp_pipeline.spec.assignment import Assignment
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.source import ROW_UNIT
from xp_pipeline.spec.values import zoned

Shares = Mapping[str, float]
EVERYBODY = ""
"""The one stratum of a design whose shares are the same for all."""


@dataclass(frozen=True)
class Answer:
    """What the rule says of one unit.

    Attributes:
        arm: Its arm; None where it takes no part.
        bucket: Its number in [0, 1); None where a branch gives none.
        stratum: The phase or branch that decided; empty where there is one for all.
        reason: Why it takes no part; empty where it does.
    """

    arm: str | None
    bucket: float | None
    stratum: str = EVERYBODY
    reason: str = ""


@dataclass(frozen=True)
class Rule:
    """The assignment of an experiment, ready to be asked.

    Attributes:
        bound: The experiment.
    """

    bound: Bound

    @property
    def assignment(self) -> Assignment:
        return self.bound.experiment.assignment

    @property
    def salt(self) -> str:
        return self.assignment.salt or self.bound.id

    @property
    def unit(self) -> str:
        """Column of the unit."""
        return str(self.bound.sources[self.bound.experiment.population.source]["unit"])

    @cached_property
    def program(self) -> Program | None:
        """The program, or the plain split as one; None for a ramp and for an unknown split."""
        given = self.assignment
        if given.phases or given.weights == "unknown":
            return None
        settings: dict[str, Any] = {
            "rule": given.rule,
            "default_salt": self.salt,
            "default_splitters": () if self.unit == ROW_UNIT else (self.unit,),
        }
        if self.bound.program is not None:
            return Program.parse(self.bound.program, where=given.program, **settings)
        shares = list(self.bound.allocations.values())[-1] if self.bound.allocations else given.shares or {}
        groups = tuple(ExperimentGroup(arm, share) for arm, share in shares.items())
        return Program.of(ExperimentAST(self.bound.id, None, None, groups), where=self.bound.id, **settings)

    @cached_property
    def allocation(self) -> Allocation | None:
        """The phases of a ramp."""
        given, zone = self.assignment, self.bound.zone
        if not given.phases:
            return None
        whole = given.shares or {}
        moments = [zoned(phase.at, zone) for phase in given.phases]
        return allocate(
            [
                Step(moment, {arm: (phase.weights or whole)[arm] for arm in given.arms}, phase.coverage)
                for moment, phase in zip(moments, given.phases, strict=True)
                if moment
            ]
        )

    @property
    def published(self) -> dict[str, dict[str, float]]:
        """Shares by version of adaptive weights, in order of publication; none for weights that stay."""
        return self.bound.allocations

    @cached_property
    def switchback(self) -> Switchback | None:
        """The schedule of blocks; None without one."""
        given, start = self.assignment.switchback, self.bound.start
        if given is None or start is None:
            return None
        return Switchback(
            start,
            given.block,
            self.assignment.shares or {},
            self.salt,
            end=self.bound.end,
            burn_in=given.burn_in,
            burn_out=given.burn_out,
            cycle=given.cycle,
        )

    @cached_property
    def layer(self) -> Layer | None:
        """The layer with this experiment's slot alone: enough to say who belongs to it."""
        slot = self.assignment.layer
        if slot is None:
            return None
        place = Slot(self.bound.id, *slot.range, self.bound.start, self.bound.end, self.salt)
        return Layer(slot.name, (place,))

    @cached_property
    def strata(self) -> dict[str, dict[str, float]] | None:
        """Designed shares by phase, branch or version; one for everybody where they are all alike, None if unknown."""
        if self.assignment.weights == "unknown":
            return None
        if self.bound.allocations:
            return {name: {arm: s.get(arm, 0.0) for arm in self.assignment.arms} for name, s in self.published.items()}
        if self.allocation:
            found = {f"phase {i}": dict(phase.shares) for i, phase in enumerate(self.allocation.phases, start=1)}
        else:
            assert self.program is not None
            found = {f"branch {i}": _widths(split) for i, split in enumerate(self.program.splits)}
        every = {name: {arm: shares.get(arm, 0.0) for arm in self.assignment.arms} for name, shares in found.items()}
        first = next(iter(every.values()))
        return {EVERYBODY: first} if all(_alike(first, other) for other in every.values()) else every

    @property
    def stratified(self) -> bool:
        """Whether units were drawn by different shares, so that effects are averaged over phases or branches."""
        return self.strata is not None and EVERYBODY not in self.strata

    def ask(self, fields: Mapping[str, object], *, at: datetime) -> Answer:
        """The arm of one unit exposed first at a moment.

        Args:
            fields: The unit's fields by name: the unit's column, and what the program reads.
            at: Moment of first exposure.
        """
        unit: Any = fields.get(self.unit)
        if self.layer and not self.layer.takes(self.bound.id, unit):
            held = f"bucket {self.layer.bucket(unit):.6f} of layer {self.layer.name} is another's"
            return Answer(None, None, reason=held)
        if self.assignment.stratify:
            return Answer(None, None, reason="strata are drawn over the whole list of units; see the record")
        if self.switchback:
            cell = self.switchback.cell(unit, at)
            if cell is None:
                return Answer(None, None, reason="outside the schedule")
            edge = "" if cell.analysable else "at an edge of its block, which is left out of the analysis"
            return Answer(cell.arm, None, f"block {cell.block}", edge)
        if self.allocation:
            u = bucket(self.salt, unit)
            phase = self.allocation.phase_at(at)
            if phase is None:
                return Answer(None, u, reason="before the first phase")
            arm = self.allocation.phases[phase].arm(u)
            return Answer(arm, u, f"phase {phase + 1}", "" if arm else "the ramp does not cover this bucket yet")
        assert self.program is not None
        branch, number, arm = self.program.assign(fields)
        if branch is None:
            return Answer(None, None, reason="no branch of the program takes it")
        return Answer(arm, number, f"branch {branch}", "" if arm else "its bucket has no arm")


def _widths(split: Any) -> dict[str, float]:
    whole = math.fsum(part.end - part.start for part in split)
    return {part.arm: (part.end - part.start) / whole for part in split}


def _alike(one: Shares, other: Shares) -> bool:
    return all(math.isclose(one[arm], other[arm], abs_tol=1e-9) for arm in one)
