"""From metrics to columns: which per-unit values a metric needs, and the SQL that adds them up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import combinations_with_replacement

from xp_pipeline.engine.predicates import identifier
from xp_pipeline.lifecycle.frames import matching, moment, relation, time_of, unit_of
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.metric import Metric, Quantity
from xp_pipeline.spec.source import Source

CLOCKED = ("event_log", "unit_periods", "exposure_log")


@dataclass(frozen=True)
class Column:
    """A named SQL expression."""

    name: str
    sql: str


@dataclass
class SourceColumns:
    """What the query reads from one source: inputs per row, totals per unit."""

    name: str
    relation: str
    unit: str
    time: str | None
    grouped: bool
    where: str = "TRUE"
    inputs: list[Column] = field(default_factory=list)
    totals: list[Column] = field(default_factory=list)


@dataclass(frozen=True)
class MetricColumns:
    """The per-unit columns of one metric: outcome (and denominator), then covariates."""

    metric: Metric
    outcomes: tuple[str, ...]
    covariates: tuple[tuple[str, str], ...]
    """Pairs of covariate name and column."""


@dataclass(frozen=True)
class Horizon:
    """The moments that bound every window: first that no longer counts, by as-of and by plan; and the zone of days."""

    until: datetime | None
    end: datetime | None
    zone: str = "UTC"

    @property
    def cut(self) -> datetime | None:
        """End of an open window: the planned end or the as-of, whichever is first."""
        bounds = [m for m in (self.until, self.end) if m]
        return min(bounds) if bounds else None


class Plan:
    """The columns of all metrics, grouped by source so that each source is read once.

    Attributes:
        sources: One entry a source, in order of first use.
        metrics: One entry a metric, in the order given.
        dropped: Rows of a source that count for nothing, as SQL.
        rows: The relation of a source's rows; left out, its clean rows as they are.
        outputs: Final columns of ``unit_values``.
    """

    def __init__(
        self,
        workspace: Workspace,
        metrics: Iterable[Metric],
        horizon: Horizon,
        *,
        dropped: Callable[[Source], str | None] = lambda _: None,
        rows: Callable[[Source], str] | None = None,
    ) -> None:
        self._workspace = workspace
        self._rows = rows or (lambda source: relation(workspace, source.name))
        self._dropped = dropped
        self._horizon = horizon
        self._sources: dict[str, SourceColumns] = {}
        self.outputs: list[Column] = []
        self.metrics = [self._add(metric) for metric in metrics]

    @property
    def sources(self) -> list[SourceColumns]:
        return list(self._sources.values())

    def _add(self, metric: Metric) -> MetricColumns:
        outcomes = tuple(self._outcome(metric, quantity) for quantity in metric.quantities)
        covariates = tuple((c.name, self._covariate(metric, i)) for i, c in enumerate(metric.covariates))
        return MetricColumns(metric, outcomes, covariates)

    def _outcome(self, metric: Metric, quantity: Quantity) -> str:
        source = self._workspace.folder.sources[quantity.source]
        condition = window_condition(metric, self._horizon) if source.kind in CLOCKED and source.timestamp else "TRUE"
        total = self._total(quantity, condition)
        value = f"coalesce({total}, 0)" if metric.nulls == "zero" or quantity.aggregate == "count" else total
        if metric.mature and self._horizon.until:
            grown = f"members.t0 + {interval(metric.maturity)} <= {moment(self._horizon.until)}"
            value = f"CASE WHEN {grown} THEN {value} END"
        return self._output("y", value)

    def _covariate(self, metric: Metric, i: int) -> str:
        covariate = metric.covariates[i]
        if covariate.lookback:
            before = f"r.ts >= members.exposed_at - {interval(covariate.lookback)} AND r.ts < members.exposed_at"
            totals = [self._total(quantity, before) for quantity in metric.quantities]
            return self._output("x", f"coalesce({totals[0]}, 0)")
        name = covariate.source or metric.quantities[0].source
        quantity = Quantity(source=name, value=covariate.column, aggregate="max")
        return self._output("x", self._total(quantity, "TRUE"))

    def _output(self, prefix: str, sql: str) -> str:
        name = f"{prefix}{len(self.outputs)}"
        self.outputs.append(Column(name, f"CAST({sql} AS DOUBLE)"))
        return name

    def _total(self, quantity: Quantity, condition: str) -> str:
        """Name of the per-unit total of a quantity under a window's condition."""
        source = self._workspace.folder.sources[quantity.source]
        columns = self._source(source)
        row = _input(columns, _row_value(quantity, source))
        if not columns.grouped:
            return row
        inside = f"r.{row}" if condition == "TRUE" else f"CASE WHEN {condition} THEN r.{row} END"
        function = {"sum": "sum", "count": "sum", "max": "max", "any": "max", "mean": "avg"}[quantity.aggregate]
        total = Column(f"t{len(columns.totals)}_{row}", f"{function}({inside})")
        columns.totals.append(total)
        return total.name

    def _source(self, source: Source) -> SourceColumns:
        if source.name not in self._sources:
            clocked = source.kind in CLOCKED and source.timestamp is not None
            dropped = self._dropped(source)
            self._sources[source.name] = SourceColumns(
                name=source.name,
                relation=self._rows(source),
                unit=unit_of(source),
                time=time_of(source, self._horizon.zone) if clocked else None,
                grouped=source.kind in CLOCKED,
                where=f"NOT ({dropped})" if dropped else "TRUE",
            )
        return self._sources[source.name]


