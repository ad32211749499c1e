"""One step at a time: what each state allows, and what is frozen when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xp_pipeline.errors import PhaseOrderError, SpecError
from xp_pipeline.experiment import Experiment, MeanMetric
from xp_pipeline.spec.phases import ExperimentState
from xp_pipeline_tests.experiment.frames import created, running

STATES = list(ExperimentState)


def reached(state: ExperimentState) -> Experiment:
    """An experiment in a state."""
    experiment = created()
    steps: list[Callable[[], object]] = [
        lambda: experiment.register_metric("spend", covariate="before"),
        experiment.design,
        experiment.start,
        experiment.run_analysis,
        experiment.report,
    ]
    for step in steps[: state.step]:
        step()
    assert experiment.state == state
    return experiment


@pytest.mark.parametrize("current", STATES)
@pytest.mark.parametrize("target", STATES)
def test_a_transition_is_one_step_or_none(current: ExperimentState, target: ExperimentState) -> None:
    experiment = reached(current)
    if target.step in (current.step, current.step + 1) and target != ExperimentState.PLANNED:
        experiment.transition_to(target)
        assert experiment.state == target
    elif target == current:
        experiment.transition_to(target)
    else:
        with pytest.raises(PhaseOrderError) as caught:
            experiment.transition_to(target)
        assert "\n" not in str(caught.value)
        assert experiment.state == current


def test_a_plan_needs_metrics() -> None:
    with pytest.raises(PhaseOrderError, match="add_metrics"):
        created().transition_to(ExperimentState.PLANNED)


def test_a_state_may_be_named_by_its_text_and_must_exist() -> None:
    experiment = reached(ExperimentState.PLANNED)
    experiment.transition_to("DESIGNED")
    assert experiment.state is ExperimentState.DESIGNED
    with pytest.raises(SpecError, match="did you mean 'RUNNING'"):
        experiment.transition_to("RUNING")


@pytest.mark.parametrize("name", ["state", "results", "health", "metrics", "covariates", "data", "name", "power_plan"])
def test_what_it_says_of_itself_is_read_only(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(created(), name, ExperimentState.REPORTED)


STEPS: dict[str, tuple[Callable[[Experiment, Path], Any], tuple[ExperimentState, ...]]] = {
    "add_metrics": (lambda e, _: e.add_metrics(MeanMetric("age", value_col="age")), tuple(STATES[:2])),
    "register_metric": (lambda e, _: e.register_metric("age"), tuple(STATES[:2])),
    "add_covariates": (lambda e, _: e.add_covariates("age"), tuple(STATES[:2])),
    "plan": (lambda e, _: e.plan(mde="5%"), (ExperimentState.PLANNED,)),
    "design": (lambda e, _: e.design(), (ExperimentState.PLANNED,)),
    "start": (lambda e, _: e.start(), (ExperimentState.DESIGNED,)),
    "validate": (lambda e, _: e.validate(), tuple(STATES[3:])),
    "run_analysis": (lambda e, _: e.run_analysis(), tuple(STATES[3:])),
    "report": (lambda e, _: e.report(), tuple(STATES[4:])),
    "to_spec": (lambda e, folder: e.to_spec(folder), tuple(STATES[2:])),
    "results": (lambda e, _: e.results, tuple(STATES[4:])),
    "health": (lambda e, _: e.health, tuple(STATES[4:])),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_has_its_states(step: str, state: ExperimentState, tmp_path: Path) -> None:
    experiment = reached(state)
    work, allowed = STEPS[step]
    if state in allowed:
        work(experiment, tmp_path)
        return
    with pytest.raises(PhaseOrderError, match="; next: ") as caught:
        work(experiment, tmp_path)
    assert "\n" not in str(caught.value)
    assert experiment.state == state
    assert not list(tmp_path.iterdir())


def test_a_report_that_cannot_be_written_moves_nothing(tmp_path: Path) -> None:
    experiment = reached(ExperimentState.ANALYZED)
    with pytest.raises(OSError):
        experiment.report(tmp_path / "missing" / "page.html")
    assert experiment.state == ExperimentState.ANALYZED


def test_an_interim_look_stays_running() -> None:
    experiment = running()
    interim = experiment.run_analysis(sequential=True)
    assert experiment.state == ExperimentState.RUNNING
    assert not interim.final
    assert all(result["p_value"] != result["p_value"] for result in interim)
    assert {decision.verdict for decision in interim.decisions} == {"not_due"}
    final = experiment.run_analysis()
    assert experiment.state == ExperimentState.ANALYZED
    for early, late in zip(interim, final, strict=True):
        assert early["ci_lower"] < late["ci_lower"] < late["ci_upper"] < early["ci_upper"]
    with pytest.raises(PhaseOrderError, match="final look"):
        experiment.run_analysis(sequential=True)
