"""One pass over the raw rows: typed, held to the contract, filtered, and written as clean rows and quarantine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from xp_pipeline.engine.predicates import identifier, literal, predicate
from xp_pipeline.errors import ContractError, SourceError, SpecError
from xp_pipeline.sources.casting import NO_ZONE, local_name, raw_name, raw_value, typed, without_zone
from xp_pipeline.sources.contracts import failures, predicates, schema
from xp_pipeline.sources.readers import RawRows, listed
from xp_pipeline.sources.rules import Rule, first_broken, first_true
from xp_pipeline.spec.canonical import bytes_digest
from xp_pipeline.spec.source import ROW_UNIT, Source

SAMPLE = 5
"""Rejected rows that a version shows without its quarantine being opened."""

_LOOSER = {
    "unit_table": "unit_periods or event_log",
    "dimension": "unit_periods",
    "unit_periods": "event_log",
}

_OWN = ("_row", "_rule", "_filter")


class Judging:
    """The rows of one source on one connection, on their way from raw to clean.

    Rows are written once, typed and marked, to a file beside the result, so that no log has to fit into
    memory; everything else reads that file. The rules of types come first, then those of the contract.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, source: Source, raw: RawRows, folder: Path) -> None:
        self.con = con
        self.source = source
        self.raw = raw
        self.folder = folder
        self.where = f"source {source.name}"
        self.columns = ", ".join(identifier(name) for name in source.columns)
        self.contract = schema(source)
        self.of_contract = predicates(self.contract)
        self.rules: list[Rule] = []

    def write(self) -> dict[str, Any]:
        """Write ``data.parquet`` and ``quarantine.parquet``; return the counts of a version.

        Raises:
            SourceError: there is no row.
            ContractError: a column is missing or of another kind, times lack a zone, or units repeat.
        """
        self._refuse_own_names()
        marked = self.folder / ".marked.parquet"
        self._copy(self._marked(), marked, "COMPRESSION snappy, PARQUET_VERSION v2")
        self._judge(self._read(".marked.parquet"))
        self._refuse_times_without_zone()
        counts = self._counts()
        self._copy(self._clean(), self.folder / "data.parquet")
        self._copy(self._quarantine(), self.folder / "quarantine.parquet")
        self._refuse_repeated_units()
        marked.unlink()
        return counts | self._span() | {"rejected_sample": self._sample()}

    def _refuse_own_names(self) -> None:
        taken = [name for name in self.source.columns if name.lower() in _OWN or name.startswith(("_raw_", "_local_"))]
        if taken:
            raise SpecError("this column name is reserved", where=self.where, found=taken[0], next_step="rename it")

    def _copy(self, query: str, path: Path, options: str = "COMPRESSION zstd") -> None:
        self.con.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, {options})")

    def _marked(self) -> str:
        """Every row typed, with the first rule it breaks and the first filter that takes it out."""
        how = typed(self.source, self.raw.kinds)
        of_types = [rule for column in how for rule in column.rules]
        self.rules = [*of_types, *self.of_contract]
        local = "".join(f", {c.local} AS {local_name(i)}" for i, c in enumerate(how) if c.local)
        cast = ", ".join(f"{c.sql} AS {identifier(name)}" for name, c in zip(self.source.columns, how, strict=True))
        return (
            f"WITH numbered AS ({self._numbered()}), parsed AS (SELECT *{local} FROM numbered), "
            f"typed AS (SELECT *, {cast} FROM parsed) "
            f"SELECT _row, coalesce({first_broken(of_types)}, {self._by_predicates(len(of_types))}) AS _rule, "
            f"{self._filters()} AS _filter, {self.columns} FROM typed"
        )

    def _numbered(self) -> str:
        """The declared columns as they are, nulls told apart, with the row's number in the input."""
        raw = ", ".join(
            f"{raw_value(self.source, self.raw.columns[name], self.raw.kinds[name])} AS {raw_name(i)}"
            for i, name in enumerate(self.source.columns)
        )
        return f"SELECT row_number() OVER () AS _row, {raw} FROM {self.raw.relation}"

    def _by_predicates(self, start: int) -> str:
        """The contract as predicates, for logs; tables of units are left to pandera."""
        return first_broken(self.of_contract, start=start) if self._is_log else "CAST(NULL AS SMALLINT)"

    @property
    def _is_log(self) -> bool:
        return self.source.kind in ("event_log", "exposure_log")

    def _filters(self) -> str:
        return first_true([self._leaving(i) for i in range(len(self.source.filters))])

    def _leaving(self, i: int) -> str:
        rule = self.source.filters[i]
        if rule.keep is not None:
            return f"NOT ({predicate(rule.keep, self.source.columns)})"
        return predicate(rule.drop or {}, self.source.columns)

    def _judge(self, marked: str) -> None:
        """Name the marked rows, and collect the rejected ones with the first rule each breaks."""
        self.con.execute(f"CREATE TEMP VIEW marked AS SELECT * FROM {marked}")
        start = len(self.rules) - len(self.of_contract)
        found = ["SELECT _row, _rule FROM marked WHERE _rule IS NOT NULL"]
        found += self._whole(start) if self._is_log else self._by_pandera(start)
        self.con.execute(
            "CREATE TEMP TABLE rejected AS SELECT _row, min(_rule) AS _rule "
            f"FROM ({' UNION ALL '.join(found)}) GROUP BY _row ORDER BY _row"
        )

    def _whole(self, start: int) -> list[str]:
        readable = f"(SELECT * FROM marked WHERE _rule IS NULL OR _rule >= {start})"
        return [
            f"SELECT _row, {i} FROM (SELECT _row, {rule.broken} AS broken FROM {readable}) WHERE broken"
            for i, rule in enumerate(self.of_contract, start)
            if rule.whole
        ]

    def _by_pandera(self, start: int) -> list[str]:
        rows = self.con.sql(f"SELECT _row, {self.columns} FROM marked WHERE _rule IS NULL").pl()
        refused = failures(self.contract, rows.drop("_row"), self.of_contract)
        self.con.register("refused", refused.with_columns(_row=rows["_row"].gather(refused["index"])))
        return [f"SELECT _row, rule + {start} FROM refused"]

    def _refuse_times_without_zone(self) -> None:
        for rule, rows in self._by_rule():
            if rule.why == NO_ZONE:
                raise without_zone(self.source, rule.column, rows)

    def _by_rule(self) -> list[tuple[Rule, int]]:
        counted = self.con.execute("SELECT _rule, count(*) FROM rejected GROUP BY _rule ORDER BY _rule").fetchall()
        return [(self.rules[i], rows) for i, rows in counted]

    def _counts(self) -> dict[str, Any]:
        rejected = {rule.reason: rows for rule, rows in self._by_rule()}
        by_filter = dict(
            self.con.execute(
                "SELECT _filter, count(*) FROM marked ANTI JOIN rejected USING (_row) GROUP BY _filter"
            ).fetchall()
        )
        read = sum(by_filter.values()) + sum(rejected.values())
        if read == 0:
            raise SourceError("there is not a single row", where=self.where)
        filtered: dict[str, int] = {}
        for i, rule in enumerate(self.source.filters):
            filtered[rule.name] = filtered.get(rule.name, 0) + by_filter.get(i, 0)
        return {"rows_read": read, "rows_kept": by_filter.get(None, 0), "rejected": rejected, "filtered": filtered}

    def _clean(self) -> str:
        kept = f"SELECT _row, {self.columns} FROM marked WHERE _rule IS NULL AND _filter IS NULL"
        late = self.con.execute("SELECT EXISTS (FROM rejected JOIN marked USING (_row) WHERE marked._rule IS NULL)")
        anti = " AND _row NOT IN (SELECT _row FROM rejected) ORDER BY _row" if _one(late)[0] else ""
        return kept + anti

    def _quarantine(self) -> str:
        """The rejected rows as they were, fetched by their numbers."""
        self.con.execute("CREATE TEMP TABLE rules (_rule SMALLINT, column_name VARCHAR, reason VARCHAR)")
        for i, rule in enumerate(self.rules):
            self.con.execute("INSERT INTO rules VALUES (?, ?, ?)", [i, rule.column, rule.reason])
        raw = "".join(f", {sql} AS {raw_name(i)}" for i, sql in enumerate(self.raw.columns.values()))
        return (
            f"WITH numbered AS (SELECT row_number() OVER () AS _row{raw} FROM {self.raw.relation}) "
            f'SELECT _row, column_name AS "column", reason, {self._as_json()} AS row '
            "FROM rejected JOIN rules USING (_rule) JOIN numbered USING (_row) ORDER BY _row"
        )

    def _as_json(self) -> str:
        """A raw row as JSON text, its id hashed unless the source shows it."""
        parts = []
        for i, name in enumerate(self.raw.columns):
            value = f"CAST({raw_name(i)} AS VARCHAR)"
            hidden = name == self.source.unit and not self.source.show_ids
            parts.append(f"{literal(name)}, {f'sha256({value})' if hidden else value}")
        return f"CAST(json_object({', '.join(parts)}) AS VARCHAR)"

    def _read(self, name: str) -> str:
        return f"read_parquet({listed([str(self.folder / name)])}, hive_partitioning = FALSE)"

    def _refuse_repeated_units(self) -> None:
        """A unit table, or a dimension, promises one row a unit; a table of periods one a unit and period."""
        keys = self._promised_keys()
        if not keys:
            return
        names = ", ".join(identifier(name) for name in keys)
        self.con.execute(
            f"CREATE TEMP TABLE repeated AS SELECT {identifier(keys[0])} AS unit, "
            f"count(DISTINCT {{{self._fields()}}}) = 1 AS same "
            f"FROM {self._read('data.parquet')} SEMI JOIN (SELECT {names} FROM {self._read('data.parquet')} "
            f"GROUP BY ALL HAVING count(*) > 1) USING ({names}) GROUP BY {names} ORDER BY {names}"
        )
        ids, same = _one(self.con.execute("SELECT count(*), count(*) FILTER (same) FROM repeated"))
        if ids:
            raise ContractError(
                f"a {self.source.kind} has one row a unit{' and period' if len(keys) > 1 else ''}",
                where=f"{self.where}, column {self.source.unit!r}",
                found=f"{ids:,} ids in several rows ({same:,} repeated word for word, {ids - same:,} with other "
                f"values), such as {' and '.join(self._examples())}",
                next_step=f"declare kind: {_LOOSER[self.source.kind]}, or leave one row of each",
            )

    def _promised_keys(self) -> list[str]:
        """The columns that no two rows share, none where rows may repeat."""
        if self.source.unit == ROW_UNIT:
            return []
        if self.source.kind in ("unit_table", "dimension"):
            return [self.source.unit]
        periods = self.source.kind == "unit_periods" and self.source.timestamp
        return [self.source.unit, self.source.timestamp] if periods and self.source.timestamp else []

    def _fields(self) -> str:
        return ", ".join(f"{literal(name)}: {identifier(name)}" for name in self.source.columns)

    def _examples(self) -> list[str]:
        ids = [str(row[0]) for row in self.con.execute("SELECT unit FROM repeated LIMIT 2").fetchall()]
        return ids if self.source.show_ids else [f"sha256 {bytes_digest(each.encode())[:12]}…" for each in ids]

    def _span(self) -> dict[str, datetime | None]:
        if not self.source.timestamp:
            return {"first": None, "last": None}
        time = identifier(self.source.timestamp)
        first, last = _one(self.con.execute(f"SELECT min({time}), max({time}) FROM {self._read('data.parquet')}"))
        return {"first": _moment(first), "last": _moment(last)}

    def _sample(self) -> list[Mapping[str, Any]]:
        rows = self.con.execute(f"FROM {self._read('quarantine.parquet')} LIMIT {SAMPLE}").fetchall()
        return [{"row": n, "column": c, "reason": why, "values": json.loads(raw)} for n, c, why, raw in rows]


def _one(result: duckdb.DuckDBPyConnection) -> tuple[Any, ...]:
    row = result.fetchone()
    assert row is not None
    return row


def _moment(value: date | datetime | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value and value.replace(tzinfo=UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC)
