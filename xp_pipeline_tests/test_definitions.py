"""Dagster loads the definitions by workspace.yaml and by [tool.dg], with and without a project."""

from __future__ import annotations

import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from xp_pipeline.orchestration.build import build_definitions
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.projects import REPOSITORY, project


def test_workspace_and_dg_name_the_same_module() -> None:
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    module = workspace["load_from"][0]["python_module"]["module_name"]
    assert module == settings["tool"]["dg"]["project"]["code_location_target_module"] == "xp_pipeline.definitions"


def test_every_phase_is_an_asset_with_words_for_the_ui(tmp_path: Path) -> None:
    definitions = build_definitions(project(tmp_path))
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert set(specs) == {*(str(phase) for phase in Phase), "allocation"}
    for phase in Phase:
        assert specs[str(phase)].description
        upstream = {dep.asset_key.to_user_string() for dep in specs[str(phase)].deps}
        assert upstream == {str(above) for above in phase.upstream}
    assert specs["allocation"].description
    assert {dep.asset_key.to_user_string() for dep in specs["allocation"].deps} == {"adjusted_metrics"}


def test_automation_is_on_and_can_be_switched_off(tmp_path: Path) -> None:
    on = build_definitions(project(tmp_path / "on"))
    assert {s.name: s.default_status for s in on.sensors or []} == {
        "spec_changes": dg.DefaultSensorStatus.RUNNING,
        "source_changes": dg.DefaultSensorStatus.RUNNING,
    }
    assert [s.cron_schedule for s in on.schedules or []] == ["0 6 * * *"]
    quiet = {"automation": {"schedule": None, "watch_specs": False, "watch_sources": False}}
    off = build_definitions(project(tmp_path / "off", settings=quiet))
    assert {s.default_status for s in off.sensors or []} == {dg.DefaultSensorStatus.STOPPED}
    assert not off.schedules


def test_an_upstream_asset_is_an_edge(tmp_path: Path) -> None:
    definitions = build_definitions(project(tmp_path, source={"asset": "warehouse/visitors"}))
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
    upstream = dg.AssetKey(["warehouse", "visitors"])
    assert upstream in specs
    for name in ("assignments", "adjusted_metrics"):
        assert upstream in {dep.asset_key for dep in specs[dg.AssetKey(name)].deps}


def test_without_a_project_definitions_load_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XP_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert len(list(build_definitions().resolve_all_asset_specs())) == len(Phase) + 1
