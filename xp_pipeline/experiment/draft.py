"""What an experiment is about: its frame, its metrics and covariates, open until the design is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from xp_pipeline.errors import PhaseOrderError
from xp_pipeline.experiment import evidence
from xp_pipeline.experiment.declaring import with_covariates, with_metrics
from xp_pipeline.experiment.frames import Frame
from xp_pipeline.experiment.gate import require
from xp_pipeline.experiment.metrics import BaseMetric, metric_of, slug
from xp_pipeline.experiment.spec import Declared
from xp_pipeline.spec.phases import ExperimentState

CREATED, PLANNED = ExperimentState.CREATED, ExperimentState.PLANNED


class Draft:
    """The part of an experiment that CREATED and PLANNED may still change."""

    def __init__(
        self,
        data: Any,
        treatment_col: str,
        id_col: str | None = None,
        covariates: str | Iterable[str] | None = None,
        *,
        name: str = "experiment",
        title: str = "",
        hypothesis: str = "",
    ) -> None:
        frame = Frame(data)
        frame.check([treatment_col], what="treatment column", allowed=("text", "integer", "boolean", "number"))
        if id_col is not None:
            frame.check([id_col], what="id column", allowed=("integer", "text"))
        self._arms = evidence.census(frame, arm=treatment_col, unit=id_col)
        name = slug(name, what="experiment name")
        declared = Declared(name, treatment_col, id_col, frame.types, title=title, hypothesis=hypothesis)
        self._frame = frame
        self._declared = with_covariates(declared, frame, covariates or ())
        self._state = CREATED

    @property
    def name(self) -> str:
        """Id of the experiment."""
        return self._declared.name

    @property
    def data(self) -> Any:
        """The caller's own frame."""
        return self._frame.native

    @property
    def treatment_col(self) -> str | None:
        """Column that names each unit's arm."""
        return self._declared.arm

    @property
    def id_col(self) -> str | None:
        """Column of the unit ids, None where every row is a unit."""
        return self._declared.unit

    @property
    def state(self) -> ExperimentState:
        """How far the experiment has come; its steps move it, nothing else does."""
        return self._state

    @property
    def metrics(self) -> tuple[Any, ...]:
        """The metrics, in the order added."""
        return self._declared.metrics

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns compared between arms."""
        return self._declared.balance

    def __repr__(self) -> str:
        metrics = ", ".join(metric.name for metric in self.metrics)
        return f"Experiment({self.name!r}, state={self.state}, metrics=[{metrics}])"

    def _too_early(self, what: str, step: str) -> PhaseOrderError:
        return PhaseOrderError(what, where=self.name, found=f"state {self.state}", next_step=step)

    def add_metrics(self, metrics: BaseMetric | Iterable[BaseMetric]) -> Self:
        """Add one metric or several, all or none; the first ones move CREATED to PLANNED.

        Raises:
            PhaseOrderError: the design is made, so its metrics stand.
            SpecError: nothing to add, a name twice, or a metric that the spec refuses.
            DataError: a column is not in the data, or holds no numbers.
        """
        require(self.state, (CREATED, PLANNED), what="add metrics", where=self.name)
        added = tuple(metrics) if isinstance(metrics, Iterable) else (metrics,)
        self._declared = with_metrics(self._declared, self._frame, added)
        self._state = PLANNED
        return self

    def add_covariates(self, names: str | Iterable[str]) -> Self:
        """Add columns to compare between arms; names that are there already stay where they are.

        Raises:
            PhaseOrderError: the design is made.
            DataError: a column is not in the data, or holds no numbers.
        """
        require(self.state, (CREATED, PLANNED), what="add covariates", where=self.name)
        self._declared = with_covariates(self._declared, self._frame, names)
        return self

    def register_metric(
        self,
        name: str,
        metric_type: str = "mean",
        value_col: str | None = None,
        covariate: str | None = None,
        numerator_col: str | None = None,
        denominator_col: str | None = None,
        pre_numerator_col: str | None = None,
        pre_denominator_col: str | None = None,
        **settings: Any,
    ) -> Self:
        """Add a metric by the name of its type: mean, proportion, ratio or revenue.

        Args:
            name: Its name; also its column, unless ``value_col`` names one.
            covariate: The same before the experiment, for CUPED.
            settings: ``role``, ``direction``, ``missing``, ``margin``, ``covariates``, ``cap``, ``log``.
        """
        columns = {
            "value_col": value_col,
            "covariate": covariate,
            "numerator_col": numerator_col,
            "denominator_col": denominator_col,
            "pre_numerator_col": pre_numerator_col,
            "pre_denominator_col": pre_denominator_col,
        }
        return self.add_metrics(metric_of(name, metric_type, columns, settings))
