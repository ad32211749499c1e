"""The population: how many rows and units fell where, from what was read to what is analysed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xp_pipeline.report.format import Figure, count, share
from xp_pipeline.report.inputs import FlowStep, Rejection


@dataclass(frozen=True)
class Step:
    """One step of the flow.

    Attributes:
        name: What the step is.
        kept: Whether these remain after the step; else they leave in it.
        what: ``rows``, ``units``, or ``members`` of units that are clusters.
        count: How many.
        by_arm: How many by arm, in the order of the flow's arms; blank where unknown.
        length: Length of its bar: a share of the largest step of the same kind of thing.
        share: Share of the last kept step of the same kind of thing; blank for the first.
    """

    name: str
    kept: bool
    what: str
    count: Figure
    by_arm: tuple[Figure, ...]
    length: float
    share: Figure


@dataclass(frozen=True)
class Flow:
    """From rows read to units analysed.

    Attributes:
        arms: Arms that any step counts by.
        steps: The steps in order.
        rejected: Rows that broke a contract: source, reason, how many.
    """

    arms: tuple[str, ...]
    steps: tuple[Step, ...]
    rejected: tuple[tuple[str, str, Figure], ...]


def build_flow(steps: Sequence[FlowStep], rejected: Sequence[Rejection], *, arms: Sequence[str]) -> Flow:
    """The flow in order, undeclared arms after the declared ones."""
    seen = dict.fromkeys(str(arm) for step in steps for arm in step.get("by_arm", {}))
    columns = tuple([arm for arm in arms if arm in seen] + [arm for arm in seen if arm not in arms])
    largest = {"rows": 1, "units": 1, "members": 1}
    for step in steps:
        what, many = _counted(step)
        largest[what] = max(largest[what], many)
    built: list[Step] = []
    for step in steps:
        before = next((b for b in reversed(built) if b.kept and b.what == _counted(step)[0]), None)
        built.append(_step(step, columns, largest, before))
    return Flow(
        arms=columns,
        steps=tuple(built),
        rejected=tuple((r["source"], r["reason"], count(r["count"])) for r in rejected),
    )


def _counted(step: FlowStep) -> tuple[str, int]:
    if "members" in step:
        return "members", step["members"]
    return ("units", step["units"]) if "units" in step else ("rows", step["rows"])


def _step(step: FlowStep, arms: Sequence[str], largest: dict[str, int], before: Step | None) -> Step:
    what, many = _counted(step)
    by_arm = {str(arm): n for arm, n in step.get("by_arm", {}).items()}
    base = before.count.value if before else None
    return Step(
        name=step["name"],
        kept=step["kind"] == "kept",
        what=what,
        count=count(many),
        by_arm=tuple(count(by_arm.get(arm)) for arm in arms),
        length=many / largest[what],
        share=share(many / base if base else None),
    )
