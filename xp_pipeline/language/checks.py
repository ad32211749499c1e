"""What is wrong with a program before anybody is assigned by it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from xp_pipeline.errors import SpecError, nearest
from xp_pipeline.language import unparser
from xp_pipeline.language.decide import leaves
from xp_pipeline.language.evaluate import refuse_meaningless
from xp_pipeline.language.formulas import Kind, Known
from xp_pipeline.language.lowering import lower
from xp_pipeline.language.reachable import Reachability
from xp_pipeline.language.routes import Route, Step, routes
from xp_pipeline.language.rules import label_text, positive_weights
from xp_pipeline.language.tree import (
    ExperimentAST,
    ExperimentGroup,
    Identifier,
    Position,
    TerminalPredicate,
    comparisons,
    identifiers,
)

Columns: TypeAlias = Mapping[str, Kind]
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        severity: ``error`` when the program must not be used, ``warning`` when it may not mean what it says.
        line: Where, counted from 1; None in a tree that was not read from a text.
        column: Where in the line, counted from 1.
        message: What, in one line, with the nearest right name.
    """

    severity: Literal["error", "warning"]
    line: int | None
    column: int | None
    message: str

    def __str__(self) -> str:
        at = f"{self.line}:{self.column}: " if self.line else ""
        return f"{at}{self.severity}: {self.message}"


def check(tree: ExperimentAST, *, arms: Collection[str] | None = None, columns: Columns | None = None) -> list[Finding]:
    """Everything that is wrong with a program, in the order of its text.

    Args:
        tree: The program.
        arms: The arms that the experiment declares; None when that is not known.
        columns: What the unit table has; None when that is not known.
    """
    found = [*_meaningless(tree), *_weights(tree), *_duplicates(tree), *_splitters(tree)]
    found += _unreachable(tree)
    if arms is not None:
        found += _undeclared(tree, arms)
    if columns is not None:
        found += [*_absent(tree, columns), *_constant(tree, columns)]
    return sorted(found, key=lambda finding: (finding.line or 0, finding.column or 0))


def _error(at: Position | None, message: str) -> Finding:
    return Finding("error", at and at.line, at and at.column, message)


def _warning(at: Position | None, message: str) -> Finding:
    return Finding("warning", at and at.line, at and at.column, message)


def _meaningless(tree: ExperimentAST) -> Iterator[Finding]:
    for node in comparisons(tree):
        try:
            refuse_meaningless([node], where="")
        except SpecError as error:
            yield _error(node.at, f"{error.what}; allowed: {error.allowed}")


def _weights(tree: ExperimentAST) -> Iterator[Finding]:
    for groups in leaves(tree.conditions):
        try:
            positive_weights(groups, where="")
        except SpecError as error:
            yield _error(groups[0].at if groups else None, f"{error.what}; found {error.found}")


def _duplicates(tree: ExperimentAST) -> Iterator[Finding]:
    for groups in leaves(tree.conditions):
        seen: set[str] = set()
        for group in groups:
            label = label_text(group.group_definition)
            if label in seen:
                yield _error(group.at, f"the arm {label!r} stands twice in one split")
            seen.add(label)


def _splitters(tree: ExperimentAST) -> Iterator[Finding]:
    names = tree.splitting_fields or ()
    for name in dict.fromkeys(n for i, n in enumerate(names) if n in names[:i]):
        yield _warning(tree.at, f"the splitter {name!r} is listed twice and counts once")


def _unreachable(tree: ExperimentAST) -> Iterator[Finding]:
    """Splits that no unit reaches, and chains that units leave without one."""
    reachability = Reachability(tree)
    for route in routes(tree.conditions):
        if route.groups is None:
            if reachability.of(route):
                yield _falls_through(route)
        elif not reachability.of(route):
            labels = _few([label_text(group.group_definition) for group in route.groups], ", ")
            yield _error(_first(route.groups), f"no unit can reach this split of {labels} (when {route.when()})")


def _first(groups: tuple[ExperimentGroup, ...]) -> Position | None:
    return groups[0].at if groups else None


def _falls_through(route: Route) -> Finding:
    """Names the conditions of the innermost chain, none of which holds for those who get no arm."""
    chain = _chain(route.steps())
    before = route.steps()[: -len(chain)]
    within = f"of those with {Route(None, None, before[-1]).when()}, " if before else ""
    asked = _few([unparser.predicate(step.predicate) for step in chain], "; ")
    return _warning(chain[0].at, f"a chain without 'else': {within}units get no arm for whom none holds of: {asked}")


def _chain(steps: list[Step]) -> list[Step]:
    """The conditions that failed last, one after the other."""
    held = [i for i, step in enumerate(steps) if step.truth]
    return steps[held[-1] + 1 :] if held else steps


def _few(texts: list[str], separator: str) -> str:
    more = f"{separator}and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return separator.join(texts[:_SHOWN]) + more


def _undeclared(tree: ExperimentAST, arms: Collection[str]) -> Iterator[Finding]:
    given: set[str] = set()
    for group in (group for groups in leaves(tree.conditions) for group in groups):
        label = label_text(group.group_definition)
        given.add(label)
        if label not in arms:
            yield _error(group.at, f"the experiment declares no arm {label!r}; allowed: {nearest(label, arms)}")
    for arm in (arm for arm in arms if arm not in given):
        yield _warning(tree.at, f"the program gives nobody the arm {arm!r}, which the experiment declares")


def _absent(tree: ExperimentAST, columns: Columns) -> Iterator[Finding]:
    for name in dict.fromkeys(tree.splitting_fields or ()):
        if name not in columns:
            yield _error(
                tree.at, f"the unit table has no column {name!r} to split by; allowed: {nearest(name, columns)}"
            )
        elif columns[name] == "number":
            yield _error(tree.at, f"{name!r} holds decimals and cannot split; allowed: text, integers, booleans")
    for found in _identifiers(tree):
        if found.name not in columns:
            yield _error(
                found.at, f"the unit table has no column {found.name!r}; allowed: {nearest(found.name, columns)}"
            )


def _identifiers(tree: ExperimentAST) -> Iterator[Identifier]:
    for node in comparisons(tree):
        yield from _read(node)


def _read(node: TerminalPredicate) -> Iterator[Identifier]:
    yield from identifiers(node.left_term)
    yield from identifiers(node.right_term)


def _constant(tree: ExperimentAST, columns: Columns) -> Iterator[Finding]:
    """Comparisons whose answer is the same for everybody, mostly because kinds differ."""
    for node in comparisons(tree):
        if all(found.name in columns for found in _read(node)):
            try:
                formula = lower(node, columns)
            except SpecError:
                continue
            if isinstance(formula, Known):
                everybody = "every unit" if formula.truth else "no unit"
                yield _warning(node.at, f"{unparser.predicate(node)} holds for {everybody}{_kinds(node, columns)}")


def _kinds(node: TerminalPredicate, columns: Columns) -> str:
    kinds = dict.fromkeys(f"{found.name} is {columns[found.name]}" for found in _read(node))
    return f" ({', '.join(kinds)})" if kinds else ""
