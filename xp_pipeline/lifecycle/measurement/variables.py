"""The variables of a reading: a metric's per-unit values as SQL, less a shift each, and what is summed of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xp_pipeline.lifecycle.measurement.columns import Column, MetricColumns, products, triples
from xp_pipeline.stats.moments import Moments

Vector = NDArray[np.float64]


class Seen(NamedTuple):
    """What is known of the per-unit columns before they are summed.

    Attributes:
        shifts: Column to a number near its mean.
        missing: Columns that some unit has no value in.
        caps: Column to its cap, and the share of counting units above it.
    """

    shifts: Mapping[str, float]
    missing: Set[str]
    caps: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Variables:
    """The variables of one reading: outcome, denominator of a ratio, covariates, indicators of missing ones.

    Attributes:
        metric: The metric and its columns.
        variant: ``""`` for the plain values, ``capped`` or ``log``.
        names: Covariates, indicators included.
        expressions: SQL of every variable less its shift, null where its unit does not count.
        shift: What is taken from each.
        cubed: Whether the products of any three variables are summed, and not the outcome's cubes alone.
    """

    metric: MetricColumns
    variant: str
    names: tuple[str, ...]
    expressions: tuple[str, ...]
    shift: Vector
    cubed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Name of the metric, and variant."""
        return self.metric.metric.name, self.variant

    @property
    def size(self) -> int:
        """How many variables there are."""
        return len(self.expressions)

    @property
    def thirds(self) -> Sequence[tuple[int, int, int]]:
        """The products of three that are summed, as indices."""
        return triples(self.size) if self.cubed else [(0, 0, 0)]

    @property
    def width(self) -> int:
        """How many sums a cell has."""
        return 1 + self.size + len(products(self.size)) + len(self.thirds) + 1

    def first(self, size: int) -> Variables:
        """The reading without its last variables."""
        names = self.names[: size - len(self.metric.outcomes)]
        return replace(self, names=names, expressions=self.expressions[:size], shift=self.shift[:size])


class CellSums(NamedTuple):
    """What one reading adds up to over the units of a cell.

    Attributes:
        moments: Of all variables.
        cubes: Sums of the products of three variables less their shifts, shape (k, k, k); of a cubed reading.
        nonzero: Units whose outcome is not 0.
    """

    moments: Moments
    cubes: Vector | None
    nonzero: int


def variants(columns: MetricColumns, seen: Seen) -> Iterator[Variables]:
    """A metric plain, and capped and as a logarithm where it declares so."""
    yield _variables(columns, "", seen)
    if columns.metric.cap:
        yield _variables(columns, "capped", seen)
    if columns.metric.log:
        yield _variables(columns, "log", seen)


def _variables(columns: MetricColumns, variant: str, seen: Seen) -> Variables:
    counted = " AND ".join(f"{y} IS NOT NULL" for y in columns.outcomes)
    names: list[str] = []
    shift = [_shift(y, variant, seen.shifts) for y in columns.outcomes]
    expressions = [f"{_read_as(y, variant, seen)} - {at!r}" for y, at in zip(columns.outcomes, shift, strict=True)]
    if len(columns.outcomes) > 1:
        expressions = [_masked(expression, counted, columns, seen) for expression in expressions]
    for name, x in columns.covariates:
        at = seen.shifts[x]
        value = _read_as(x, variant, seen) if variant == "capped" and x in seen.caps else x
        added = {name: (f"{value} - {at!r}", at)}
        if x in seen.missing:
            indicator = f"CASE WHEN {x} IS NULL THEN 1.0 ELSE 0.0 END"
            added = {name: (f"coalesce({value} - {at!r}, 0)", at), f"{name}_missing": (indicator, 0.0)}
        names += added
        expressions += [_masked(expression, counted, columns, seen) for expression, _ in added.values()]
        shift += [at for _, at in added.values()]
    return Variables(columns, variant, tuple(names), tuple(expressions), np.array(shift))


def _read_as(column: str, variant: str, seen: Seen) -> str:
    if variant == "capped" and np.isfinite(seen.caps[column][0]):
        return f"CASE WHEN {column} IS NOT NULL THEN least({column}, {seen.caps[column][0]!r}) END"
    if variant == "log":
        return f"CASE WHEN {column} > -1 THEN ln(1 + {column}) END"
    return column


def _shift(column: str, variant: str, shifts: Mapping[str, float]) -> float:
    return float(np.log1p(max(shifts[column], 0.0))) if variant == "log" else shifts[column]


def _masked(expression: str, counted: str, columns: MetricColumns, seen: Seen) -> str:
    """A variable counts where all outcomes do."""
    return f"CASE WHEN {counted} THEN {expression} END" if seen.missing & set(columns.outcomes) else expression


def sums(wanted: Sequence[Variables]) -> tuple[list[Column], list[Column]]:
    """The variables of all readings, and what is summed of them: ``width`` sums a reading, in order."""
    variables, summed = [], []
    for m, v in enumerate(wanted):
        names = [f"v{m}_{i}" for i in range(v.size)]
        variables += [Column(name, sql) for name, sql in zip(names, v.expressions, strict=True)]
        summed.append(Column(f"n_{m}", f"count({names[0]})"))
        summed += [Column(f"s_{m}_{i}", f"sum({name})") for i, name in enumerate(names)]
        summed += [Column(f"p_{m}_{i}_{j}", f"sum({names[i]} * {names[j]})") for i, j in products(v.size)]
        summed += [Column(f"c_{m}_{i}_{j}_{k}", f"sum({names[i]} * {names[j]} * {names[k]})") for i, j, k in v.thirds]
        zero = float(-v.shift[0])
        summed.append(Column(f"z_{m}", f"sum(CASE WHEN {names[0]} <> CAST({zero!r} AS DOUBLE) THEN 1 ELSE 0 END)"))
    return variables, summed


def cell_sums(v: Variables, row: Sequence[Any]) -> CellSums:
    """One reading's sums in one cell; an empty cell has none."""
    n, nonzero = int(row[0]), int(row[-1] or 0)
    cubes = np.zeros((v.size,) * 3) if v.cubed else None
    if n == 0:
        return CellSums(Moments.empty(v.size), cubes, nonzero)
    pairs = products(v.size)
    after = 1 + v.size
    matrix = np.zeros((v.size, v.size))
    for (i, j), value in zip(pairs, row[after : after + len(pairs)], strict=True):
        matrix[i, j] = matrix[j, i] = value
    thirds = row[after + len(pairs) : -1]
    if cubes is not None:
        for indices, value in zip(v.thirds, thirds, strict=True):
            for order in permutations(indices):
                cubes[order] = value
    total = np.array(row[1:after], dtype=float)
    return CellSums(Moments.from_sums(n, v.shift, total, matrix, float(thirds[0])), cubes, nonzero)
