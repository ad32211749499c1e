"""A plan from typed numbers alone, without a project."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_args

from xp_pipeline.design.aims import Aim, Detect, Equate, RuleOut
from xp_pipeline.design.baseline import (
    Baseline,
    Kind,
    design_effect,
    normal_density,
    quantile_variance,
    ratio_variance,
)
from xp_pipeline.design.curves import power_curve
from xp_pipeline.design.history import History
from xp_pipeline.design.levels import Correction, family_level, joint_power
from xp_pipeline.design.schedules import scheduled
from xp_pipeline.design.traffic import Traffic
from xp_pipeline.errors import EvidenceError, nearest
from xp_pipeline.lifecycle.planning.entries import Entry, at_units, planned
from xp_pipeline.spec.looks import FIXED, Looks
from xp_pipeline.spec.metric import MetricKind
from xp_pipeline.spec.values import Amount

DAY = timedelta(days=1)
_EFFECTS = 60


@dataclass(frozen=True)
class Numbers:
    """What is typed.

    Attributes:
        mean: Baseline: a mean, a share, a ratio of sums, or a quantile.
        sd: Standard deviation per unit; of the numerator where ``denominator`` is given, else, for a ratio, of
            its linearised residual. None for a share.
        type: The metric's type; a proportion without ``sd``, a mean with it, unless given.
        quantile, density: Which quantile, and the density there; that of a normal with ``sd`` unless given.
        denominator, denominator_sd, correlation: Of a ratio: mean and deviation per unit of its denominator, and
            the correlation of both.
        explained: Share of variance that covariates remove.
        cluster_size, cluster_correlation, cluster_variation: Units a cluster, how alike, and the sizes' variation.
        mde, margin, equivalence: What to detect, what harm to rule out, or what change to call none; one of them.
        increase_is_good: Direction of the metric.
        weights: Relative sizes of the arms, control first.
        metrics, guardrails: Primary metrics that share alpha, and guardrails that must hold.
        alpha, power, correction: As in a spec's analysis.
        looks: The look schedule.
        units: Units of all arms that there will be, in place of time.
        per_day, days: New units a day, and days of enrolment.
        window: How long after its entry a unit counts.
    """

    mean: float
    sd: float | None = None
    type: str | None = None
    quantile: float | None = None
    density: float | None = None
    denominator: float | None = None
    denominator_sd: float | None = None
    correlation: float = 0.0
    explained: float = 0.0
    cluster_size: float = 1.0
    cluster_correlation: float = 0.0
    cluster_variation: float = 0.0
    mde: Amount | None = None
    margin: Amount | None = None
    equivalence: Amount | None = None
    increase_is_good: bool = True
    weights: tuple[float, ...] = (0.5, 0.5)
    metrics: int = 1
    guardrails: int = 0
    alpha: float = 0.05
    power: float = 0.8
    correction: Correction = "bonferroni"
    looks: Looks = FIXED
    units: float | None = None
    per_day: float | None = None
    days: float | None = None
    window: timedelta = timedelta(0)


def typed_plan(numbers: Numbers) -> dict[str, Any]:
    """The plan of every treatment arm.

    Raises:
        EvidenceError: a number is missing, or cannot be.
    """
    baseline, kind = baseline_of(numbers), type_of(numbers)
    shares = _shares(numbers.weights)
    aim = _aim(numbers, shares)
    history = _history(numbers, baseline)
    entries = [_entry(numbers, aim, (shares[0], share), baseline, history) for share in shares[1:]]
    role = "guardrail" if isinstance(aim, RuleOut) else "primary"
    names = [chr(ord("A") + i) if i < 26 else str(i) for i in range(len(shares))]
    return {
        "experiment": None,
        "metrics": [
            {"metric": kind, "role": role, "arm": name, "type": kind, "baseline": "typed"} | made
            for name, made in zip(names[1:], entries, strict=True)
        ],
        "run_days": numbers.days,
        "units": numbers.units,
        "units_per_day": numbers.per_day,
        "shares": dict(zip(names, shares, strict=True)),
        "assumptions": _said(numbers, aim, shares),
    }


def type_of(numbers: Numbers) -> str:
    """The metric's type, as typed or as the numbers suggest."""
    types = get_args(MetricKind)
    if numbers.type is not None and numbers.type not in types:
        raise EvidenceError("unknown metric type", found=numbers.type, allowed=nearest(numbers.type, types))
    if numbers.type:
        return numbers.type
    if numbers.quantile is not None:
        return "quantile"
    if numbers.denominator is not None:
        return "ratio"
    return "proportion" if numbers.sd is None else "mean"


