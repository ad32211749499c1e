"""The daily job: every experiment in one process, each failure its own, named at the end."""

from datetime import date

import dagster as dg

from xp_pipeline.lifecycle.run import Outcome, Progress, run_all, runnable
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.orchestration.allocation import materialised
from xp_pipeline.orchestration.metadata import of
from xp_pipeline.orchestration.partitions import experiments
from xp_pipeline.orchestration.resources import ProjectResource
from xp_pipeline.spec.phases import ExperimentState, Phase

DAILY = "daily"


class DailyConfig(dg.Config):
    """What the daily job covers.

    Attributes:
        experiments: Ids; every running experiment where left out.
        as_of: Last day that counts (YYYY-MM-DD); the last closed day where left out.
    """

    experiments: list[str] = []
    as_of: str | None = None


@dg.op(description="Runs the lifecycle of every running experiment; one that fails never keeps the others from it.")
def analyse_running(context: dg.OpExecutionContext, config: DailyConfig, project: ProjectResource) -> None:
    """Run, log what changed, and fail at the end naming those that failed or were blocked."""
    workspace = project.open(run_id=context.run_id)
    names = config.experiments or unfinished(workspace)
    context.instance.add_dynamic_partitions(str(experiments.name), names)
    day = date.fromisoformat(config.as_of) if config.as_of else None
    outcomes = run_all(workspace, names, as_of=day, progress=_logged(context))
    for outcome in outcomes:
        error = " ".join(str(outcome.error or "").split())
        context.log.info(f"{outcome.experiment}\toutcome\t{outcome.status}|{error}")
        _materialise(context, workspace, outcome)
    _fail_at_the_end(outcomes)


def unfinished(workspace: Workspace) -> list[str]:
    """Experiments that are not reported yet."""
    return [n for n in runnable(workspace) if workspace.ledger.state(n) != ExperimentState.REPORTED]


def _logged(context: dg.OpExecutionContext) -> Progress:
    def log(experiment: str, phase: Phase, what: str) -> None:
        context.log.info(f"{experiment}\t{phase}\t{what}")

    return log


def _materialise(context: dg.OpExecutionContext, workspace: Workspace, outcome: Outcome) -> None:
    """An event for every phase whose artifact this run sealed."""
    for phase in Phase:
        found = workspace.artifacts.find(outcome.experiment, phase, outcome.as_of)
        manifest = found or workspace.artifacts.find(outcome.experiment, phase, None)
        if manifest and manifest.run_id == workspace.run_id and manifest.verdict != "failed":
            context.log_event(
                dg.AssetMaterialization(str(phase), partition=outcome.experiment, metadata=of(workspace, manifest))
            )
    if event := materialised(workspace, outcome.experiment):
        context.log_event(event)


def _fail_at_the_end(outcomes: list[Outcome]) -> None:
    troubled = {o.experiment: f"{o.status}: {o.error}" for o in outcomes if o.status in ("failed", "blocked")}
    if troubled:
        raise dg.Failure(
            description=f"{len(troubled)} of {len(outcomes)} experiments need attention: {', '.join(troubled)}",
            metadata=dict(troubled),
            allow_retries=False,
        )


@dg.job(
    name=DAILY,
    executor_def=dg.in_process_executor,
    description="The scheduled analysis of all running experiments.",
)
def daily() -> None:
    """One op: the loop over experiments."""
    analyse_running()
