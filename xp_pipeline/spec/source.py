"""A source: where rows come from, what they mean, and what they must look like."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, model_validator

from xp_pipeline.errors import nearest
from xp_pipeline.spec.values import ColumnType, Duration, Model, Or, Where

ROW_UNIT = "@row"
"""Declared as ``unit`` when the table has no id and every row is one unit."""


class Column(Model):
    """The contract of one column; a value outside it sends its row to quarantine."""

    type: ColumnType
    nullable: bool = True
    unique: bool = False
    one_of: tuple[bool | int | float | str, ...] | None = None
    at_least: float | None = None
    at_most: float | None = None


COLUMN_TYPE = Or(({"enum": list(get_args(ColumnType))},))


def _column(raw: Any) -> Any:
    return {"type": raw} if isinstance(raw, str) else raw


class Filter(Model):
    """A declared exclusion: rows matching ``drop`` (or failing ``keep``) leave, and are counted by name."""

    name: str
    keep: Where | None = None
    drop: Where | None = None

    @model_validator(mode="after")
    def _one_side(self) -> Filter:
        if (self.keep is None) == (self.drop is None):
            raise ValueError("a filter has either keep or drop")
        return self


class Database(Model):
    """A query on an SQL database; the address is read from an environment variable, never from the file."""

    url_env: str
    query: str
    driver: Literal["sqlalchemy", "adbc"] = "sqlalchemy"


class Location(Model):
    """Where the rows are: exactly one of a path, a SELECT over files, or a database query."""

    path: str | None = None
    sql: str | None = None
    database: Database | None = None
    format: Literal["csv", "parquet"] | None = None
    delimiter: str = ","
    asset: str | None = None


def _known_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        allowed = nearest(name, available_timezones())
        raise ValueError(f"unknown time zone; found {name}; allowed: {allowed}") from None


class Source(Model):
    """A table of the project.

    ``unit_table`` has one row per unit, ``unit_periods`` one per unit and period, ``event_log`` any
    number of timestamped rows per unit, ``exposure_log`` says who met which arm when, and
    ``dimension`` adds columns to units.
    """

    name: str
    kind: Literal["unit_table", "unit_periods", "event_log", "exposure_log", "dimension"]
    unit: str = Field(description="Column of the unit id, or @row when each row is one unit.")
    location: Location
    timestamp: str | None = None
    timezone: str | None = Field(None, description="Zone of timestamps written without one.")
    columns: dict[str, Annotated[Column, BeforeValidator(_column), COLUMN_TYPE]]
    null_values: tuple[str, ...] = ("",)
    filters: tuple[Filter, ...] = ()
    lag: Duration = Field("0d", validate_default=True, description="How late rows may still arrive.")  # type: ignore[assignment]
    complete: bool = Field(False, description="No more rows will ever come: every day is closed.")
    closed: str | None = Field(None, description="Partition marker path; {day} stands for the date.")
    max_rejected_share: float = Field(0.01, ge=0, le=1, description="Above this share of quarantined rows: refuse.")
    show_ids: bool = False
    description: str = ""
    owner: str = ""

    @model_validator(mode="before")
    @classmethod
    def _lift_location(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "location" in raw:
            return raw
        inside = {key: raw[key] for key in Location.model_fields if key in raw}
        return {**{k: v for k, v in raw.items() if k not in inside}, "location": inside}

    @model_validator(mode="after")
    def _coherent(self) -> Source:
        where = self.location
        if sum(x is not None for x in (where.path, where.sql, where.database)) != 1:
            raise ValueError("a source has exactly one of path, sql or database")
        if self.kind in ("event_log", "exposure_log") and not self.timestamp:
            raise ValueError(f"an {self.kind} needs a timestamp column")
        if self.timezone:
            _known_zone(self.timezone)
        if self.closed and "{day}" not in self.closed:
            raise ValueError(f"the marker of a closed day needs {{day}} in its path; found {self.closed}")
        if len(where.delimiter) != 1:
            raise ValueError(f"a delimiter is one character; found {where.delimiter!r}")
        for role, column in (("unit", self.unit), ("timestamp", self.timestamp)):
            if column and column != ROW_UNIT and column not in self.columns:
                raise ValueError(f"the {role} column {column!r} is not among the declared columns")
        if self.timestamp and self.columns[self.timestamp].type not in ("timestamp", "date"):
            raise ValueError(f"the timestamp column {self.timestamp!r} is not of type timestamp or date")
        if self.unit != ROW_UNIT and self.columns[self.unit].type not in ("integer", "text"):
            raise ValueError(f"the unit column {self.unit!r} is neither integer nor text")
        return self

    def promised(self) -> dict[str, Any]:
        """What a registration seals of a source: its meaning and contract, not its address or prose."""
        return self.model_dump(
            mode="json", exclude={"location", "description", "owner", "show_ids"}, exclude_defaults=True
        )
