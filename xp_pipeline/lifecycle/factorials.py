"""Factorial experiments: the design that an assignment declares, the effects asked of it, and its part of the plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from xp_pipeline.design.contrasts import Contrast, Factorial
from xp_pipeline.design.factorial import factorial
from xp_pipeline.spec.assignment import Assignment
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.factors import Factor

UP_TO = 2
"""Interactions of more factors are estimated only where they are asked for."""


def is_factorial(bound: Bound) -> bool:
    """Whether arms are the runs of a factorial design."""
    return bool(bound.experiment.assignment.factors)


def design_of(assignment: Assignment) -> Factorial:
    """The design of an assignment with factors.

    Raises:
        AliasError: its generators confound main effects.
    """
    return _design(assignment.factors, assignment.generators, assignment.resolution)


def effects_of(bound: Bound) -> tuple[Contrast, ...]:
    """The effects asked for, in their order; without a request all that can be told apart, up to interactions of two.

    Raises:
        AliasError: one cannot be told from another of equal or lower order.
        SpecError: one names an unknown factor or level.
    """
    given = bound.experiment.assignment
    return _effects(given.factors, given.generators, given.resolution, bound.experiment.effects)


def main_effects(bound: Bound) -> tuple[str, ...]:
    """Names of the main effects asked for: what verdicts are about."""
    return tuple(effect.name for effect in effects_of(bound) if effect.order == 1)


@lru_cache(maxsize=64)
def _design(factors: tuple[Factor, ...], generators: tuple[str, ...], resolution: int | None) -> Factorial:
    return factorial({f.name: f.levels for f in factors}, generators=generators, resolution=resolution)


@lru_cache(maxsize=64)
def _effects(
    factors: tuple[Factor, ...], generators: tuple[str, ...], resolution: int | None, effects: tuple[str, ...]
) -> tuple[Contrast, ...]:
    design = _design(factors, generators, resolution)
    return tuple(design.contrast(effect) for effect in effects) or design.contrasts(UP_TO)


def baseline_of(design: Factorial, effect: Contrast) -> str:
    """What an effect is compared with: ``colour=red``, or for an interaction the runs of unlike signs."""
    if effect.order > 1:
        return "half the difference of differences" if effect.order == 2 else "runs of negative sign"
    (factor,) = effect.factors
    return f"{factor}={design.factors[factor][0]}"


def halves(bound: Bound, name: str) -> tuple[float, float]:
    """Shares of all units that a comparison of two arms would need for the same precision, low side first.

    The variance of sum_a w_a m_a is that of two arms with shares 1 / sum w_a^2 / p_a, over the arms of each
    sign: with equal shares p_a, the units of that sign.
    """
    effect = next(effect for effect in effects_of(bound) if effect.name == name)
    shares = bound.experiment.assignment.shares or {}

    def side(sign: int) -> float:
        return 1 / math.fsum(w**2 / shares[arm] for arm, w in effect.weights.items() if w * sign > 0)

    return side(-1), side(1)


def in_plan(bound: Bound) -> dict[str, Any]:
    """What a plan and a sealed design say of the factors: runs, effects, and what each is confounded with."""
    if not is_factorial(bound):
        return {}
    design = design_of(bound.experiment.assignment)
    return {
        "factorial": {
            "notation": design.notation,
            "resolution": design.relation.resolution_name,
            "factors": [{"factor": name, "levels": list(levels)} for name, levels in design.factors.items()],
            "generators": list(design.generators),
            "defining_relation": str(design.relation) if design.relation.words else "",
            "runs": [{"arm": arm, "levels": dict(run)} for arm, run in design.arms.items()],
            "effects": [_said(design, effect) for effect in effects_of(bound)],
            "aliases": [
                {"effect": row.effect, "order": row.order, "aliased_with": list(row.aliased_with)}
                | {"estimable": row.estimable}
                for row in design.alias_table(UP_TO)
            ],
        }
    }


def _said(design: Factorial, effect: Contrast) -> Mapping[str, Any]:
    return {
        "effect": effect.name,
        "order": effect.order,
        "baseline": baseline_of(design, effect),
        "aliased_with": list(effect.aliased_with),
        "weights": effect.weights,
    }
