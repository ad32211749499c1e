"""The factorial design on the page: its factors, its runs, and what each effect cannot be told from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.values import format_duration

FACTORIAL = {
    "factorial": "Effects are weighted sums of the arms' means, each arm with its own variance",
    "factorial_ratio": "Effects are weighted sums of the arms' ratios, their variances by the delta method",
    "factorial_cuped": "Effects are weighted sums of the arms' means, adjusted for covariates within arms (CUPED)",
    "factorial_ratio_cuped": "Effects are weighted sums of the arms' linearised ratios, adjusted by covariates (CUPED)",
}
"""What the estimators of factors do, in words."""


class Alias(NamedTuple):
    """One row of the alias table.

    Attributes:
        effect: Its factors, joined by colons.
        aliased_with: What the design cannot tell from it, as text; empty where it is clear of all.
        estimable: Whether it may be asked for.
        asked: Whether it was: the scorecard has it.
    """

    effect: str
    aliased_with: str
    estimable: bool
    asked: bool


@dataclass(frozen=True)
class FactorialDesign:
    """The design of a factorial experiment.

    Attributes:
        notation: Such as ``2^(4-1) IV``.
        factors: Name and levels, the low (or reference) one first.
        arms: Number of runs.
        lead: The design in a sentence or two.
        defining_relation: Such as ``I = A:B:C:D``; empty in a full factorial.
        aliases: Main effects and interactions of two.
    """

    notation: str
    factors: tuple[tuple[str, tuple[str, ...]], ...]
    arms: int
    lead: str
    defining_relation: str
    aliases: tuple[Alias, ...]


def build_factorial(plan: Mapping[str, Any] | None) -> FactorialDesign | None:
    """The design as the plan has sealed it; None for other experiments."""
    sealed = plan.get("factorial") if plan else None
    if not sealed:
        return None
    asked = {_without_levels(effect["effect"]) for effect in sealed["effects"]}
    rows = (
        Alias(row["effect"], _listed(row["aliased_with"]), row["estimable"], row["effect"] in asked)
        for row in sealed["aliases"]
    )
    return FactorialDesign(
        notation=sealed["notation"],
        factors=tuple((factor["factor"], tuple(factor["levels"])) for factor in sealed["factors"]),
        arms=len(sealed["runs"]),
        lead=_lead(sealed),
        defining_relation=sealed["defining_relation"],
        aliases=tuple(rows),
    )


def arms_of(bound: Bound) -> list[str]:
    """What makes the arms, in words, where it is more than a split of units."""
    experiment = bound.experiment
    sentences = []
    if experiment.assignment.factors:
        varied = ", ".join(experiment.assignment.levels)
        sentences.append(f"Arms are the combinations of {varied}; each effect is estimated from all of them.")
    if blocks := experiment.assignment.switchback:
        sentences.append(
            f"A unit's arm changes every {format_duration(blocks.block)}; what is assigned and compared is the unit in "
            "a block, without rows in burn-in and burn-out."
        )
    if experiment.population.member:
        sentences.append(f"A unit is a cluster of {experiment.population.member}, and inference is by cluster.")
    return sentences


def card_of(design: FactorialDesign | None) -> dict[str, Any] | None:
    """The design as the card has it."""
    if design is None:
        return None
    return {
        "notation": design.notation,
        "factors": {name: list(levels) for name, levels in design.factors},
        "arms": design.arms,
        "defining_relation": design.defining_relation,
        "aliases": [row._asdict() for row in design.aliases],
    }


def _lead(sealed: Mapping[str, Any]) -> str:
    runs, factors = len(sealed["runs"]), len(sealed["factors"])
    said = f"{runs} arms combine the levels of {factors} factors ({sealed['notation']}). "
    said += "A main effect is the mean at a factor's second level minus that at its first, averaged over the others; "
    said += "an interaction of two is half the difference of their differences."
    if sealed["generators"]:
        said += " An effect includes those it is aliased with: what is read as it may be theirs."
    return said


def _without_levels(effect: str) -> str:
    return ":".join(part.partition("=")[0] for part in effect.split(":"))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
