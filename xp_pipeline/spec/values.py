"""The small values that specs are made of: durations, amounts, weights, names."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema

_DURATION = re.compile(r"^\s*(\d+)\s*(minutes?|min|m|hours?|h|days?|d|weeks?|w)\s*$")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Model(BaseModel):
    """Base of every spec model: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Or:
    """Further forms that a file may use for a value, for its JSON Schema; a validator takes them apart."""

    def __init__(self, forms: tuple[dict[str, Any], ...]) -> None:
        self.forms = forms

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [*self.forms, handler(schema)]}


TEXT = Or(({"type": "string"},))
PERCENT_OR_NUMBER = Or(({"type": "number"}, {"type": "string", "pattern": r"^\s*[-+]?\d+(\.\d+)?\s*%\s*$"}))
SHARE = Or(({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(%|/\s*\d+)?\s*$"},))
SCALAR_OR_LIST = Or(({"type": ["string", "number", "boolean"]}, {"type": "array", "minItems": 1}))


def parse_duration(value: Any) -> timedelta:
    """``7d``, ``36h``, ``90m``, ``2w`` as a time span; a bare number is refused, for it has no unit."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(str(value))
    if not match or isinstance(value, bool):
        raise ValueError("a duration is a whole number and a unit, such as 7d, 36h, 90m or 2w")
    try:
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2][0]])
    except OverflowError:
        raise ValueError(f"a duration is not as long as {value}") from None


def format_duration(span: timedelta) -> str:
    """The shortest exact spelling: ``7d`` rather than ``168h``."""
    seconds = int(span.total_seconds())
    for unit in "dhm":
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    Field(json_schema_extra={"type": "string", "examples": ["7d", "36h"], "format": "duration"}),
]


def zoned(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    """A moment as written, in the zone given where it names none."""
    return moment.replace(tzinfo=zone) if moment and moment.tzinfo is None else moment


class Amount(Model):
    """A size on a metric: ``2%`` is relative to the control mean, ``0.5`` is in the metric's own unit."""

    value: float
    relative: bool

    @classmethod
    def parse(cls, raw: Any) -> Any:
        if isinstance(raw, str):
            match = re.fullmatch(r"\s*([-+]?\d+(?:\.\d+)?)\s*%\s*", raw)
            if not match:
                raise ValueError("an amount is a number (absolute) or a percentage (relative), such as 0.5 or 2%")
            return {"value": float(match[1]) / 100, "relative": True}
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            return {"value": float(raw), "relative": False}
        return raw

    def __str__(self) -> str:
        return f"{self.value * 100:g} %" if self.relative else f"{self.value:g}"


SomeAmount = Annotated[Amount, BeforeValidator(Amount.parse), PERCENT_OR_NUMBER]


def parse_weight(raw: Any) -> float:
    """A share of traffic: a number, a percentage, or a fraction such as ``1/3``."""
    if isinstance(raw, bool):
        raise ValueError("a weight is a number, a percentage or a fraction")
    try:
        text = str(raw).strip()
        weight = float(Fraction(text[:-1]) / 100) if text.endswith("%") else float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise ValueError("a weight is a number, a percentage or a fraction such as 0.5, 50% or 1/3") from None
    if not math.isfinite(weight) or weight < 0:
        raise ValueError(f"a weight is not negative; found {raw}")
    return weight


Weight = Annotated[float, BeforeValidator(parse_weight), SHARE]


def parse_condition(raw: Any) -> Any:
    """A list means *one of*, a scalar means *equal to*; anything else is already a condition."""
    if isinstance(raw, list):
        return {"one_of": raw}
    if isinstance(raw, str | int | float | bool):
        return {"one_of": [raw]}
    return raw


Scalar = bool | int | float | str


class Condition(Model):
    """What one column must satisfy for a row to be meant; all given parts must hold."""

    one_of: tuple[Scalar, ...] | None = None
    not_one_of: tuple[Scalar, ...] | None = None
    at_least: float | None = None
    at_most: float | None = None
    is_null: bool | None = None


Where = dict[str, Annotated[Condition, BeforeValidator(parse_condition), SCALAR_OR_LIST]]
"""Column name to condition; an empty mapping means every row."""

ColumnType = Literal["integer", "number", "text", "boolean", "timestamp", "date"]
