"""From what a notebook declares to the spec files of a project, and the experiment bound from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from xp_pipeline.errors import SpecError
from xp_pipeline.experiment.metrics import SOURCE, BaseMetric
from xp_pipeline.experiment.settings import Settings
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.source import ROW_UNIT, Source
from xp_pipeline.spec.values import ColumnType

TIMEZONE = "UTC"
DATA_FILE = "data.parquet"
Spec = TypeVar("Spec", bound=BaseModel)


@dataclass(frozen=True)
class Declared:
    """Everything that a notebook declares, before it is a spec.

    Attributes:
        name: Experiment id.
        arm, unit: Columns; without a unit every row is one.
        kinds: Column to its type, of every column of the frame.
        title, hypothesis: In words.
        metrics: In the order added.
        balance: Covariates compared between arms.
        assignment: Control, weights and arms; empty before they are designed.
        planned: Metric to its ``mde`` and ``baseline``, where planned.
        units_per_day: Planned traffic.
        settings: Error rates, the correction, and whether covariates adjust.
    """

    name: str
    arm: str
    unit: str | None
    kinds: Mapping[str, ColumnType | None]
    title: str = ""
    hypothesis: str = ""
    metrics: tuple[BaseMetric, ...] = ()
    balance: tuple[str, ...] = ()
    assignment: Mapping[str, Any] = field(default_factory=dict)
    planned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    units_per_day: float | None = None
    settings: Settings = field(default_factory=Settings)

    @property
    def types(self) -> dict[str, str]:
        """Column to its type, of the columns that are used."""
        unit = (self.unit,) if self.unit is not None else ()
        used = (*unit, self.arm, *(c for metric in self.metrics for c in metric.columns), *self.balance)
        return {name: self.kinds[name] or "" for name in dict.fromkeys(used)}

    @property
    def adjusted(self) -> bool:
        """Whether covariates adjust the metrics."""
        return bool(self.settings["cuped"])

    def documents(self) -> dict[str, dict[str, Any]]:
        """The files of a project, by path."""
        return {
            "xp.yaml": {"name": self.name, "timezone": TIMEZONE},
            f"sources/{SOURCE}.yaml": self._source(),
            f"metrics/{self.name}.yaml": {"metrics": [metric.spec(adjusted=self.adjusted) for metric in self.metrics]},
            f"experiments/{self.name}.yaml": self._experiment(),
        }

    def _source(self) -> dict[str, Any]:
        unit = self.unit or ROW_UNIT
        return {"name": SOURCE, "kind": "unit_table", "unit": unit, "path": DATA_FILE, "columns": self.types}

    def _experiment(self) -> dict[str, Any]:
        uses: dict[str, list[dict[str, Any]]] = {}
        for metric in self.metrics:
            uses.setdefault(metric.role, []).append(metric.use() | dict(self.planned.get(metric.slug, {})))
        said = {
            "id": self.name,
            "title": self.title,
            "hypothesis": self.hypothesis,
            "assignment": dict(self.assignment),
            "population": {"source": SOURCE, "arm": self.arm},
            "metrics": {"primary": uses.pop("primary", []), **uses},
            "balance": list(self.balance),
            "analysis": self.settings.analysis(),
            "planning": {"units_per_day": self.units_per_day} if self.units_per_day else {},
        }
        return {key: value for key, value in said.items() if value}

    def bound(self) -> Bound:
        """The experiment as a registration would seal it; the folder written by ``to_spec`` binds to the same.

        Raises:
            SpecError: the spec refuses what was declared.
        """
        source = self.source()
        metrics = {metric.slug: self.metric(metric) for metric in self.metrics}
        experiment = accepted(Experiment, self._experiment(), where=self.name)
        return Bound(timezone=TIMEZONE, experiment=experiment, metrics=metrics, sources={SOURCE: source.promised()})

    def source(self) -> Source:
        """The frame as a source."""
        return accepted(Source, self._source(), where="data")

    def metric(self, metric: BaseMetric) -> Metric:
        """One metric as a spec."""
        return accepted(Metric, metric.spec(adjusted=self.adjusted), where=f"metric {metric.name}")


def accepted(model: type[Spec], raw: Mapping[str, Any], *, where: str) -> Spec:
    """A document as its model.

    Raises:
        SpecError: its first problem, with the place in the document.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"{place}: {message}" if place else message, where=where) from None
