"""The fused pass: per-unit values of all metrics, then their moments by arm, storage bucket and segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.queries import render
from xp_pipeline.lifecycle.measurement.columns import Column, MetricColumns, Plan, products
from xp_pipeline.spec.metric import Cap, Metric
from xp_pipeline.stats.capping import pooled_percentile
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.order import OrderStatistics

BUCKETS = 128
SLICES = 2
"""Fixed, so that stored numbers never depend on the machine: one thread works through each slice of buckets."""


@dataclass(frozen=True)
class Cell:
    """Whose moments: an arm, of everybody or of one level of one segment."""

    arm: str
    segment: str = ""
    level: str = ""


@dataclass(frozen=True)
class Reading:
    """One way of reading a metric: plain, capped or log; and what is needed to say how.

    Attributes:
        metric: Metric name.
        variant: ``""`` for the plain values, ``capped`` or ``log``.
        covariates: Names of the covariates after the outcome (and denominator), indicators included.
        cells: Moments by cell; variables are outcome, denominator of a ratio, covariates.
        nonzero: Units by cell whose outcome is not 0.
        buckets: Moments by arm and storage bucket, where a second reading resamples them.
        cap: The cap in force, NaN where there is none.
        capped_share: Share of counting units above it.
        orders: Order statistics by cell, of a quantile metric only.
        thirds: Third sums of the residuals of control and treatment by comparison; of a deciding reading at a look.
        strata: Moments by phase or branch and cell, where the design drew units by different shares.
    """

    metric: str
    variant: str
    covariates: tuple[str, ...]
    cells: Mapping[Cell, Moments]
    cap: float = float("nan")
    capped_share: float = float("nan")
    orders: Mapping[Cell, OrderStatistics] = field(default_factory=dict)
    thirds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    strata: Mapping[str, Mapping[Cell, Moments]] = field(default_factory=dict)
    nonzero: Mapping[Cell, int] = field(default_factory=dict)
    buckets: Mapping[str, Mapping[int, Moments]] = field(default_factory=dict)


@dataclass
class _Variables:
    """The variables of one reading as SQL over the per-unit columns, and their shifts."""

    reading: int
    metric: MetricColumns
    variant: str
    expressions: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


class Measurement:
    """Per-unit values of one population, held in one single-threaded database a slice.

    Args:
        population: Relation of the analysed units: unit, event_unit, arm, exposed_at, t0, bucket, segments.
        segments: Columns of the population to break down by.
        extra: Further population columns kept with the values (the cluster).
        caps: Caps of metrics, by name, that an earlier look has fixed.
        bucketed: Whether readings keep their moments by storage bucket.

    Attributes:
        centred: Metric and variant to its variables as SQL and what was taken from each; known after ``readings``.
    """

    def __init__(
        self,
        population: str,
        plan: Plan,
        *,
        segments: Sequence[str] = (),
        extra: Sequence[str] = (),
        memory_limit: str | None = None,
        caps: Mapping[str, float] | None = None,
        bucketed: bool = False,
    ) -> None:
        self.plan = plan
        self.bucketed = bucketed
        self._frozen = caps or {}
        self._buckets: dict[int, dict[str, dict[int, Moments]]] = {}
        self.centred: dict[tuple[str, str], tuple[list[str], NDArray[np.float64]]] = {}
        self.segments = list(segments)
        self._population = population
        self._kept = [*segments, *extra]
        self._memory_limit = memory_limit
        self._connections: list[duckdb.DuckDBPyConnection] = []
        self._stack = ExitStack()

    def __enter__(self) -> Measurement:
        self._connections = [self._stack.enter_context(connect(memory_limit=self._memory_limit)) for _ in range(SLICES)]
        self._each(self._values)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _each(self, work: Any) -> list[Any]:
        """The work on every slice at once, answers in order of slices."""
        with ThreadPoolExecutor(SLICES) as pool:
            return list(pool.map(work, range(SLICES), self._connections))

    def _values(self, i: int, con: duckdb.DuckDBPyConnection) -> None:
        query = render(
            "unit_values",
            sources=[vars(source) for source in self.plan.sources],
            outputs=self.plan.outputs,
            segments=self._kept,
            bucket_low=i * BUCKETS // SLICES,
            bucket_high=(i + 1) * BUCKETS // SLICES,
        )
        con.execute(f"CREATE TEMP VIEW population AS SELECT * FROM {self._population}")
        con.execute(f"CREATE TEMP TABLE unit_values AS {query}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query on every slice, in order."""
        return [row for part in self._each(lambda _, con: con.execute(query).fetchall()) for row in part]

    def column(self, name: str) -> NDArray[np.float64]:
        """All non-null values of one per-unit column."""
        query = f"SELECT {name} FROM unit_values WHERE {name} IS NOT NULL"
        parts = self._each(lambda _, con: con.execute(query).fetchnumpy()[name])
        return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])

    def readings(self) -> list[Reading]:
        """Moments of every metric, each in its variants."""
        shifts, missing = self._shifts()
        caps = self._caps()
        wanted = [v for m in self.plan.metrics for v in self._variants(m, caps, missing, shifts)]
        for i, variables in enumerate(wanted):
            variables.reading = i
            name = variables.metric.metric.name
            self.centred[name, variables.variant] = variables.expressions, _shift_vector(variables, shifts)
        cells = self._moments(wanted, shifts)
        return [
            Reading(
                metric=v.metric.metric.name,
                variant=v.variant,
                covariates=tuple(v.names),
                cells={cell: moments for cell, (moments, _) in cells[v.reading].items()},
                nonzero={cell: count for cell, (_, count) in cells[v.reading].items()},
                buckets=self._buckets.get(v.reading, {}),
                cap=cap,
                capped_share=share,
            )
            for v in wanted
            for cap, share in [caps[v.metric.outcomes[0]] if v.variant == "capped" else (np.nan, np.nan)]
        ]

    def _shifts(self) -> tuple[dict[str, float], set[str]]:
        """A number near the mean of every column (of the first slice that has one), and columns with nulls."""
        names = [column.name for column in self.plan.outputs]
        asked = ", ".join(f"avg({n}), count(*) - count({n})" for n in names)
        answers = self.rows(f"SELECT {asked} FROM unit_values")
        shifts = {}
        missing = set()
        for k, name in enumerate(names):
            means = [row[2 * k] for row in answers if row[2 * k] is not None and np.isfinite(row[2 * k])]
            shifts[name] = float(means[0]) if means else 0.0
            if any(row[2 * k + 1] for row in answers):
                missing.add(name)
        return shifts, missing

    def _caps(self) -> dict[str, tuple[float, float]]:
        """Cap and share of units above it, for every outcome and lookback covariate that has one."""
        caps = {}
        for columns in self.plan.metrics:
            cap = columns.metric.cap
            if cap is None:
                continue
            lookbacks = [
                name for (name, c) in zip(columns.covariates, columns.metric.covariates, strict=True) if c.lookback
            ]
            for name in [columns.outcomes[0], *(column for _, column in lookbacks)]:
                values = self.column(name)
                outcome = name == columns.outcomes[0]
                frozen = self._frozen.get(columns.metric.name) if outcome else None
                limit = frozen if frozen is not None else _limit(cap, values)
                share = float(np.mean(values > limit)) if values.size else float("nan")
                caps[name] = (float(limit), share)
        return caps

    def _variants(
        self, columns: MetricColumns, caps: Mapping[str, Any], missing: set[str], shifts: Mapping[str, float]
    ) -> Iterator[_Variables]:
        yield self._variables(columns, "", caps, missing, shifts)
        if columns.metric.cap:
            yield self._variables(columns, "capped", caps, missing, shifts)
        if columns.metric.log:
            yield self._variables(columns, "log", caps, missing, shifts)

    def _variables(
        self,
        columns: MetricColumns,
        variant: str,
        caps: Mapping[str, tuple[float, float]],
        missing: set[str],
        shifts: Mapping[str, float],
    ) -> _Variables:
        """Outcome, denominator, covariates, and an indicator for each covariate that is missing somewhere."""
        made = _Variables(0, columns, variant)
        counted = " AND ".join(f"{y} IS NOT NULL" for y in columns.outcomes)
        for y in columns.outcomes:
            made.expressions.append(self._centred(_read_as(y, variant, caps), y, variant, shifts, counted, columns))
        for name, x in columns.covariates:
            value = _read_as(x, variant, caps) if variant == "capped" and x in caps else x
            made.names.append(name)
            shift = shifts[x]
            filled = f"coalesce({value} - {shift!r}, 0)" if x in missing else f"{value} - {shift!r}"
            made.expressions.append(_masked(filled, counted, columns, missing))
            if x in missing:
                made.names.append(f"{name}_missing")
                indicator = f"CASE WHEN {x} IS NULL THEN 1.0 ELSE 0.0 END"
                made.expressions.append(_masked(indicator, counted, columns, missing))
        return made

    def _centred(
        self,
        value: str,
        y: str,
        variant: str,
        shifts: Mapping[str, float],
        counted: str,
        columns: MetricColumns,
    ) -> str:
        centred = f"{value} - {_shift(y, variant, shifts)!r}"
        return f"CASE WHEN {counted} THEN {centred} END" if len(columns.outcomes) > 1 else centred

    def _moments(
        self, wanted: Sequence[_Variables], shifts: Mapping[str, float]
    ) -> list[dict[Cell, tuple[Moments, int]]]:
        """Moments and units other than 0 of every cell, by reading."""
        variables, sums = _sums(wanted, shifts)
        query = render("moments", segments=self.segments, variables=variables, sums=sums, relation="unit_values")
        parts: list[dict[Cell, list[Moments]]] = [{} for _ in wanted]
        nonzero: list[dict[Cell, int]] = [{} for _ in wanted]
        self._buckets = {}
        for row in self.rows(query):
            cell = self._cell(row)
            offset = 2 + len(self.segments)
            for v in wanted:
                size = len(v.expressions)
                width = 1 + size + len(products(size)) + 2
                *values, others = row[offset : offset + width]
                found = _from_row(values, size, _shift_vector(v, shifts))
                parts[v.reading].setdefault(cell, []).append(found)
                if self.bucketed and row[1] is not None:
                    self._buckets.setdefault(v.reading, {}).setdefault(cell.arm, {})[row[1]] = found
                nonzero[v.reading][cell] = nonzero[v.reading].get(cell, 0) + int(others or 0)
                offset += width
        return [
            {cell: (Moments.merge(*found), counts[cell]) for cell, found in part.items()}
            for part, counts in zip(parts, nonzero, strict=True)
        ]

    def _cell(self, row: tuple[Any, ...]) -> Cell:
        for i, segment in enumerate(self.segments):
            if row[2 + i] is not None:
                return Cell(row[0], segment, row[2 + i])
        return Cell(row[0])