def baseline_of(numbers: Numbers) -> Baseline:
    """The baseline of the typed numbers."""
    kind = type_of(numbers)
    effect = design_effect(
        cluster_size=numbers.cluster_size,
        correlation=numbers.cluster_correlation,
        size_variation=numbers.cluster_variation,
    )
    return Baseline(numbers.mean, _variance(numbers, kind), _kind(kind), numbers.explained, effect)


def _kind(kind: str) -> Kind:
    if kind in ("proportion", "retention"):
        return "proportion"
    return "ratio" if kind == "ratio" else "quantile" if kind == "quantile" else "mean"


def _variance(numbers: Numbers, kind: str) -> float:
    if _kind(kind) == "proportion":
        return numbers.mean * (1 - numbers.mean)
    if kind == "quantile":
        return _quantile_variance(numbers)
    if numbers.sd is None or not 0 <= numbers.sd < math.inf:
        raise EvidenceError(f"a {kind} needs its standard deviation", found=numbers.sd, next_step="--sd")
    if kind != "ratio" or numbers.denominator is None:
        return numbers.sd**2
    if numbers.denominator_sd is None or not -1 <= numbers.correlation <= 1:
        found = (numbers.denominator_sd, numbers.correlation)
        raise EvidenceError("a denominator has a deviation, and a correlation in [-1, 1]", found=found)
    return ratio_variance(
        numerator=numbers.mean * numbers.denominator,
        denominator=numbers.denominator,
        var_numerator=numbers.sd**2,
        var_denominator=numbers.denominator_sd**2,
        covariance=numbers.correlation * numbers.sd * numbers.denominator_sd,
    )


def _quantile_variance(numbers: Numbers) -> float:
    p = numbers.quantile
    if p is None or (numbers.density is None and numbers.sd is None):
        raise EvidenceError("a quantile needs its probability, and a density or a standard deviation", found=p)
    density = numbers.density if numbers.density is not None else normal_density(p, sd=numbers.sd or 0.0)
    return quantile_variance(p, density=density)


def _shares(weights: tuple[float, ...]) -> tuple[float, ...]:
    if len(weights) < 2 or not all(0 < weight < math.inf for weight in weights):
        raise EvidenceError("every arm needs a share of the units, control first", found=weights)
    return tuple(weight / math.fsum(weights) for weight in weights)


