"""Who is compared with whom: every treatment against control, and the declared contrasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xp_pipeline.design.contrasts import Contrast
from xp_pipeline.lifecycle.factorials import baseline_of, design_of, effects_of, is_factorial, main_effects
from xp_pipeline.spec.binding import Bound


@dataclass(frozen=True)
class Comparison:
    """Arms (pooled if several) against a baseline (likewise); or an effect of factors, a weighted sum over arms.

    Attributes:
        name: Of the treatment, the declared contrast, or the effect.
        arms, against: The arms on either side.
        weights: Of an effect, by arm: 1 in all on the side of ``arms``, -1 on the other; empty where arms are pooled.
        order: Of an effect, its number of factors.
        described: Of an effect, what it is compared with.
    """

    name: str
    arms: tuple[str, ...]
    against: tuple[str, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    order: int = 1
    described: str = ""

    @property
    def baseline(self) -> str:
        return self.described or "+".join(self.against)


def comparisons(bound: Bound) -> list[Comparison]:
    """Every treatment against control, or the effects of factors; then the declared contrasts."""
    assignment = bound.experiment.assignment
    against = (assignment.control,)
    if is_factorial(bound):
        first = [_effect(bound, effect) for effect in effects_of(bound)]
    else:
        first = [Comparison(arm, (arm,), against) for arm in assignment.treatments]
    return [*first, *(Comparison(c.name, c.arms, c.against) for c in bound.experiment.contrasts)]


def _effect(bound: Bound, effect: Contrast) -> Comparison:
    high, low = (tuple(arm for arm, w in effect.weights.items() if w * sign > 0) for sign in (1, -1))
    weights = {arm: effect.weights[arm] for arm in (*high, *low)}
    described = baseline_of(design_of(bound.experiment.assignment), effect)
    return Comparison(effect.name, high, low, weights, effect.order, described)


def decided(bound: Bound) -> tuple[str, ...]:
    """The comparisons that a verdict is about, by name; the others are exploratory."""
    return main_effects(bound) if is_factorial(bound) else bound.experiment.assignment.treatments
