"""The branches of a program as one flat list of cases per expression, whichever way its conditionals nest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from xp_pipeline.language.formulas import Definite, Formula, Kind, Not
from xp_pipeline.language.lowering import lower
from xp_pipeline.language.tree import Branch, ExperimentConditional, ExperimentGroup


@dataclass(frozen=True)
class Cases:
    """Tried in order; the first whose formula is true decides.

    Attributes:
        whens: Formulas with the branch, None (no branch), or the further cases they lead to.
        otherwise: What those get for whom none is true.
    """

    whens: tuple[tuple[Formula, Outcome], ...]
    otherwise: Outcome


Outcome: TypeAlias = "int | Cases | None"


def leaves(root: Branch) -> list[tuple[ExperimentGroup, ...]]:
    """The splits of a program in the order of its text; a branch's id is its place here."""
    found: dict[int, tuple[ExperimentGroup, ...]] = {}
    pending: list[Branch | None] = [root]
    while pending:
        branch = pending.pop()
        if isinstance(branch, ExperimentConditional):
            pending += [branch.false_branch, branch.true_branch]
        elif branch is not None:
            found.setdefault(id(branch), branch)
    return list(found.values())


def cases(root: Branch, ids: Mapping[int, int], kinds: Mapping[str, Kind]) -> Outcome:
    """The branch that a unit takes.

    Each step goes on along the side that nests deeper and makes a case of the other, so expressions nest no deeper
    than the logarithm of the program's size.
    """
    return _cases(root, ids, kinds, _ranks(root))


def _cases(root: Branch | None, ids: Mapping[int, int], kinds: Mapping[str, Kind], ranks: Mapping[int, int]) -> Outcome:
    whens: list[tuple[Formula, Outcome]] = []
    branch = root
    while isinstance(branch, ExperimentConditional):
        yes, no = branch.true_branch, branch.false_branch
        if branch.predicate is None:
            branch = yes
            continue
        formula = lower(branch.predicate, kinds)
        if ranks.get(id(yes), 0) > ranks.get(id(no), 0):
            whens.append((Not(Definite(formula)), _cases(no, ids, kinds, ranks)))
            branch = yes
        else:
            whens.append((formula, _cases(yes, ids, kinds, ranks)))
            branch = no
    last = None if branch is None else ids[id(branch)]
    return Cases(tuple(whens), last) if whens else last


def _ranks(root: Branch) -> dict[int, int]:
    """The Strahler number of each conditional: how many nested cases it needs at least."""
    ranks: dict[int, int] = {}
    order: list[ExperimentConditional] = []
    pending: list[Branch | None] = [root]
    while pending:
        branch = pending.pop()
        if isinstance(branch, ExperimentConditional):
            order.append(branch)
            pending += [branch.true_branch, branch.false_branch]
    for node in reversed(order):
        yes, no = ranks.get(id(node.true_branch), 0), ranks.get(id(node.false_branch), 0)
        if node.predicate is None:
            ranks[id(node)] = yes
        else:
            ranks[id(node)] = max(yes, no) if yes != no else yes + 1
    return ranks
