"""The fused pass: per-unit values of all metrics, then their moments by arm, storage bucket and segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.queries import render
from xp_pipeline.lifecycle.measurement.columns import Plan, triples
from xp_pipeline.lifecycle.measurement.variables import (
    CellSums,
    Seen,
    Variables,
    Vector,
    cell_sums,
    sums,
    variants,
)
from xp_pipeline.spec.metric import Cap, Metric
from xp_pipeline.stats.capping import pooled_percentile
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.order import OrderStatistics

BUCKETS = 128
SLICES = 2
"""Fixed, so that stored numbers never depend on the machine: one thread works through each slice of buckets."""

MOST_CUBES = 16
"""Sums of products of three a reading, over all segments, up to which the fused pass carries them: measured."""


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
class _Added:
    """What the rows of the fused pass add up to for one reading."""

    moments: dict[Cell, list[Moments]] = field(default_factory=dict)
    nonzero: dict[Cell, int] = field(default_factory=dict)
    buckets: dict[str, dict[int, Moments]] = field(default_factory=dict)
    cubes: dict[str, Vector] = field(default_factory=dict)

    def add(self, cell: Cell, bucket: int | None, sums: CellSums) -> None:
        self.moments.setdefault(cell, []).append(sums.moments)
        self.nonzero[cell] = self.nonzero.get(cell, 0) + sums.nonzero
        if bucket is None:
            return
        self.buckets.setdefault(cell.arm, {})[bucket] = sums.moments
        if sums.cubes is not None:
            self.cubes[cell.arm] = self.cubes.get(cell.arm, 0.0) + sums.cubes


class Measurement:
    """Per-unit values of one population, held in one single-threaded database a slice.

    Args:
        population: Relation of the analysed units: unit, event_unit, arm, exposed_at, t0, bucket, segments.
        segments: Columns of the population to break down by.
        extra: Further population columns kept with the values (the cluster).
        caps: Caps of metrics, by name, that an earlier look has fixed.
        bucketed: Whether readings keep their moments by storage bucket.

    Attributes:
        variables: Metric and variant to its variables; known after ``readings``.
        cubes: Metric and deciding variant to the sums of the products of any three of its variables less their
            shifts, by arm, of everybody; where asked for and the variables are few.
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
        self.variables: dict[tuple[str, str], Variables] = {}
        self.cubes: dict[tuple[str, str], dict[str, Vector]] = {}
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

    def readings(self, *, cubed: bool = False) -> list[Reading]:
        """Moments of every metric, each in its variants.

        Args:
            cubed: Whether ``cubes`` is wanted.
        """
        shifts, missing = self._shifts()
        seen = Seen(shifts, missing, self._caps())
        wanted = [self._cubed(v) if cubed else v for m in self.plan.metrics for v in variants(m, seen)]
        found = self._sums(wanted)
        self.variables = {v.key: v for v in wanted}
        self.cubes = {v.key: added.cubes for v, added in zip(wanted, found, strict=True) if v.cubed}
        return [
            Reading(
                metric=v.metric.metric.name,
                variant=v.variant,
                covariates=v.names,
                cells={cell: Moments.merge(*parts) for cell, parts in added.moments.items()},
                nonzero=added.nonzero,
                buckets=added.buckets if self.bucketed else {},
                cap=cap,
                capped_share=share,
            )
            for v, added in zip(wanted, found, strict=True)
            for cap, share in [seen.caps[v.metric.outcomes[0]] if v.variant == "capped" else (np.nan, np.nan)]
        ]

    def _cubed(self, v: Variables) -> Variables:
        """Products of three variables where a residual will be read from them, and they are few."""
        metric = v.metric.metric
        deciding = metric.type != "quantile" and v.variant == decisive_variant(metric)
        few = len(triples(v.size)) * (1 + len(self.segments)) <= MOST_CUBES
        return replace(v, cubed=deciding and v.size > 1 and few)

    def _shifts(self) -> tuple[dict[str, float], set[str]]:
        """A number near the mean of every column (of the first slice that has one), and columns with nulls."""
        names = [column.name for column in self.plan.outputs]
        asked = ", ".join(f"avg({n}), count({n})" for n in names)
        answers = self.rows(f"SELECT {asked}, count(*) FROM unit_values")
        shifts = {}
        missing = set()
        for k, name in enumerate(names):
            means = [row[2 * k] for row in answers if row[2 * k] is not None and np.isfinite(row[2 * k])]
            shifts[name] = float(means[0]) if means else 0.0
            if any(row[2 * k + 1] < row[-1] for row in answers):
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

    def _sums(self, wanted: Sequence[Variables]) -> list[_Added]:
        """One pass over the units, by reading."""
        variables, summed = sums(wanted)
        query = render("moments", segments=self.segments, variables=variables, sums=summed, relation="unit_values")
        found = [_Added() for _ in wanted]
        for row in self.rows(query):
            cell, at = self._cell(row), 2 + len(self.segments)
            for v, added in zip(wanted, found, strict=True):
                added.add(cell, row[1], cell_sums(v, row[at : at + v.width]))
                at += v.width
        return found

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


@contextmanager
def measured(population: str, plan: Plan, **settings: Any) -> Iterator[Measurement]:
    """A measurement, closed afterwards."""
    with Measurement(population, plan, **settings) as measurement:
        yield measurement


def decisive_variant(metric: Metric) -> str:
    """The variant that a decision reads."""
    return "capped" if metric.cap else "log" if metric.log else ""
