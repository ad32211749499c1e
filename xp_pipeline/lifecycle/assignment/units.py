"""The temporary tables of one assignment: rows that are meant, their units, and what travels with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from xp_pipeline.engine.predicates import identifier, literal
from xp_pipeline.engine.queries import render
from xp_pipeline.language.buckets import storage_bucket_sql
from xp_pipeline.lifecycle.asof import AsOf
from xp_pipeline.lifecycle.assignment.arms import arm_of, mismatched
from xp_pipeline.lifecycle.assignment.cells import at_edges, cluster_of, inside
from xp_pipeline.lifecycle.assignment.designed import ARM, STRATUM, is_designed, leaks, with_design
from xp_pipeline.lifecycle.assignment.remembered import recorded, remember
from xp_pipeline.lifecycle.frames import every, matching, moment, relation, time_of, unit_of
from xp_pipeline.lifecycle.quality.members import member_of
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.effects import CROSSING
from xp_pipeline.spec.source import Source

MISSING_SEGMENT = "(missing)"


@dataclass(frozen=True)
class Carried:
    """A column that travels with a unit from its first exposure: its name in our tables, and its SQL."""

    name: str
    sql: str


class UnitTables:
    """The temporary tables of one assignment."""

    def __init__(self, workspace: Workspace, promise: Sealed, horizon: AsOf, con: duckdb.DuckDBPyConnection) -> None:
        self.workspace = workspace
        self.promise = promise
        self.horizon = horizon
        self.con = con
        self.experiment = promise.bound.experiment
        self.population = self.experiment.population
        self.source = workspace.folder.sources[self.population.source]
        self._time = time_of(self.source, promise.bound.timezone)
        self.relation = relation(workspace, self.source.name)
        self.designed = is_designed(promise.bound)
        if self.designed:
            self.relation = with_design(promise.bound, self.source, self.relation, time=self._time, con=con)

    def build(self) -> dict[str, int]:
        """Create the table ``units``; return how many rows fell where."""
        carried = [*self._own_segments(), *self._balance(), *self._cluster()]
        drawn = [Carried("stratum", _text(STRATUM, self.designed)), Carried("designed_arm", _text(ARM, self.designed))]
        parameters = {
            "unit": unit_of(self.source),
            "arm": arm_of(self.promise.bound, self.source),
            "relation": self.relation,
            "mismatched": mismatched(self.promise.bound, self.source),
        }
        rows = self._count_rows(parameters)
        query = "unit_table_assignments" if self.source.kind == "unit_table" else "assignments"
        self._table(
            "assigned",
            query,
            **parameters,
            time=self._time,
            where=every([*self._meant(), *self._timely()]),
            carried=[*carried, *drawn],
            member=member_of(self.promise.bound),
            drop_mismatched=bool(self.population.mismatch and self.population.mismatch.policy == "drop_rows"),
        )
        self._remembered()
        self._identity()
        self._triggers()
        self._units([*carried, *([Carried("members", "members")] if self.population.member else [])])
        return rows

    def _remembered(self) -> None:
        """Beside every unit the arm that the record has for it, which a computed arm never contradicts."""
        table = recorded(self.workspace, self.promise.id)
        kept = "assigned.arm" if self.population.arm else "coalesce(record.arm, assigned.arm)"
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE assigned AS SELECT assigned.* REPLACE ({kept} AS arm), "
            f"record.arm AS recorded_arm FROM assigned LEFT JOIN {table} AS record "
            "ON CAST(record.unit AS VARCHAR) = CAST(assigned.unit AS VARCHAR)"
        )
        remember(self.workspace, self.promise.id, self.con)

    def _table(self, name: str, query: str, **parameters: Any) -> None:
        self.con.execute(f"CREATE TEMP TABLE {name} AS {render(query, **parameters)}")

    def _count_rows(self, parameters: dict[str, str]) -> dict[str, int]:
        start, until = self._bounds()
        query = render(
            "exposure_rows",
            **parameters,
            where=every(self._meant()),
            early=f"coalesce({self._time} < {moment(start)}, FALSE)" if start else "FALSE",
            late=f"coalesce({self._time} >= {moment(until)}, FALSE)" if until else "FALSE",
        )
        cursor = self.con.execute(query)
        counts = dict(zip([c[0] for c in cursor.description or []], cursor.fetchone() or (), strict=True))
        return counts | at_edges(self.promise.bound, self.source, self.relation, self.con)

    def _bounds(self) -> tuple[datetime | None, datetime | None]:
        """First moment that counts as exposure, and first that no longer does."""
        if not self.source.timestamp:
            return None, None
        ends = [moment for moment in (self.promise.bound.end, self.horizon.until) if moment]
        return self.promise.bound.start, min(ends) if ends else None

    def _meant(self) -> list[str]:
        return [matching(self.population.where, self.source), *inside(self.promise.bound)]

    def _timely(self) -> list[str]:
        start, until = self._bounds()
        return [
            *([f"{self._time} >= {moment(start)}"] if start else []),
            *([f"{self._time} < {moment(until)}"] if until else []),
        ]

    def _own_segments(self) -> list[Carried]:
        own = [s for s in self.experiment.segments if s.source in (None, self.source.name) and not s.cross]
        return [Carried(f"seg_{i}", _level(s.column or s.name)) for i, s in self._numbered() if s in own]

    def _numbered(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.experiment.segments))

    def _balance(self) -> list[Carried]:
        return [
            Carried(f"bal_{i}", f"CAST({identifier(column)} AS DOUBLE)")
            for i, column in enumerate(self.experiment.balance)
        ]

    def _cluster(self) -> list[Carried]:
        column = self.experiment.analysis.cluster
        return [Carried("cluster", f"CAST({cluster_of(self.promise.bound, column)} AS VARCHAR)")] if column else []

    def _identity(self) -> None:
        rule = self.population.identity
        if rule:
            mapping = self.workspace.folder.sources[rule.source]
            self._table(
                "mapping",
                "identity",
                relation=relation(self.workspace, rule.source),
                unit=unit_of(mapping),
                to=identifier(rule.to),
                mode=rule.mode,
            )

    def _triggers(self) -> None:
        rule = self.population.trigger
        if rule:
            source = self.workspace.folder.sources[rule.source]
            _, until = self._bounds()
            self._table(
                "reached",
                "triggers",
                relation=relation(self.workspace, rule.source),
                unit=unit_of(source),
                time=time_of(source, self.promise.bound.timezone),
                where=matching(rule.where, source),
                until=moment(until or datetime.max.replace(tzinfo=UTC)),
                identity=bool(self.population.identity),
            )

    def _units(self, carried: list[Carried]) -> None:
        assignment = self.experiment.assignment
        dimensions = self._dimensions()
        self._table(
            "units",
            "units",
            identity=bool(self.population.identity),
            triggered=bool(self.population.trigger),
            leaks=leaks(self.promise.bound),
            arms=[literal(arm) for arm in assignment.arms],
            exclude_multi=self.population.multi_arm == "exclude",
            exclude_mismatched=bool(self.population.mismatch and self.population.mismatch.policy == "exclude_units"),
            bucket=storage_bucket_sql("assigned.unit"),
            carried=carried,
            joined=[{"table": table, "name": name} for table, names in dimensions.items() for name in names],
            tables=list(dimensions),
            crossed=self._crossed(dimensions),
            missing=literal(MISSING_SEGMENT),
        )

    def _crossed(self, dimensions: dict[str, list[str]]) -> list[Carried]:
        """Crossed segments as SQL: the levels of those they cross, side by side."""
        homes = {name: table for table, names in dimensions.items() for name in names}
        levels = {
            s.name: f"coalesce({homes.get(f'seg_{i}', 'assigned')}.seg_{i}, {literal(MISSING_SEGMENT)})"
            for i, s in self._numbered()
        }
        between = f" || {literal(CROSSING)} || "
        return [
            Carried(f"seg_{i}", between.join(levels[name] for name in s.cross)) for i, s in self._numbered() if s.cross
        ]

    def _dimensions(self) -> dict[str, list[str]]:
        """Segments from other tables: a temporary table a source, keyed by unit."""
        tables: dict[str, list[str]] = {}
        foreign = [(i, s) for i, s in self._numbered() if s.source not in (None, self.source.name)]
        for source_name in sorted({s.source for _, s in foreign}):
            source: Source = self.workspace.folder.sources[source_name]
            mine = [(i, s) for i, s in foreign if s.source == source_name]
            table = f"dimension_{len(tables)}"
            columns = ", ".join(f"{_level(s.column or s.name)} AS seg_{i}" for i, s in mine)
            self.con.execute(
                f"CREATE TEMP TABLE {table} AS SELECT {unit_of(source)} AS unit, {columns} "
                f"FROM {relation(self.workspace, source_name)}"
            )
            tables[table] = [f"seg_{i}" for i, _ in mine]
        return tables


def _text(column: str, known: bool) -> str:
    return column if known else "CAST(NULL AS VARCHAR)"


def _level(column: str) -> str:
    return f"coalesce(CAST({identifier(column)} AS VARCHAR), {literal(MISSING_SEGMENT)})"
