"""Which test will judge each metric, at which level and power, as far as a plan can say before any data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from xp_pipeline.design.aims import Aim, Detect, Equate, RuleOut
from xp_pipeline.design.levels import family_level, joint_power
from xp_pipeline.design.schedules import scheduled
from xp_pipeline.lifecycle.comparisons import decided
from xp_pipeline.lifecycle.factorials import halves, is_factorial
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import MetricUse, RoleName
from xp_pipeline.spec.metric import Metric

DAY = timedelta(days=1)


def aim_of(bound: Bound, role: RoleName, use: MetricUse, metric: Metric) -> Aim:
    """What the experiment is to show about a metric, the same for every arm.

    Primary metrics share alpha as the analysis will share it; a margin is tested one-sided, of equivalence on both
    sides; of secondary and exploratory ones, whose correction depends on what is found, the uncorrected level is
    planned.
    """
    analysis = bound.experiment.analysis
    days = planned_days(bound)
    good = metric.direction == "increase"
    primary, guardrail = role == "primary", role == "guardrail"
    power = power_of_each(bound) if primary or guardrail else analysis.power
    alpha = level_of_each(bound) if primary else analysis.guardrail_alpha if guardrail else analysis.alpha
    rates = scheduled(bound.looks, alpha=alpha, power=power, days=days, two_sided=not use.tolerated)
    if use.equivalence:
        return Equate(use.equivalence.value, use.equivalence.relative, rates)
    if use.margin:
        return RuleOut(use.margin.value, use.margin.relative, good, rates)
    if use.mde is None or use.mde.value == 0:
        return Detect(None, increase_is_good=good, rates=rates)
    return Detect(abs(use.mde.value), use.mde.relative, good, rates)


def level_of_each(bound: Bound, *, alpha: float | None = None) -> float:
    """Level of each primary metric and arm, of the spec's alpha or of another one."""
    experiment = bound.experiment
    shares = shares_of(bound)
    if is_factorial(bound):
        compared = [1.0] * (1 + len(decided(bound)))
    else:
        compared = [shares[arm] for arm in (experiment.assignment.control, *experiment.assignment.treatments)]
    analysis = experiment.analysis
    whole, correction = analysis.alpha if alpha is None else alpha, analysis.primary_correction
    if correction == "preferential" and experiment.metrics.secondary:
        whole *= analysis.primary_share
    return family_level(
        whole,
        correction="bonferroni" if correction == "preferential" else correction,
        shares=compared,
        metrics=len(experiment.metrics.primary),
    )


def power_of_each(bound: Bound) -> float:
    """Power of a success metric and of each guardrail, with which all that must hold to ship do."""
    return joint_power(bound.experiment.analysis.power, must_hold(bound))


def must_hold(bound: Bound) -> int:
    """Tests that must succeed for an arm to ship: a success metric's, and every guardrail's."""
    return 1 + len(bound.experiment.metrics.guardrail)


def primary_tests(bound: Bound) -> int:
    """Hypotheses that share alpha: every primary metric of every treatment."""
    return len(bound.experiment.metrics.primary) * len(decided(bound))


def pair_of(bound: Bound, name: str) -> tuple[float, float]:
    """Shares of all units on the two sides of a comparison that is decided about, the baseline's first."""
    if is_factorial(bound):
        return halves(bound, name)
    shares = shares_of(bound)
    return shares[bound.experiment.assignment.control], shares[name]


def shares_of(bound: Bound) -> Mapping[str, float]:
    """Shares of the units by arm; equal ones where the split is unknown."""
    assignment = bound.experiment.assignment
    return assignment.shares or dict.fromkeys(assignment.arms, 1 / len(assignment.arms))


def planned_days(bound: Bound) -> float | None:
    """Days from the planned start to the planned end."""
    return (bound.end - bound.start) / DAY if bound.start and bound.end else None


def said(bound: Bound) -> list[str]:
    """The tests that are planned for, as sentences."""
    analysis, tests, held = bound.experiment.analysis, primary_tests(bound), must_hold(bound)
    sides = (
        "two-sided"
        if not any(use.equivalence for use in bound.experiment.metrics.primary)
        else ("two-sided, or for equivalence one-sided each way,")
    )
    level = f"Primary tests are {sides} at {level_of_each(bound):.3g}"
    level += f" ({analysis.primary_correction}: alpha {analysis.alpha:g} over {tests})." if tests > 1 else "."
    sentences = [level]
    if held > 1:
        sentences.append(
            f"Power {power_of_each(bound):.3g} for each of the {held} tests that must succeed to ship, "
            f"so that all do with {analysis.power:g}."
        )
    else:
        sentences.append(f"Power {analysis.power:g}.")
    return sentences + _looks_said(bound)


def _looks_said(bound: Bound) -> list[str]:
    looks, days = bound.looks, planned_days(bound)
    if looks.schedule == "fixed":
        return []
    rates = scheduled(looks, alpha=level_of_each(bound), power=power_of_each(bound), days=days)
    if looks.schedule == "always_valid":
        return [f"Looks are always valid: at the planned units each test has level {rates.alpha:.2g}."]
    name = looks.spending.replace("_", " ").title().replace("Obrien Fleming", "O'Brien-Fleming")
    return [f"Group-sequential looks every {looks.every / DAY:g} d ({name}) take {rates.inflation - 1:.1%} more units."]
