"""Definitions of one project: its automation settings, and the upstream assets its sources name."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from xp_pipeline.errors import SpecError
from xp_pipeline.orchestration.allocation import allocation
from xp_pipeline.orchestration.assets import lifecycle_assets
from xp_pipeline.orchestration.automation import daily_schedule, lifecycle_job, source_sensor, spec_sensor
from xp_pipeline.orchestration.daily import daily
from xp_pipeline.orchestration.progress import progress_logger
from xp_pipeline.orchestration.resources import ProjectResource
from xp_pipeline.spec.folder import Folder, find_root, load
from xp_pipeline.spec.project import Project


def build_definitions(root: Path | None = None) -> dg.Definitions:
    """Definitions for a project; without one in reach they load all the same, with nothing to run on."""
    folder = _folder(root)
    project = folder.project if folder else Project(name="none")
    upstream = sorted({s.location.asset for s in folder.sources.values() if s.location.asset}) if folder else []
    keys = [dg.AssetKey(name.split("/")) for name in upstream]
    return dg.Definitions(
        assets=[*lifecycle_assets(keys), allocation, *(dg.AssetSpec(key, group_name="p0_upstream") for key in keys)],
        jobs=[lifecycle_job, daily],
        sensors=[spec_sensor(project.automation), source_sensor(project.automation)] if folder else [],
        schedules=daily_schedule(project.automation, project.timezone) if folder else [],
        resources={"project": ProjectResource(root=str(folder.root) if folder else "")},
        executor=dg.in_process_executor,
        loggers={"progress": progress_logger},
    )


def _folder(root: Path | None) -> Folder | None:
    try:
        return load(find_root(root))
    except SpecError:
        if root is not None:
            raise
        return None
