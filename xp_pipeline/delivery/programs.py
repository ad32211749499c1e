"""Assignment programs as assigners: the arm of a unit by the branch that its fields take it to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from xp_pipeline.delivery.designs import UNIT, Design
from xp_pipeline.delivery.protocols import Assigned, Assigner
from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.language import Program, Range, unparse


def program_assigner(program: Program, design: Design, *, unit: str = UNIT) -> Assigner:
    """The rule by which a program assigns units to the arms of a design, for ``RegisteredExperiment(assign=…)``.

    The propensity is that of the arm within the unit's branch. Units without a branch, a bucket or an arm are left
    out.

    Args:
        program: The program.
        design: The design whose arms it may name.
        unit: The field under which the program knows the unit's id.

    Raises:
        SpecError: the program names an arm that the design does not have.
    """
    strange = [arm for arm in program.arms if arm not in design.arms]
    if strange:
        raise SpecError(
            "the program assigns to an arm that the design does not have",
            where=design.experiment,
            found=", ".join(strange),
            allowed=nearest(strange[0], design.arms),
        )
    version = _version(program)

    def assign(fields: Mapping[str, Any]) -> Assigned | None:
        branch, _, arm = program.assign({**fields, unit: fields[UNIT]})
        return None if branch is None or arm is None else Assigned(arm, _share(arm, program.splits[branch]), version)

    return assign


def _share(arm: str, split: Sequence[Range]) -> float:
    """An arm may have several ranges of one branch; each of them is a way to it."""
    return sum(part.end - part.start for part in split if part.arm == arm)


def _version(program: Program) -> str:
    """The rule, and a digest of everything that an assignment follows from."""
    meaning = repr((unparse(program.tree), program.rule, program.salt, program.splitters, program.coverage))
    return f"{program.rule}@{hashlib.sha256(meaning.encode()).hexdigest()[:12]}"
