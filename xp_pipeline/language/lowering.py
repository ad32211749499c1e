"""Predicates to conditions over typed columns.

Lowering settles at compile time what the scalar reading settles per value: kinds, lists, and comparisons of integers
with decimals, which engines round and this language does not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.language.evaluate import Value, compared, value_of
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
    Operator,
    Search,
)
from xp_pipeline.language.tree import (
    BooleanOperatorEnum,
    LogicalOperatorEnum,
    Predicate,
    RecursivePredicate,
    Term,
    TerminalPredicate,
    place,
)

INTEGERS = 10**38
MAX_DEPTH = 150
_LARGEST = sys.float_info.max
_Operand: TypeAlias = "Column | Constant | tuple[_Operand, ...]"

_ORDER: Mapping[LogicalOperatorEnum, Operator] = {
    LogicalOperatorEnum.LT: "<",
    LogicalOperatorEnum.LE: "<=",
    LogicalOperatorEnum.GT: ">",
    LogicalOperatorEnum.GE: ">=",
}
_FLIPPED: Mapping[Operator, Operator] = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def lower(root: Predicate, kinds: Mapping[str, Kind]) -> Formula:
    """The predicate over typed columns.

    Raises:
        SpecError: a field without a column, or ``and`` and ``or`` nested deeper than engines take.
    """
    done: list[tuple[Formula, int]] = []
    pending: list[Predicate | Callable[[], None]] = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, TerminalPredicate):
            done.append((_comparison(item, kinds), 1))
        elif isinstance(item, RecursivePredicate):
            pending.append(lambda node=item: _combine(node, done))  # type: ignore[misc]
            pending += [p for p in (item.right_predicate, item.left_predicate) if p is not None]
        else:
            item()
    formula, depth = done[0]
    if depth > MAX_DEPTH:
        raise SpecError(
            "a condition nests deeper than an engine takes", found=f"{depth} levels", allowed=f"up to {MAX_DEPTH}"
        )
    return formula


def check_splitters(splitters: Sequence[str], kinds: Mapping[str, Kind]) -> None:
    """Refuses splitters without a column, or without one exact text.

    Raises:
        SpecError: at the first.
    """
    for name in splitters:
        if _column(name, kinds).kind == "number":
            raise SpecError("a decimal column cannot split traffic", found=name, allowed="text, integers, booleans")


def _combine(node: RecursivePredicate, done: list[tuple[Formula, int]]) -> None:
    if node.right_predicate is None:
        inner, depth = done.pop()
        done.append((inner.inner, depth) if isinstance(inner, Not) else (Not(inner), depth + 1))
        return
    (right, right_depth), (left, left_depth) = done.pop(), done.pop()
    join = Every if node.boolean_operator is BooleanOperatorEnum.AND else Either
    parts = (*_parts(left, join), *_parts(right, join))
    depth = max(left_depth + (type(left) is not join), right_depth + (type(right) is not join))
    done.append((join(parts), depth))


def _parts(formula: Formula, join: type[Every] | type[Either]) -> tuple[Formula, ...]:
    return formula.parts if type(formula) is join else (formula,)  # type: ignore[union-attr]


def _comparison(node: TerminalPredicate, kinds: Mapping[str, Kind]) -> Formula:
    left, right = _operand(node.left_term, kinds), _operand(node.right_term, kinds)
    match node.logical_operator:
        case LogicalOperatorEnum.EQ:
            return _equal(left, right)
        case LogicalOperatorEnum.NE:
            return _opposite(_equal(left, right))
        case LogicalOperatorEnum.IN:
            return _within(left, right)
        case LogicalOperatorEnum.NOT_IN:
            return _opposite(_within(left, right))
        case _:
            return _ordered(node, left, right)


def _operand(term: Term, kinds: Mapping[str, Kind]) -> _Operand:
    """The term with columns for names; columns travel through ``value_of`` in place of values."""
    return cast(_Operand, value_of(term, lambda name: cast(Value, _column(name, kinds))))


def _column(name: str, kinds: Mapping[str, Kind]) -> Column:
    if name not in kinds:
        raise SpecError(f"the program reads a field {name!r} that there is no column for", allowed=nearest(name, kinds))
    return Column(name, kinds[name])


def _opposite(formula: Formula) -> Formula:
    if isinstance(formula, Known):
        return Known(None if formula.truth is None else not formula.truth)
    return Not(formula)


def _equal(left: _Operand, right: _Operand) -> Formula:
    """Equality, lists item by item; never unknown."""
    parts: list[Formula] = []
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, tuple) and isinstance(other, tuple):
            if len(one) != len(other):
                return Known(False)
            pairs.extend(zip(one, other, strict=True))
            continue
        part = Known(False) if isinstance(one, tuple) or isinstance(other, tuple) else _equal_scalars(one, other)
        if part == Known(False):
            return part
        if part != Known(True):
            parts.append(part)
    return _all(parts)


def _all(parts: Sequence[Formula]) -> Formula:
    if len(parts) == 1:
        return parts[0]
    return Every(tuple(parts)) if parts else Known(True)


def _any(parts: Sequence[Formula]) -> Formula:
    if Known(True) in parts:
        return Known(True)
    rest = [part for part in parts if part != Known(False)]
    if len(rest) == 1:
        return rest[0]
    return Either(tuple(rest)) if rest else Known(False)


def _equal_scalars(one: Column | Constant, other: Column | Constant) -> Formula:
    if not isinstance(one, Column):
        if not isinstance(other, Column):
            return Known(one == other)
        one, other = other, one
    if not isinstance(other, Column):
        compared = _with_constant("=", one, other)
        return compared if isinstance(compared, Known) else Definite(compared)
    neither = Every((Missing(one), Missing(other)))
    compared = _columns("=", one, other)
    return neither if isinstance(compared, Known) else Either((Definite(compared), neither))


def _within(part: _Operand, whole: _Operand) -> Formula:
    """Membership in a list, or one text within another; never unknown."""
    if isinstance(whole, tuple):
        return _listed(part, whole)
    if not (_textual(part) and _textual(whole)):
        return Known(False)
    if isinstance(part, str) and isinstance(whole, str):
        return Known(part in whole)
    return Definite(Search(cast(Column | str, part), cast(Column | str, whole)))


def _textual(operand: _Operand) -> bool:
    return isinstance(operand, str) or (isinstance(operand, Column) and operand.kind == "text")


def _listed(part: _Operand, items: tuple[_Operand, ...]) -> Formula:
    constants = [item for item in items if not isinstance(item, Column | tuple)]
    if not isinstance(part, Column):
        return _any([_equal(part, item) for item in items])
    values = tuple(dict.fromkeys(v for c in constants if (v := _exactly(part, c)) is not None))
    among = [Definite(Among(part, values))] if values else []
    return _any([*among, *(_equal(part, item) for item in items if isinstance(item, Column | tuple))])


def _exactly(column: Column, constant: Constant) -> Constant | None:
    """The constant in the column's own type, or None where the column cannot equal it."""
    found = _with_constant("=", column, constant)
    return found.right if isinstance(found, Compare) and not isinstance(found.right, Column) else None


