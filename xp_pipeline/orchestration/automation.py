"""What happens unasked: new specs run, changed sources rerun what reads them, and every day the daily job."""

import hashlib
import json
from typing import Any

import dagster as dg

from xp_pipeline.errors import XpError
from xp_pipeline.lifecycle.run import runnable
from xp_pipeline.lifecycle.sealed import is_registered, sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.orchestration.allocation import ALLOCATION
from xp_pipeline.orchestration.daily import daily
from xp_pipeline.orchestration.partitions import experiments
from xp_pipeline.orchestration.resources import ProjectResource
from xp_pipeline.sources.ingest import version_of
from xp_pipeline.sources.locations import content_digest
from xp_pipeline.spec.binding import bind
from xp_pipeline.spec.phases import ExperimentState, Phase
from xp_pipeline.spec.project import Automation

LIFECYCLE = "experiment_lifecycle"

lifecycle_job = dg.define_asset_job(
    LIFECYCLE,
    selection=dg.AssetSelection.assets(*(str(phase) for phase in Phase), ALLOCATION),
    executor_def=dg.in_process_executor,
    description="Every phase of one experiment, in order.",
)


def _status(on: bool) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED


def spec_sensor(settings: Automation) -> dg.SensorDefinition:
    """Runs an experiment when its spec appears or changes."""

    @dg.sensor(
        name="spec_changes",
        job_name=LIFECYCLE,
        minimum_interval_seconds=settings.interval_seconds,
        default_status=_status(settings.watch_specs),
        description="Runs the lifecycle of experiments whose spec is new or changed.",
    )
    def spec_changes(context: dg.SensorEvaluationContext, project: ProjectResource) -> dg.SensorResult | dg.SkipReason:
        workspace = project.open()
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        found = {name: bind(workspace.folder, name).digest for name in runnable(workspace)}
        changed = [name for name, digest in found.items() if seen.get(name) != digest]
        if not changed:
            return dg.SkipReason(_quiet(workspace))
        return dg.SensorResult(
            run_requests=[_request(name, found[name]) for name in changed],
            dynamic_partitions_requests=[experiments.build_add_request(changed)],
            cursor=json.dumps(found),
        )

    return spec_changes


def _quiet(workspace: Workspace) -> str:
    broken = "; ".join(str(problem) for problem in workspace.folder.problems)
    return f"no spec changed{f'; broken: {broken}' if broken else ''}"


def source_sensor(settings: Automation) -> dg.SensorDefinition:
    """Reruns only the experiments that read something other than their latest artifact did."""

    @dg.sensor(
        name="source_changes",
        job_name=LIFECYCLE,
        minimum_interval_seconds=settings.interval_seconds,
        default_status=_status(settings.watch_sources),
        description="Reruns unfinished experiments whose sources have other content than was last analysed.",
    )
    def source_changes(
        context: dg.SensorEvaluationContext, project: ProjectResource
    ) -> dg.SensorResult | dg.SkipReason:
        workspace = project.open()
        asked: dict[str, str] = json.loads(context.cursor or "{}")
        states, problems = _source_states(workspace)
        changed = {n: state for n, state in states.items() if asked.get(n) != state and _outdated(workspace, n, state)}
        if not changed:
            return dg.SkipReason("; ".join(["no source changed", *problems]))
        return dg.SensorResult(
            run_requests=[_request(name, state) for name, state in changed.items()],
            dynamic_partitions_requests=[experiments.build_add_request(list(changed))],
            cursor=json.dumps(asked | changed),
        )

    return source_changes


def _source_states(workspace: Workspace) -> tuple[dict[str, str], list[str]]:
    """Registered, unfinished experiments and the versions their sources would have now; and what is unreachable."""
    states, problems, versions = {}, [], {}
    for name in runnable(workspace):
        if not is_registered(workspace, name) or workspace.ledger.state(name) == ExperimentState.REPORTED:
            continue
        try:
            for source in sealed(workspace, name).bound.source_names:
                if source not in versions:
                    declared = workspace.folder.sources[source]
                    versions[source] = version_of(
                        declared, content_digest(declared, root=workspace.root, lake=workspace.folder.lake)
                    )
            read = {f"source:{s}": versions[s] for s in sealed(workspace, name).bound.source_names}
            states[name] = json.dumps(read, sort_keys=True)
        except XpError as problem:
            problems.append(str(problem))
    return states, problems


def _outdated(workspace: Workspace, name: str, state: str) -> bool:
    latest = workspace.artifacts.latest(name, Phase.ASSIGNMENTS)
    read = {k: v for k, v in latest.inputs.items() if k.startswith("source:")} if latest else {}
    return json.loads(state) != read


def _request(name: str, state: str) -> dg.RunRequest:
    key = hashlib.sha256(f"{name}\x1f{state}".encode()).hexdigest()[:16]
    return dg.RunRequest(run_key=f"{name}:{key}", partition_key=name)


def daily_schedule(settings: Automation, timezone: str) -> list[dg.ScheduleDefinition]:
    """The daily job on its cron, where one is set."""
    if settings.schedule is None:
        return []
    parameters: dict[str, Any] = {
        "name": "daily_analysis",
        "job": daily,
        "cron_schedule": settings.schedule,
        "execution_timezone": timezone,
        "default_status": dg.DefaultScheduleStatus.RUNNING,
    }
    return [dg.ScheduleDefinition(**parameters)]
