"""Who is compared with whom: every treatment against control, and the declared contrasts."""

from __future__ import annotations

from dataclasses import dataclass

from xp_pipeline.spec.binding import Bound


@dataclass(frozen=True)
class Comparison:
    """Arms (pooled if several) against a baseline (likewise)."""

    name: str
    arms: tuple[str, ...]
    against: tuple[str, ...]

    @property
    def baseline(self) -> str:
        return "+".join(self.against)


def comparisons(bound: Bound) -> list[Comparison]:
    """Every treatment against control, then the declared contrasts."""
    assignment = bound.experiment.assignment
    against = (assignment.control,)
    return [
        *(Comparison(arm, (arm,), against) for arm in assignment.treatments),
        *(Comparison(c.name, c.arms, c.against) for c in bound.experiment.contrasts),
    ]