def _ordered(node: TerminalPredicate, left: _Operand, right: _Operand) -> Formula:
    operator = _ORDER[node.logical_operator]
    if isinstance(left, tuple) or isinstance(right, tuple):
        raise SpecError("a list has no order", where=place("program", node.at), allowed="==, !=, in, not in")
    if not isinstance(left, Column):
        if not isinstance(right, Column):
            return Known(compared(node, lambda _: None))
        return _with_constant(_FLIPPED[operator], right, left)
    return _columns(operator, left, right) if isinstance(right, Column) else _with_constant(operator, left, right)


def _unequal_kinds(operator: Operator) -> Known:
    """What a comparison across kinds is: equality is false, an order is unknown."""
    return Known(False if operator == "=" else None)


def _columns(operator: Operator, left: Column, right: Column) -> Formula:
    if (left.kind == "text") != (right.kind == "text"):
        return _unequal_kinds(operator)
    if (left.kind == "number") == (right.kind == "number"):
        return Compare(operator, left, right)
    if left.kind == "number":
        return Mixed(_FLIPPED[operator], right, left)
    return Mixed(operator, left, right)


def _with_constant(operator: Operator, column: Column, constant: Constant) -> Formula:
    """The comparison with the constant in the column's own type, exact on both sides of 2**53."""
    if (column.kind == "text") != isinstance(constant, str):
        return _unequal_kinds(operator)
    if isinstance(constant, str):
        return Compare(operator, column, constant)
    return (_decimal if column.kind == "number" else _integer)(operator, column, constant)


def _integer(operator: Operator, column: Column, constant: int | float) -> Formula:
    """``x < 2.5`` is ``x < 3``; beyond what integers reach, the answer is the same for all that are there."""
    if operator == "=" and constant != math.floor(constant):
        return Known(False)
    bound = math.ceil(constant) if operator in ("<", ">=") else math.floor(constant)
    if abs(bound) < INTEGERS:
        return Compare(operator, column, bound)
    if operator == "=":
        return Known(False)
    always = (operator in ("<", "<=")) == (bound > 0)
    return Compare("<=" if always else "<", column, column)


def _decimal(operator: Operator, column: Column, constant: int | float) -> Formula:
    """Against an integer that no double is, the next double below decides."""
    try:
        near = float(constant)
    except OverflowError:
        near = math.copysign(math.inf, constant)
    if near == constant:
        return Compare(operator, column, near)
    if operator == "=":
        return Known(False)
    below = near if near < constant else math.nextafter(near, -math.inf)
    smaller = operator in ("<", "<=")
    if below == -math.inf:
        return Compare("<" if smaller else ">=", column, -_LARGEST)
    return Compare("<=" if smaller else ">", column, below)
