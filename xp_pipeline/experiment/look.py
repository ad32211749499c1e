"""One look in a notebook: its results as promised, and the side results made from the same evidence since."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xp_pipeline.decision.verdict import Decision
from xp_pipeline.experiment.analysis import Analysis, side_rows
from xp_pipeline.experiment.results import Results
from xp_pipeline.experiment.spec import Declared
from xp_pipeline.experiment.tables import Kind
from xp_pipeline.experiment.workspace import workspace_of
from xp_pipeline.lifecycle.inference.rows import Row
from xp_pipeline.report.document import ReportDocument
from xp_pipeline.spec.phases import ExperimentState


class Look:
    """A look that was taken.

    Args:
        declared: What was declared when it was taken.
        analysis: What it gave.
        state: Where the experiment stands after it.
        kind: Library of the frames that results give.

    Attributes:
        state: Where the experiment stands now, for the report.
        results: As promised.
        sides: Under other settings, oldest first.
    """

    def __init__(self, declared: Declared, analysis: Analysis, *, state: ExperimentState, kind: Kind) -> None:
        self._declared, self._analysis, self._kind = declared, analysis, kind
        self.state = state
        self._side_rows: list[Row] = []
        self.sides: tuple[Results, ...] = ()
        self.results = self._results(analysis.rows, declared.settings["alpha"], analysis.decided, self.document)

    def _results(
        self,
        rows: Sequence[Row],
        alpha: float,
        decided: Sequence[Decision],
        document: Callable[[], ReportDocument],
    ) -> Results:
        names = {metric.slug: metric.name for metric in self._declared.metrics}
        return Results(rows, decided=decided, names=names, alpha=alpha, document=document, kind=self._kind)

    def document(self) -> ReportDocument:
        """The report of this look, side results beside it."""
        return self._analysis.document(state=self.state, beside=self._side_rows)

    def reanalysed(self, asked: Mapping[str, Any]) -> Results:
        """A labelled side result; the promised ones where nothing differs from the promise."""
        changes = self._declared.settings.changes(**asked)
        if not changes:
            return self.results
        settings = self._declared.settings.varied(**changes)
        workspace = workspace_of(self._analysis.promise.bound, self._declared.source())
        rows = side_rows(workspace, self._analysis, changes, cuped=settings["cuped"])
        side = self._results(rows, settings["alpha"], (), lambda: self._side_document(rows))
        self.sides = (*self.sides, side)
        self._side_rows += rows
        return side

    def _side_document(self, rows: Sequence[Row]) -> ReportDocument:
        """The report with a side result in the place of the promised one."""
        document = self._analysis.document(state=self.state, beside=rows)
        return replace(document, analyses=document.analyses[-1:])
