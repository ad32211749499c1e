"""The arm of an exposure row as SQL, and whether a second column contradicts it."""

from __future__ import annotations

from xp_pipeline.engine.predicates import identifier, literal
from xp_pipeline.lifecycle.assignment.designed import ARM
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.source import Source


def arm_of(bound: Bound, source: Source) -> str:
    """The arm of a row as text: its column (relabelled), or that of the design."""
    arm = bound.experiment.population.arm
    if arm is None:
        return ARM
    column = f"CAST({identifier(arm.column)} AS VARCHAR)"
    if not arm.labels:
        return column
    cases = " ".join(f"WHEN {column} = {literal(value)} THEN {literal(name)}" for value, name in arm.labels.items())
    return f"CASE {cases} ELSE {column} END"


def mismatched(bound: Bound, source: Source) -> str:
    """Whether the second column is not what the arm calls for; arms without an expectation are not judged."""
    rule = bound.experiment.population.mismatch
    if rule is None:
        return "FALSE"
    shown = f"CAST({identifier(rule.column)} AS VARCHAR)"
    cases = " ".join(
        f"WHEN {arm_of(bound, source)} = {literal(arm)} THEN {shown} IS DISTINCT FROM {literal(str(value))}"
        for arm, value in rule.expected.items()
    )
    return f"(CASE {cases} ELSE FALSE END)"


def dropped_rows(bound: Bound, source: Source) -> str | None:
    """Rows of the population's source that count for nothing, neither as exposure nor in a metric."""
    rule = bound.experiment.population.mismatch
    if rule is None or rule.policy != "drop_rows" or source.name != bound.experiment.population.source:
        return None
    return mismatched(bound, source)
