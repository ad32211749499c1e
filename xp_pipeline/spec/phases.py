"""The lifecycle: six states that advance one step at a time, and the phases whose artifacts carry them."""

from __future__ import annotations

from enum import StrEnum

from xp_pipeline.errors import PhaseOrderError


class ExperimentState(StrEnum):
    """How far an experiment has come; members are declared in order."""

    CREATED = "CREATED"
    PLANNED = "PLANNED"
    DESIGNED = "DESIGNED"
    RUNNING = "RUNNING"
    ANALYZED = "ANALYZED"
    REPORTED = "REPORTED"

    @property
    def step(self) -> int:
        """Position in the lifecycle, from 0. Compare these: the members themselves compare as text."""
        return list(ExperimentState).index(self)


class Phase(StrEnum):
    """The kinds of sealed artifact; members are declared in the order in which they are made."""

    REGISTERED_SPEC = "registered_spec"
    POWER_PLAN = "power_plan"
    DESIGN = "design"
    ASSIGNMENTS = "assignments"
    VALIDATED_EXPOSURES = "validated_exposures"
    ADJUSTED_METRICS = "adjusted_metrics"
    INFERENCE_RESULTS = "inference_results"
    REPORT = "report"

    @property
    def upstream(self) -> tuple[Phase, ...]:
        """The phases whose artifacts this one reads."""
        phases = list(Phase)
        position = phases.index(self)
        return tuple(phases[position - 1 : position]) if position else ()

    @property
    def state(self) -> ExperimentState:
        """The earliest state in which an experiment has this artifact."""
        return _STATES.get(self, ExperimentState.RUNNING)

    @property
    def dated(self) -> bool:
        """Whether there is one artifact per as-of day, not one per experiment."""
        return self not in _STATES


_STATES = {
    Phase.REGISTERED_SPEC: ExperimentState.CREATED,
    Phase.POWER_PLAN: ExperimentState.PLANNED,
    Phase.DESIGN: ExperimentState.DESIGNED,
}


def check_transition(current: ExperimentState | None, target: ExperimentState, *, experiment: str) -> None:
    """Accept the same state, or exactly one step forward; ``None`` is before CREATED.

    Raises:
        PhaseOrderError: the target lies behind, or more than one step ahead.
    """
    position = -1 if current is None else current.step
    if target.step in (position, position + 1):
        return
    backwards = target.step < position
    following = list(ExperimentState)[position + 1 : position + 2]
    allowed = [state.value for state in ([current] if current else []) + following]
    raise PhaseOrderError(
        f"cannot go {'back' if backwards else 'straight'} from {current or 'unregistered'} to {target}",
        where=experiment,
        allowed=" or ".join(allowed),
        next_step=None if backwards else f"xp {'run' if current else 'register'} {experiment}",
    )