def _input(columns: SourceColumns, sql: str) -> str:
    """The name of a row expression, added once however many metrics use it."""
    for known in columns.inputs:
        if known.sql == sql:
            return known.name
    name = f"v{len(columns.inputs)}_{columns.name.encode().hex()}"
    columns.inputs.append(Column(name, sql))
    return name


def _row_value(quantity: Quantity, source: Source) -> str:
    """One row's contribution: its value, or 1 for a counted row; null where the row is not meant."""
    if quantity.value is None:
        value = "1"
    else:
        column = identifier(quantity.value)
        number = f"CAST({column} AS DOUBLE)"
        truth = column if source.columns[quantity.value].type == "boolean" else f"{number} <> 0"
        if quantity.aggregate == "any":
            value = f"CASE WHEN {column} IS NULL THEN NULL WHEN {truth} THEN 1 ELSE 0 END"
        elif quantity.aggregate == "count":
            value = f"CASE WHEN {column} IS NOT NULL THEN 1 END"
        else:
            value = number
    if not quantity.where:
        return value
    return f"CASE WHEN {matching(quantity.where, source)} THEN {value} END"


def interval(span: timedelta) -> str:
    """A time span as SQL, in exact seconds."""
    return f"INTERVAL '{int(span.total_seconds())}' SECOND"


def window_condition(metric: Metric, horizon: Horizon) -> str:
    """The rows ``r`` of a unit that fall into a metric's half-open window."""
    window = metric.window
    opens = f"members.t0 + {interval(window.delay)}" if window.delay else "members.t0"
    bounds = [f"r.ts >= {opens}"]
    if window.kind == "conversion" and window.length:
        bounds.append(f"r.ts < members.t0 + {interval(window.delay + window.length)}")
        bounds += [f"r.ts < {moment(horizon.until)}"] if horizon.until else []
    elif horizon.cut:
        bounds.append(f"r.ts < {moment(horizon.cut)}")
        if window.kind == "lookback" and window.length:
            bounds.append(f"r.ts >= {moment(horizon.cut - window.length)}")
    return " AND ".join(bounds)


def products(size: int) -> Sequence[tuple[int, int]]:
    """Index pairs of the upper triangle, row by row."""
    return [(i, j) for i in range(size) for j in range(i, size)]


def triples(size: int) -> Sequence[tuple[int, int, int]]:
    """Index triples i <= j <= k, in order."""
    return list(combinations_with_replacement(range(size), 3))
