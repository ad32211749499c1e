"""What a predicate means for one unit: true, false, or unknown.

* A field holds text, a number (booleans are 1 and 0) or nothing; NaN is nothing.
* ``==``, ``!=``, ``in`` and ``not in`` are always true or false. Values of different kinds differ; ``"10"`` is not 10.
  Nothing equals only nothing, so a missing country satisfies ``country != "US"``.
* ``<``, ``<=``, ``>``, ``>=`` are unknown when a side is missing or the kinds differ: no unit gets a branch for what is
  not known of it. Text compares by code point; numbers compare exactly, integers beyond 2**53 too.
* ``not``, ``and``, ``or`` follow Kleene; a branch is taken when its predicate is true.
* On the right of ``in`` stands a list, or text that is searched for the text on the left. A field that is called with
  a list is one; columns hold no lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import ge, gt, le, lt
from typing import Any, TypeAlias

from xp_pipeline.errors import DataError, SpecError, nearest
from xp_pipeline.language.tree import (
    BooleanOperatorEnum,
    Branch,
    ExperimentConditional,
    ExperimentGroup,
    Identifier,
    LogicalOperatorEnum,
    Predicate,
    RecursivePredicate,
    Term,
    TerminalPredicate,
    place,
)

Value: TypeAlias = "int | float | str | tuple[Value, ...] | None"
Truth: TypeAlias = bool | None
Lookup: TypeAlias = Callable[[str], Value]

_ORDER: Mapping[LogicalOperatorEnum, Callable[[Any, Any], bool]] = {
    LogicalOperatorEnum.LT: lt,
    LogicalOperatorEnum.LE: le,
    LogicalOperatorEnum.GT: gt,
    LogicalOperatorEnum.GE: ge,
}
_NEGATED = (LogicalOperatorEnum.NE, LogicalOperatorEnum.NOT_IN)
_MEMBER = (LogicalOperatorEnum.IN, LogicalOperatorEnum.NOT_IN)


def looking_up(fields: Mapping[str, object]) -> Lookup:
    """How a program reads a unit's fields.

    The lookup raises DataError for a field that is asked for and not given, or whose value has no kind.
    """

    def lookup(name: str) -> Value:
        if name not in fields:
            raise DataError("the program needs a field that was not given", where=name, allowed=nearest(name, fields))
        return known(fields[name], name)

    return lookup


def known(value: object, name: str) -> Value:
    """A field's value as programs see it.

    Raises:
        DataError: it is neither text, number, boolean nor null, nor a list of those.
    """
    if isinstance(value, list | tuple):
        return tuple(_scalar(item, name) for item in value)
    return _scalar(value, name)


def _scalar(value: object, name: str) -> int | float | str | None:
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, int | str) or value is None:
        return value
    raise DataError(
        "programs compare text, numbers and booleans", where=name, found=f"{type(value).__name__} {value!r}"[:80]
    )


def taken(root: Branch, lookup: Lookup) -> tuple[ExperimentGroup, ...] | None:
    """The split that a unit ends in; None when no branch is taken. Reads no field that it does not need.

    An inner chain that ends without a branch does not fall back to an outer ``else``.
    """
    branch: Branch | None = root
    while isinstance(branch, ExperimentConditional):
        yes = branch.predicate is None or holds(branch.predicate, lookup) is True
        branch = branch.true_branch if yes else branch.false_branch
    return branch


def holds(root: Predicate, lookup: Lookup) -> Truth:
    """The truth of a predicate, from left to right, stopping as soon as it is decided."""
    results: list[Truth] = []
    pending: list[Predicate | _Then] = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, TerminalPredicate):
            results.append(compared(item, lookup))
        elif isinstance(item, RecursivePredicate):
            pending += [_Then(item, first=True), item.left_predicate]
        elif not item.first:
            right = results.pop()
            results.append(_joined(item.node.boolean_operator, results.pop(), right))
        elif item.node.right_predicate is None:
            results.append(_negated(results.pop()))
        elif results[-1] is not (item.node.boolean_operator is BooleanOperatorEnum.OR):
            pending += [_Then(item.node, first=False), item.node.right_predicate]
    return results[0]


class _Then:
    """What remains to be done of a node once its first, or its second operand is known."""

    __slots__ = ("first", "node")

    def __init__(self, node: RecursivePredicate, *, first: bool) -> None:
        self.node, self.first = node, first


def _joined(operator: BooleanOperatorEnum, left: Truth, right: Truth) -> Truth:
    """Kleene's tables, where the left side has not decided."""
    deciding = operator is BooleanOperatorEnum.OR
    if right is deciding:
        return deciding
    return None if left is None or right is None else not deciding


def _negated(truth: Truth) -> Truth:
    return None if truth is None else not truth


def compared(node: TerminalPredicate, lookup: Lookup) -> Truth:
    """The truth of one comparison."""
    operator = node.logical_operator
    left, right = value_of(node.left_term, lookup), value_of(node.right_term, lookup)
    if operator in _ORDER:
        return _ORDER[operator](left, right) if _same_kind(left, right) else None
    found = _contains(right, left) if operator in _MEMBER else _equal(left, right)
    return found is not (operator in _NEGATED)


def value_of(term: Term, lookup: Lookup) -> Value:
    """A term's value; a list nests only as deep as the program writes it."""
    if isinstance(term, Identifier):
        return lookup(term.name)
    if isinstance(term, tuple):
        return _list_of(term, lookup)
    return term


def _list_of(root: tuple[Term, ...], lookup: Lookup) -> Value:
    done: list[list[Value]] = [[]]
    pending: list[Term | None] = [root]
    while pending:
        item = pending.pop()
        if item is None:
            finished = tuple(done.pop())
            done[-1].append(finished)
        elif isinstance(item, tuple):
            done.append([])
            pending += [None, *reversed(item)]
        else:
            done[-1].append(lookup(item.name) if isinstance(item, Identifier) else item)
    return done[0][0]


def _same_kind(left: Value, right: Value) -> bool:
    """Whether two values have an order."""
    if isinstance(left, str) or isinstance(right, str):
        return isinstance(left, str) and isinstance(right, str)
    return isinstance(left, int | float) and isinstance(right, int | float)


def _equal(left: Value, right: Value) -> bool:
    """Equality, lists item by item."""
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, tuple) and isinstance(other, tuple):
            if len(one) != len(other):
                return False
            pairs.extend(zip(one, other, strict=True))
        elif isinstance(one, tuple) or isinstance(other, tuple) or one != other:
            return False
    return True


def _contains(whole: Value, part: Value) -> bool:
    if isinstance(whole, tuple):
        return any(_equal(part, item) for item in whole)
    return isinstance(whole, str) and isinstance(part, str) and part in whole


def refuse_meaningless(comparisons: Sequence[TerminalPredicate], *, where: str) -> None:
    """Refuses lists that are ordered and numbers that are searched, which never meant anything.

    Raises:
        SpecError: at the first such comparison.
    """
    for node in comparisons:
        lists = isinstance(node.left_term, tuple) or isinstance(node.right_term, tuple)
        if node.logical_operator in _ORDER and lists:
            raise SpecError("a list has no order", where=place(where, node.at), allowed="==, !=, in, not in")
        if node.logical_operator in _MEMBER and isinstance(node.right_term, int | float):
            raise SpecError(
                "nothing lies in a number",
                where=place(where, node.at),
                found=node.right_term,
                allowed="a list in parentheses, or text",
            )
