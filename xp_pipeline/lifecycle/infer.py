"""From evidence to results: every metric, arm, segment, population and estimator as one row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xp_pipeline.lifecycle.clustered import clustered_rows
from xp_pipeline.lifecycle.comparisons import Comparison, comparisons
from xp_pipeline.lifecycle.estimators import estimates, matured
from xp_pipeline.lifecycle.families import adjust_families
from xp_pipeline.lifecycle.measure import Cell, Reading, decisive_variant
from xp_pipeline.lifecycle.rows import Row, Setting, described, guarded, withheld
from xp_pipeline.stats.estimates import NAN


def infer(setting: Setting, readings: Mapping[str, Sequence[Reading]], clusters: Mapping[str, Any]) -> list[Row]:
    """All results of one look, p-values adjusted within their families."""
    rows = [row for population, found in readings.items() for row in _population(setting, population, found)]
    rows += list(clustered_rows(setting, readings.get("enrolled", ()), clusters))
    if setting.final:
        adjust_families(setting, rows)
    else:
        for row in rows:
            row.pop("main")
            row.update(p_value=None, significant=None, ni_p_value=None, ni_holds=None)
    return rows


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
    metric = setting.bound.metrics[reading.metric]
    found = estimates(metric, reading, comparison, segment, level, alpha=setting.level_alpha)
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
        row |= guarded(setting, use, metric, usable) if role == "guardrail" else {}
        if population in setting.blocked_populations:
            row = withheld(row, f"the sample ratio of the {population} population is not the designed one")
        yield row
