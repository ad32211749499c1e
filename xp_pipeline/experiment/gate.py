"""One step at a time: which state a step needs, and what to call instead when it is not there."""

from __future__ import annotations

from xp_pipeline.errors import PhaseOrderError
from xp_pipeline.spec.phases import ExperimentState

LEADS_TO = {
    ExperimentState.CREATED: "Experiment(...)",
    ExperimentState.PLANNED: "add_metrics(...)",
    ExperimentState.DESIGNED: "design()",
    ExperimentState.RUNNING: "start()",
    ExperimentState.ANALYZED: "run_analysis()",
    ExperimentState.REPORTED: "report()",
}
"""State to the call that reaches it from the one before."""

FROZEN = (ExperimentState.ANALYZED, ExperimentState.REPORTED)
"""States in which the final look is taken."""


def require(current: ExperimentState, allowed: tuple[ExperimentState, ...], *, what: str, where: str) -> None:
    """Refuse a step out of its turn.

    Args:
        what: The step, as the end of "cannot ...".

    Raises:
        PhaseOrderError: naming the call that comes first, if one still can.
    """
    if current in allowed:
        return
    early = current.step < allowed[0].step
    raise PhaseOrderError(
        f"cannot {what} in state {current}",
        where=where,
        allowed=" or ".join(allowed),
        next_step=LEADS_TO[list(ExperimentState)[current.step + 1]] if early else "a new Experiment",
    )


def check_step(current: ExperimentState, target: ExperimentState, *, where: str) -> None:
    """Accept the same state, or exactly one step forward.

    Raises:
        PhaseOrderError: the target lies behind, or more than one step ahead.
    """
    if target.step in (current.step, current.step + 1):
        return
    back = target.step < current.step
    raise PhaseOrderError(
        f"cannot go {'back' if back else 'straight'} from {current} to {target}",
        where=where,
        allowed=" or ".join(list(ExperimentState)[current.step : current.step + 2]),
        next_step=None if back else LEADS_TO[list(ExperimentState)[current.step + 1]],
    )
