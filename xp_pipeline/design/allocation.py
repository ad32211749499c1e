"""Allocation by phases: a ramp's shares and bucket ranges, grown so that no exposed unit changes its arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from xp_pipeline.design.growth import Ground
from xp_pipeline.design.ranges import Flow, Ranges, arm_at, arm_sql, cumulative
from xp_pipeline.design.times import utc
from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import SpecError


@dataclass(frozen=True)
class Step:
    """What an author asks for from a moment on.

    Attributes:
        starts_at: First moment it is in force; without a zone it is in UTC.
        shares: Weight by arm, of any positive sum.
        coverage: Share of all units that take part, above 0 to 1.
    """

    starts_at: datetime
    shares: Mapping[str, float]
    coverage: float = 1.0


@dataclass(frozen=True)
class Phase:
    """A span of constant weights.

    Attributes:
        starts_at: First moment it is in force, UTC without a zone; it ends where the next begins.
        coverage: Share of all buckets that take part.
        shares: Share of participating buckets by arm of positive weight, summing to 1: the weights that a
            unit exposed in this phase is tested against.
        ranges: The buckets of each arm, disjoint and in order.
        moved: What this phase takes from the units exposed so far, by former and new arm: buckets that were last
            exposed to another arm, and buckets given back to nobody (None). Empty in a ramp of constant weights.
    """

    starts_at: datetime
    coverage: float
    shares: dict[str, float]
    ranges: Ranges
    moved: tuple[Flow, ...] = ()

    @property
    def share_moved(self) -> float:
        """Share of all buckets whose exposed units would leave their arm, were they not remembered."""
        return math.fsum(flow.share for flow in self.moved)

    def arm(self, u: float) -> str | None:
        """The arm of a unit first exposed in this phase; None if it does not take part."""
        return arm_at(self.ranges, u)

    def arm_sql(self, u: str) -> str:
        """The same as SQL over a column of buckets."""
        return arm_sql(self.ranges, u)


@dataclass(frozen=True)
class Allocation:
    """The phases of an experiment, in order of time.

    A unit's arm is that of the phase of its *first* exposure, so the record keeps everybody in place. Recomputed
    at the next phase the arm is the same, but for the buckets that this phase lists as ``moved``.
    """

    phases: tuple[Phase, ...]

    def phase_at(self, moment: datetime) -> int | None:
        """The index of the phase in force; None before the first."""
        begun = [i for i, phase in enumerate(self.phases) if phase.starts_at <= utc(moment)]
        return begun[-1] if begun else None

    def phase_sql(self, moment: str) -> str:
        """The same as SQL over a column of moments (UTC, without a zone)."""
        later = [(i, phase.starts_at) for i, phase in enumerate(self.phases)][::-1]
        return f"CASE {' '.join(f'WHEN {moment} >= {literal(start)} THEN {i}' for i, start in later)} END"

    def arm(self, u: float, first_exposed: datetime) -> str | None:
        """The arm of a unit; None before the first phase and for those who do not take part."""
        phase = self.phase_at(first_exposed)
        return None if phase is None else self.phases[phase].arm(u)

    def arm_sql(self, u: str, first_exposed: str) -> str:
        """The same as SQL over columns of buckets and of moments (UTC, without a zone)."""
        later = [(phase.starts_at, phase.arm_sql(u)) for phase in self.phases][::-1]
        return f"CASE {' '.join(f'WHEN {first_exposed} >= {literal(start)} THEN {arm}' for start, arm in later)} END"


def allocate(steps: Sequence[Step], *, sticky: bool = True) -> Allocation:
    """The bucket ranges of a ramp.

    In the first phase, arm i with cumulative shares B_i holds [B_(i-1), B_(i-1) + coverage (B_i - B_(i-1))): at
    full coverage these are the arms of ``buckets.choose``. After that an arm keeps what it holds, gives back from
    its upper end what it has too much, and grows first into buckets that were its own before, then into
    buckets never exposed, and only when none is left into buckets that another arm gave back: the least that can
    move moves. With constant weights the ranges do not depend on the number of steps taken.

    Args:
        steps: In order of time.
        sticky: Whether the record keeps exposed units where they are; without it a step that would move
            one is refused.

    Raises:
        SpecError: no step, steps out of order, a coverage or share without meaning, or a step that moves
            exposed units nobody remembers.
    """
    if not steps:
        raise SpecError("an allocation has at least one step")
    _check_order(steps)
    ground, phases = Ground(), []
    for step in steps:
        if not 0 < step.coverage <= 1:
            raise SpecError("a coverage is a share of all units", found=step.coverage, allowed="above 0 to 1")
        ground.settle(cumulative(step.shares), float(step.coverage))
        phase = _phase(step, ground)
        if phase.moved and not sticky:
            raise _would_move(phase)
        phases.append(phase)
    return Allocation(tuple(phases))


def _check_order(steps: Sequence[Step]) -> None:
    for before, after in pairwise(steps):
        if utc(after.starts_at) <= utc(before.starts_at):
            raise SpecError(
                "the steps of a ramp follow each other in time",
                found=f"{after.starts_at.isoformat()} after {before.starts_at.isoformat()}",
            )


def _phase(step: Step, ground: Ground) -> Phase:
    whole = sum(step.shares.values())
    shares = {arm: share / whole for arm, share in step.shares.items() if share > 0}
    return Phase(utc(step.starts_at), float(step.coverage), shares, ground.ranges, ground.moved)


def _would_move(phase: Phase) -> SpecError:
    listed = ", ".join(f"{f.before} to {f.after or 'no arm'} {f.share:.4%}" for f in phase.moved)
    return SpecError(
        "the step would take exposed units out of their arm",
        where=phase.starts_at.isoformat(),
        found=listed,
        allowed="steps that leave every arm what it has",
        next_step="keep the weights and raise the coverage, or let the record keep exposed units in place",
    )
