"""``Experiment``: one experiment held in the hand, from a frame to a report, a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xp_pipeline.errors import PhaseOrderError, SpecError, nearest
from xp_pipeline.experiment import evidence, project
from xp_pipeline.experiment.analysis import Analysis, Taken, analysed, look
from xp_pipeline.experiment.declaring import check_looks
from xp_pipeline.experiment.draft import Draft
from xp_pipeline.experiment.gate import FROZEN, check_step, require
from xp_pipeline.experiment.health import Health
from xp_pipeline.experiment.look import Look
from xp_pipeline.experiment.page import Page, page
from xp_pipeline.experiment.planning import Amounts, PowerPlan, power_plan, with_baselines, with_plan
from xp_pipeline.experiment.population import findings, refuse_blocked
from xp_pipeline.experiment.results import Results
from xp_pipeline.experiment.settings import looks_of
from xp_pipeline.experiment.spec import Declared
from xp_pipeline.experiment.split import Weights, split
from xp_pipeline.experiment.workspace import promise_of, workspace_of
from xp_pipeline.lifecycle.design import describe
from xp_pipeline.spec.phases import ExperimentState

CREATED, PLANNED, DESIGNED, RUNNING, ANALYZED, REPORTED = ExperimentState


class Experiment(Draft):
    """An experiment over a frame with one row per unit; the frame is read where it lies and never copied.

    Args:
        data: A pandas or Polars frame, a LazyFrame, an Arrow table, or a DuckDB relation.
        treatment_col: Column that names each unit's arm.
        id_col: Column of the unit ids, checked to be unique; without one every row is a unit.
        covariates: Numbers known before exposure, compared between arms.
        name: Id of the experiment, as files and results call it.
        title, hypothesis: In words, for the report.

    Raises:
        DataError: no rows, no such column, one that cannot be used so, or ids that are not unique.
    """

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
        super().__init__(data, treatment_col, id_col, covariates, name=name, title=title, hypothesis=hypothesis)
        self._origins: Mapping[str, str] | None = None
        self._promised_at = datetime.now(UTC)
        self._health: Health | None = None
        self._look: Look | None = None
        self._earlier: tuple[Taken, ...] = ()

    @classmethod
    def load(cls, project: str | Path, experiment: str) -> Experiment:
        """A registered experiment of a project folder, as the pipeline's artifacts have it; nothing is written.

        Raises:
            PhaseOrderError: it is not registered.
            TamperError: a seal does not match.
        """
        from xp_pipeline.experiment.registered import RegisteredExperiment

        return RegisteredExperiment(Path(project), experiment)

    @property
    def power_plan(self) -> PowerPlan | None:
        """What was planned, under the metrics and the split declared by now; None without a plan."""
        if self._origins is None:
            return None
        return power_plan(self._declared, self._origins, kind=self._frame.kind)

    @property
    def health(self) -> Health:
        """The quality findings of the last validation, passed or not.

        Raises:
            PhaseOrderError: nothing was validated yet.
        """
        if self._health is None:
            raise self._too_early("nothing was validated yet", "validate()")
        return self._health

    @property
    def results(self) -> Results:
        """The results as promised: one ``MetricResult`` a metric and treatment arm.

        Raises:
            PhaseOrderError: there are none yet.
        """
        return self._taken().results

    @property
    def side_results(self) -> tuple[Results, ...]:
        """Re-analyses under other settings, oldest first."""
        return self._look.sides if self._look else ()

    def _taken(self) -> Look:
        if self._look is None:
            raise self._too_early("there are no results yet", "run_analysis()")
        return self._look

    def plan(
        self,
        *,
        mde: Amounts = None,
        baseline: Mapping[str, Mapping[str, float]] | None = None,
        units_per_day: float | None = None,
        alpha: float | None = None,
        power: float | None = None,
        control: Any = None,
        weights: Weights = None,
    ) -> PowerPlan:
        """Sample size and run time for the effects worth detecting; promises alpha.

        Args:
            mde: Smallest effect worth detecting, ``"5%"`` of the control mean or a number in the metric's unit;
                of all metrics, or by metric name.
            baseline: ``mean``, ``sd`` and ``variance_explained`` by metric name; measured on the data over all
                arms together where left out, and so blind to the effect.
            units_per_day: New units a day, for run times.
            alpha: Two-sided error rate, 0.05 unless given; shared out over the primary tests.
            power: Probability of seeing the effect, 0.8 unless given.
            control, weights: As for ``design``, which takes them over.

        Raises:
            PhaseOrderError: there is no metric yet, or the design is made.
        """
        require(self.state, (PLANNED,), what="plan", where=self.name)
        settings = self._declared.settings.planned(alpha=alpha, power=power)
        declared = replace(self._declared, settings=settings, assignment=self._split(control, weights))
        declared = with_plan(declared, mde=mde, baseline=baseline, units_per_day=units_per_day)
        declared, origins = with_baselines(declared, self._frame)
        made = power_plan(declared, origins, kind=self._frame.kind)
        self._declared, self._origins = declared, origins
        return made

    def design(self, *, control: Any = None, weights: Weights = None) -> dict[str, object]:
        """Fix the split, and with it everything declared so far: PLANNED to DESIGNED.

        Args:
            control: Arm that the others are compared with; left out, the arm called control.
            weights: Designed share by arm; equal unless given, ``"unknown"`` where nobody knows.

        Raises:
            PhaseOrderError: there is no metric yet, or the design is made.
            DataError: the data names fewer than two arms.
            SpecError: the control cannot be told, or the weights are not a split.
        """
        require(self.state, (PLANNED,), what="design", where=self.name)
        given = control is not None or weights is not None
        assignment = self._split(control, weights) if given else self._declared.assignment or self._split(None, None)
        declared = replace(self._declared, assignment=assignment)
        description = describe(promise_of(declared.bound()))
        self._declared, self._state, self._promised_at = declared, DESIGNED, datetime.now(UTC)
        return description

    def _split(self, control: Any, weights: Weights) -> dict[str, Any]:
        kind = self._declared.kinds[self._declared.arm]
        return split(self._arms, control=control, weights=weights, kind=kind, column=self._declared.arm)

    def start(self) -> Experiment:
        """DESIGNED to RUNNING: from here on the data is looked at by arm."""
        require(self.state, (DESIGNED,), what="start", where=self.name)
        self._state = RUNNING
        return self

    def validate(self) -> Health:
        """Check the population: sample ratio, arms, balance of the covariates. No state moves.

        Raises:
            SRMError, BlockedError: estimates would be wrong; ``health`` has every finding.
            PhaseOrderError: the experiment has not started.
            DataError: a proportion has values other than 0 and 1.
        """
        require(self.state, (RUNNING, *FROZEN), what="validate", where=self.name)
        if self._state not in FROZEN:
            self._counted()
        return self.health

    def _counted(self) -> evidence.Counts:
        declared = self._declared
        proportions = [metric for metric in declared.metrics if metric.kind == "proportion"]
        counts = evidence.count(self._frame, arm=declared.arm, balance=declared.balance, proportions=proportions)
        self._health = Health(findings(declared.bound(), counts), kind=self._frame.kind)
        refuse_blocked(self.name, self._health)
        return counts

    def run_analysis(
        self,
        *,
        alpha: float | None = None,
        correction: str | None = None,
        cuped: bool | None = None,
        sequential: bool | str = False,
    ) -> Results:
        """Validate, measure, infer and decide: RUNNING to ANALYZED, or an interim look that stays RUNNING.

        What ``plan`` left open, the first analysis promises. Afterwards other settings give a side result,
        labelled ``reanalysis``, from the same evidence; ``results`` stays as it was promised.

        Args:
            alpha: Two-sided error rate, 0.05 unless promised otherwise.
            correction: Of the primary family: holm unless promised otherwise, bonferroni or none; a side result
                applies it to every family and also takes fdr_bh and fdr_by.
            cuped: Whether covariates of metrics adjust them; they do unless promised otherwise.
            sequential: Look before the end and stay RUNNING. ``True``: intervals hold at every look together, and
                tests wait for the end. ``"always_valid"`` or ``"msprt"``: promise tests that may be read at
                every look, the final one included; msprt needs a planned effect.

        Raises:
            PhaseOrderError: the experiment has not started, or something else was promised.
            SRMError, BlockedError: the population was blocked; estimates are withheld.
        """
        require(self.state, (RUNNING, *FROZEN), what="run the analysis", where=self.name)
        looks = looks_of(sequential)
        asked = {"alpha": alpha, "correction": correction, "cuped": cuped}
        if self.state in FROZEN:
            if sequential:
                raise PhaseOrderError("the final look is taken, so there is no interim one", where=self.name)
            return self._taken().reanalysed(asked)
        declared = replace(
            self._declared, settings=self._declared.settings.settled(where=self.name, looks=looks, **asked)
        )
        check_looks(declared)
        analysis = self._analysed(declared, final=not sequential)
        self._declared, self._earlier = declared, (*self._earlier, analysis.taken)
        self._health = Health(analysis.health, kind=self._frame.kind)
        self._state = self._state if sequential else ANALYZED
        self._look = Look(declared, analysis, state=self._state, kind=self._frame.kind)
        return self.results

    def _analysed(self, declared: Declared, *, final: bool) -> Analysis:
        bound = declared.bound()
        earlier = () if bound.looks.schedule == "fixed" else self._earlier
        seen = look(self._frame, declared, self._counted(), self.health, earlier=earlier)
        return analysed(
            workspace_of(bound, declared.source()),
            promise_of(bound, self._promised_at),
            seen,
            final=final,
            cuped=declared.adjusted,
            plan=self.power_plan,
            earlier=earlier,
        )

    def report(self, path: str | Path | None = None) -> Page:
        """The page that the pipeline would render, side results included: ANALYZED to REPORTED.

        Args:
            path: Where to write the HTML file; nowhere unless given.
        """
        require(self.state, FROZEN, what="report", where=self.name)
        taken = self._taken()
        before, taken.state = taken.state, REPORTED
        try:
            made = page(taken.document())
            made = made if path is None else made.save(path)
        except OSError:
            taken.state = before
            raise
        self._state = REPORTED
        return made

    def transition_to(self, target_state: ExperimentState | str) -> None:
        """Take the step that leads to a state, with its usual settings; the same state is where it is already.

        Raises:
            PhaseOrderError: the state lies behind, or more than one step ahead.
            SpecError: there is no such state.
        """
        if target_state not in list(ExperimentState):
            raise SpecError(
                "no such state", found=repr(target_state), allowed=nearest(str(target_state), ExperimentState)
            )
        target = ExperimentState(target_state)
        check_step(self.state, target, where=self.name)
        if target == self.state:
            return
        if target == PLANNED:
            raise self._too_early("a plan needs metrics", "add_metrics(...)")
        steps: dict[ExperimentState, Callable[[], object]] = {
            DESIGNED: self.design,
            RUNNING: self.start,
            ANALYZED: self.run_analysis,
            REPORTED: self.report,
        }
        steps[target]()

    def to_spec(self, folder: str | Path) -> Path:
        """Write a project folder whose pipeline run gives the same numbers: YAML, and the data as Parquet.

        Raises:
            PhaseOrderError: the split is not designed yet.
            SpecError: the folder has one of the files already, with other content.
        """
        require(self.state, (DESIGNED, RUNNING, *FROZEN), what="write the spec", where=self.name)
        return project.write(Path(folder), self._declared, self._frame)
