"""A registered experiment back in a notebook: the pipeline's sealed artifacts, read through the gate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from xp_pipeline.decision.verdict import Decision
from xp_pipeline.errors import PhaseOrderError
from xp_pipeline.experiment.analysis import in_order
from xp_pipeline.experiment.gate import FROZEN
from xp_pipeline.experiment.health import Health
from xp_pipeline.experiment.notebook import Experiment
from xp_pipeline.experiment.page import Page
from xp_pipeline.experiment.planning import PowerPlan
from xp_pipeline.experiment.results import Results
from xp_pipeline.experiment.settings import Settings
from xp_pipeline.lifecycle.inference.analyse import restored, setting_of
from xp_pipeline.lifecycle.inference.decide import restored_decision
from xp_pipeline.lifecycle.inference.infer import infer
from xp_pipeline.lifecycle.inference.rows import Row
from xp_pipeline.lifecycle.measurement.adjust import read_clusters, read_readings
from xp_pipeline.lifecycle.publish import labels, provenance
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.report import document
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.artifacts import SealedArtifact
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.phases import ExperimentState, Phase


class RegisteredExperiment(Experiment):
    """An experiment of a project folder, as of its latest look. Its steps are the pipeline's: here it is read.

    ``metrics`` are the specs' own; ``run_analysis`` with other settings gives a side result from the sealed
    evidence, which is not entered in the ledger (``xp reanalyse`` is).
    """

    def __init__(self, project: Path, experiment: str) -> None:
        self._workspace = Workspace.open(project)
        self._promise = sealed(self._workspace, experiment)
        self._sides: tuple[Results, ...] = ()

    @property
    def name(self) -> str:
        return self._promise.id

    @property
    def state(self) -> ExperimentState:
        """Where the ledger has it now."""
        return self._workspace.ledger.state(self.name) or ExperimentState.CREATED

    @property
    def data(self) -> Path:
        """The clean rows of the population's source, as Parquet."""
        return self._workspace.version(self._promise.bound.experiment.population.source).data

    @property
    def treatment_col(self) -> str | None:
        """Column that names each unit's arm, None where the bucket rule assigns."""
        arm = self._promise.bound.experiment.population.arm
        return arm.column if arm else None

    @property
    def id_col(self) -> str | None:
        unit = self._promise.bound.sources[self._promise.bound.experiment.population.source]["unit"]
        return None if unit.startswith("@") else str(unit)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics as the spec in force has them, in order of role."""
        return tuple(metric for _, _, metric in self._promise.bound.uses)

    @property
    def covariates(self) -> tuple[str, ...]:
        return self._promise.bound.experiment.balance

    def _read(self, phase: Phase) -> SealedArtifact:
        return self._workspace.read(self.name, phase, spec_hash=self._promise.spec_hash)

    @property
    def power_plan(self) -> PowerPlan:
        """The sealed plan."""
        plan = self._read(Phase.POWER_PLAN).json("plan.json")
        return PowerPlan(tuple(plan["metrics"]), tuple(plan["assumptions"]), plan["units_per_day"], "polars")

    @property
    def health(self) -> Health:
        """The findings of the latest look, that of a blocked population included."""
        latest = self._workspace.artifacts.latest(self.name, Phase.VALIDATED_EXPOSURES)
        found = self._workspace.read(
            self.name,
            Phase.VALIDATED_EXPOSURES,
            spec_hash=self._promise.spec_hash,
            as_of=latest.as_of if latest else None,
            allow_failed=True,
        )
        results = self._workspace.artifacts.find(self.name, Phase.INFERENCE_RESULTS, found.manifest.as_of)
        if results and found.manifest.verdict != "failed":
            found = self._read(Phase.INFERENCE_RESULTS)
        return Health((checks.Finding(**row) for row in restored(found, "health.json")), kind="polars")

    @cached_property
    def _latest(self) -> SealedArtifact:
        """The latest look; a blocked population has none, and says so."""
        self._read(Phase.VALIDATED_EXPOSURES)
        return self._read(Phase.INFERENCE_RESULTS)

    @cached_property
    def _rows(self) -> list[Row]:
        begin = self._begin(final=self._latest.manifest.summary["final"])
        return [begin | row for row in in_order(self._promise.bound, restored(self._latest, "results.json"))]

    def _begin(self, *, final: bool, extra: tuple[str, ...] = ()) -> Row:
        said = self._latest.manifest
        label = labels(self._promise, retrospective=bool(said.summary["retrospective"]), extra=extra)
        return provenance(self._workspace, self._promise, as_of=said.as_of, look=int(final), final=final, label=label)

    @property
    def results(self) -> Results:
        """The results of the latest look.

        Raises:
            SRMError, BlockedError: the population was blocked.
            PhaseOrderError: nothing was analysed yet.
            TamperError: a seal does not match.
        """
        alpha = self._promise.bound.experiment.analysis.alpha
        decided = [restored_decision(raw) for raw in self._latest.json("decisions.json")]
        return self._results_from(self._rows, alpha, decided)

    def _results_from(self, rows: list[Row], alpha: float, decided: list[Decision]) -> Results:
        titles = {metric.name: metric.title or metric.name for metric in self.metrics}
        as_of = self._latest.manifest.as_of
        return Results(
            rows,
            decided=decided,
            names=titles,
            alpha=alpha,
            document=lambda: document(self._workspace, self._promise, as_of=as_of),
            kind="polars",
        )

    @property
    def side_results(self) -> tuple[Results, ...]:
        return self._sides

    def validate(self) -> Health:
        """The findings of the latest look.

        Raises:
            SRMError, BlockedError: they block the estimates.
        """
        self._read(Phase.VALIDATED_EXPOSURES)
        return self.health

    def run_analysis(
        self,
        *,
        alpha: float | None = None,
        correction: str | None = None,
        cuped: bool | None = None,
        sequential: bool | str = False,
    ) -> Results:
        """The sealed results; after the final look, under another alpha or correction, a side result.

        Raises:
            PhaseOrderError: other settings before the final look, or a step that is the pipeline's.
        """
        if cuped is not None or sequential:
            self._refuse("cuped and sequential are declared", f"edit the spec, then xp amend {self.name}")
        analysis = self._promise.bound.experiment.analysis
        said = Settings({"alpha": analysis.alpha, "correction": analysis.primary_correction})
        changes = said.changes(alpha=alpha, correction=correction)
        if not changes:
            return self.results
        if self.state not in FROZEN:
            self._refuse("only a final look is re-analysed", f"xp conclude {self.name}, or wait for its end")
        side = self._results_from(self._side_rows_under(changes), changes.get("alpha", analysis.alpha), [])
        self._sides = (*self._sides, side)
        return side

    def _side_rows_under(self, changes: Mapping[str, Any]) -> list[Row]:
        measured = self._read(Phase.ADJUSTED_METRICS)
        blocked = measured.manifest.summary["blocked_populations"]
        setting = setting_of(self._workspace, self._promise, final=True, blocked=blocked, **changes)
        begin = self._begin(final=True, extra=("reanalysis",))
        rows = infer(setting, read_readings(measured, self._promise.bound), read_clusters(measured))
        return [begin | row for row in in_order(self._promise.bound, rows)]

    def report(self, path: str | Path | None = None) -> Page:
        """The sealed page of the latest look."""
        made = Page(self._read(Phase.REPORT).bytes("report.html").decode("utf-8"))
        return made if path is None else made.save(path)

    def _refuse(self, what: str, step: str) -> NoReturn:
        raise PhaseOrderError(what, where=self.name, found=f"state {self.state}", next_step=step)

    def _sealed(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse("a registered experiment moves by its pipeline", f"edit its file, or xp run {self.name}")

    add_metrics = add_covariates = plan = design = start = transition_to = to_spec = _sealed
