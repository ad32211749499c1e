"""From a frame to evidence: counts by arm, and the moments of every metric, without a copy of the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xp_pipeline.engine.predicates import identifier
from xp_pipeline.errors import DataError
from xp_pipeline.experiment.frames import Frame, fetched, fetched_column
from xp_pipeline.experiment.metrics import BaseMetric
from xp_pipeline.lifecycle.measurement.columns import Horizon, Plan
from xp_pipeline.lifecycle.measurement.measure import Measurement, Reading
from xp_pipeline.lifecycle.measurement.residuals import with_thirds
from xp_pipeline.lifecycle.quality.balance import moments_of
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.moments import Moments

if TYPE_CHECKING:
    import duckdb

POOLED = "everyone"
VALUES = "unit_values"
DENSE = 64
"""Bits a row up to which ids are told apart in a bitmap, an eighth of a hash table's room."""


@dataclass(frozen=True)
class Counts:
    """What one scan says about the population.

    Attributes:
        rows: Rows of the frame.
        units: Arm to its units.
        armless: Rows that name no arm.
        balance: Covariate to arm to its moments.
    """

    rows: int
    units: Mapping[str, int]
    armless: int
    balance: Mapping[str, Mapping[str, Moments]]


class FrameMeasurement(Measurement):
    """The fused pass with views over parts of the frame in the place of slices on disk, one thread each."""

    def __init__(
        self,
        relations: Sequence[duckdb.DuckDBPyRelation],
        plan: Plan,
        *,
        arm: str,
        armless: bool,
        caps: Mapping[str, float],
    ) -> None:
        super().__init__("", plan, caps=caps)
        self._views = [_per_unit(relation, plan, arm=arm, armless=armless) for relation in relations]

    def __enter__(self) -> FrameMeasurement:
        return self

    def forget_covariates(self, bound: Bound) -> None:
        """Leave of every reading's variables its outcome, and the denominator of a ratio."""
        sizes = {name: len(metric.quantities) for name, metric in bound.metrics.items()}
        self.centred = {key: (e[: sizes[key[0]]], s[: sizes[key[0]]]) for key, (e, s) in self.centred.items()}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query on every view, in order."""
        with ThreadPoolExecutor(len(self._views)) as pool:
            parts = list(pool.map(lambda view: fetched(view, VALUES, query), self._views))
        return [row for part in parts for row in part]

    def column(self, name: str) -> NDArray[np.float64]:
        """All non-null values of one per-unit column."""
        return np.concatenate([fetched_column(view, VALUES, name) for view in self._views])


def _per_unit(relation: duckdb.DuckDBPyRelation, plan: Plan, *, arm: str, armless: bool) -> duckdb.DuckDBPyRelation:
    """The per-unit values of a relation, as the fused pass names them."""
    (source,) = plan.sources
    inputs = [f"{column.sql} AS {column.name}" for column in source.inputs]
    outputs = [f"{column.sql} AS {column.name}" for column in plan.outputs]
    rows = relation.project(", ".join([f"{arm} AS arm", *inputs]))
    rows = rows.filter("arm IS NOT NULL") if armless else rows  # without it, arms are read once less
    return rows.project(", ".join(["arm", "0 AS bucket", *outputs]))


def arm_sql(column: str) -> str:
    """The arm of a row as text."""
    return f"CAST({identifier(column)} AS VARCHAR)"


def count(frame: Frame, *, arm: str, balance: Sequence[str], proportions: Sequence[BaseMetric]) -> Counts:
    """Count the units, and compare the covariates, in one scan.

    Raises:
        DataError: a proportion has values other than 0 and 1.
    """
    columns = [arm, *balance, *(metric.outcomes[0] for metric in proportions)]
    answers = [f"{arm_sql(arm)} AS arm", "count(*)"]
    for name in balance:
        number = f"CAST({identifier(name)} AS DOUBLE)"
        number = f"CASE WHEN isfinite({number}) THEN {number} END"
        answers += [f"count({number})", f"avg({number})", f"var_samp({number})"]
    answers += [_not_binary(metric.outcomes[0]) for metric in proportions]
    query = f"SELECT {', '.join(answers)} FROM population GROUP BY 1 ORDER BY 1"
    rows = fetched(frame.relation(columns), "population", query)
    for i, metric in enumerate(proportions, 2 + 3 * len(balance)):
        _refuse(metric, sum(row[i] for row in rows))
    return Counts(
        rows=sum(row[1] for row in rows),
        units={row[0]: row[1] for row in rows if row[0] is not None},
        armless=sum(row[1] for row in rows if row[0] is None),
        balance={
            name: {row[0]: moments_of(*row[2 + 3 * i : 5 + 3 * i]) for row in rows if row[0] is not None}
            for i, name in enumerate(balance)
        },
    )


def _not_binary(column: str) -> str:
    return f"count(*) FILTER (CAST({identifier(column)} AS DOUBLE) NOT IN (0, 1))"


def _refuse(metric: BaseMetric, rows: int) -> None:
    if rows:
        raise DataError(
            "a proportion is of zeros and ones",
            where=f"metric {metric.name}",
            found=f"{rows:,} other values in column {metric.outcomes[0]!r}",
            next_step="use MeanMetric, or compare the column with a threshold first",
        )


def census(frame: Frame, *, arm: str, unit: str | None) -> list[str]:
    """The arms that the data names, as text, in order.

    Raises:
        DataError: the data has no rows, or ids that are missing or not unique.
    """
    query = f"SELECT {arm_sql(arm)} AS arm, count(*) FROM population GROUP BY 1 ORDER BY 1"
    rows = fetched(frame.relation([arm]), "population", query)
    everyone = sum(n for _, n in rows)
    if not everyone:
        raise DataError("the data has no rows")
    if unit is not None:
        _check_ids(frame, unit, everyone)
    return [name for name, _ in rows if name is not None]


def _check_ids(frame: Frame, unit: str, rows: int) -> None:
    named, units = _distinct(frame, unit)
    if named < rows:
        raise DataError(f"{rows - named:,} rows have no id", where=f"column {unit!r}")
    if units < rows:
        raise DataError(
            "ids are not unique: the data has more rows than units",
            where=f"column {unit!r}",
            found=f"{rows:,} rows of {units:,} units",
            next_step="aggregate to one row per unit first",
        )


def _distinct(frame: Frame, unit: str) -> tuple[int, int]:
    """How many rows have an id, and how many ids there are; whole numbers close together by a bitmap."""
    column = identifier(unit)
    ids = frame.relation([unit])
    if frame.types[unit] == "integer":
        number = f"CAST({column} AS BIGINT)"
        query = f"SELECT count({column}), min({number}), max({number}) FROM ids"
        ((named, low, high),) = fetched(ids, "ids", query)
        if named and high - low < DENSE * named:
            query = f"SELECT bit_count(bitstring_agg({number}, {low}, {high})) FROM ids"
            return named, fetched(ids, "ids", query)[0][0]
    ((named, units),) = fetched(ids, "ids", f"SELECT count({column}), count(DISTINCT {column}) FROM ids")
    return named, units


@dataclass(frozen=True)
class Measured:
    """The moments of every metric by arm.

    Attributes:
        adjusted: With the covariates.
        plain: Without; nobody leaves with them, for a missing covariate keeps its unit.
    """

    adjusted: Sequence[Reading]
    plain: Sequence[Reading]


def measure(
    frame: Frame, workspace: Workspace, bound: Bound, *, arm: str, armless: bool, caps: Mapping[str, float]
) -> Measured:
    """The evidence of a look.

    Args:
        armless: Whether there are rows without an arm, to be left out.
        caps: Caps by metric that an earlier look froze.
    """
    with _measurement(frame, workspace, bound, arm=arm, armless=armless, caps=caps) as measurement:
        found = measurement.readings()
        adjusted = with_thirds(measurement, found, bound)
        measurement.forget_covariates(bound)
        stripped = [_plain(r, len(bound.metrics[r.metric].quantities)) for r in found if r.covariates]
        plain = iter(with_thirds(measurement, stripped, bound))
    return Measured(adjusted, [next(plain) if whole.covariates else whole for whole in adjusted])


def pooled(frame: Frame, workspace: Workspace, bound: Bound) -> list[Reading]:
    """The moments of every metric over everybody, whatever their arm."""
    with _measurement(frame, workspace, bound, arm=None, armless=False, caps={}) as measurement:
        return measurement.readings()


def _measurement(
    frame: Frame, workspace: Workspace, bound: Bound, *, arm: str | None, armless: bool, caps: Mapping[str, float]
) -> FrameMeasurement:
    plan = Plan(workspace, bound.metrics.values(), Horizon(None, None, bound.timezone))
    columns = [column for metric in bound.metrics.values() for column in _columns(metric)]
    relations = frame.slices([*([arm] if arm else []), *columns])
    return FrameMeasurement(relations, plan, arm=arm_sql(arm) if arm else f"'{POOLED}'", armless=armless, caps=caps)


def _columns(metric: Metric) -> list[str]:
    outcomes = [quantity.value or "" for quantity in metric.quantities]
    return [*outcomes, *(covariate.column or "" for covariate in metric.covariates)]


def _plain(reading: Reading, outcomes: int) -> Reading:
    cells = {cell: moments.take(range(outcomes)) for cell, moments in reading.cells.items()}
    return replace(reading, covariates=(), cells=cells)
