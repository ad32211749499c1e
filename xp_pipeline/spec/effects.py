"""What a spec says about effects beside the promised tests: a prior for the read-outs, segments that are crossed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from xp_pipeline.spec.values import Model, Or

CROSSING = " x "
"""Between the names of crossed segments, and between their levels."""


class EffectPrior(Model):
    """A normal prior of every effect, for the Bayesian read-outs only; no verdict reads it.

    ``relative``: mean and sd are shares of the control mean, one prior for all metrics. ``absolute``: they are in
    the unit of the metric.
    """

    mean: float = 0.0
    sd: float = Field(gt=0)
    scale: Literal["relative", "absolute"] = "relative"


class Segment(Model):
    """A dimension at first exposure: a column of the population's source or of a dimension table, or a crossing.

    ``cross`` names other segments; the levels of a crossing are the combinations of theirs.
    """

    name: str
    column: str | None = None
    source: str | None = None
    cross: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        """A crossing without a name is called by those it crosses."""
        if isinstance(raw, dict) and "name" not in raw and isinstance(raw.get("cross"), list | tuple):
            return {**raw, "name": CROSSING.join(map(str, raw["cross"]))}
        return raw

    @model_validator(mode="after")
    def _one_origin(self) -> Segment:
        if self.cross and (self.column or self.source):
            raise ValueError(f"segment {self.name!r} is either a column or a crossing of other segments")
        if self.cross and len(set(self.cross)) < max(len(self.cross), 2):
            raise ValueError(f"segment {self.name!r} crosses two or more different segments")
        return self


NAME_OR_CROSSING = Or((
    {"type": "string"},
    {
        "type": "object",
        "properties": {"cross": {"type": "array", "items": {"type": "string"}, "minItems": 2}},
        "required": ["cross"],
        "additionalProperties": False,
    },
))  # fmt: skip
"""Further forms of a segment: a column's name, and a crossing called by those it crosses."""


def check_crossings(segments: tuple[Segment, ...]) -> None:
    """Every crossing is of declared segments that are columns.

    Raises:
        ValueError: it names an unknown segment, or another crossing.
    """
    plain = [segment.name for segment in segments if not segment.cross]
    for segment in segments:
        for name in segment.cross:
            if name not in plain:
                known = ", ".join(plain) or "no segment that is a column"
                raise ValueError(f"segment {segment.name!r} crosses {name!r}; declared: {known}")
