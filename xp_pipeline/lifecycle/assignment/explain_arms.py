"""What makes the arms of an experiment, in words: factors, time blocks, clusters, learning."""

from __future__ import annotations

from xp_pipeline.design.factorial import factorial
from xp_pipeline.errors import AliasError
from xp_pipeline.spec.adaptive import Adaptive
from xp_pipeline.spec.assignment import Assignment
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.values import format_duration


def opening(experiment: Experiment) -> str:
    """What is compared, and how units get their arms."""
    given = experiment.assignment
    if given.factors:
        return f"{experiment.id} varies {', '.join(given.levels)} together."
    return f"{experiment.id} compares {', '.join(given.treatments)} with {given.control}."


def arms_said(experiment: Experiment) -> str:
    """The arms with their shares."""
    given = experiment.assignment
    shares = given.shares
    if given.factors and shares and len({round(share, 9) for share in shares.values()}) == 1:
        return f"{len(given.arms)} combinations of levels, {1 / len(given.arms):.2%} each"
    return ", ".join(f"{arm} {shares[arm]:.1%}" if shares else arm for arm in given.arms)


def arrangement(experiment: Experiment) -> list[str]:
    """Further sentences on factors, blocks, learning and clusters; none for a plain split."""
    given = experiment.assignment
    lines = _factors(given, experiment.effects) if given.factors else []
    if given.switchback:
        lines.append(_blocks(given))
    if given.stratify:
        lines.append(f"Shares are kept within every combination of {', '.join(given.stratify)}.")
    if given.adaptive:
        lines.append(_learning(given.adaptive))
    if experiment.population.member:
        lines.append(
            f"A unit is a cluster of {experiment.population.member}: clusters are checked against the split, and their "
            "members against the clusters that each arm got."
        )
    return lines


def _learning(adaptive: Adaptive) -> str:
    kept = "" if adaptive.algorithm == "fixed" else f", no arm below {adaptive.floor:.1%}"
    return (
        f"The weights are those of the first batch; from then on {adaptive.algorithm} learns them from "
        f"{adaptive.reward}{kept}, and {adaptive.version} names the ones that a unit was assigned by."
    )


def _factors(given: Assignment, effects: tuple[str, ...]) -> list[str]:
    lines = [f"  {factor.name}: {', '.join(factor.levels[1:])} against {factor.levels[0]}" for factor in given.factors]
    try:
        design = factorial(given.levels, generators=given.generators, resolution=given.resolution)
    except AliasError as problem:
        return [*lines, f"  {problem}"]
    asked = [design.contrast(effect).name for effect in effects] or [effect.name for effect in design.contrasts()]
    fraction = f", a fraction by {', '.join(design.generators)} ({design.relation})" if design.generators else ""
    return [
        *lines,
        f"The design is {design.notation}{fraction}; estimated: {', '.join(asked)}.",
        *(
            f"  {row.effect} includes {', '.join(row.aliased_with)}"
            for row in design.alias_table(1)
            if row.aliased_with
        ),
    ]


def _blocks(given: Assignment) -> str:
    blocks = given.switchback
    assert blocks is not None
    drawn = (
        f"in every {blocks.cycle} blocks a unit has each arm by its share" if blocks.cycle else "each block is drawn"
    )
    edges = [
        f"the {where} {format_duration(span)}" for where, span in (("first", blocks.burn_in), ("last", blocks.burn_out))
        if span
    ]  # fmt: skip
    left_out = f"; {' and '.join(edges)} of a block are left out" if edges else ""
    return (
        f"A unit's arm changes every {format_duration(blocks.block)}: {drawn}{left_out}. The unit in a block is what "
        "is assigned, measured and compared."
    )
