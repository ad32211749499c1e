"""The ways through a program: which conditions lead a unit to each split, or out without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xp_pipeline.language import unparser
from xp_pipeline.language.tree import Branch, ExperimentConditional, ExperimentGroup, Position, Predicate


@dataclass(frozen=True)
class Step:
    """A condition on the way; steps are linked backwards, so that deep programs share them.

    Attributes:
        predicate: What was asked.
        truth: Whether it held; otherwise it was false or unknown.
        at: Where the conditional stands.
        before: The step before; None at the first.
    """

    predicate: Predicate
    truth: bool
    at: Position | None
    before: Step | None


@dataclass(frozen=True)
class Route:
    """One way through a program.

    Attributes:
        branch: The id of the split that it ends in; None when it ends without one.
        groups: The arms of that split.
        last: The last condition on the way; None when there is none.
    """

    branch: int | None
    groups: tuple[ExperimentGroup, ...] | None
    last: Step | None

    def steps(self) -> list[Step]:
        """The conditions in the order in which they are asked."""
        found: list[Step] = []
        step = self.last
        while step is not None:
            found.append(step)
            step = step.before
        return found[::-1]

    def when(self) -> str:
        """The conditions that hold on the way, as the program writes them; ``otherwise`` past the last."""
        steps = self.steps()
        if not steps:
            return "always"
        held = [unparser.predicate(step.predicate) for step in steps if step.truth]
        return ", ".join(held if steps[-1].truth else [*held, "otherwise"])


def routes(root: Branch) -> Iterator[Route]:
    """Every way through the program, in the order of its text."""
    ids: dict[int, int] = {}
    pending: list[tuple[Branch | None, Step | None]] = [(root, None)]
    while pending:
        branch, last = pending.pop()
        if isinstance(branch, ExperimentConditional):
            if branch.predicate is None:
                pending.append((branch.true_branch, last))
                continue
            for truth, then in ((False, branch.false_branch), (True, branch.true_branch)):
                pending.append((then, Step(branch.predicate, truth, branch.at, last)))
        else:
            yield Route(None if branch is None else ids.setdefault(id(branch), len(ids)), branch, last)
