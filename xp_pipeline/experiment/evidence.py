"""From a frame to evidence: counts by arm, and the moments of every metric, without a copy of the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xp_pipeline.engine.predicates import identifier
from xp_pipeline.errors import DataError
from xp_pipeline.experiment.frames import Frame, View, rows_of_each
from xp_pipeline.experiment.metrics import BaseMetric
from xp_pipeline.lifecycle.measurement.columns import Horizon, Plan
from xp_pipeline.lifecycle.measurement.measure import Measurement, Reading
from xp_pipeline.lifecycle.measurement.residuals import with_thirds
from xp_pipeline.lifecycle.quality.balance import moments_of
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.moments import Moments

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
        views: Sequence[View],
        plan: Plan,
        *,
        arm: str,
        armless: bool,
        caps: Mapping[str, float],
    ) -> None:
        super().__init__("", plan, caps=caps)
        self._views = [_per_unit(view, plan, arm=arm, armless=armless) for view in views]

    def __enter__(self) -> FrameMeasurement:
        return self

    def forget_covariates(self, bound: Bound) -> None:
        """Leave of every reading's variables its outcome, and the denominator of a ratio."""
        sizes = {name: len(metric.quantities) for name, metric in bound.metrics.items()}
        self.variables = {key: v.first(sizes[key[0]]) for key, v in self.variables.items()}
        for (name, _), arms in self.cubes.items():
            outcomes = (slice(sizes[name]),) * 3
            arms.update({arm: cubes[outcomes] for arm, cubes in arms.items()})

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query on every view, in order."""
        return rows_of_each(self._views, VALUES, query)

    def column(self, name: str) -> NDArray[np.float64]:
        """All non-null values of one per-unit column."""
        return np.concatenate([view.numbers(name) for view in self._views])


def _per_unit(view: View, plan: Plan, *, arm: str, armless: bool) -> View:
    """The per-unit values of a view, as the fused pass names them."""
    (source,) = plan.sources
    inputs = [f"{column.sql} AS {column.name}" for column in source.inputs]
    outputs = [f"{column.sql} AS {column.name}" for column in plan.outputs]
    rows = view.project([f"{arm} AS arm", *inputs])
    where = "arm IS NOT NULL" if armless else "TRUE"  # without it, arms are read once less
    return rows.project(["arm", "0 AS bucket", *outputs], where)


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
    query = f"SELECT {', '.join(answers)} FROM population GROUP BY 1"
    rows = rows_of_each(frame.slices(columns), "population", query)
    for i, metric in enumerate(proportions, 2 + 3 * len(balance)):
        _refuse(metric, sum(row[i] for row in rows))
    arms = _by_arm(rows)
    return Counts(
        rows=sum(row[1] for row in rows),
        units={name: sum(row[1] for row in parts) for name, parts in arms.items()},
        armless=sum(row[1] for row in rows if row[0] is None),
        balance={
            column: {name: Moments.merge(*(moments_of(*row[i : i + 3]) for row in p)) for name, p in arms.items()}
            for i, column in zip(range(2, 2 + 3 * len(balance), 3), balance, strict=True)
        },
    )


def _by_arm(rows: Sequence[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows by the arm that they begin with, in order of arms, without those that name none."""
    arms: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        if row[0] is not None:
            arms.setdefault(row[0], []).append(row)
    return dict(sorted(arms.items()))


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
    answers = [f"{arm_sql(arm)} AS arm", "count(*)", *(_of_ids(frame, unit) if unit is not None else [])]
    views = frame.slices([arm, *([unit] if unit is not None else [])])
    rows = rows_of_each(views, "population", f"SELECT {', '.join(answers)} FROM population GROUP BY 1")
    if not rows:
        raise DataError("the data has no rows")
    if unit is not None:
        _check_ids(frame, unit, rows)
    return list(_by_arm(rows))


def _of_ids(frame: Frame, unit: str) -> list[str]:
    """How many rows have an id; and of whole numbers the least and the largest."""
    column = identifier(unit)
    ends = [f"min({_whole(unit)})", f"max({_whole(unit)})"] if frame.types[unit] == "integer" else []
    return [f"count({column})", *ends]


def _whole(unit: str) -> str:
    return f"CAST({identifier(unit)} AS BIGINT)"


def _check_ids(frame: Frame, unit: str, rows: Sequence[tuple[Any, ...]]) -> None:
    everyone, named = (sum(row[i] for row in rows) for i in (1, 2))
    if named < everyone:
        raise DataError(f"{everyone - named:,} rows have no id", where=f"column {unit!r}")
    units = _distinct(frame, unit, rows)
    if units < everyone:
        raise DataError(
            "ids are not unique: the data has more rows than units",
            where=f"column {unit!r}",
            found=f"{everyone:,} rows of {units:,} units",
            next_step="aggregate to one row per unit first",
        )


def _distinct(frame: Frame, unit: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """How many ids there are; whole numbers close together are told apart by a bitmap."""
    answer = f"count(DISTINCT {identifier(unit)})"
    if frame.types[unit] == "integer":
        low, high = min(row[3] for row in rows), max(row[4] for row in rows)
        if high - low < DENSE * sum(row[1] for row in rows):
            answer = f"bit_count(bitstring_agg({_whole(unit)}, {low}, {high}))"
    return int(frame.view([unit]).rows("ids", f"SELECT {answer} FROM ids")[0][0])


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
        found = measurement.readings(cubed=True)
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
    views = frame.slices([*([arm] if arm else []), *columns])
    return FrameMeasurement(views, plan, arm=arm_sql(arm) if arm else f"'{POOLED}'", armless=armless, caps=caps)


def _columns(metric: Metric) -> list[str]:
    outcomes = [quantity.value or "" for quantity in metric.quantities]
    return [*outcomes, *(covariate.column or "" for covariate in metric.covariates)]


def _plain(reading: Reading, outcomes: int) -> Reading:
    cells = {cell: moments.take(range(outcomes)) for cell, moments in reading.cells.items()}
    return replace(reading, covariates=(), cells=cells)
