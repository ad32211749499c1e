"""Third sums of the residuals behind ratio and adjusted estimates, made at looks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from xp_pipeline.engine.predicates import literal
from xp_pipeline.engine.queries import render
from xp_pipeline.lifecycle.comparisons import comparisons
from xp_pipeline.lifecycle.measurement.columns import Column
from xp_pipeline.lifecycle.measurement.measure import Cell, Measurement, Reading, decisive_variant
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.skew import ResidualCoefficients, residual_coefficients


class _Wanted(NamedTuple):
    """The residual of one side of a comparison of a reading."""

    reading: Reading
    comparison: str
    arms: tuple[str, ...]
    moments: Moments
    coefficients: ResidualCoefficients


def with_thirds(measurement: Measurement, readings: Sequence[Reading], bound: Bound) -> list[Reading]:
    """The deciding readings with the third sums of control and treatment by comparison, of everybody."""
    wanted = [side for reading in readings for side in _sides(bound, reading)]
    known = [_known(measurement, side) for side in wanted]
    summed = iter(_summed(measurement, [side for side, third in zip(wanted, known, strict=True) if third is None]))
    found: dict[int, dict[str, tuple[float, ...]]] = {}
    for side, third in zip(wanted, known, strict=True):
        by_comparison = found.setdefault(id(side.reading), {})
        exact = next(summed) if third is None else third
        by_comparison[side.comparison] = (*by_comparison.get(side.comparison, ()), exact)
    return [replace(reading, thirds=found.get(id(reading), {})) for reading in readings]


def _known(measurement: Measurement, side: _Wanted) -> float | None:
    """The third sum as the fused pass has it; None where it did not sum cubes, or they cancel."""
    key = side.reading.metric, side.reading.variant
    cubes = measurement.cubes.get(key)
    if cubes is None:
        return None
    total = sum((cubes[arm] for arm in side.arms if arm in cubes), np.zeros(()))
    return side.coefficients.third_of(side.moments, shift=measurement.variables[key].shift, cubes=total)


def _summed(measurement: Measurement, sides: Sequence[_Wanted]) -> list[float]:
    """Third sums by one more pass over the units."""
    if not sides:
        return []
    columns = [Column(f"r_{i}", _residual(measurement, side)) for i, side in enumerate(sides)]
    parts = measurement.rows(render("residual_cubes", residuals=columns, relation="unit_values"))
    return [sum(part[i] or 0.0 for part in parts) for i in range(len(sides))]


def _sides(bound: Bound, reading: Reading) -> Iterator[_Wanted]:
    """Control's side first, of every comparison whose estimate is a ratio's or adjusted."""
    metric = bound.metrics[reading.metric]
    if metric.type == "quantile" or reading.variant != decisive_variant(metric):
        return
    if metric.type != "ratio" and not reading.covariates:
        return
    for comparison in comparisons(bound):
        groups = comparison.against, comparison.arms
        control, treatment = (everybody(reading, metric, group) for group in groups)
        coefficients = residual_coefficients(control, treatment, ratio=metric.type == "ratio")
        if coefficients:
            for group, moments, one in zip(groups, (control, treatment), coefficients, strict=True):
                yield _Wanted(reading, comparison.name, group, moments, one)


def everybody(reading: Reading, metric: Metric, arms: Sequence[str], segment: str = "", level: str = "") -> Moments:
    """The moments of some arms together."""
    empty = Moments.empty(len(metric.quantities) + len(reading.covariates))
    return Moments.merge(*(reading.cells.get(Cell(arm, segment, level), empty) for arm in arms))


def _residual(measurement: Measurement, side: _Wanted) -> str:
    variables = measurement.variables[side.reading.metric, side.reading.variant]
    centre = side.coefficients.centre - variables.shift
    terms = [
        f"{float(weight)!r} * (({expression}) - {float(c)!r})"
        for expression, weight, c in zip(variables.expressions, side.coefficients.weights, centre, strict=True)
    ]
    return f"CASE WHEN arm IN ({', '.join(map(literal, side.arms))}) THEN {' + '.join(terms)} END"


def sealed(readings: Mapping[str, Sequence[Reading]]) -> bytes:
    """The third sums as they are sealed: population, metric, comparison."""
    thirds = {
        population: {r.metric: {name: list(pair) for name, pair in r.thirds.items()} for r in found if r.thirds}
        for population, found in readings.items()
    }
    return json.dumps(thirds, sort_keys=True).encode()


def read(content: Any, bound: Bound, readings: Mapping[str, Sequence[Reading]]) -> dict[str, list[Reading]]:
    """The readings with the third sums that were sealed for them."""

    def of(population: str, reading: Reading) -> Reading:
        found = content[population].get(reading.metric)
        if not found or reading.variant != decisive_variant(bound.metrics[reading.metric]):
            return reading
        return replace(reading, thirds={name: (pair[0], pair[1]) for name, pair in found.items()})

    return {population: [of(population, r) for r in parts] for population, parts in readings.items()}
