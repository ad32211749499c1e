"""From raw rows to declared types: one SQL expression a column, and the rules its raw values can break.

====================  ==================================================================================
declared              what a text cell may hold (spaces around it are ignored, except in text)
====================  ==================================================================================
integer               an optional sign and digits, within 64 bits; ``1.0`` and ``1e3`` are no integers
number                decimal or exponent notation; ``nan`` and ``inf`` are read, and refused as not finite
boolean               true/false, t/f, yes/no, y/n, 1/0 in any case
timestamp             ``YYYY-MM-DD[ hh:mm[:ss[.ffffff]]]``, also with ``T``; with an offset (``Z``, ``+02``,
                      ``+0200``, ``+02:00``, ``UTC``) taken as it is, without one in the source's ``timezone``
date                  ``YYYY-MM-DD``
text                  anything, untouched
====================  ==================================================================================

A local time that the clocks skip in spring is refused; one that they show twice in autumn is read as the
second (standard time).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from xp_pipeline.engine.predicates import identifier, literal
from xp_pipeline.errors import ContractError, nearest
from xp_pipeline.sources.rules import Rule
from xp_pipeline.spec.source import Source

NO_ZONE = "no time zone"
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")
_LOCAL = literal(r"[1-9]\d{3}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?")
_INSTANT = literal(r"[1-9]\d{3}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|z|UTC|GMT)| ?[+-]\d\d:?\d\d|[+-]\d\d)")
_OFFSET = literal(r" ?([+-]\d\d):?(\d\d)$")
_RANGE = "TIMESTAMP '0001-01-02' AND TIMESTAMP '9999-12-30'"
_EXACT = 2**53
"""Largest magnitude up to which a double tells every two integers apart."""

_FAMILIES = (
    ("text", r"VARCHAR|ENUM\(.*|UUID"),
    ("integer", r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|DECIMAL\(\d+,0\)"),
    ("float", r"FLOAT|DOUBLE"),
    ("decimal", r"DECIMAL\(.*"),
    ("boolean", r"BOOLEAN"),
    ("date", r"DATE"),
    ("instant", r"TIMESTAMP WITH TIME ZONE|TIMESTAMPTZ(_NS)?"),
    ("local", r"TIMESTAMP(_S|_MS|_NS)?"),
    ("null", r'"NULL"'),
)
_READABLE: Mapping[str, tuple[str, ...]] = {
    "integer": ("text", "integer", "float", "decimal", "boolean", "null"),
    "number": ("text", "integer", "float", "decimal", "boolean", "null"),
    "boolean": ("text", "integer", "float", "boolean", "null"),
    "text": ("text", "integer", "boolean", "date", "null"),
    "timestamp": ("text", "instant", "local", "date", "null"),
    "date": ("text", "local", "date", "null"),
}
_WHY = {
    "integer": "not a 64-bit integer",
    "number": "not a number",
    "boolean": "not true or false",
    "text": "not text",
    "timestamp": "not a timestamp",
    "date": "not a date (YYYY-MM-DD)",
}


class Typed(NamedTuple):
    """How one declared column is read, in steps that each see the columns of the step before.

    Attributes:
        local: SQL of the local time that a raw value writes, for timestamps that may be one; read as ``local_name``.
        sql: SQL of the value in its declared type; null where the raw value cannot be read.
        rules: How a raw value can fail to be of the declared type.
    """

    local: str | None
    sql: str
    rules: tuple[Rule, ...]


def raw_name(position: int) -> str:
    """What the raw value of the column at a position is called while it is being read."""
    return f"_raw_{position}"


def local_name(position: int) -> str:
    """What the local time of the column at a position is called while it is being read."""
    return f"_local_{position}"


def typed(source: Source, kinds: Mapping[str, str]) -> list[Typed]:
    """How each declared column is read, in declared order.

    Args:
        kinds: Raw column to DuckDB type.

    Raises:
        ContractError: a declared column is missing, or of a type that cannot become the declared one.
    """
    families = [_family(source, name, kinds) for name in source.columns]
    return [_typed(source, name, i, families[i]) for i, name in enumerate(source.columns)]


def raw_value(source: Source, sql: str, kind: str) -> str:
    """The raw value, null where its text is declared to mean null."""
    if _family_of(kind) != "text":
        return sql
    value = f"CAST({sql} AS VARCHAR)" if kind != "VARCHAR" else sql
    nulls = ", ".join(literal(text) for text in source.null_values)
    return f"CASE WHEN {value} NOT IN ({nulls}) THEN {value} END" if nulls else value


def _family(source: Source, name: str, kinds: Mapping[str, str]) -> str:
    where = f"source {source.name}"
    if name not in kinds:
        raise ContractError(f"the declared column {name!r} is missing", where=where, allowed=nearest(name, kinds))
    family, declared = _family_of(kinds[name]), source.columns[name].type
    if family not in _READABLE[declared]:
        raise ContractError(
            f"column {name!r} cannot be read as {declared}",
            where=where,
            found=kinds[name],
            next_step="declare the type it has, or convert it in an sql: source",
        )
    if declared == "timestamp" and family in ("local", "date") and source.timezone is None:
        raise _without_zone(source, name)
    return family


def _family_of(kind: str) -> str | None:
    return next((family for family, pattern in _FAMILIES if re.fullmatch(pattern, kind)), None)


def without_zone(source: Source, name: str, rows: int) -> ContractError:
    """The refusal of times written without a zone where none is declared."""
    return _without_zone(source, name, found=f"{rows:,} rows without one")


def _without_zone(source: Source, name: str, found: str | None = None) -> ContractError:
    return ContractError(
        f"the timestamps of column {name!r} have no time zone",
        where=f"source {source.name}",
        found=found,
        next_step="declare the zone they were written in, such as timezone: UTC",
    )


def _typed(source: Source, name: str, position: int, family: str) -> Typed:
    declared = source.columns[name].type
    if declared == "timestamp":
        return _timestamp(source, name, position, family)
    return Typed(None, _EXPRESSIONS[declared](family, raw_name(position)), (_unread(name, declared, position),))


def _unread(name: str, declared: str, position: int) -> Rule:
    return Rule(name, _WHY[declared], f"{raw_name(position)} IS NOT NULL AND {identifier(name)} IS NULL")


def _integer(family: str, raw: str) -> str:
    if family == "text":
        return f"CASE WHEN regexp_full_match(trim({raw}), '[+-]?[0-9]+') THEN TRY_CAST({raw} AS BIGINT) END"
    if family == "float":
        return f"CASE WHEN {raw} = floor({raw}) AND abs({raw}) <= {_EXACT} THEN CAST({raw} AS BIGINT) END"
    if family == "decimal":
        return f"CASE WHEN {raw} = floor({raw}) THEN TRY_CAST({raw} AS BIGINT) END"
    return f"TRY_CAST({raw} AS BIGINT)"


def _number(family: str, raw: str) -> str:
    if family == "text":
        return f"CASE WHEN NOT contains({raw}, '_') THEN TRY_CAST({raw} AS DOUBLE) END"
    return f"TRY_CAST({raw} AS DOUBLE)"


def _boolean(family: str, raw: str) -> str:
    if family in ("boolean", "null"):
        return f"CAST({raw} AS BOOLEAN)"
    if family == "text":
        true, false = (", ".join(literal(text) for text in texts) for texts in (_TRUE, _FALSE))
        lowered = f"lower(trim({raw}))"
        return f"CASE WHEN {lowered} IN ({true}) THEN TRUE WHEN {lowered} IN ({false}) THEN FALSE END"
    return f"CASE WHEN {raw} = 1 THEN TRUE WHEN {raw} = 0 THEN FALSE END"


def _text(family: str, raw: str) -> str:
    return raw if family == "text" else f"CAST({raw} AS VARCHAR)"


def _date(family: str, raw: str) -> str:
    if family == "text":
        form = f"regexp_full_match(trim({raw}), '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')"
        return f"CASE WHEN {form} THEN TRY_CAST({raw} AS DATE) END"
    if family == "local":
        return f"CASE WHEN isfinite({raw}) AND {raw} = date_trunc('day', {raw}) THEN CAST({raw} AS DATE) END"
    return f"CASE WHEN isfinite(CAST({raw} AS DATE)) THEN CAST({raw} AS DATE) END"


_EXPRESSIONS = {"integer": _integer, "number": _number, "boolean": _boolean, "text": _text, "date": _date}


def _timestamp(source: Source, name: str, position: int, family: str) -> Typed:
    """UTC without a zone, and the rules of local times."""
    raw, local = raw_name(position), local_name(position)
    unread = _unread(name, "timestamp", position)
    if family == "instant":
        utc = f"TRY_CAST({raw} AT TIME ZONE 'UTC' AS TIMESTAMP)"
        return Typed(None, f"CASE WHEN {utc} BETWEEN {_RANGE} THEN {utc} END", (unread,))
    rules = (unread, *_local_rules(source, name, local))
    if family == "text":
        return Typed(
            _written_local(raw), f"CASE WHEN {local} IS NULL THEN {_instant(raw)} ELSE {_utc(source, local)} END", rules
        )
    stored = f"TRY_CAST({raw} AS TIMESTAMP)"
    return Typed(f"CASE WHEN {stored} BETWEEN {_RANGE} THEN {stored} END", _utc(source, local), rules)


def _written_local(raw: str) -> str:
    return f"CASE WHEN regexp_full_match(trim({raw}), {_LOCAL}) THEN TRY_CAST(trim({raw}) AS TIMESTAMP) END"


def _instant(raw: str) -> str:
    """A time written with its offset, in UTC; DuckDB's cast wants ``+02:00`` and no space before it."""
    spelled = f"regexp_replace(trim({raw}), {_OFFSET}, '\\1:\\2')"
    utc = f"CAST(TRY_CAST({spelled} AS TIMESTAMP WITH TIME ZONE) AT TIME ZONE 'UTC' AS TIMESTAMP)"
    return f"CASE WHEN regexp_full_match(trim({raw}), {_INSTANT}) THEN {utc} END"


def _utc(source: Source, local: str) -> str:
    """A local time as UTC; of two moments with that local time, the later."""
    if source.timezone in (None, "UTC"):
        return local
    return f"timezone('UTC', timezone({literal(source.timezone)}, {local}))"


def _local_rules(source: Source, name: str, local: str) -> tuple[Rule, ...]:
    """Without a declared zone no local time will do; with one, it must come back from UTC as it was."""
    if source.timezone is None:
        return (Rule(name, NO_ZONE, f"{local} IS NOT NULL"),)
    if source.timezone == "UTC":
        return ()
    back = f"timezone({literal(source.timezone)}, timezone('UTC', {identifier(name)}))"
    why = f"a time that the clocks skip in {source.timezone}"
    return (Rule(name, why, f"{local} IS NOT NULL AND {back} <> {local}"),)
