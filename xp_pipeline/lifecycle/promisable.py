"""What an experiment must be to be promised, beyond what its file alone can say: effects that its design can tell."""

from __future__ import annotations

from datetime import timedelta

from xp_pipeline.errors import AliasError, DataError, SpecError
from xp_pipeline.lifecycle.factorials import design_of, effects_of, is_factorial
from xp_pipeline.spec.binding import Bound, bind
from xp_pipeline.spec.experiment import DECIDING
from xp_pipeline.spec.folder import Folder
from xp_pipeline.spec.metric import Metric


def promisable(folder: Folder, experiment_id: str) -> Bound:
    """An experiment of the folder, resolved, whose design can carry what is asked of it.

    Raises:
        SpecError: its file, an override, a factor, an effect or a schedule is refused.
        AliasError: an effect cannot be told from another; both errors say file and line.
    """
    bound = bind(folder, experiment_id)
    if is_factorial(bound):
        _check_design(folder, bound)
        _check_effects(folder, bound)
    if bound.experiment.assignment.switchback:
        _check_schedule(folder, bound)
    if bound.experiment.assignment.adaptive:
        _check_algorithm(folder, bound)
    if bound.experiment.analysis.extension:
        _check_extension(folder, bound)
    return bound


def refuse_new_weights(before: Bound, after: Bound) -> None:
    """Refuse other weights for the runs of a factorial design under way, whose effects would mix two splits, and
    learning that begins or stops under way, which would leave units without published weights.

    Raises:
        SpecError: the weights differ, or only one of the two learns.
    """
    if (before.experiment.assignment.adaptive is None) != (after.experiment.assignment.adaptive is None):
        raise SpecError(
            "an experiment is adaptive from its first unit to its last, or not at all",
            where=after.id,
            next_step="register another experiment, or amend the algorithm to fixed",
        )
    if is_factorial(before) and before.experiment.assignment.shares != after.experiment.assignment.shares:
        raise SpecError(
            "the runs of a factorial design keep their weights",
            where=after.id,
            next_step="register another experiment with the new weights",
        )


def _check_design(folder: Folder, bound: Bound) -> None:
    given = bound.experiment.assignment
    part = "generators" if given.generators else "resolution" if given.resolution else "factors"
    try:
        design_of(given)
    except (AliasError, SpecError) as problem:
        raise _placed(problem, folder.where("experiment", bound.id, "assignment", part)) from None


def _check_effects(folder: Folder, bound: Bound) -> None:
    design = design_of(bound.experiment.assignment)
    names: list[str] = []
    for i, effect in enumerate(bound.experiment.effects):
        where = folder.where("experiment", bound.id, "effects", i)
        try:
            names.append(design.contrast(effect).name)
        except (AliasError, SpecError) as problem:
            raise _placed(problem, where) from None
        if names[-1] in names[:-1]:
            raise SpecError("an effect stands twice", where=where, found=names[-1])
    if not any(effect.order == 1 for effect in effects_of(bound)):
        raise SpecError(
            "no main effect is asked for, so that there is nothing to decide about",
            where=folder.where("experiment", bound.id, "effects"),
            allowed=", ".join(effect.name for effect in design.contrasts(1)) or "none that can be told apart",
        )


def _check_schedule(folder: Folder, bound: Bound) -> None:
    from xp_pipeline.design.assigning import Rule

    try:
        _ = Rule(bound).switchback
    except SpecError as problem:
        raise _placed(problem, folder.where("experiment", bound.id, "assignment", "switchback")) from None


def _check_algorithm(folder: Folder, bound: Bound) -> None:
    from xp_pipeline.lifecycle.assignment.published import algorithm_of

    adaptive = bound.experiment.assignment.adaptive
    where = folder.where("experiment", bound.id, "assignment", "adaptive", "settings")
    try:
        algorithm_of(bound).initial(len(bound.experiment.assignment.arms))
    except DataError as problem:
        raise SpecError(problem.what, where=where, found=problem.found, allowed=problem.allowed) from None
    except TypeError:
        raise SpecError("a setting is not of its type", where=where, found=adaptive and adaptive.settings) from None


def _check_extension(folder: Folder, bound: Bound) -> None:
    """An end may move where one look is planned at it, and nothing else relies on it."""
    assignment = bound.experiment.assignment
    tests = [m for role, use, m in bound.uses if role in DECIDING and (use.mde or use.tolerated)]
    clocked = bound.sources[bound.experiment.population.source].get("timestamp")
    refused = (
        (not clocked, "without a time of exposure nothing can be read before the end", "add timestamp to the source"),
        (bound.looks.schedule != "fixed", "only a design of one look is extended", "add looks: fixed"),
        (not (bound.start and bound.end), "an extension is of a planned end", "add start and end"),
        (bool(assignment.adaptive), "an adaptive experiment is not extended", "leave the extension out"),
        (bool(assignment.layer), "the slot of a layer ends when it was planned to", "leave the extension out"),
        (bool(assignment.switchback), "a switchback schedule is not extended", "leave the extension out"),
        (not tests, "no metric says what it is to show", "give a primary metric its mde"),
        *((m.type == "quantile", f"{m.name} is a quantile, which is not re-estimated", "plan it") for m in tests),
        *((_accumulates(bound, m), f"{m.name} grows as long as it runs", "give it a conversion window") for m in tests),
        *((_too_late(bound, m), f"no window of {m.name} is complete by then", "read it later: at") for m in tests),
    )
    for wrong, what, step in refused:
        if wrong:
            where = folder.where("experiment", bound.id, "analysis", "extension")
            raise SpecError(what, where=where, next_step=step)


def _accumulates(bound: Bound, metric: Metric) -> bool:
    """Whether a unit's value grows until the end: then what is read early has another mean and variance."""
    events = any(bound.sources[q.source].get("kind") == "event_log" for q in metric.quantities)
    return events and metric.window.kind != "conversion"


def _too_late(bound: Bound, metric: Metric) -> bool:
    """Whether no unit has had its whole window when the variance is read."""
    extension = bound.experiment.analysis.extension
    if extension is None or not (bound.start and bound.planned_end) or metric.window.kind != "conversion":
        return False
    window = metric.window.delay + (metric.window.length or timedelta(0))
    return window >= extension.at * (bound.planned_end - bound.start)


def _placed(problem: AliasError | SpecError, where: str) -> AliasError | SpecError:
    """The same error, at its place in the file."""
    return type(problem)(
        problem.what, where=where, found=problem.found, allowed=problem.allowed, next_step=problem.next_step
    )
