"""The assignment block: the arms, who gets which, from when on, and beside which other experiments."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from xp_pipeline.spec.values import Model, Weight

BucketRule = Literal["v2", "v1", "growthbook"]


def _coverage(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"a coverage is a share of all units, above 0 to 1; found {value:g}")
    return value


def _range(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not 0 <= low < high <= 1:
        raise ValueError(f"a range of buckets lies within 0 and 1, such as [0, 0.5]; found [{low:g}, {high:g}]")
    return value


Buckets = Annotated[tuple[float, float], AfterValidator(_range)]


class Ramp(Model):
    """A step of a ramp: from a moment on, this share of all units takes part, at these weights."""

    at: datetime = Field(description="First moment it is in force.")
    coverage: Annotated[float, AfterValidator(_coverage)] = Field(1.0, description="Share of all units that take part.")
    weights: dict[str, Weight] | None = Field(None, description="Left out, those of the assignment.")


class LayerSlot(Model):
    """An experiment's place in a layer, whose experiments share no unit."""

    name: str
    range: Buckets = Field(description="Buckets of the layer, [low, high).")


class Assignment(Model):
    """The arms and how a unit gets one.

    ``weights`` are shares by arm, or ``unknown``. A ``program`` (a file in assignments/) decides by fields of the
    unit; then arms are listed, and weights are the program's.
    """

    control: str
    weights: dict[str, Weight] | Literal["unknown"] | None = None
    arms: tuple[str, ...] = ()
    salt: str | None = Field(None, description="Defaults to the experiment's id.")
    rule: BucketRule = "v2"
    program: str | None = Field(None, description="File name of an assignment program in assignments/.")
    phases: tuple[Ramp, ...] = Field((), description="A ramp; the record keeps every exposed unit in its arm.")
    layer: LayerSlot | None = None

    @model_validator(mode="before")
    @classmethod
    def _arms_of_weights(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("weights"), dict) and "arms" not in raw:
            return {**raw, "arms": [str(arm) for arm in raw["weights"]]}
        return raw

    @model_validator(mode="after")
    def _coherent(self) -> Assignment:
        if len(set(self.arms)) != len(self.arms) or len(self.arms) < 2:
            raise ValueError(f"an experiment has two or more arms, each once; found {', '.join(self.arms) or 'none'}")
        if self.control not in self.arms:
            raise ValueError(f"the control {self.control!r} is not among the arms {', '.join(self.arms)}")
        if (self.weights is None) != bool(self.program):
            raise ValueError("an assignment has either weights or a program")
        if isinstance(self.weights, dict):
            self._check_weights(self.weights)
            if self.weights[self.control] == 0:
                raise ValueError("the control arm has weight 0")
        self._check_phases()
        return self

    def _check_weights(self, weights: dict[str, float]) -> None:
        if set(weights) != set(self.arms):
            raise ValueError("weights and arms name different arms")
        total = math.fsum(weights.values())
        if not (math.isclose(total, 1, abs_tol=1e-6) or math.isclose(total, 100, abs_tol=1e-4)):
            raise ValueError(f"the weights sum to {total:g}, not to 1 (or 100)")

    def _check_phases(self) -> None:
        if self.phases and not isinstance(self.weights, dict):
            raise ValueError("a ramp needs weights, not a program or an unknown split")
        if self.phases and self.rule != "v2":
            raise ValueError(f"a ramp is assigned by rule v2; found {self.rule}")
        for phase in self.phases:
            if phase.weights is not None:
                self._check_weights(phase.weights)

    @property
    def shares(self) -> dict[str, float] | None:
        """Designed shares summing to 1, in the order of the arms; None when the split is unknown, or a program's."""
        if not isinstance(self.weights, dict):
            return None
        total = math.fsum(self.weights.values())
        return {arm: self.weights[arm] / total for arm in self.arms}

    @property
    def treatments(self) -> tuple[str, ...]:
        """Arms to compare with control: all others that were meant to receive units at some time."""
        if not isinstance(self.weights, dict):
            return tuple(arm for arm in self.arms if arm != self.control)
        stages = [self.weights, *(phase.weights for phase in self.phases if phase.weights)]
        return tuple(a for a in self.arms if a != self.control and any(stage[a] > 0 for stage in stages))

    @property
    def recomputable(self) -> bool:
        """Whether the spec says by what rule units were assigned, so that logged arms can be held against it."""
        return bool(self.weights != "unknown" and (self.salt or self.program or self.phases or self.layer))