def _limit(cap: Cap, values: NDArray[np.float64]) -> float:
    """The cap as typed, or as the values have it."""
    if cap.value is not None:
        return cap.value
    return pooled_percentile(values, (cap.percentile or 0) / 100, positive_only=cap.positive_only)


def _read_as(column: str, variant: str, caps: Mapping[str, tuple[float, float]]) -> str:
    if variant == "capped" and np.isfinite(caps[column][0]):
        return f"CASE WHEN {column} IS NOT NULL THEN least({column}, {caps[column][0]!r}) END"
    if variant == "log":
        return f"CASE WHEN {column} > -1 THEN ln(1 + {column}) END"
    return column


def _shift(column: str, variant: str, shifts: Mapping[str, float]) -> float:
    return float(np.log1p(max(shifts[column], 0.0))) if variant == "log" else shifts[column]


def _masked(expression: str, counted: str, columns: MetricColumns, missing: set[str]) -> str:
    """A covariate counts where its outcome does."""
    return f"CASE WHEN {counted} THEN {expression} END" if missing & set(columns.outcomes) else expression


def _sums(wanted: Sequence[_Variables], shifts: Mapping[str, float]) -> tuple[list[Column], list[Column]]:
    variables, sums = [], []
    for v in wanted:
        m = v.reading
        names = [f"v{m}_{i}" for i in range(len(v.expressions))]
        variables += [Column(name, sql) for name, sql in zip(names, v.expressions, strict=True)]
        sums.append(Column(f"n_{m}", f"count({names[0]})"))
        sums += [Column(f"s_{m}_{i}", f"sum({name})") for i, name in enumerate(names)]
        sums += [Column(f"p_{m}_{i}_{j}", f"sum({names[i]} * {names[j]})") for i, j in products(len(names))]
        sums.append(Column(f"c_{m}", f"sum({names[0]} * {names[0]} * {names[0]})"))
        zero = -_shift(v.metric.outcomes[0], v.variant, shifts)
        sums.append(Column(f"z_{m}", f"sum(CASE WHEN {names[0]} <> CAST({zero!r} AS DOUBLE) THEN 1 ELSE 0 END)"))
    return variables, sums


