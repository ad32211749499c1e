"""From evidence to results: every metric, arm, segment, population and estimator as one row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xp_pipeline.lifecycle.comparisons import Comparison, comparisons, decided
from xp_pipeline.lifecycle.inference.always_valid import always_valid
from xp_pipeline.lifecycle.inference.clustered import clustered_rows
from xp_pipeline.lifecycle.inference.estimators import estimates, matured
from xp_pipeline.lifecycle.inference.families import adjust_families
from xp_pipeline.lifecycle.inference.margins import tested
from xp_pipeline.lifecycle.inference.read_outs import read_out
from xp_pipeline.lifecycle.inference.rows import Row, Setting, described, judged, withheld
from xp_pipeline.lifecycle.inference.sequential import group_sequential
from xp_pipeline.lifecycle.measurement.measure import Cell, Reading, decisive_variant
from xp_pipeline.spec.experiment import DECIDING, MetricUse, RoleName
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.estimates import NAN, Estimate


def infer(
    setting: Setting,
    readings: Mapping[str, Sequence[Reading]],
    clusters: Mapping[str, Any],
    *,
    read_outs: bool = True,
) -> list[Row]:
    """All results of one look, p-values adjusted within their families; with Bayesian read-outs unless told."""
    rows = [row for population, found in readings.items() for row in _population(setting, population, found)]
    rows += list(clustered_rows(setting, readings.get("enrolled", ()), clusters))
    if setting.final:
        adjust_families(setting, rows)
    else:
        for row in rows:
            _silence(row)
    for row in rows:
        row |= read_out(setting, row) if read_outs else {}
        row.pop("estimate", None)
    return rows


def _silence(row: Row) -> None:
    """Take away what only the final look says; what was tested along the looks stays."""
    del row["main"]
    if "tests" not in row:
        row.update(p_value=None, significant=None, margin_p_value=None, margin_holds=None)
    elif row["role"] not in DECIDING:
        row.update(p_value=None, margin_p_value=None, margin_holds=None)


def _population(setting: Setting, population: str, readings: Sequence[Reading]) -> Iterator[Row]:
    sizes = _sizes(readings)
    for reading in readings:
        cuts = sorted({(cell.segment, cell.level) for cell in reading.cells} | {("", "")})
        for segment, level in cuts:
            for comparison in comparisons(setting.bound):
                arms = (*comparison.arms, *comparison.against)
                everyone = sum(sizes.get(Cell(arm, segment, level), 0) for arm in arms)
                yield from _rows(setting, population, reading, comparison, segment, level, everyone)


def _sizes(readings: Sequence[Reading]) -> dict[Cell, int]:
    """The largest count of any metric in a cell: units before maturity and null policy."""
    sizes: dict[Cell, int] = {}
    for reading in readings:
        for cell, moments in reading.cells.items():
            sizes[cell] = max(sizes.get(cell, 0), moments.n)
    return sizes


def _rows(
    setting: Setting,
    population: str,
    reading: Reading,
    comparison: Comparison,
    segment: str,
    level: str,
    everyone: int,
) -> Iterator[Row]:
    """One row an estimator; ``everyone`` counts the units before maturity and null policy."""
    role, use = setting.roles[reading.metric]
    metric = setting.metrics[reading.metric]
    settings: Any = {
        "alpha": setting.level_alpha,
        "shares": setting.strata,
        "analysis": setting.bound.experiment.analysis,
    }
    found = estimates(metric, reading, comparison, segment, level, **settings)
    for estimate in found:
        usable = matured(estimate, metric, everyone)
        main = reading.variant == decisive_variant(metric) and estimate is found[-1]
        row = described(setting, metric, role, comparison, segment, level, usable, reading) | {
            "population": population,
            "estimator": "_".join(part for part in (reading.variant, usable.estimator) if part),
            "main": main,
            "decisive": main and population == setting.deciding and not segment,
            "mature_share": (usable.n_control + usable.n_treatment) / everyone if everyone else NAN,
        }
        if comparison.order == 1:
            alpha = setting.margin_alpha(role)
            row |= tested(use, metric, usable, alpha=alpha, final=setting.final)
            row["alpha"] = alpha
        row |= judged(setting, role, use, metric, usable) if row["decisive"] else {}
        row["estimate"] = usable
        row |= _along_the_looks(setting, row, role, use, reading, comparison, usable)
        if population in setting.blocked_populations:
            row = withheld(row, f"the sample ratio of the {population} population is not the designed one")
        yield row


def _along_the_looks(
    setting: Setting,
    row: Row,
    role: RoleName,
    use: MetricUse,
    reading: Reading,
    comparison: Comparison,
    estimate: Estimate,
) -> Row:
    """The tests of a deciding row under a sequential schedule; nothing for other rows."""
    schedule = setting.bound.looks.schedule
    if setting.occasion is None or schedule == "fixed" or role == "exploratory":
        return {}
    if not row["decisive"] or comparison.name not in decided(setting.bound):
        return {}
    metric = setting.metrics[reading.metric]
    counts = _nonzero(reading, comparison.against), _nonzero(reading, comparison.arms)
    test = group_sequential if schedule == "group_sequential" else always_valid
    found = test(setting, setting.occasion, role, use, metric, comparison, estimate, counts)
    said = [row["reason"], found.get("reason", ""), _matured_only(setting, metric)]
    return found | {"reason": "; ".join(part for part in said if part)}


def _nonzero(reading: Reading, arms: Sequence[str]) -> int:
    return sum(reading.nonzero.get(Cell(arm), 0) for arm in arms)


def _matured_only(setting: Setting, metric: Metric) -> str:
    grows = setting.bound.metrics[metric.name].growing and not setting.final
    return "claims rest on the units whose window has passed" if grows else ""
