"""Sensors ask for what changed, once."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import yaml

from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.orchestration.automation import source_sensor, spec_sensor
from xp_pipeline.orchestration.resources import ProjectResource
from xp_pipeline.spec.project import Automation
from xp_pipeline_tests.projects import csv_text, project, visitors


def _tick(sensor: dg.SensorDefinition, root: Path, instance: dg.DagsterInstance, cursor: str | None) -> object:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"project": ProjectResource(root=str(root))}
    )
    return sensor(context)


def test_a_new_or_changed_spec_is_run_once(tmp_path: Path) -> None:
    root = project(tmp_path)
    sensor = spec_sensor(Automation())
    with dg.DagsterInstance.local_temp() as instance:
        first = _tick(sensor, root, instance, None)
        assert isinstance(first, dg.SensorResult)
        assert [request.partition_key for request in first.run_requests or []] == ["trial"]
        assert isinstance(_tick(sensor, root, instance, first.cursor), dg.SkipReason)
        path = root / "experiments" / "trial.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "owner": "new"}))
        again = _tick(sensor, root, instance, first.cursor)
        assert isinstance(again, dg.SensorResult)
        assert again.run_requests
        assert again.run_requests[0].run_key != (first.run_requests or [])[0].run_key


def test_only_experiments_whose_sources_changed_are_rerun(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        rows=[{**r, "at": f"2026-01-{1 + r['id'] % 5:02d}T10:00:00Z"} for r in visitors(500)],
        source={
            "timestamp": "at",
            "columns": {**yaml.safe_load(csv_columns()), "at": "timestamp"},
        },
        experiment={"start": "2026-01-01", "end": "2026-03-01"},
    )
    assert run(Workspace.open(root, by="test"), "trial").status == "done"
    sensor = source_sensor(Automation())
    with dg.DagsterInstance.local_temp() as instance:
        assert isinstance(_tick(sensor, root, instance, None), dg.SkipReason)
        path = root / "visitors.csv"
        rows = [{**r, "at": f"2026-01-{1 + r['id'] % 6:02d}T10:00:00Z"} for r in visitors(600)]
        path.write_text(csv_text(rows))
        os.utime(path)
        found = _tick(sensor, root, instance, None)
        assert isinstance(found, dg.SensorResult)
        assert [request.partition_key for request in found.run_requests or []] == ["trial"]
        assert isinstance(_tick(sensor, root, instance, found.cursor), dg.SkipReason)


def csv_columns() -> str:
    from xp_pipeline_tests.projects import SOURCE

    return yaml.safe_dump(SOURCE["columns"])
