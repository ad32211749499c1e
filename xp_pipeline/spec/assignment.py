"""The assignment block: the arms, who gets which, from when on, and beside which other experiments."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from xp_pipeline.spec.adaptive import Adaptive
from xp_pipeline.spec.blocks import Blocks
from xp_pipeline.spec.factors import (
    Factor,
    Levels,
    Run,
    arm_of,
    checked_levels,
    control_of,
    factors_of,
    parse_resolution,
    runs_of,
)
from xp_pipeline.spec.values import Model, Or, Weight

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


_LEVELS = {"type": "array", "minItems": 2, "items": {"type": ["string", "number", "boolean"]}}
_BY_NAME = Or(({"type": "object", "minProperties": 2, "additionalProperties": _LEVELS},))
_ROMAN = Or(({"enum": ["III", "IV", "V"]},))


def _control_or_factors(schema: dict[str, Any]) -> None:
    """With factors the control is the run of all first levels, unless it is named."""
    schema["required"] = [name for name in schema.get("required", []) if name != "control"]
    schema["anyOf"] = [{"required": ["control"]}, {"required": ["factors"]}]


class Assignment(Model):
    """The arms and how a unit gets one.

    ``weights`` are shares by arm, or ``unknown``. A ``program`` (a file in assignments/) decides by fields of the
    unit; then arms are listed, and weights are the program's. With ``factors`` the arms are the runs of a factorial
    design, equally weighted unless weights are given, and control is the run of all first levels.
    """

    model_config = ConfigDict(json_schema_extra=_control_or_factors)

    control: str
    weights: dict[str, Weight] | Literal["unknown"] | None = None
    arms: tuple[str, ...] = ()
    salt: str | None = Field(None, description="Defaults to the experiment's id.")
    rule: BucketRule = "v2"
    program: str | None = Field(None, description="File name of an assignment program in assignments/.")
    phases: tuple[Ramp, ...] = Field((), description="A ramp; the record keeps every exposed unit in its arm.")
    layer: LayerSlot | None = None
    factors: Annotated[tuple[Factor, ...], BeforeValidator(factors_of), _BY_NAME] = Field(
        (), description="Levels by factor, the low (or reference) one first."
    )
    generators: tuple[str, ...] = Field((), description="Of a two-level fraction: D=ABC, or rate=temp:press.")
    resolution: Annotated[Literal[3, 4, 5], BeforeValidator(parse_resolution), _ROMAN] | None = Field(
        None, description="Of a two-level fraction in the fewest runs: III, IV or V."
    )
    switchback: Blocks | None = Field(None, description="Arms change from time block to time block.")
    stratify: tuple[str, ...] = Field(
        (), description="Columns of a unit table: within each of their combinations the shares are kept."
    )
    adaptive: Adaptive | None = Field(None, description="Weights that follow the rewards, day by day.")

    @model_validator(mode="before")
    @classmethod
    def _arms_of_factors(cls, raw: Any) -> Any:
        """The runs as arms; what is wrong with them is said where it stands, by the fields."""
        if not isinstance(raw, dict) or not raw.get("factors"):
            return raw
        try:
            factors = [Factor.model_validate(factor) for factor in factors_of(raw["factors"])]
            levels = checked_levels({factor.name: factor.levels for factor in factors})
            runs = runs_of(levels, generators=raw.get("generators") or (), resolution=_resolution_in(raw))
        except (TypeError, ValueError):
            return {"control": ""} | raw
        arms = [arm_of(run) for run in runs]
        return {"control": control_of(levels, runs), "weights": dict.fromkeys(arms, 1 / len(arms)), "arms": arms} | raw

    @field_validator("factors")
    @classmethod
    def _levels(cls, factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
        if factors:
            checked_levels({factor.name: factor.levels for factor in factors})
        return factors

    @field_validator("generators", "resolution")
    @classmethod
    def _runs(cls, value: Any, info: ValidationInfo) -> Any:
        if value and "factors" in info.data:
            if not info.data["factors"]:
                raise ValueError("a fraction is one of factors, which are missing")
            runs_of({factor.name: factor.levels for factor in info.data["factors"]}, **{str(info.field_name): value})
        return value

    @model_validator(mode="before")
    @classmethod
    def _arms_of_weights(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("weights"), dict) and not {"arms", "factors"} & set(raw):
            return {**raw, "arms": [str(arm) for arm in raw["weights"]]}
        return raw

    @model_validator(mode="after")
    def _coherent(self) -> Assignment:
        self._check_runs()
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
        self._check_blocks()
        self._check_strata()
        self._check_adaptive()
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

    def _check_runs(self) -> None:
        if not self.factors:
            return
        runs = {arm_of(run) for run in self.runs}
        if set(self.arms) != runs:
            raise ValueError(f"the arms of a factorial design are its runs: {', '.join(sorted(runs))}")
        if self.program or self.weights == "unknown":
            raise ValueError("a factorial design has known weights, not a program")
        if isinstance(self.weights, dict) and not all(self.weights.values()):
            raise ValueError("every run of a factorial design has a weight; leave runs out by a fraction instead")
        stages = [_proportions(weights) for weights in (self.weights, *(p.weights for p in self.phases)) if weights]
        if any(stage != stages[0] for stage in stages):
            raise ValueError("a factorial design keeps its weights: a ramp changes its coverage only")

    def _check_strata(self) -> None:
        if not self.stratify:
            return
        beside = ("program", "phases", "layer", "switchback", "adaptive")
        if found := [name for name in beside if getattr(self, name)]:
            raise ValueError(f"a stratified assignment is drawn over its whole list, without {', '.join(found)}")
        if self.weights == "unknown" or self.rule != "v2":
            raise ValueError("a stratified assignment has known weights and bucket rule v2")

    def _check_blocks(self) -> None:
        if not self.switchback:
            return
        beside = {"program": self.program, "phases": self.phases, "layer": self.layer, "factors": self.factors}
        if found := [name for name, value in beside.items() if value]:
            raise ValueError(f"a switchback is assigned by its blocks alone, without {', '.join(found)}")
        if self.weights == "unknown" or self.rule != "v2":
            raise ValueError("a switchback has known weights and bucket rule v2")

    def _check_adaptive(self) -> None:
        if not self.adaptive:
            return
        beside = {
            "program": self.program, "phases": self.phases, "factors": self.factors, "switchback": self.switchback,
        }  # fmt: skip
        if found := [name for name, value in beside.items() if value]:
            raise ValueError(f"adaptive weights go without {', '.join(found)}")
        if self.weights == "unknown" or self.rule != "v2":
            raise ValueError("adaptive weights begin with known ones, and bucket rule v2")

    @property
    def levels(self) -> Levels:
        """Levels by factor; none where no factors are declared."""
        return {factor.name: factor.levels for factor in self.factors}

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of a factorial design, in standard order."""
        return runs_of(self.levels, generators=self.generators, resolution=self.resolution)

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
        declared = self.salt or self.program or self.phases or self.layer or self.switchback or self.stratify
        return bool(self.weights != "unknown" and declared)


def _resolution_in(raw: dict[str, Any]) -> int | None:
    found = parse_resolution(raw.get("resolution"))
    return found if isinstance(found, int) else None


def _proportions(weights: Any) -> Any:
    """Weights as rounded shares, so that those of 1 and of 100 compare."""
    if not isinstance(weights, dict):
        return weights
    total = math.fsum(weights.values())
    return {arm: round(weight / total, 9) for arm, weight in weights.items()}
