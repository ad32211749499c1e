"""From evidence to results, by the functions of the pipeline: what it infers and decides, a notebook does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xp_pipeline.decision.verdict import Decision
from xp_pipeline.experiment.evidence import Counts, Measured, measure
from xp_pipeline.experiment.frames import Frame
from xp_pipeline.experiment.page import document_of
from xp_pipeline.experiment.planning import PowerPlan
from xp_pipeline.experiment.spec import Declared
from xp_pipeline.experiment.workspace import workspace_of
from xp_pipeline.lifecycle.inference.decide import decisions
from xp_pipeline.lifecycle.inference.infer import infer
from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.lifecycle.measurement.measure import Reading
from xp_pipeline.lifecycle.planning.plan import DEFAULT_PLANNED_UNITS, planned_effects, read_powers
from xp_pipeline.lifecycle.publish import labels, provenance
from xp_pipeline.lifecycle.quality.balance import covariate_balance
from xp_pipeline.lifecycle.quality.checks import Finding
from xp_pipeline.lifecycle.schedule import Occasion
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.report.document import ReportDocument
from xp_pipeline.spec.binding import Bound

Taken = Mapping[str, Any]
"""What the ledger would keep of a look: its tests and its caps."""


@dataclass(frozen=True)
class Evidence:
    """What was seen at one look.

    Attributes:
        counts: Units by arm.
        health: Every quality finding, none of which blocks.
        measured: The moments of every metric.
    """

    counts: Counts
    health: Sequence[Finding]
    measured: Measured

    def readings(self, *, cuped: bool) -> Sequence[Reading]:
        """The readings, without their covariates where those are not to adjust."""
        return self.measured.adjusted if cuped else self.measured.plain


def look(
    frame: Frame, declared: Declared, counts: Counts, health: Sequence[Finding], *, earlier: Sequence[Taken]
) -> Evidence:
    """The evidence of a validated frame: moments with covariates, whether or not they are to adjust."""
    everything = replace(declared, settings=declared.settings.varied(cuped=True))
    bound = everything.bound()
    workspace = workspace_of(bound, everything.source())
    caps = earlier[0]["caps"] if earlier else {}
    found = measure(frame, workspace, bound, arm=declared.arm, armless=bool(counts.armless), caps=caps)
    return Evidence(counts, health, found)


@dataclass(frozen=True)
class Analysis:
    """One look analysed.

    Attributes:
        promise: What it was made under.
        begin: The columns that each of its rows begins with.
        rows: Its results, as rows of the published table.
        decided: The recommendation about each arm.
        evidence: What it read.
        health: The findings it rests on, balance of the covariates included.
        plan: What was planned; None without a plan.
        taken: What it leaves for the looks after it.
    """

    promise: Sealed
    begin: Row
    rows: Sequence[Row]
    decided: Sequence[Decision]
    evidence: Evidence
    health: Sequence[Finding]
    plan: PowerPlan | None
    taken: Taken

    def document(self, *, state: str, beside: Sequence[Row] = ()) -> ReportDocument:
        """The report of this look, with the rows of side results beside it."""
        return document_of(
            self.promise,
            self.begin,
            state=state,
            units=dict(self.evidence.counts.units),
            rows_read=self.evidence.counts.rows,
            rows=[*self.rows, *beside],
            health=self.health,
            decided=self.decided,
            plan=self.plan.document() if self.plan else None,
        )


def analysed(
    workspace: Workspace,
    promise: Sealed,
    evidence: Evidence,
    *,
    final: bool,
    cuped: bool,
    plan: PowerPlan | None,
    earlier: Sequence[Taken],
) -> Analysis:
    """Results and decisions of one look.

    Args:
        earlier: What the looks before left for the tests along them, oldest first.
    """
    sequential = promise.bound.looks.schedule != "fixed"
    claims = final or sequential
    occasion = Occasion(claims, final, len(earlier) + 1 if claims else 0, None, tuple(earlier))
    readings = evidence.readings(cuped=cuped)
    health = [*evidence.health, *covariate_balance(promise.bound, readings)]
    setting = replace(_setting(promise, plan, final=final), occasion=occasion)
    rows = in_order(promise.bound, infer(setting, {"enrolled": readings}, {}))
    tests = {key: test for row in rows for key, test in row.pop("tests", {}).items()}
    read_powers(workspace, promise, rows)
    decided = decisions(promise, planned_effects(promise, rows), health, final=final, as_of=None)
    begin = _begin(workspace, promise, number=occasion.number, final=final)
    caps = {reading.metric: reading.cap for reading in readings if math.isfinite(reading.cap)}
    taken = {"as_of": "", "tests": tests, "caps": caps}
    return Analysis(promise, begin, [begin | row for row in rows], decided, evidence, health, plan, taken)


def side_rows(workspace: Workspace, analysis: Analysis, changes: Mapping[str, Any], *, cuped: bool) -> list[Row]:
    """The frozen evidence under another alpha or correction, every row labelled ``reanalysis``."""
    changed = {name: changes[name] for name in ("alpha", "correction") if name in changes}
    setting = replace(_setting(analysis.promise, analysis.plan, final=True), **changed)
    begin = _begin(workspace, analysis.promise, number=analysis.begin["look"], final=True, extra=["reanalysis"])
    readings = analysis.evidence.readings(cuped=cuped)
    return [begin | row for row in in_order(analysis.promise.bound, infer(setting, {"enrolled": readings}, {}))]


def in_order(bound: Bound, rows: Sequence[Row]) -> list[Row]:
    """Rows by metric, as the spec names them: by role, then in the order added."""
    places = {use.metric: i for i, (_, use, _) in enumerate(bound.uses)}
    return sorted(rows, key=lambda row: places[row["metric"]])


def _setting(promise: Sealed, plan: PowerPlan | None, *, final: bool) -> Setting:
    planned_n = plan.planned_units if plan else DEFAULT_PLANNED_UNITS
    return Setting(bound=promise.bound, final=final, planned_n=planned_n, deciding="enrolled")


def _begin(workspace: Workspace, promise: Sealed, *, number: int, final: bool, extra: Sequence[str] = ()) -> Row:
    """A frame has no clock: whatever is said of it, is said after its first exposure."""
    label = labels(promise, retrospective=True, extra=extra)
    return provenance(workspace, promise, as_of=None, look=number, final=final, label=label)
