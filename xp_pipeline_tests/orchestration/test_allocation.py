"""The allocation asset: weights as metadata where an experiment is adaptive, nothing where it is not."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from xp_pipeline.orchestration.allocation import ALLOCATION, allocation
from xp_pipeline.orchestration.automation import lifecycle_job
from xp_pipeline.orchestration.build import build_definitions
from xp_pipeline.orchestration.daily import daily
from xp_pipeline.orchestration.partitions import experiments
from xp_pipeline.orchestration.resources import ProjectResource
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.lifecycle.learners import learners
from xp_pipeline_tests.projects import project, run_everything


def _materialise(root: Path, experiment: str) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.local_temp() as instance:
        instance.add_dynamic_partitions(str(experiments.name), [experiment])
        return dg.materialize(
            [allocation],
            partition_key=experiment,
            instance=instance,
            resources={"project": ProjectResource(root=str(root))},
            raise_on_error=False,
        )


def test_an_adaptive_experiment_shows_its_weights(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    assert world.run().status == "done"
    world.serve()
    world.write()
    found = _materialise(tmp_path, "learnt")
    assert found.success
    (event,) = found.asset_materializations_for_node(ALLOCATION)
    assert event.metadata["weights"].value == dict(world.weights.shares)
    assert event.metadata["version"].value == world.weights.version
    assert event.metadata["published"].value is False
    assert event.metadata["learned_up_to"].value == "2026-03-02"


def test_an_experiment_that_is_not_adaptive_materialises_nothing(tmp_path: Path) -> None:
    root = project(tmp_path)
    assert run_everything(root)["trial"].status == "done"
    found = _materialise(root, "trial")
    assert found.success
    assert not found.asset_materializations_for_node(ALLOCATION)


def test_a_blocked_population_fails_the_asset(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve(choose=lambda weights: "a")
    assert world.run().status == "blocked"
    found = _materialise(tmp_path, "learnt")
    assert not found.success
    assert not found.asset_materializations_for_node(ALLOCATION)


def test_the_daily_job_logs_what_it_published(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    with dg.DagsterInstance.local_temp() as instance:
        resources = {"project": ProjectResource(root=str(tmp_path))}
        found = daily.execute_in_process(instance=instance, resources=resources)
        assert found.success
        logged = [e.asset_key.to_user_string() for e in found.all_events if e.is_step_materialization and e.asset_key]
        assert ALLOCATION in logged
        again = daily.execute_in_process(instance=instance, resources=resources)
        assert not [e for e in again.all_events if e.asset_key and e.asset_key.to_user_string() == ALLOCATION]
    assert world.weights.version.startswith("thompson_beta@")


def test_the_lifecycle_job_learns(tmp_path: Path) -> None:
    definitions = build_definitions(project(tmp_path))
    job = definitions.resolve_job_def(lifecycle_job.name)
    assert {node.name for node in job.nodes} == {*(str(phase) for phase in Phase), ALLOCATION}
