"""A metric declares what is added up per unit, over which window, and how it is read."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from xp_pipeline.spec.values import Duration, Model, Or, Where, format_duration

MetricKind = Literal["mean", "proportion", "ratio", "revenue", "count", "retention", "quantile"]
Aggregate = Literal["sum", "count", "max", "any", "mean"]
ZERO = timedelta(0)


class Quantity(Model):
    """What is added up per unit: ``aggregate`` of ``value`` over the rows of ``source`` matching ``where``."""

    source: str
    value: str | None = None
    where: Where = {}
    aggregate: Aggregate = "sum"

    @model_validator(mode="after")
    def _value_where_needed(self) -> Quantity:
        if self.value is None and self.aggregate in ("sum", "max", "mean"):
            raise ValueError(f"aggregate {self.aggregate} needs a value column")
        return self


class Window(Model):
    """Which rows of a unit count, relative to its first exposure (or trigger) t0; half-open everywhere.

    ``none``: [t0 + delay, end). ``conversion``: [t0 + delay, t0 + delay + length), possibly past the
    end. ``lookback``: [max(t0 + delay, end - length), end).
    """

    kind: Literal["none", "conversion", "lookback"] = "none"
    delay: Duration = ZERO
    length: Duration | None = None

    @model_validator(mode="after")
    def _length_where_needed(self) -> Window:
        if (self.length is None) != (self.kind == "none"):
            raise ValueError("a conversion or lookback window has a length; window none has no length")
        if self.length is not None and self.length <= ZERO:
            raise ValueError("a window's length is longer than zero")
        return self


class Cap(Model):
    """Winsorisation of the per-unit value: at a value, or at a percentile pooled over all arms."""

    value: float | None = None
    percentile: float | None = Field(None, gt=50, lt=100)
    positive_only: bool = True

    @model_validator(mode="after")
    def _one(self) -> Cap:
        if (self.value is None) == (self.percentile is None):
            raise ValueError("a cap has either value or percentile")
        return self


class Covariate(Model):
    """A pre-exposure number: a column of a source, or the metric itself over a lookback before first exposure."""

    column: str | None = None
    source: str | None = None
    lookback: Duration | None = None

    @model_validator(mode="after")
    def _one(self) -> Covariate:
        if (self.column is None) == (self.lookback is None):
            raise ValueError("a covariate has either column or lookback")
        if self.source is not None and self.column is None:
            raise ValueError("a covariate's source goes with its column")
        return self

    @property
    def name(self) -> str:
        return self.column or f"pre_{format_duration(self.lookback or ZERO)}"


class Metric(Model):
    """One metric of the project; see :class:`Quantity` for its algebra and :class:`Window` for its time."""

    name: str
    type: MetricKind
    source: str | None = None
    value: str | None = None
    where: Where = {}
    aggregate: Aggregate | None = None
    numerator: Quantity | None = None
    denominator: Quantity | None = None
    window: Annotated[Window, Or(({"const": "none"},))] = Window()
    mature: bool = Field(False, description="Count only units whose whole window has passed.")
    nulls: Literal["zero", "drop"] = "zero"
    direction: Literal["increase", "decrease"] = Field("increase", description="Which way is good.")
    quantile: float | None = Field(None, gt=0, lt=1, description="Of a quantile metric: 0.5 is the median over units.")
    cap: Cap | None = None
    log: bool = Field(False, description="Analyse log(1 + value) beside the plain mean.")
    covariates: tuple[Covariate, ...] = ()
    title: str = ""
    description: str = ""
    owner: str = ""
    tier: Literal["gold", "silver", "bronze"] = "bronze"

    @model_validator(mode="before")
    @classmethod
    def _window_by_name(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("window"), str):
            return {**raw, "window": {"kind": raw["window"]}}
        return raw

    @model_validator(mode="after")
    def _coherent(self) -> Metric:
        if self.type == "ratio":
            self._require("numerator", "denominator")
            self._forbid("source", "value", "aggregate", "where", "log", "cap")
        else:
            self._require("source")
            self._forbid("numerator", "denominator")
        if self.type == "quantile":
            self._require("quantile")
            self._forbid("cap", "log", "covariates")
        else:
            self._forbid("quantile")
        if self.type == "retention" and (self.window.kind != "conversion" or not self.mature):
            raise ValueError("retention counts only grown units: it needs window kind conversion and mature: true")
        if self.mature and self.window.kind != "conversion":
            raise ValueError("mature goes with a conversion window")
        if self.type in ("proportion", "retention") and (self.cap or self.log):
            raise ValueError(f"a {self.type} has neither cap nor log")
        if self.cap and self.log:
            raise ValueError("a metric has either cap or log")
        _ = self.quantities
        return self

    def _require(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) is None:
                raise ValueError(f"a {self.type} metric needs {name}")

    def _forbid(self, *names: str) -> None:
        for name in names:
            if getattr(self, name):
                raise ValueError(f"a {self.type} metric has no {name}")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Outcome, or numerator and denominator."""
        if self.type == "ratio":
            assert self.numerator and self.denominator
            return (self.numerator, self.denominator)
        default: Aggregate = "any" if self.binary else "count" if self.type == "count" else "sum"
        return (
            Quantity(
                source=self.source or "",
                value=self.value,
                where=self.where,
                aggregate=self.aggregate or default,
            ),
        )

    @property
    def binary(self) -> bool:
        """Whether a unit's value is 0 or 1."""
        return self.type in ("proportion", "retention")

    @property
    def maturity(self) -> timedelta:
        """How long after exposure a unit counts, zero when it counts at once."""
        return self.window.delay + (self.window.length or ZERO) if self.mature else ZERO

    @property
    def growing(self) -> bool:
        """Whether units count before their window has passed."""
        return not self.mature and self.window.kind == "conversion"

    @property
    def lookback(self) -> timedelta:
        """The longest lookback of its covariates."""
        return max((c.lookback for c in self.covariates if c.lookback), default=ZERO)


class MetricPack(Model):
    """A file of metrics, with defaults of its own between the project's and the metric's."""

    pack: str | None = None
    defaults: dict[str, Any] = {}
    metrics: tuple[Metric, ...]
    description: str = ""
