"""Metrics as objects in a notebook: columns of the frame, and what is made of them."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.results import MetricType
from xp_pipeline.spec.experiment import RoleName
from xp_pipeline.spec.names import check_id

SOURCE = "data"
"""What the frame is called as a source."""


@dataclass(frozen=True)
class BaseMetric(ABC):
    """What all metrics have in common.

    Attributes:
        name: As shown in results; any text that is not only punctuation.
        role: ``primary`` (decides), ``secondary``, ``guardrail`` (needs a margin or equivalence) or ``exploratory``.
        direction: Which way is good, ``increase`` or ``decrease``.
        missing: What a unit without a value is: left out of this metric (``drop``), or a unit with 0 (``zero``).
        margin: Harm tolerated in a guardrail: ``"2%"`` of the control mean, or a number in the metric's unit.
        equivalence: Change, either way, that counts as none; the metric is then tested for being the same.
        covariates: Further columns known before exposure that adjust this metric (CUPED).
    """

    kind: ClassVar[MetricType]
    name: str
    role: RoleName = field(default="primary", kw_only=True)
    direction: str = field(default="increase", kw_only=True)
    missing: str = field(default="drop", kw_only=True)
    margin: float | str | None = field(default=None, kw_only=True)
    equivalence: float | str | None = field(default=None, kw_only=True)
    covariates: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "covariates", column_names(self.covariates))
        _ = self.slug
        for what, value, allowed in (
            ("role", self.role, get_args(RoleName)),
            ("direction", self.direction, ("increase", "decrease")),
            ("rule for missing values", self.missing, ("drop", "zero")),
        ):
            if value not in allowed:
                raise SpecError(f"unknown {what}", where=f"metric {self.name}", found=repr(value),
                                allowed=nearest(str(value), allowed))  # fmt: skip
        tolerated = [size for size in (self.margin, self.equivalence) if size is not None]
        if self.role == "guardrail" and len(tolerated) != 1:
            wrong = "a guardrail has both margin and equivalence" if tolerated else "a guardrail needs a margin"
        elif self.role != "guardrail" and self.margin is not None:
            wrong = "only a guardrail has a margin"
        else:
            return
        raise SpecError(wrong, where=f"metric {self.name}", next_step="role='guardrail', margin='2%'")

    @property
    def slug(self) -> str:
        """The name as specs and folders take it: ``Revenue Metric`` becomes ``Revenue_Metric``."""
        return slug(self.name, what="metric name")

    @property
    @abstractmethod
    def outcomes(self) -> tuple[str, ...]:
        """The column of the outcome, or of numerator and denominator."""

    @property
    def adjusters(self) -> tuple[str, ...]:
        """Columns of covariates, each once."""
        return self.covariates

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the metric reads."""
        return (*self.outcomes, *self.adjusters)

    def spec(self, *, adjusted: bool) -> dict[str, Any]:
        """The metric as its YAML says it."""
        said: dict[str, Any] = {"name": self.slug, "title": self.name, "type": self.kind, **self._measured()}
        said |= {"nulls": self.missing, "direction": self.direction}
        if adjusted and self.adjusters:
            said["covariates"] = [{"column": name, "source": SOURCE} for name in self.adjusters]
        return said

    def use(self) -> dict[str, Any]:
        """The metric in its role, as the experiment's YAML says it."""
        sizes = {"margin": self.margin, "equivalence": self.equivalence}
        return {"metric": self.slug} | {name: size for name, size in sizes.items() if size is not None}

    @abstractmethod
    def _measured(self) -> dict[str, Any]:
        """What is measured, as the metric's YAML says it."""


@dataclass(frozen=True)
class _ColumnMetric(BaseMetric):
    """A metric of one column, with that column's value before the experiment as its covariate."""

    value_col: str
    pre_period_col: str | None = None

    @property
    def outcomes(self) -> tuple[str, ...]:
        return (self.value_col,)

    @property
    def adjusters(self) -> tuple[str, ...]:
        return column_names((*_given(self.pre_period_col), *self.covariates))

    def _measured(self) -> dict[str, Any]:
        return {"source": SOURCE, "value": self.value_col}


@dataclass(frozen=True)
class MeanMetric(_ColumnMetric):
    """The mean of a column over units.

    Attributes:
        value_col: Column of the outcome.
        pre_period_col: The same before the experiment, for CUPED.
        cap: ``{"value": 500}`` or ``{"percentile": 99}``, pooled over arms: winsorised values decide.
        log: Whether log(1 + value) decides; the plain mean stands beside it.
    """

    kind: ClassVar[MetricType] = "mean"
    cap: Mapping[str, Any] | None = field(default=None, kw_only=True)
    log: bool = field(default=False, kw_only=True)

    def _measured(self) -> dict[str, Any]:
        cap = {} if self.cap is None else {"cap": dict(self.cap)}
        return super()._measured() | cap | ({"log": True} if self.log else {})


