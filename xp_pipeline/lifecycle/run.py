"""The whole chain for one experiment, phase by phase, and for many, each on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from xp_pipeline.errors import BlockedError, XpError
from xp_pipeline.lifecycle.allocate import allocate
from xp_pipeline.lifecycle.asof import NotYet
from xp_pipeline.lifecycle.assignment.assign import assign
from xp_pipeline.lifecycle.design import design
from xp_pipeline.lifecycle.extend import extend
from xp_pipeline.lifecycle.inference.analyse import analyse
from xp_pipeline.lifecycle.measurement.adjust import adjust
from xp_pipeline.lifecycle.planning.plan import plan
from xp_pipeline.lifecycle.quality.validate import validate
from xp_pipeline.lifecycle.register import register
from xp_pipeline.lifecycle.report import report
from xp_pipeline.lifecycle.sealed import Sealed, sealed
from xp_pipeline.lifecycle.withhold import withhold
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.phases import Phase

Progress = Callable[[str, Phase, str], None]


@dataclass(frozen=True)
class Outcome:
    """How the run of one experiment ended.

    Attributes:
        status: ``done``, ``blocked`` (by a quality check), ``waiting`` (nothing to analyse yet) or ``failed``.
        phase: The last phase that was begun.
        as_of: The day analysed.
        error: What stopped it, None when nothing did.
    """

    experiment: str
    status: str
    phase: Phase
    as_of: str | None = None
    error: XpError | None = None


def run_phase(workspace: Workspace, experiment: str, phase: Phase, *, as_of: date | None = None) -> Manifest:
    """Run one phase of one experiment; whatever it reads passes the gate.

    Raises:
        XpError: of the phase; SRMError or BlockedError once a blocked look has been published.
    """
    if phase == Phase.REGISTERED_SPEC:
        return register(workspace, experiment).manifest
    promise = sealed(workspace, experiment)
    if phase == Phase.POWER_PLAN:
        return plan(workspace, promise)
    if phase == Phase.DESIGN:
        return design(workspace, promise)
    if phase == Phase.ASSIGNMENTS:
        return assign(workspace, extend(workspace, promise, as_of=as_of), as_of=as_of)
    if phase == Phase.VALIDATED_EXPOSURES:
        return _validated(workspace, promise, as_of)
    work = {
        Phase.ADJUSTED_METRICS: adjust,
        Phase.INFERENCE_RESULTS: analyse,
        Phase.REPORT: report,
    }[phase]
    return work(workspace, promise, as_of=as_of)


def _validated(workspace: Workspace, promise: Sealed, as_of: date | None) -> Manifest:
    manifest = validate(workspace, promise, as_of=as_of)
    if manifest.verdict == "failed":
        withhold(workspace, promise, manifest)
    return manifest


def run(
    workspace: Workspace, experiment: str, *, as_of: date | None = None, progress: Progress | None = None
) -> Outcome:
    """Run every phase of one experiment in order, then learn; an error of ours becomes the outcome."""
    phase = Phase.REGISTERED_SPEC
    day: str | None = None
    try:
        for phase in Phase:
            if progress:
                progress(experiment, phase, "begins")
            manifest = run_phase(workspace, experiment, phase, as_of=as_of)
            day = manifest.as_of or day
            if progress:
                progress(experiment, phase, "done")
        allocate(workspace, sealed(workspace, experiment), as_of=as_of)
    except NotYet as error:
        return Outcome(experiment, "waiting", phase, day, error)
    except BlockedError as error:
        return Outcome(experiment, "blocked", phase, day, error)
    except XpError as error:
        return Outcome(experiment, "failed", phase, day, error)
    return Outcome(experiment, "done", phase, day)


def run_all(
    workspace: Workspace,
    experiments: Iterable[str],
    *,
    as_of: date | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Run many experiments; the failure of one, expected or not, never touches another."""
    return [_guarded(workspace, experiment, as_of, progress) for experiment in experiments]


def _guarded(workspace: Workspace, experiment: str, as_of: date | None, progress: Progress | None) -> Outcome:
    try:
        return run(workspace, experiment, as_of=as_of, progress=progress)
    except Exception as problem:
        told = XpError(f"unexpected {type(problem).__name__}: {problem}", where=experiment)
        told.__cause__ = problem
        return Outcome(experiment, "failed", Phase.REGISTERED_SPEC, None, told)


def runnable(workspace: Workspace) -> list[str]:
    """Experiments of the folder that are not drafts, in order of id."""
    return sorted(name for name, e in workspace.folder.experiments.items() if not e.draft)
