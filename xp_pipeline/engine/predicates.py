"""Declared conditions as portable SQL, with identifiers and values quoted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.spec.source import Column
from xp_pipeline.spec.values import Condition, Scalar, Where

Value = bool | int | float | str | date | datetime
_LONG = range(-(2**63), 2**63)


def identifier(name: str) -> str:
    """A column's name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A value as SQL; a moment in UTC without a zone, as tables store it.

    Raises:
        SpecError: the value is not finite, or SQL has no form for it.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return f"CAST({_finite(value)} AS DOUBLE)"
    if isinstance(value, datetime):
        return f"CAST('{_utc(value).isoformat(sep=' ')}' AS TIMESTAMP)"
    if isinstance(value, date):
        return f"CAST('{value.isoformat()}' AS DATE)"
    if isinstance(value, str) and "\0" not in value:
        return "'" + value.replace("'", "''") + "'"
    raise SpecError(
        "the value has no SQL form", found=repr(value), allowed="text without NUL, numbers, dates, true, false"
    )


def predicate(where: Where, columns: Mapping[str, Column]) -> str:
    """All conditions as one boolean that is never null.

    A null satisfies ``not_one_of`` and ``is_null: true``, and nothing else. Text compared with a timestamp
    column is ISO 8601, in UTC where it carries no offset.

    Raises:
        SpecError: an unknown column, or a value that does not fit its column's type.
    """
    parts = [part for name, condition in where.items() for part in _parts(name, condition, _known(name, columns))]
    return " AND ".join(parts) or "TRUE"


def fitting(name: str, value: Scalar, column: Column) -> Value:
    """The value as its column's type has it, with dates and timestamps parsed.

    Raises:
        SpecError: the value does not fit.
    """
    if column.type in ("timestamp", "date"):
        return _moment(name, value, column)
    fits = isinstance(value, _FITS[column.type]) and isinstance(value, bool) == (column.type == "boolean")
    if not fits or (column.type == "integer" and value not in _LONG):
        raise _unfit(name, value, column)
    return float(value) if column.type == "number" else value


def fitting_all(name: str, values: Sequence[Scalar], column: Column) -> list[Value]:
    """A list of values as its column's type has them.

    Raises:
        SpecError: there is none, or one does not fit.
    """
    if not values:
        raise SpecError("a list of values has at least one", where=f"condition on {name}")
    return [fitting(name, value, column) for value in values]


def fitting_bound(name: str, value: float, column: Column) -> float:
    """The bound, if its column has numbers.

    Raises:
        SpecError: the column has none.
    """
    if column.type not in ("integer", "number"):
        raise SpecError("a bound needs a column of numbers", where=f"condition on {name}", found=column.type)
    return value


def _known(name: str, columns: Mapping[str, Column]) -> Column:
    if name not in columns:
        raise SpecError(f"unknown column {name!r} in a condition", allowed=nearest(name, columns))
    return columns[name]


def _parts(name: str, condition: Condition, column: Column) -> list[str]:
    quoted = identifier(name)
    parts = []
    if condition.one_of is not None:
        parts.append(f"coalesce({quoted} IN ({_list(name, condition.one_of, column)}), FALSE)")
    if condition.not_one_of is not None:
        parts.append(f"coalesce({quoted} NOT IN ({_list(name, condition.not_one_of, column)}), TRUE)")
    if condition.at_least is not None:
        parts.append(f"coalesce({quoted} >= {literal(fitting_bound(name, condition.at_least, column))}, FALSE)")
    if condition.at_most is not None:
        parts.append(f"coalesce({quoted} <= {literal(fitting_bound(name, condition.at_most, column))}, FALSE)")
    if condition.is_null is not None:
        parts.append(f"{quoted} IS {'NULL' if condition.is_null else 'NOT NULL'}")
    return parts


def _list(name: str, values: Sequence[Scalar], column: Column) -> str:
    return ", ".join(literal(value) for value in fitting_all(name, values, column))


_FITS: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
    "boolean": (bool,),
}


def _moment(name: str, value: Scalar, column: Column) -> Value:
    try:
        if not isinstance(value, str):
            raise ValueError
        return date.fromisoformat(value) if column.type == "date" else _utc(datetime.fromisoformat(value))
    except ValueError:
        raise _unfit(name, value, column) from None


def _unfit(name: str, value: Scalar, column: Column) -> SpecError:
    hint = f"write {str(value)!r}" if column.type == "text" else None
    return SpecError(
        f"the value does not fit a column of type {column.type}",
        where=f"condition on {name}",
        found=repr(value),
        next_step=hint,
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _finite(value: float) -> str:
    if not math.isfinite(value):
        raise SpecError("a value in a condition is finite", found=value)
    return float.__repr__(value)
