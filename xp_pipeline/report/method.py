"""The method in words: what each metric adds up, over which window, and how it was estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from xp_pipeline.report import words
from xp_pipeline.report.aliases import FACTORIAL, arms_of
from xp_pipeline.report.estimate import Estimate
from xp_pipeline.report.format import percent_level, sentence, share
from xp_pipeline.report.schedule import method_of
from xp_pipeline.report.scorecard import Scorecard
from xp_pipeline.spec.assignment import Assignment
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import MetricUse, RoleName
from xp_pipeline.spec.metric import Metric, Quantity
from xp_pipeline.spec.values import Amount, Condition, Where, format_duration


@dataclass(frozen=True)
class MetricMethod:
    """One metric: what it is, and how it is estimated, as sentences."""

    metric: str
    role: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    """The method of the whole experiment and of each metric, as sentences."""

    general: tuple[str, ...]
    metrics: tuple[MetricMethod, ...]


INTERIM = (
    "This is an interim reading: its intervals are confidence sequences, which hold at all looks together, "
    "and its tests wait for the planned end."
)
BETWEEN = (
    "What is not tested along the looks has a confidence sequence until the planned end, which holds at all looks "
    "together; its p-values wait for the end."
)


def build_method(bound: Bound, cards: Sequence[Scorecard]) -> Method:
    """The method, from the promise and from what the estimates say of themselves."""
    found: dict[str, list[Estimate]] = {}
    for card in cards:
        for block in card.blocks:
            found.setdefault(block.metric, []).extend(e for c in block.comparisons for e in c.estimates)
    return Method(
        general=(*_general(bound, cards), *_interim(bound, cards)),
        metrics=tuple(
            MetricMethod(use.metric, role, tuple(_sentences(bound, role, use, metric, found.get(use.metric, []))))
            for role, use, metric in bound.uses
        ),
    )


def _interim(bound: Bound, cards: Sequence[Scorecard]) -> list[str]:
    if not any(card.interim for card in cards):
        return []
    return [INTERIM] if bound.looks.schedule == "fixed" else [BETWEEN]


def _general(bound: Bound, cards: Sequence[Scorecard]) -> list[str]:
    experiment = bound.experiment
    analysis, assignment, population = experiment.analysis, experiment.assignment, experiment.population
    sentences = [_split(bound), *arms_of(bound)]
    many = {"exclude": "is left out of the analysis", "first": "counts in the arm it met first"}
    sentences.append(f"A unit seen in several arms {many[population.multi_arm]}.")
    if population.trigger:
        sentences.append(
            f"Windows begin when a unit reaches the entry point: a row of {population.trigger.source}"
            f"{_condition(population.trigger.where)} after its exposure."
        )
    sentences += [_level(bound)] if bound.looks.schedule == "fixed" else method_of(bound, tests=_primary_tests(cards))
    arms = len(assignment.treatments)
    if experiment.contrasts:
        named = ", ".join(c.name for c in experiment.contrasts)
        others = "effects of factors" if assignment.factors else f"{arms} comparisons with {assignment.control}"
        sentences.append(f"Besides the {others}, declared contrasts: {named}.")
    if analysis.cluster:
        sentences.append(f"A second reading treats each {analysis.cluster} as one unit of randomisation.")
    return sentences


def _level(bound: Bound) -> str:
    """The error rates of a single look."""
    analysis = bound.experiment.analysis
    primary = analysis.primary_correction
    adjusted = "not adjusted" if primary == "none" else f"adjusted by {words.named(words.CORRECTIONS, primary)}"
    return (
        f"The decision has a two-sided significance level of {percent_level(analysis.alpha)} over the primary "
        f"metrics and arms, {adjusted}; each guardrail is tested one-sided at "
        f"{percent_level(analysis.guardrail_alpha)}."
    )


def _primary_tests(cards: Sequence[Scorecard]) -> int:
    """Primary tests that share alpha, as the estimates say of their family."""
    mains = [c.main for card in cards if card.role == "primary" for block in card.blocks for c in block.comparisons]
    return sum(main.fine_print.family.startswith("primary") for main in mains)


def _split(bound: Bound) -> str:
    assignment = bound.experiment.assignment
    logged = bound.experiment.population.arm is not None
    if assignment.program:
        how = "are held against" if logged else "follow from"
        return (
            f"Arms {how} the program {assignment.program}, which decides by fields of the unit. The sample ratio is "
            f"tested in each of its branches against the weights there, and effects are averaged over branches whose "
            f"weights differ; the control arm is {assignment.control}."
        )
    if assignment.shares is None:
        return (
            f"The designed split between {', '.join(assignment.arms)} is unknown, so the sample ratio cannot be tested."
        )
    rule = "from a column of the data" if logged else "by hashing the unit's id"
    start = f"Arms are assigned {rule}, designed as {_shares(assignment.shares)}; the control arm is "
    return " ".join([f"{start}{assignment.control}.", *_narrowed(assignment)])


def _narrowed(assignment: Assignment) -> list[str]:
    """Who takes part, and since when, where that is not everybody from the start."""
    sentences = [f"Only units in its buckets of layer {assignment.layer.name} take part."] if assignment.layer else []
    if assignment.stratify:
        sentences.append(f"Shares are kept within every combination of {', '.join(assignment.stratify)}.")
    if not assignment.phases:
        return sentences
    steps = [
        f"{share(phase.coverage).text} of units from {phase.at:%Y-%m-%d %H:%M}"
        + (f" at {_shares(phase.weights)}" if phase.weights else "")
        for phase in assignment.phases
    ]
    return [*sentences, f"It ramps up: {'; '.join(steps)}. Each exposure is tested against the weights then in force."]


def _shares(weights: Mapping[str, float]) -> str:
    total = sum(weights.values())
    return ", ".join(f"{arm} {share(weight / total).text}" for arm, weight in weights.items())


def _sentences(
    bound: Bound, role: RoleName, use: MetricUse, metric: Metric, estimates: Sequence[Estimate]
) -> list[str]:
    sentences = [_definition(metric), _window(bound, metric), _nulls(metric), *_cap(metric, estimates)]
    sentences += [_estimator(metric, estimates), *_covariates(metric, estimates)]
    if role == "guardrail" and use.margin:
        worse = "fall" if metric.direction == "increase" else "rise"
        sentences.append(f"Guardrail: a {worse} of more than {_amount(use.margin)} must be excluded.")
    if use.equivalence:
        sentences.append(
            f"Tested for equivalence: a change of more than {_amount(use.equivalence)}, either way, must be "
            "excluded by two one-sided tests."
        )
    families = dict.fromkeys(e.fine_print.family for e in estimates if e.decisive and e.fine_print.family)
    sentences += [f"p-values are adjusted within the family {family}." for family in families]
    return [sentence for sentence in sentences if sentence]


def _definition(metric: Metric) -> str:
    good = "Higher" if metric.direction == "increase" else "Lower"
    described = sentence(metric.description) if metric.description.strip() else ""
    if metric.type == "quantile":
        rank = "median" if metric.quantile == 0.5 else f"{(metric.quantile or 0) * 100:g}th percentile"
        what = f"The {rank} over units of {_quantity(metric.quantities[0])}"
    elif metric.type == "ratio":
        top, bottom = (_quantity(q) for q in metric.quantities)
        what = f"Over all units of an arm, {top} divided by {bottom}"
    elif metric.binary:
        what = f"The share of units with {_quantity(metric.quantities[0])}"
    else:
        what = f"Per unit, {_quantity(metric.quantities[0])}"
    return " ".join(part for part in (described, f"{what}. {good} is better.") if part)


def _quantity(quantity: Quantity) -> str:
    of = f"{quantity.source}{_condition(quantity.where)}"
    rows = f"rows of {of}"
    value = quantity.value or ""
    phrases = {
        "sum": f"the sum of {value} over {rows}",
        "count": f"the number of {rows}" + (f" with a {value}" if value else ""),
        "max": f"the largest {value} among {rows}",
        "mean": f"the mean of {value} over {rows}",
        "any": f"{value} in any row of {of}" if value else f"any row of {of}",
    }
    return phrases[quantity.aggregate]


def _condition(where: Where) -> str:
    parts = [f"{column} {_clause(condition)}" for column, condition in where.items()]
    return f" where {' and '.join(parts)}" if parts else ""


def _clause(condition: Condition) -> str:
    clauses = []
    if condition.one_of is not None:
        clauses.append(f"is {_listed(condition.one_of)}")
    if condition.not_one_of is not None:
        clauses.append(f"is not {_listed(condition.not_one_of)}")
    if condition.at_least is not None:
        clauses.append(f"is at least {condition.at_least:g}")
    if condition.at_most is not None:
        clauses.append(f"is at most {condition.at_most:g}")
    if condition.is_null is not None:
        clauses.append("is missing" if condition.is_null else "is known")
    return " and ".join(clauses)


def _listed(values: Sequence[Any]) -> str:
    return " or ".join(str(v).lower() if isinstance(v, bool) else str(v) for v in values)


def _window(bound: Bound, metric: Metric) -> str:
    if not _is_timed(bound.sources, metric):
        return ""
    began = "entry point" if bound.experiment.population.trigger else "first exposure"
    window = metric.window
    after = f"{format_duration(window.delay)} after its {began}" if window.delay else f"its {began}"
    length = format_duration(window.length) if window.length else ""
    sentence = {
        "none": f"A unit's rows count from {after} to the end of the analysis.",
        "conversion": f"A unit's rows count for {length} from {after}; the last moment is excluded.",
        "lookback": f"A unit's rows count in the last {length} of the analysis, not before {after}.",
    }[window.kind]
    if metric.mature:
        old_enough = window.delay + (window.length or timedelta(0))
        sentence += f" Only units whose exposure is {format_duration(old_enough)} old or older are counted."
    return sentence


def _is_timed(sources: Mapping[str, Mapping[str, Any]], metric: Metric) -> bool:
    kinds = {sources.get(quantity.source, {}).get("kind") for quantity in metric.quantities}
    return bool(kinds & {"event_log", "unit_periods"})


def _nulls(metric: Metric) -> str:
    if metric.nulls == "zero":
        return "A unit without a value counts as zero."
    return "A unit without a value is left out of this metric."


def _cap(metric: Metric, estimates: Sequence[Estimate]) -> list[str]:
    if metric.log:
        return ["The decision reads the mean of log(1 + value); the plain mean stands beside it."]
    if metric.cap is None:
        return []
    used = next((e.fine_print for e in estimates if e.fine_print.cap.value is not None), None)
    where = f"at {metric.cap.value:g}" if metric.cap.value is not None else _percentile(metric)
    found = f" (here {used.cap.text}; {used.capped_share.text} of units lie above)" if used else ""
    return [f"Values per unit are capped {where}, the same in every arm{found}."]


def _percentile(metric: Metric) -> str:
    assert metric.cap
    values = "positive values" if metric.cap.positive_only else "values"
    return f"at the {metric.cap.percentile:g}th percentile of {values} pooled over arms"


def _estimator(metric: Metric, estimates: Sequence[Estimate]) -> str:
    main = next((e for e in estimates if e.decisive), None)
    beside = dict.fromkeys(e.name for e in estimates if not e.decisive)
    how = {
        "welch": "Welch's t test compares the arms",
        "ratio": "Welch's t test compares the arms, the variance of each ratio being by the delta method",
        "cuped": "Welch's t test compares the arms after adjustment for covariates within arms (CUPED)",
        "ratio_cuped": "Welch's t test compares the linearised ratios after adjustment for covariates (CUPED)",
        "score": "Counts are small, so the interval inverts the score test of Miettinen and Nurminen",
        "quantile": "The quantiles of the arms are compared, their errors read from the order statistics around them",
        "clustered": "Welch's t test compares sums by cluster",
        "clustered_quantile": "The quantiles are compared, their errors read from the shares below them by cluster",
        "adaptively_weighted": "Arms got traffic by what had been learned, so scores are weighted by the inverse "
        "of the published shares (Hadad et al. 2021)",
        **FACTORIAL,
    }
    scales = {"": "", "capped": ", on capped values", "log": ", on the log scale"}
    if main is None or main.status == "blocked":
        return ""
    shown = f" Shown beside it: {'; '.join(beside)}." if beside else ""
    variant, base = words.estimator_parts(main.estimator)
    compared = how.get(base, f"The estimator is {main.name}") + scales[variant]
    return f"{compared}." + (" The lift's interval is Fieller's." if variant != "log" else "") + shown


def _covariates(metric: Metric, estimates: Sequence[Estimate]) -> list[str]:
    if not metric.covariates:
        return []
    names = ", ".join(covariate.name for covariate in metric.covariates)
    removed = [e.fine_print.variance_reduction for e in estimates if e.fine_print.variance_reduction.value is not None]
    found = f"; they removed {' and '.join(dict.fromkeys(r.text for r in removed))} of the variance" if removed else ""
    return [f"Covariates measured before exposure: {names}{found}."]


def _amount(amount: Amount) -> str:
    return f"{amount.value * 100:g}% of the baseline mean" if amount.relative else f"{amount.value:g}"
