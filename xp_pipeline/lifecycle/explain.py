"""A metric and an experiment in words, and a metric as the SQL that measures it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from xp_pipeline.engine.queries import render
from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.lifecycle.assignment.explain_arms import arms_said, arrangement, opening
from xp_pipeline.lifecycle.measurement.columns import Horizon, Plan
from xp_pipeline.lifecycle.measurement.measure import BUCKETS
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.assignment import Assignment
from xp_pipeline.spec.experiment import Experiment
from xp_pipeline.spec.folder import Folder
from xp_pipeline.spec.metric import Metric, Quantity
from xp_pipeline.spec.values import Where, format_duration


@dataclass(frozen=True)
class _Named:
    """Stands for a workspace where no data is read: sources are named by where their rows would lie."""

    folder: Folder

    def version(self, source: str) -> Any:
        return SimpleNamespace(data=Path(f"lake/sources/{source}/data.parquet"))


def explain_metric(folder: Folder, name: str) -> str:
    """The sentence and the SQL of a metric.

    Raises:
        SpecError: no such metric.
    """
    if name not in folder.metrics:
        raise SpecError(f"no metric {name!r}", where="metrics", allowed=nearest(name, folder.metrics))
    metric = folder.metrics[name]
    plan = Plan(cast(Workspace, _Named(folder)), [metric], Horizon(None, None))
    query = render(
        "unit_values",
        sources=[vars(source) for source in plan.sources],
        outputs=plan.outputs,
        segments=[],
        bucket_low=0,
        bucket_high=BUCKETS,
    )
    return f"{sentence(metric)}\n\n{query}"


def sentence(metric: Metric) -> str:
    """A metric as one paragraph."""
    first, *rest = metric.quantities
    what = _quantity(first)
    if rest:
        what = f"the ratio of {what} to {_quantity(rest[0])}, summed over units"
    elif metric.type == "quantile":
        what = f"the {_rank(metric.quantile or 0.5)} over units of {what}"
    elif metric.binary:
        what = f"the share of units with {what}"
    else:
        what = f"the mean per unit of {what}"
    return " ".join([f"{metric.name} is {what}, {_window(metric)}.", *_details(metric)])


def _rank(quantile: float) -> str:
    return "median" if quantile == 0.5 else f"{quantile * 100:g}th percentile"


def _quantity(quantity: Quantity) -> str:
    words = {
        "sum": f"the sum of {quantity.value}",
        "count": f"the number of rows{f' with {quantity.value}' if quantity.value else ''}",
        "max": f"the largest {quantity.value}",
        "any": f"any row{f' where {quantity.value} is true' if quantity.value else ''}",
        "mean": f"the mean of {quantity.value}",
    }[quantity.aggregate]
    where = f" where {_where(quantity.where)}" if quantity.where else ""
    return f"{words} in {quantity.source}{where}"


def _where(where: Where) -> str:
    parts = []
    for column, condition in where.items():
        for name, value in condition.model_dump(exclude_none=True).items():
            shown = ", ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)
            parts.append(f"{column} {name.replace('_', ' ')} {shown}")
    return " and ".join(parts)


def _window(metric: Metric) -> str:
    window = metric.window
    delay = f" plus {format_duration(window.delay)}" if window.delay else ""
    if window.kind == "none":
        return f"from first exposure{delay} to the end of the analysis"
    length = format_duration(window.length) if window.length else ""
    if window.kind == "conversion":
        return f"in the {length} that begin at first exposure{delay} (the end excluded)"
    return f"in the last {length} before the end of the analysis, not before first exposure{delay}"


def _details(metric: Metric) -> list[str]:
    said = [f"A unit without a value counts as {'0' if metric.nulls == 'zero' else 'absent'}."]
    if metric.mature:
        said.append(f"Only units exposed at least {format_duration(metric.maturity)} before the as-of count.")
    if metric.cap:
        at = f"{metric.cap.value:g}" if metric.cap.value is not None else f"the {metric.cap.percentile:g}th percentile"
        base = " of positive values" if metric.cap.percentile and metric.cap.positive_only else ""
        said.append(f"Values are capped at {at}{base}, pooled over arms; the uncapped mean stands beside it.")
    if metric.log:
        said.append("It is read as log(1 + value); the plain mean stands beside it.")
    if metric.covariates:
        said.append(f"Adjusted for {', '.join(c.name for c in metric.covariates)}.")
    return [*said, f"{metric.direction.capitalize()} is good."]


def explain_experiment(folder: Folder, name: str) -> str:
    """An experiment as a paragraph: arms, population, metrics by role, and how it ends."""
    experiment = folder.experiment(name)
    arms = arms_said(experiment)
    arm, rule = experiment.population.arm, experiment.assignment.rule
    origin = f"read from {arm.column}" if arm else f"computed by bucket rule {rule}"
    lines = [
        opening(experiment),
        f"Arms: {arms}{_unshared(experiment.assignment)}, {origin} in {experiment.population.source}.",
        *arrangement(experiment),
        f"Runs from {experiment.start or 'an unknown start'} to {experiment.end or 'an unknown end'}; "
        f"alpha {experiment.analysis.alpha:g}.",
        *_extension(experiment),
    ]
    for role, use in experiment.metrics.items():
        margin = (
            f" {'The same within' if use.equivalence else 'Harm tolerated:'} {use.tolerated}." if use.tolerated else ""
        )
        lines.append(f"  {role}: {sentence(folder.metrics[use.metric])}{margin}")
    return "\n".join(lines)


def _extension(experiment: Experiment) -> list[str]:
    extension = experiment.analysis.extension
    if extension is None:
        return []
    most = format_duration(extension.most)
    return [f"After {extension.at:.0%} of its time the variance of all units says if its end moves; by {most} at most."]


def _unshared(assignment: Assignment) -> str:
    """Where no shares are shown, why."""
    if assignment.program:
        return f" (weights of {assignment.program})"
    return "" if assignment.shares else " (designed shares unknown)"
