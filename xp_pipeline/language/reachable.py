"""Whether any unit can take a way through a program.

What a comparison with constants says of a field depends only on where the field's value lies among them. So each field
is tried at every constant, between neighbouring ones, beyond them, and missing; a way that none of these take is one
that no unit takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

from xp_pipeline.language.evaluate import Value, holds
from xp_pipeline.language.routes import Route, Step
from xp_pipeline.language.tree import (
    ExperimentAST,
    Identifier,
    LogicalOperatorEnum,
    Term,
    TerminalPredicate,
    comparisons,
    identifiers,
)

BUDGET = 20_000
_MEMBER = (LogicalOperatorEnum.IN, LogicalOperatorEnum.NOT_IN)


class Reachability:
    """Answers for the routes of one program, within a budget of comparisons that are tried.

    A route is called unreachable only when that is proven; texts that are searched, and searches that would take too
    long, count as reachable.
    """

    def __init__(self, tree: ExperimentAST, *, budget: int = BUDGET) -> None:
        nodes = list(comparisons(tree))
        self._values = _tried(nodes)
        self._left = budget

    def of(self, route: Route) -> bool:
        """Whether a unit may take the route."""
        steps = route.steps()
        asked = [node for step in steps for node in comparisons(step.predicate)]
        if any(_searches(node) for node in asked):
            return True
        pending: list[dict[str, Value]] = [{}]
        while pending:
            fields = pending.pop()
            self._left -= 1 + len(asked)
            if self._left < 0:
                return True
            needed = _followed(steps, fields)
            if needed is True:
                return True
            if isinstance(needed, str):
                pending.extend({**fields, needed: value} for value in self._values[needed])
        return False


class _Needed(Exception):
    """A field that has no value yet."""


def _followed(steps: Sequence[Step], fields: Mapping[str, Value]) -> bool | str:
    """Whether these values take the way; or the name of the field that would tell."""

    def lookup(name: str) -> Value:
        if name not in fields:
            raise _Needed(name)
        return fields[name]

    try:
        return all((holds(step.predicate, lookup) is True) == step.truth for step in steps)
    except _Needed as needed:
        return str(needed)


def _searches(node: TerminalPredicate) -> bool:
    return node.logical_operator in _MEMBER and not isinstance(node.right_term, tuple)


def _tried(nodes: Sequence[TerminalPredicate]) -> dict[str, list[Value]]:
    """The values at which each field is tried; fields that are compared with each other share theirs."""
    constants: dict[str, set[int | float | str]] = {}
    together = False
    for node in nodes:
        names = {found.name for term in (node.left_term, node.right_term) for found in identifiers(term)}
        together = together or len(names) > 1
        for name in names:
            constants.setdefault(name, set()).update(_literals(node.left_term), _literals(node.right_term))
    if together:
        shared = _points(set().union(*constants.values()), len(constants))
        return dict.fromkeys(constants, shared)
    return {name: _points(found, 1) for name, found in constants.items()}


def _literals(root: Term) -> Iterator[int | float | str]:
    pending = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, tuple):
            pending.extend(item)
        elif not isinstance(item, Identifier):
            yield item


def _points(constants: set[int | float | str], each: int) -> list[Value]:
    """The constants, up to ``each`` values in every gap between them, and nothing."""
    numbers = sorted({0, *(c for c in constants if not isinstance(c, str))})
    texts = sorted({"", *(c for c in constants if isinstance(c, str))})
    found: list[Value] = [None, *texts, *numbers]
    found += [number for low, high in pairwise(numbers) for number in _between(low, high, each)]
    found += [number for k in range(1, each + 1) for number in _beyond(numbers[0], numbers[-1], k)]
    found += [text + "\0" * k for text, after in pairwise(texts) for k in range(1, each + 1) if text + "\0" * k < after]
    found += [texts[-1] + "\0" * k for k in range(1, each + 1)]
    return found


def _between(low: float, high: float, each: int) -> Iterator[float]:
    """Values strictly between two numbers, exact however large they are."""
    first, width = Fraction(low), Fraction(high) - Fraction(low)
    for k in range(1, each + 1):
        point = first + width * k / (each + 1)
        tried: set[float] = {math.floor(point), math.ceil(point)}
        with suppress(OverflowError):
            tried.add(float(point))
        yield from (number for number in tried if low < number < high)


def _beyond(low: float, high: float, step: int) -> Iterator[int]:
    yield math.floor(low) - step
    yield math.ceil(high) + step
