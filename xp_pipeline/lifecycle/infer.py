"""From evidence to results: every metric, arm, segment, population and estimator as one row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xp_pipeline.lifecycle.measure import Cell, Reading, decisive_variant
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import MetricUse, RoleName
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.clusters import clustered
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.multiplicity import adjust, simultaneous_alpha
from xp_pipeline.stats.noninferiority import NonInferiority, non_inferiority
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.sequences import confidence_band
from xp_pipeline.stats.skew import tails_unreliable

Row = dict[str, Any]
Estimator = Callable[..., Estimate]


@dataclass(frozen=True)
class Comparison:
    """Arms (pooled if several) against a baseline (likewise)."""

    name: str
    arms: tuple[str, ...]
    against: tuple[str, ...]

    @property
    def baseline(self) -> str:
        return "+".join(self.against)


def comparisons(bound: Bound) -> list[Comparison]:
    """Every treatment against control, then the declared contrasts."""
    assignment = bound.experiment.assignment
    against = (assignment.control,)
    return [
        *(Comparison(arm, (arm,), against) for arm in assignment.treatments),
        *(Comparison(c.name, c.arms, c.against) for c in bound.experiment.contrasts),
    ]


@dataclass(frozen=True)
class Setting:
    """What an inference is made under.

    Attributes:
        bound: The spec.
        final: Whether p-values may be shown.
        units: Units of each population by arm, for shares of mature units.
        planned_n: Units that interim bands are tuned to.
        deciding: The population that decisions read.
        alpha, correction: Replaced in a labelled re-analysis only.
    """

    bound: Bound
    final: bool
    planned_n: int
    deciding: str
    blocked_populations: Sequence[str] = ()
    alpha: float | None = None
    correction: str | None = None

    @property
    def level_alpha(self) -> float:
        return self.alpha if self.alpha is not None else self.bound.experiment.analysis.alpha


def infer(setting: Setting, readings: Mapping[str, Sequence[Reading]], clusters: Mapping[str, Any]) -> list[Row]:
    """All results of one look, p-values adjusted within their families."""
    rows = [row for population, found in readings.items() for row in _population(setting, population, found)]
    rows += list(_clustered(setting, readings.get("enrolled", ()), clusters))
    if setting.final:
        _adjust_families(setting, rows)
    else:
        for row in rows:
            row.pop("main")
            row.update(p_value=None, significant=None, ni_p_value=None, ni_holds=None)
    return rows


def _population(setting: Setting, population: str, readings: Sequence[Reading]) -> Iterator[Row]:
    roles = {use.metric: (role, use) for role, use, _ in setting.bound.uses}
    sizes = _sizes(readings)
    for reading in readings:
        role, use = roles[reading.metric]
        metric = setting.bound.metrics[reading.metric]
        cuts = sorted({(cell.segment, cell.level) for cell in reading.cells} | {("", "")})
        for segment, level in cuts:
            for comparison in comparisons(setting.bound):
                yield from _estimates(
                    setting, population, reading, metric, role, use, comparison, segment, level, sizes
                )


def _sizes(readings: Sequence[Reading]) -> dict[Cell, int]:
    """The largest count of any metric in a cell: units before maturity and null policy."""
    sizes: dict[Cell, int] = {}
    for reading in readings:
        for cell, moments in reading.cells.items():
            sizes[cell] = max(sizes.get(cell, 0), moments.n)
    return sizes


def _estimates(
    setting: Setting,
    population: str,
    reading: Reading,
    metric: Metric,
    role: RoleName,
    use: MetricUse,
    comparison: Comparison,
    segment: str,
    level: str,
    sizes: Mapping[Cell, int],
) -> Iterator[Row]:
    """The raw estimate, and the adjusted one where there are covariates."""
    size = len(metric.quantities) + len(reading.covariates)
    control = _pooled(reading, comparison.against, segment, level, size)
    treatment = _pooled(reading, comparison.arms, segment, level, size)
    outcome = list(range(len(metric.quantities)))
    alpha = setting.level_alpha
    raw = _raw_estimator(metric, reading)(control.take(outcome), treatment.take(outcome), alpha=alpha)
    found = [(raw, _caution(metric, control, treatment))]
    if reading.covariates:
        adjusted = cuped(control, treatment, alpha=alpha, ratio=metric.type == "ratio")
        found.append((adjusted, _caution(metric, control, treatment)))
    arms = (*comparison.arms, *comparison.against)
    everyone = sum(sizes.get(Cell(arm, segment, level), 0) for arm in arms)
    mature = (control.n + treatment.n) / everyone if everyone else NAN
    for estimate, caution in found:
        usable = _matured(estimate, metric, everyone)
        main = reading.variant == decisive_variant(metric) and estimate is found[-1][0]
        row = _row(setting, metric, role, comparison, segment, level, usable.cautioned(caution), reading)
        row |= {
            "population": population,
            "estimator": _estimator_name(usable.estimator, reading.variant),
            "main": main,
            "decisive": main and population == setting.deciding and not segment,
            "mature_share": mature,
        }
        row |= _guardrail(setting, use, metric, usable) if role == "guardrail" else {}
        if population in setting.blocked_populations:
            row = withheld(row, f"the sample ratio of the {population} population is not the designed one")
        yield row


def _pooled(reading: Reading, arms: Sequence[str], segment: str, level: str, size: int) -> Moments:
    return Moments.merge(*(reading.cells.get(Cell(arm, segment, level), Moments.empty(size)) for arm in arms))


def _raw_estimator(metric: Metric, reading: Reading) -> Estimator:
    if metric.type == "ratio":
        return ratio
    return proportion if metric.binary else welch


def _caution(metric: Metric, control: Moments, treatment: Moments) -> str | None:
    if metric.type == "ratio" or metric.binary:
        return None
    return tails_unreliable(control, treatment)


def _matured(estimate: Estimate, metric: Metric, everyone: int) -> Estimate:
    if metric.mature and estimate.status == Status.INSUFFICIENT_DATA and everyone:
        return Estimate(
            Status.IMMATURE,
            "no unit's window has passed yet",
            estimate.estimator,
            estimate.n_control,
            estimate.n_treatment,
        )
    return estimate


def _estimator_name(estimator: str, variant: str) -> str:
    return "_".join(part for part in (variant, estimator) if part)


def _row(
    setting: Setting,
    metric: Metric,
    role: str,
    comparison: Comparison,
    segment: str,
    level: str,
    estimate: Estimate,
    reading: Reading,
) -> Row:
    ok = estimate.status == Status.OK
    low, high, lift = estimate.low, estimate.high, estimate.relative
    if ok and not setting.final:
        low, high, lift = confidence_band(estimate, planned_n=setting.planned_n, alpha=setting.level_alpha)
    relative_ok = ok and reading.variant != "log"
    return {
        "metric": metric.name,
        "metric_type": metric.type,
        "role": role,
        "direction": metric.direction,
        "segment": segment,
        "segment_value": level,
        "arm": comparison.name,
        "baseline": comparison.baseline,
        "status": str(estimate.status),
        "reason": estimate.reason,
        "n_arm": estimate.n_treatment,
        "n_baseline": estimate.n_control,
        "mean_arm": estimate.mean_treatment,
        "mean_baseline": estimate.mean_control,
        "variance_arm": estimate.var_treatment,
        "variance_baseline": estimate.var_control,
        "effect": estimate.effect,
        "se": estimate.se,
        "df": estimate.df,
        "ci_level": estimate.level,
        "ci_low": low,
        "ci_high": high,
        "interval_kind": "confidence" if setting.final else "sequence",
        "p_value": estimate.p_value if ok else None,
        "lift": lift.lift if relative_ok else NAN,
        "lift_low": lift.low if relative_ok else NAN,
        "lift_high": lift.high if relative_ok else NAN,
        "lift_status": str(lift.status) if relative_ok else str(Status.UNDEFINED_RELATIVE),
        "cuped_applied": bool(estimate.theta),
        "variance_reduction": estimate.variance_reduction if ok else NAN,
        "theta": json.dumps(dict(zip(reading.covariates, estimate.theta, strict=False))) if estimate.theta else "",
        "cap_value": reading.cap,
        "capped_share": reading.capped_share,
        "alpha": setting.level_alpha,
    }


def _guardrail(setting: Setting, use: MetricUse, metric: Metric, estimate: Estimate) -> Row:
    assert use.margin is not None
    test: NonInferiority = non_inferiority(
        estimate,
        margin=use.margin.value,
        relative=use.margin.relative,
        increase_is_good=metric.direction == "increase",
        alpha=setting.bound.experiment.analysis.guardrail_alpha,
    )
    return {
        "margin": use.margin.value,
        "margin_relative": use.margin.relative,
        "ni_bound": test.bound if setting.final else NAN,
        "ni_p_value": test.p_value,
        "ni_holds": test.holds,
        "alpha": setting.bound.experiment.analysis.guardrail_alpha,
    }


def _clustered(setting: Setting, readings: Sequence[Reading], clusters: Mapping[str, Any]) -> Iterator[Row]:
    """The second reading of every metric, by cluster."""
    for role, _, metric in setting.bound.uses:
        arms = clusters.get(metric.name)
        if not arms:
            continue
        names = sorted({cluster for sums in arms.values() for cluster in sums})
        for comparison in comparisons(setting.bound):
            control, treatment = (_cluster_table(arms, group, names) for group in (comparison.against, comparison.arms))
            estimate = clustered(control, treatment, alpha=setting.level_alpha).cautioned(
                _unclustered(readings, metric, comparison, control[:, 1].sum() + treatment[:, 1].sum())
            )
            reading = Reading(metric.name, "", (), {})
            row = _row(setting, metric, role, comparison, "", "", estimate, reading)
            if not setting.final and estimate.status == Status.OK:
                row["reason"] = "interim band on clusters"
            yield row | {
                "population": "enrolled",
                "estimator": "clustered",
                "main": False,
                "decisive": False,
                "mature_share": NAN,
            }


def _unclustered(readings: Sequence[Reading], metric: Metric, comparison: Comparison, counted: float) -> str | None:
    """A caution about units that have no cluster and are left out of this reading."""
    if metric.type == "ratio":
        return None
    cells = next(r.cells for r in readings if r.metric == metric.name and not r.variant)
    everyone = sum(cells[Cell(a)].n for a in (*comparison.arms, *comparison.against) if Cell(a) in cells)
    return f"{everyone - counted:,.0f} units without a cluster are left out" if everyone > counted else None


def _cluster_table(arms: Mapping[str, Any], group: Sequence[str], names: Sequence[str]) -> Any:
    table = np.zeros((len(names), 2))
    for arm in group:
        sums = arms.get(arm, {})
        table += np.array([sums.get(name, (0.0, 0.0)) for name in names], dtype=float).reshape(-1, 2)
    return table


def withheld(row: Row, reason: str) -> Row:
    """The row of a blocked estimate: everything measured is gone, what it would have been about stays."""
    kept = (
        "metric", "metric_type", "role", "direction", "segment", "segment_value", "arm", "baseline", "population",
        "estimator", "main", "decisive", "interval_kind", "margin", "margin_relative", "alpha",
    )  # fmt: skip
    return {key: row[key] for key in kept if key in row} | {"status": str(Status.BLOCKED), "reason": reason}


def _adjust_families(setting: Setting, rows: list[Row]) -> None:
    """Adjust within families; each metric enters once, by its main reading, the others stand beside it.

    Primary x treatment is one family, secondary another; contrasts, exploratory metrics and segments are
    families of their own. Guardrails are not adjusted: all of them must hold.
    """
    analysis = setting.bound.experiment.analysis
    methods = {
        "primary": setting.correction or analysis.primary_correction,
        "secondary": setting.correction or analysis.secondary_correction,
    }
    families: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        name = _family_of(setting, row)
        if row.pop("main") and name:
            families.setdefault((row["population"], name), []).append(row)
    for (_, name), members in families.items():
        _family(members, name, methods.get(name, "fdr_bh"), setting.level_alpha)


def _family_of(setting: Setting, row: Row) -> str | None:
    if row["role"] == "guardrail":
        return None
    if row["segment"]:
        return "segments"
    if row["arm"] not in setting.bound.experiment.assignment.treatments:
        return "contrasts"
    return str(row["role"])


def _family(rows: Sequence[Row], name: str, method: str, alpha: float) -> None:
    adjusted = adjust([row.get("p_value") for row in rows], method=method)  # type: ignore[arg-type]
    size = sum(p is not None for p in adjusted)
    for row, p in zip(rows, adjusted, strict=True):
        row |= {"p_adjusted": p, "family": f"{name}:{method}", "family_size": size}
        row["significant"] = None if p is None else p <= alpha
        if p is not None and name == "primary" and method != "none":
            low, high = _simultaneous(row, simultaneous_alpha(alpha, size))
            row |= {"ci_adjusted_low": low, "ci_adjusted_high": high}


def _simultaneous(row: Row, alpha: float) -> tuple[float, float]:
    """The interval at the family's level; not drawn for a score interval, which has no standard error."""
    from xp_pipeline.stats.means import t_quantile

    if not math.isfinite(row["se"]) or row["estimator"].endswith("score"):
        return NAN, NAN
    q = t_quantile(1 - alpha / 2, row["df"])
    return row["effect"] - q * row["se"], row["effect"] + q * row["se"]
