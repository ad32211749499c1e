"""The boundaries still to come, if the remaining looks are taken as planned and units keep their pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from xp_pipeline.errors import EvidenceError
from xp_pipeline.lifecycle.comparisons import decided
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.looks import PRIMARY_SIDES
from xp_pipeline.stats.boundaries import Look, next_look
from xp_pipeline.stats.spending import Spending

DAY = timedelta(days=1)


def boundaries_ahead(
    bound: Bound, looks: Sequence[Mapping[str, Any]], *, as_of: str | None
) -> dict[str, list[tuple[int, float]]]:
    """By test of the ledger, the day since the start and the z of each look still to come.

    Args:
        bound: The spec in force.
        looks: Payloads of the readings so far, in order of their days.
        as_of: Day of the latest reading.
    """
    planned = _planned(bound, as_of) if looks and bound.looks.schedule == "group_sequential" else []
    found: dict[str, list[tuple[int, float]]] = {}
    for name in dict.fromkeys(name for look in looks for name in look["tests"]):
        course = [look["tests"][name] for look in looks if name in look["tests"]]
        if planned and not name.endswith("|harm") and not any(test["crossed"] for test in course):
            found[name] = _ahead(bound, name, course, planned)
    return found


def _planned(bound: Bound, as_of: str | None) -> list[tuple[int, float]]:
    """Days since the start on which looks are to come, with the share of the planned time; the last is final."""
    if not (bound.start and bound.end and as_of):
        return []
    total = (bound.end + bound.follow_up - bound.start) // DAY
    today = (date.fromisoformat(as_of) - bound.start.astimezone(bound.zone).date()) // DAY + 1
    every = bound.looks.every // DAY
    days = [d for d in range(every, total, every) if d > today and d >= bound.experiment.analysis.minimum_days]
    return [(day, day / total) for day in (*days, total) if day > today]


def _ahead(
    bound: Bound, name: str, course: Sequence[Mapping[str, Any]], planned: Sequence[tuple[int, float]]
) -> list[tuple[int, float]]:
    looks, analysis = bound.looks, bound.experiment.analysis
    sides = PRIMARY_SIDES.get(name.rpartition("|")[2])
    two_sided = sides == 2
    tests = len(bound.experiment.metrics.primary) * len(decided(bound))
    past = [_look(test, two_sided=two_sided) for test in course]
    try:
        for place, (_, share) in enumerate(planned, start=1):
            new = next_look(
                past,
                information=share,
                spending=Spending(looks.spending, looks.parameter),
                alpha=analysis.alpha / tests if sides else analysis.guardrail_alpha,
                two_sided=two_sided,
                final=place == len(planned),
            )
            past.append(new)
    except EvidenceError:
        return []
    return [(day, look.upper) for (day, _), look in zip(planned, past[len(course) :], strict=True)]


def _look(test: Mapping[str, Any], *, two_sided: bool) -> Look:
    upper = float(test["upper"])
    return Look(float(test["share"]), float(test["alpha_spent"]), upper, -upper if two_sided else None)
