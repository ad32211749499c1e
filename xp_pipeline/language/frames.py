"""A program over a Polars frame: three more columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.language.decide import Cases, Outcome, cases
from xp_pipeline.language.formulas import (
    Among,
    Column,
    Compare,
    Constant,
    Definite,
    Either,
    Every,
    Formula,
    Kind,
    Known,
    Missing,
    Mixed,
    Not,
    Search,
)
from xp_pipeline.language.hashing import bucket
from xp_pipeline.language.lowering import check_splitters
from xp_pipeline.language.rules import Range

if TYPE_CHECKING:
    from xp_pipeline.language.program import Program

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

COLUMNS = ("branch", "bucket", "arm")
_OUT = -1
_FEW = 4
_LONG = range(-(2**63), 2**63)
_LIMIT = float(2**63)
_COMPARE = {
    "=": pl.Expr.eq,
    "<": pl.Expr.lt,
    "<=": pl.Expr.le,
    ">": pl.Expr.gt,
    ">=": pl.Expr.ge,
}


@dataclass(frozen=True)
class AssignmentExpressions:
    """Three expressions.

    Attributes:
        branch: The id of the branch taken, over the program's fields; null when none is.
        bucket: u in [0, 1), over the splitters and a column ``branch``; null when the unit has none.
        arm: The arm as text, over columns named ``branch`` and ``bucket``.
    """

    branch: pl.Expr
    bucket: pl.Expr
    arm: pl.Expr


def expressions(program: Program, schema: Mapping[str, pl.DataType]) -> AssignmentExpressions:
    """The program's three expressions over columns of these types.

    Raises:
        SpecError: a field without a column, or a column of a type without meaning.
    """
    reader = _Reader(schema, (*program.fields, *program.splitters))
    check_splitters(program.splitters, reader.kinds)
    return AssignmentExpressions(
        reader.outcome(cases(program.tree.conditions, program.branches, reader.kinds)).replace(_OUT, None),
        pl.when(pl.col("branch").is_not_null()).then(bucket(program, schema)),
        _arm(program.splits),
    )


def assigned(program: Program, frame: Frame) -> Frame:
    """The frame with branch, bucket and arm as ``Program.assign`` gives them, row by row.

    Raises:
        SpecError: see ``expressions``; or a column that is named like a result.
    """
    schema = frame.collect_schema()
    clash = next((name for name in schema if name in COLUMNS), None)
    if clash:
        raise SpecError("a column has the name of a result", found=clash, next_step="rename it")
    made = expressions(program, schema)
    steps = {"branch": made.branch, "bucket": made.bucket, "arm": made.arm}
    for name, expression in steps.items():
        frame = frame.with_columns(expression.alias(name))
    return frame


def kind_of(name: str, dtype: pl.DataType | type[pl.DataType]) -> Kind:
    """What a program sees in a column of a Polars type.

    Raises:
        SpecError: dates, times, lists and other types that programs do not compare.
    """
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return "text"
    raise SpecError("programs compare text, numbers and booleans", where=f"column {name}", found=str(dtype))


class _Reader:
    """Formulas as expressions over the columns of one schema."""

    def __init__(self, schema: Mapping[str, pl.DataType], fields: Sequence[str]) -> None:
        absent = next((name for name in fields if name not in schema), None)
        if absent is not None:
            raise SpecError(
                f"the program reads a field {absent!r} that there is no column for", allowed=nearest(absent, schema)
            )
        self.kinds: dict[str, Kind] = {name: kind_of(name, schema[name]) for name in fields}
        self.wide = {name for name in fields if schema[name] in (pl.UInt64, pl.Int128, pl.UInt128)}

    def outcome(self, outcome: Outcome) -> pl.Expr:
        """The branch taken; ``_OUT`` stands for none, as a null leaves the answer to later cases."""
        if not isinstance(outcome, Cases):
            return pl.lit(_OUT if outcome is None else outcome, dtype=pl.Int32)
        whens = [pl.when(self.formula(formula)).then(self.outcome(then)) for formula, then in outcome.whens]
        return pl.coalesce([*whens, self.outcome(outcome.otherwise)])

    def formula(self, formula: Formula) -> pl.Expr:
        """A boolean, null where it is unknown."""
        match formula:
            case Known(truth):
                return pl.lit(truth, dtype=pl.Boolean)
            case Missing(column):
                return self.column(column).is_null()
            case Compare():
                return self._compare(formula)
            case Among():
                return self._among(formula)
            case Definite(inner):
                return self.formula(inner).fill_null(value=False)
            case Not(inner):
                return self.formula(inner).not_()
            case Every(parts):
                return reduce(and_, map(self.formula, parts))
            case Either(parts):
                return reduce(or_, map(self.formula, parts))
            case Search(part, whole):
                return self._text(whole).str.contains(self._text(part), literal=True)
            case Mixed():
                return self._mixed(formula)

    def column(self, column: Column, *, wide: bool = False) -> pl.Expr:
        name = pl.col(column.name)
        if column.kind == "number":
            return name.cast(pl.Float64).fill_nan(None)
        if column.kind == "text":
            return name.cast(pl.String)
        return name.cast(pl.Int128 if wide or column.name in self.wide else pl.Int64)

    def _text(self, operand: Column | str) -> pl.Expr:
        return self.column(operand) if isinstance(operand, Column) else pl.lit(operand, dtype=pl.String)

    def _compare(self, formula: Compare) -> pl.Expr:
        left, right = formula.left, formula.right
        columns = [left, right] if isinstance(right, Column) else [left]
        wide = _beyond(right) or any(column.name in self.wide for column in columns)
        other = self.column(right, wide=wide) if isinstance(right, Column) else _constant(right, wide=wide)
        return _COMPARE[formula.operator](self.column(left, wide=wide), other)

    def _among(self, formula: Among) -> pl.Expr:
        wide = formula.column.name in self.wide or any(map(_beyond, formula.values))
        integers = formula.column.kind in ("integer", "boolean")
        dtype = (pl.Int128 if wide else pl.Int64) if integers else None
        if len(formula.values) <= _FEW:
            column = self.column(formula.column, wide=wide)
            return reduce(or_, (column == _constant(value, wide=wide) for value in formula.values))
        return self.column(formula.column, wide=wide).is_in(pl.Series(formula.values, dtype=dtype).implode())

    def _mixed(self, formula: Mixed) -> pl.Expr:
        """Both sides as integers, where the decimal is within 64 bits; beyond, its sign decides."""
        wide = formula.integer.name in self.wide
        integer, number = self.column(formula.integer, wide=wide), self.column(formula.number)
        rounded = number.ceil() if formula.operator in ("<", ">=") else number.floor()
        inside = (number >= -_LIMIT) & (number < _LIMIT)
        whole = pl.when(inside).then(rounded).cast(pl.Int128 if wide else pl.Int64, strict=False)
        compared = _COMPARE[formula.operator](integer, whole)
        if formula.operator == "=":
            compared = compared & (number == number.floor())
        return (
            pl.when(integer.is_null() | number.is_null())
            .then(pl.lit(None, dtype=pl.Boolean))
            .when(number >= _LIMIT)
            .then(pl.lit(formula.operator in ("<", "<=")))
            .when(number < -_LIMIT)
            .then(pl.lit(formula.operator in (">", ">=")))
            .otherwise(compared)
        )


def _beyond(operand: Column | Constant) -> bool:
    return isinstance(operand, int) and operand not in _LONG


def _constant(value: Constant, *, wide: bool) -> pl.Expr:
    if isinstance(value, int):
        return pl.lit(value, dtype=pl.Int128 if wide else pl.Int64)
    return pl.lit(value, dtype=pl.String if isinstance(value, str) else pl.Float64)


def _arm(splits: Sequence[Sequence[Range]]) -> pl.Expr:
    """The label looked up by number, which costs a quarter of cases that give texts."""
    parts = [part for split in splits for part in split]
    chosen, first = [], 0
    for number, split in enumerate(splits):
        chosen.append(pl.when(pl.col("branch") == number).then(_within(split, first)))
        first += len(split)
    found = pl.when(pl.col("bucket").is_not_null()).then(pl.coalesce(chosen))
    return pl.lit(pl.Series([part.arm for part in parts])).gather(found)


def _within(split: Sequence[Range], first: int) -> pl.Expr:
    """The number of the range that holds the bucket, counted from ``first``; only bounds that decide are asked."""
    bucket, before, whens = pl.col("bucket"), 0.0, []
    for number, part in enumerate(split, first):
        if part.start < part.end:
            bounds = [bucket >= part.start] if part.start != before else []
            bounds += [bucket < part.end] if part.end != 1.0 else []
            chosen = pl.lit(number, dtype=pl.UInt32)
            whens.append(pl.when(*bounds).then(chosen) if bounds else chosen)
            before = part.end
    return pl.coalesce(whens)