def _shift_vector(v: _Variables, shifts: Mapping[str, float]) -> NDArray[np.float64]:
    vector = [_shift(y, v.variant, shifts) for y in v.metric.outcomes]
    columns = dict(v.metric.covariates)
    vector += [shifts[columns[name]] if name in columns else 0.0 for name in v.names]
    return np.array(vector)


def _from_row(values: Sequence[Any], size: int, shift: NDArray[np.float64]) -> Moments:
    """Moments of one cell from its shifted sums; an empty cell has none."""
    n = int(values[0])
    if n == 0:
        return Moments.empty(size)
    matrix = np.zeros((size, size))
    for (i, j), value in zip(products(size), values[1 + size : -1], strict=True):
        matrix[i, j] = matrix[j, i] = value
    return Moments.from_sums(
        n,
        shift=shift,
        sums=np.array(values[1 : 1 + size], dtype=float),
        products=matrix,
        cubes=float(values[-1]),
    )


@contextmanager
def measured(population: str, plan: Plan, **settings: Any) -> Iterator[Measurement]:
    """A measurement, closed afterwards."""
    with Measurement(population, plan, **settings) as measurement:
        yield measurement


def decisive_variant(metric: Metric) -> str:
    """The variant that a decision reads."""
    return "capped" if metric.cap else "log" if metric.log else ""
