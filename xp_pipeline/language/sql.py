"""A program as SQL in DuckDB's dialect, of functions that other engines share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from xp_pipeline.errors import SpecError
from xp_pipeline.language import buckets
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
from xp_pipeline.language.lowering import check_splitters
from xp_pipeline.language.rules import V1_RANGE, Range

if TYPE_CHECKING:
    from xp_pipeline.language.program import Program

COLUMNS: Final = ("branch", "bucket", "arm")
_LONG = "CAST(9223372036854775808 AS DOUBLE)"


@dataclass(frozen=True)
class AssignmentSQL:
    """Three expressions.

    Attributes:
        branch: The id of the branch taken, over the program's fields; null when none is.
        bucket: u in [0, 1), over the splitters; null when the unit has none.
        arm: The arm as text, over columns named ``branch`` and ``bucket``.
    """

    branch: str
    bucket: str
    arm: str


def columns(program: Program, kinds: Mapping[str, Kind]) -> AssignmentSQL:
    """The program's three expressions.

    Raises:
        SpecError: a field without a column, names that SQL cannot tell apart, or a rule that SQL has no functions for.
    """
    _refuse_alike([*program.fields, *program.splitters])
    return AssignmentSQL(
        _outcome(cases(program.tree.conditions, program.branches, kinds)),
        _bucket(program, kinds),
        _arm(program.splits),
    )


def select(program: Program, relation: str, kinds: Mapping[str, Kind], *, keep: Sequence[str] = ()) -> str:
    """A query: the columns to keep, then branch, bucket and arm.

    Args:
        program: What decides.
        relation: A table's name, quoted as needed, or a query in parentheses.
        kinds: The types of the columns that the program reads.
        keep: Columns of the relation to carry along; none of them named like the three.

    Raises:
        SpecError: see ``columns``; or a kept column that takes the name of a result.
    """
    clash = [name for name in keep if name.lower() in COLUMNS]
    if clash:
        raise SpecError("a kept column has the name of a result", found=clash[0], next_step="rename it")
    made = columns(program, kinds)
    kept = "".join(f"{identifier(name)}, " for name in keep)
    inner = f"SELECT {kept}{made.branch} AS branch, {made.bucket} AS bucket FROM {relation}"
    known = f"SELECT {kept}branch, CASE WHEN branch IS NOT NULL THEN bucket END AS bucket FROM ({inner}) AS decided"
    return f"SELECT {kept}branch, bucket, {made.arm} AS arm FROM ({known}) AS bucketed"


def formula_sql(formula: Formula) -> str:
    """A formula as a boolean, null where it is unknown."""
    match formula:
        case Known(truth):
            return "CAST(NULL AS BOOLEAN)" if truth is None else str(truth).upper()
        case Missing(column):
            return f"({_column(column)} IS NULL)"
        case Compare(operator, left, right):
            return f"({_column(left)} {operator} {_operand(right)})"
        case Among(column, values):
            return f"({_column(column)} IN ({', '.join(map(_operand, values))}))"
        case Definite(inner):
            return f"coalesce({formula_sql(inner)}, FALSE)"
        case Not(inner):
            return f"(NOT {formula_sql(inner)})"
        case Every(parts):
            return f"({' AND '.join(map(formula_sql, parts))})"
        case Either(parts):
            return f"({' OR '.join(map(formula_sql, parts))})"
        case Search(part, whole):
            found, within = _operand(part), _operand(whole)
            return f"(CASE WHEN {found} = '' THEN {within} IS NOT NULL ELSE instr({within}, {found}) > 0 END)"
        case Mixed():
            return _mixed(formula)


def _mixed(formula: Mixed) -> str:
    """Both sides as 64-bit integers, where the decimal has one; beyond, its sign decides."""
    integer, number = _column(formula.integer), _column(formula.number)
    rounding = "ceil" if formula.operator in ("<", ">=") else "floor"
    inside = f"{number} >= -{_LONG} AND {number} < {_LONG}"
    whole = f"CAST(CASE WHEN {inside} THEN {rounding}({number}) END AS BIGINT)"
    compared = f"{integer} {formula.operator} {whole}"
    if formula.operator == "=":
        compared = f"({compared} AND {number} = floor({number}))"
    above, below = ("TRUE", "FALSE") if formula.operator in ("<", "<=") else ("FALSE", "TRUE")
    if formula.operator == "=":
        below = "FALSE"
    return (
        f"(CASE WHEN {integer} IS NULL OR {number} IS NULL THEN CAST(NULL AS BOOLEAN) "
        f"WHEN {number} >= {_LONG} THEN {above} WHEN {number} < -{_LONG} THEN {below} ELSE {compared} END)"
    )


def _column(column: Column) -> str:
    name = identifier(column.name)
    match column.kind:
        case "number":
            return f"nullif(CAST({name} AS DOUBLE), CAST('nan' AS DOUBLE))"
        case "boolean":
            return f"CAST({name} AS INTEGER)"
        case "text":
            return f"CAST({name} AS VARCHAR)"
    return name


def _operand(operand: Column | Constant) -> str:
    match operand:
        case Column():
            return _column(operand)
        case str():
            return literal(operand)
        case float():
            return f"CAST('{operand!r}' AS DOUBLE)"
    return str(operand)


def _outcome(outcome: Outcome) -> str:
    if not isinstance(outcome, Cases):
        return "CAST(NULL AS INTEGER)" if outcome is None else f"CAST({outcome} AS INTEGER)"
    whens = " ".join(f"WHEN {formula_sql(formula)} THEN {_outcome(then)}" for formula, then in outcome.whens)
    return f"CASE {whens} ELSE {_outcome(outcome.otherwise)} END"


def _bucket(program: Program, kinds: Mapping[str, Kind]) -> str:
    check_splitters(program.splitters, kinds)
    quoted = [identifier(name) for name in program.splitters]
    if program.rule == "v2":
        return buckets.bucket_sql(program.salt, quoted)
    if program.rule == "v1":
        return _bucket_v1(program, kinds)
    raise SpecError("SQL has no function for rule growthbook", next_step="use Program.polars")


def _bucket_v1(program: Program, kinds: Mapping[str, Kind]) -> str:
    texts = (_text_v1(identifier(name), kinds[name]) for name in sorted(program.splitters))
    key = " || ".join([literal(program.salt), *texts])
    return f"(CAST('0x' || substr(md5({key}), 1, 8) AS BIGINT) / CAST({V1_RANGE} AS DOUBLE))"


def _text_v1(quoted: str, kind: Kind) -> str:
    if kind == "boolean":
        return f"CASE WHEN {quoted} THEN 'True' WHEN NOT {quoted} THEN 'False' ELSE 'None' END"
    return f"coalesce(CAST({quoted} AS VARCHAR), 'None')"


def _arm(splits: Sequence[Sequence[Range]]) -> str:
    whens = " ".join(
        f"WHEN branch = {branch}{_bound(part)} THEN {literal(part.arm)}"
        for branch, split in enumerate(splits)
        for part in split
        if part.start < part.end
    )
    return f"CASE WHEN bucket IS NULL THEN NULL {whens} END"


def _bound(part: Range) -> str:
    """The arms of a branch are tried in order, so the end of a range is enough."""
    return "" if part.end == 1.0 else f" AND bucket < CAST('{part.end!r}' AS DOUBLE)"


def _refuse_alike(fields: Sequence[str]) -> None:
    """SQL's names have no case."""
    seen: dict[str, str] = {}
    for name in fields:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise SpecError("two fields differ only in case, which SQL does not see", found=f"{other}, {name}")


def identifier(name: str) -> str:
    """A column's name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text, quoted."""
    return "'" + text.replace("'", "''") + "'"