@dataclass(frozen=True)
class RevenueMetric(MeanMetric):
    """Money per unit: a mean whose heavy tail ``cap`` or ``log`` tames."""

    kind: ClassVar[MetricType] = "revenue"


@dataclass(frozen=True)
class ProportionMetric(_ColumnMetric):
    """The share of units whose column is 1 or true; other values than 0 and 1 are refused."""

    kind: ClassVar[MetricType] = "proportion"


@dataclass(frozen=True)
class RatioMetric(BaseMetric):
    """Sum of a numerator over sum of a denominator, by the delta method; a unit with denominator 0 counts.

    Attributes:
        numerator_col, denominator_col: Columns added up over units.
        pre_numerator_col, pre_denominator_col: The same before the experiment; both adjust the ratio's
            linearised residual.
    """

    kind: ClassVar[MetricType] = "ratio"
    numerator_col: str
    denominator_col: str
    pre_numerator_col: str | None = None
    pre_denominator_col: str | None = None

    @property
    def outcomes(self) -> tuple[str, ...]:
        return (self.numerator_col, self.denominator_col)

    @property
    def adjusters(self) -> tuple[str, ...]:
        return column_names((*_given(self.pre_numerator_col), *_given(self.pre_denominator_col), *self.covariates))

    def _measured(self) -> dict[str, Any]:
        numerator, denominator = ({"source": SOURCE, "value": column} for column in self.outcomes)
        return {"numerator": numerator, "denominator": denominator}


TYPES: Mapping[str, type[BaseMetric]] = {
    metric.kind: metric for metric in (MeanMetric, ProportionMetric, RatioMetric, RevenueMetric)
}


def metric_of(
    name: str, metric_type: str, columns: Mapping[str, str | None], settings: Mapping[str, Any]
) -> BaseMetric:
    """A metric by the name of its type, in any case.

    Args:
        columns: ``value_col``, ``covariate``, ``numerator_col`` … as :meth:`Experiment.register_metric` takes them.
        settings: Keywords of the metric's class.

    Raises:
        SpecError: unknown type, or columns that the type does not have.
    """
    kind = str(metric_type).lower()
    if kind not in TYPES:
        raise SpecError(
            "unknown metric type", where=f"metric {name}", found=repr(metric_type), allowed=nearest(kind, TYPES)
        )
    ratio = kind == "ratio"
    taken = _RATIO if ratio else _COLUMN
    given = {key: column for key, column in columns.items() if column is not None}
    if unfit := sorted(set(given) - set(taken)):
        raise SpecError(f"a {kind} metric has no {', '.join(unfit)}", where=f"metric {name}", allowed=", ".join(taken))
    if ratio and not {"numerator_col", "denominator_col"} <= set(given):
        raise SpecError("a ratio metric needs numerator_col and denominator_col", where=f"metric {name}")
    arguments = {taken[key]: column for key, column in given.items()}
    arguments |= {} if ratio else {"value_col": given.get("value_col", name)}
    return _made(TYPES[kind], name, {**arguments, **settings})


def _made(kind: type[BaseMetric], name: str, arguments: Mapping[str, Any]) -> BaseMetric:
    fields = kind.__dataclass_fields__
    if unknown := sorted(set(arguments) - set(fields)):
        raise SpecError("unknown setting of a metric", where=f"metric {name}", found=", ".join(unknown),
                        allowed=nearest(unknown[0], set(fields) - {"name"}))  # fmt: skip
    return kind(name, **arguments)


_COLUMN = {"value_col": "value_col", "covariate": "pre_period_col"}
_RATIO = {key: key for key in ("numerator_col", "denominator_col", "pre_numerator_col", "pre_denominator_col")}


def slug(name: str, *, what: str) -> str:
    """A name as an identifier: every other character than letters, digits, ``_ - .`` becomes ``_``.

    Raises:
        SpecError: nothing usable is left.
    """
    text = unicodedata.normalize("NFC", name) if isinstance(name, str) else ""
    letters = "".join(c if c in "_-." or unicodedata.category(c)[0] in "LMN" else "_" for c in text)
    return check_id(letters.strip("_.-") if text else text, what=what, where=f"{name!r}")


def _given(column: str | None) -> tuple[str, ...]:
    return () if column is None else (column,)


def column_names(names: str | Iterable[str]) -> tuple[str, ...]:
    """Column names, each once, in order; a single text is one name."""
    return tuple(dict.fromkeys([names] if isinstance(names, str) else names))
