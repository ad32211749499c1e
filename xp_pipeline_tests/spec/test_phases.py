"""The lifecycle: one step forward at a time, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from xp_pipeline.errors import PhaseOrderError
from xp_pipeline.spec.phases import ExperimentState, Phase, check_transition

STATES = list(ExperimentState)


def test_states_are_those_of_seed_0_in_order() -> None:
    assert STATES == ["CREATED", "PLANNED", "DESIGNED", "RUNNING", "ANALYZED", "REPORTED"]
    assert [state.step for state in STATES] == [0, 1, 2, 3, 4, 5]
    assert repr(ExperimentState.CREATED) == "<ExperimentState.CREATED: 'CREATED'>"


@pytest.mark.parametrize(("current", "target"), list(itertools.product([None, *STATES], STATES)))
def test_only_the_same_state_or_the_next_is_reached(current: ExperimentState | None, target: ExperimentState) -> None:
    position = -1 if current is None else STATES.index(current)
    if STATES.index(target) - position in (0, 1):
        check_transition(current, target, experiment="shop")
    else:
        with pytest.raises(PhaseOrderError, match=r"^shop: cannot go ") as refusal:
            check_transition(current, target, experiment="shop")
        assert "\n" not in str(refusal.value)


def test_created_to_reported_in_one_call_is_refused() -> None:
    with pytest.raises(
        PhaseOrderError, match="straight from CREATED to REPORTED; allowed: CREATED or PLANNED; next: xp run"
    ):
        check_transition(ExperimentState.CREATED, ExperimentState.REPORTED, experiment="shop")


def test_going_back_offers_no_command() -> None:
    with pytest.raises(PhaseOrderError, match=r"back from RUNNING to PLANNED; allowed: RUNNING or ANALYZED$"):
        check_transition(ExperimentState.RUNNING, ExperimentState.PLANNED, experiment="shop")
    with pytest.raises(PhaseOrderError, match=r"back from REPORTED to ANALYZED; allowed: REPORTED$"):
        check_transition(ExperimentState.REPORTED, ExperimentState.ANALYZED, experiment="shop")


def test_before_registration_only_created_is_reached() -> None:
    with pytest.raises(PhaseOrderError, match=r"straight from unregistered to DESIGNED; .* next: xp register shop$"):
        check_transition(None, ExperimentState.DESIGNED, experiment="shop")


def test_each_phase_reads_the_one_before() -> None:
    assert [(phase.value, [up.value for up in phase.upstream]) for phase in Phase] == [
        ("registered_spec", []),
        ("power_plan", ["registered_spec"]),
        ("design", ["power_plan"]),
        ("assignments", ["design"]),
        ("validated_exposures", ["assignments"]),
        ("adjusted_metrics", ["validated_exposures"]),
        ("inference_results", ["adjusted_metrics"]),
        ("report", ["inference_results"]),
    ]


def test_what_is_made_before_running_has_no_day() -> None:
    assert [phase.value for phase in Phase if not phase.dated] == ["registered_spec", "power_plan", "design"]
    assert [phase.state.value for phase in Phase][:4] == ["CREATED", "PLANNED", "DESIGNED", "RUNNING"]