def _aim(numbers: Numbers, shares: tuple[float, ...]) -> Aim:
    held = 1 + numbers.guardrails
    if sum(amount is not None for amount in (numbers.mde, numbers.margin, numbers.equivalence)) > 1:
        raise EvidenceError("a plan is for one test", allowed="--mde, --margin or --equivalence")
    for amount in (numbers.margin, numbers.equivalence):
        if amount and not 0 < amount.value < math.inf:
            raise EvidenceError("a margin is positive", found=str(amount), allowed="such as 2% or 0.5")
    if numbers.equivalence and numbers.correction == "dunnett":
        raise EvidenceError("dunnett corrects tests of a difference", found="--equivalence", allowed="bonferroni, holm")
    if numbers.margin:
        rates = scheduled(
            numbers.looks, alpha=numbers.alpha, power=joint_power(numbers.power, held), days=numbers.days,
            two_sided=False,
        )  # fmt: skip
        return RuleOut(numbers.margin.value, numbers.margin.relative, numbers.increase_is_good, rates)
    level = family_level(numbers.alpha, correction=numbers.correction, shares=shares, metrics=numbers.metrics)
    rates = scheduled(
        numbers.looks, alpha=level, power=joint_power(numbers.power, held), days=numbers.days,
        two_sided=not numbers.equivalence,
    )  # fmt: skip
    if numbers.equivalence:
        return Equate(numbers.equivalence.value, numbers.equivalence.relative, rates)
    if not numbers.mde:
        return Detect(None, increase_is_good=numbers.increase_is_good, rates=rates)
    return Detect(numbers.mde.value, numbers.mde.relative, numbers.increase_is_good, rates)


def _history(numbers: Numbers, baseline: Baseline) -> History | None:
    """The baseline by day, where traffic is known."""
    if numbers.days is not None and not 0 < numbers.days < math.inf:
        raise EvidenceError("an experiment runs for some days", found=f"{numbers.days:g}", allowed="above 0")
    if numbers.per_day is None:
        return None
    return History.constant(baseline, Traffic.steady(numbers.per_day), delay=numbers.window / DAY)


def _entry(
    numbers: Numbers, aim: Aim, shares: tuple[float, float], baseline: Baseline, history: History | None
) -> Entry:
    made = planned(aim, shares=shares, history=history or baseline, days=numbers.days)
    if numbers.units is None:
        if made["n"] is None and "mde" not in made and not history:
            raise EvidenceError("nothing to plan", allowed="--mde, --margin or --equivalence, --units, or --per-day")
        return made
    if not 0 < numbers.units < math.inf:
        raise EvidenceError("an experiment has some units", found=f"{numbers.units:g}", allowed="above 0")
    made |= at_units(aim, baseline, shares=shares, units=numbers.units)
    return made | ({"power_curve": _powers(aim, baseline, shares, numbers.units)} if isinstance(aim, Detect) else {})


def _powers(aim: Detect, baseline: Baseline, shares: tuple[float, float], units: float) -> Entry:
    """Power from no effect to one that is hardly missed, with the units there are."""
    least = aim.least(baseline, units * shares[0], units * shares[1])
    if math.isnan(least):
        return {"effects": [], "power": []}
    sign = 1 if aim.increase_is_good else -1
    left = (1 - baseline.mean if sign > 0 else baseline.mean) if baseline.kind == "proportion" else math.inf
    most = min(1.8 * least, left)
    effects = [most * i / (_EFFECTS - 1) for i in range(_EFFECTS)]
    powers = power_curve(
        baseline, effects=[sign * effect for effect in effects], n_control=units * shares[0],
        n_treatment=units * shares[1], **aim.rates.test,
    )  # fmt: skip
    return {"effects": effects, "power": powers.tolist()}


def _said(numbers: Numbers, aim: Aim, shares: tuple[float, ...]) -> list[str]:
    sides = {Detect: "Two-sided", RuleOut: "One-sided", Equate: "Two one-sided tests at"}[type(aim)]
    tests = numbers.metrics * (len(shares) - 1)
    family = f" ({numbers.correction} over {tests})" if tests > 1 and not isinstance(aim, RuleOut) else ""
    sentences = [f"{sides} level {aim.rates.alpha:.3g}{family}, power {aim.rates.power:.3g}."]
    if numbers.guardrails:
        sentences.append(f"So that all {1 + numbers.guardrails} tests that must succeed do with {numbers.power:g}.")
    if aim.rates.inflation > 1:
        sentences.append(f"Looks take {aim.rates.inflation - 1:.1%} more units.")
    if numbers.window:
        sentences.append(f"A unit counts {numbers.window / DAY:g} days after its entry; days include that wait.")
    return sentences
