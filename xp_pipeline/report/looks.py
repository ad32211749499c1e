"""The looks taken so far: when, what they spent, and how near each test came to its boundary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xp_pipeline.report.format import (
    Figure,
    Interval,
    count,
    figure,
    finite,
    interval,
    number,
    p_value,
    share,
    shared_decimals,
)
from xp_pipeline.report.looks_chart import Chart, chart_of, unit_of
from xp_pipeline.report.looks_inputs import NONE_AHEAD, BoundariesAhead, LookEntry
from xp_pipeline.report.schedule import planned_days, reading_of, schedule_of
from xp_pipeline.report.words import Tone
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.looks import PRIMARY_SIDES

NEVER = 20.0
"""A boundary from here on stands for one that nothing crosses."""

_DONE = {"benefit": "crossed", "equivalence": "shown the same", "margin": "margin held"}
"""What a test that crossed has shown, by its purpose."""


@dataclass(frozen=True)
class TestAtLook:
    """One test at one look.

    Attributes:
        look: Number of the look; 0 where the test was not made.
        statistic, boundary: z, and the z at which it stops; a boundary that nothing crosses is a dash.
        p: Always-valid p-value.
        effect, interval: Always-valid estimate.
        crossed: 1 or -1 where a boundary was crossed, else 0.
        state: ``crossed``, ``not crossed``, ``stopped before`` or ``no test``.
        tone: How the crossing reads.
    """

    look: int
    statistic: Figure
    boundary: Figure
    p: Figure
    effect: Figure
    interval: Interval
    crossed: int
    state: str
    tone: Tone


@dataclass(frozen=True)
class LookRow:
    """One look: its number among those that claim, its day, time and error rate so far, its tests in their order."""

    number: int
    as_of: str
    final: bool
    units: Figure
    information: Figure
    alpha_spent: Figure
    tests: tuple[TestAtLook, ...]


@dataclass(frozen=True)
class Followed:
    """A test followed over the looks.

    Attributes:
        metric, arm, purpose: What it is about; ``benefit`` or ``equivalence`` of a primary metric or ``margin`` of a
            guardrail.
        good: 1 where a crossing of the upper boundary is good, else -1.
        two_sided: Whether there is a lower boundary.
        stopped: Number of the look that crossed; 0 while none has.
        state: That in words.
        tone: How it reads.
        chart: Its course; None before its first look.
    """

    metric: str
    arm: str
    purpose: str
    good: int
    two_sided: bool
    stopped: int
    state: str
    tone: Tone
    chart: Chart | None


@dataclass(frozen=True)
class Looks:
    """The section.

    Attributes:
        schedule: ``fixed``, ``group_sequential`` or ``always_valid``.
        sentences: The schedule in words.
        reading: What this reading is, in words; empty for one look.
        standing: The same in two or three words, for the head of the page.
        rows: The looks that claim, first to last.
        tests: The tests followed, primary ones first.
        harms: Deterioration tests that crossed, as sentences.
        planned: Looks planned in all; None where their number is open.
        readings: Interim readings that spent nothing.
    """

    schedule: str
    sentences: tuple[str, ...]
    reading: str
    standing: str
    rows: tuple[LookRow, ...]
    tests: tuple[Followed, ...]
    harms: tuple[str, ...]
    planned: int | None
    readings: int

    @property
    def sequential(self) -> bool:
        """Whether tests are made at several looks."""
        return self.schedule != "fixed"

    @property
    def spends(self) -> bool:
        """Whether looks have boundaries, and spend alpha."""
        return self.schedule == "group_sequential"

    @property
    def ahead(self) -> bool:
        """Whether any boundary still to come is drawn."""
        return any(test.chart.planned for test in self.drawn if test.chart)

    @property
    def drawn(self) -> tuple[Followed, ...]:
        """The tests that have a chart."""
        return tuple(test for test in self.tests if test.chart)

    @property
    def legend(self) -> str:
        """How to read the charts."""
        if self.spends:
            return (
                "The statistic z at each look, by day since the start, beside its boundary (dashed). A test ends where "
                "it reaches a shaded zone, with a filled mark; until then its mark is hollow."
            ) + (" Dots go on to the boundaries of the looks still planned." if self.ahead else "")
        return "The effect at each look with its interval, by day since the start; filled where zero is excluded."


def build_looks(
    bound: Bound,
    entries: Sequence[LookEntry],
    *,
    left: int,
    final: bool,
    withheld: bool,
    ahead: BoundariesAhead = NONE_AHEAD,
) -> Looks:
    """The looks up to a reading.

    Args:
        bound: The spec in force.
        entries: Readings in the ledger up to this one.
        left: Looks planned after this one.
        final: Whether this reading is the final one.
        withheld: Whether estimates are withheld: then no statistic is shown.
        ahead: Boundaries of the looks after this one.
    """
    schedule = bound.looks.schedule
    shown = [] if withheld or schedule == "fixed" else sorted(entries, key=lambda e: str(e["as_of"]))
    claims = [entry for entry in shown if entry["claims"]]
    names = _names(bound, claims)
    planned = len(claims) + left if bound.end else None
    last = bool(claims) and claims[-1] is shown[-1]
    return Looks(
        schedule=schedule,
        sentences=schedule_of(bound),
        reading="" if withheld else reading_of(bound, len(claims), planned, claims=last, final=final),
        standing=_standing(len(claims), planned, claims=last, final=final) if shown else "",
        rows=tuple(_row(bound, k, claims, names) for k in range(1, len(claims) + 1)),
        tests=tuple(_followed(bound, name, claims, ahead.get(name, ())) for name in names),
        harms=tuple(_harms(claims)),
        planned=planned,
        readings=len(shown) - len(claims),
    )


def _standing(taken: int, planned: int | None, *, claims: bool, final: bool) -> str:
    """Which look a reading is: ``3 of 8``, ``4 of 8, final``, ``between looks``."""
    if not claims:
        return "final" if final else "between looks" if taken else "before the first"
    of = f" of {planned}" if planned and planned > taken else ""
    return f"{taken}{of}, final" if final else f"number {taken}{of}"


def _names(bound: Bound, entries: Sequence[LookEntry]) -> list[str]:
    """Names of the tests of primary metrics, then of guardrails, in the order of the promise."""
    made = dict.fromkeys(name for entry in entries for name in entry["tests"])
    order = {use.metric: place for place, (_, use, _) in enumerate(bound.uses)}
    arms = {arm: place for place, arm in enumerate(bound.experiment.assignment.arms)}

    def place(name: str) -> tuple[bool, int, int]:
        metric, arm, purpose = _parts(name)
        return purpose == "margin", order.get(metric, len(order)), arms.get(arm, len(arms))

    return sorted((name for name in made if _parts(name)[2] in _DONE), key=place)


def _parts(name: str) -> tuple[str, str, str]:
    metric, arm, purpose = name.split("|")
    return metric, arm, purpose


def _row(bound: Bound, k: int, claims: Sequence[LookEntry], names: Sequence[str]) -> LookRow:
    entry = claims[k - 1]
    made = list(entry["tests"].values())
    return LookRow(
        number=k,
        as_of=entry["as_of"] or "",
        final=entry["final"],
        units=count(max((test["units"] for test in made), default=None)),
        information=share(max((test["share"] for test in made if "share" in test), default=None)),
        alpha_spent=share(_spent(claims[:k], names)),
        tests=tuple(_at(bound, name, k, claims) for name in names),
    )


def _spent(claims: Sequence[LookEntry], names: Sequence[str]) -> float | None:
    """Error rate that the primary tests have spent together, each up to its last look on either side."""
    last: dict[str, float] = {}
    for entry in claims:
        for name in names:
            test = entry["tests"].get(name)
            if test and "alpha_spent" in test and _parts(name)[2] in PRIMARY_SIDES:
                last[name] = PRIMARY_SIDES[_parts(name)[2]] * test["alpha_spent"]
    return math.fsum(last.values()) if last else None


def _at(bound: Bound, name: str, k: int, claims: Sequence[LookEntry]) -> TestAtLook:
    course: list[Mapping[str, Any]] = [entry["tests"].get(name) or {} for entry in claims]
    test = course[k - 1]
    crossed = int(test.get("crossed", 0))
    ended = any(look.get("crossed") for look in course[: k - 1])
    state = "crossed" if crossed else "not crossed" if test else "stopped before" if ended else "no test"
    unit = unit_of(bound.metrics.get(_parts(name)[0]))
    upper = finite(test.get("upper"))
    decimals = shared_decimals([(look.get("low"), look.get("high")) for look in course], unit=unit)
    return TestAtLook(
        look=int(test.get("look", 0)),
        statistic=figure(test.get("z"), decimals=2, signed=True),
        boundary=figure(None if upper is None or upper >= NEVER else upper, decimals=2),
        p=p_value(test.get("p")),
        effect=figure(test.get("effect"), decimals=decimals, unit=unit, signed=True),
        interval=interval(test.get("low"), test.get("high"), decimals=decimals, unit=unit),
        crossed=crossed,
        state=state,
        tone=_tone(crossed * _good(bound, name)),
    )


def _good(bound: Bound, name: str) -> int:
    metric, _, purpose = _parts(name)
    found = bound.metrics.get(metric)
    return -1 if purpose == "benefit" and found is not None and found.direction == "decrease" else 1


def _tone(good: int) -> Tone:
    return Tone.GOOD if good > 0 else Tone.BAD if good < 0 else Tone.NEUTRAL


def _followed(bound: Bound, name: str, claims: Sequence[LookEntry], ahead: Sequence[tuple[int, float]]) -> Followed:
    metric, arm, purpose = _parts(name)
    course = [(entry, entry["tests"][name]) for entry in claims if name in entry["tests"]]
    first = next((test for _, test in course if test["crossed"]), None)
    good, last = _good(bound, name), course[-1][1]
    days, total = planned_days(bound, [entry["as_of"] or "" for entry, _ in course])
    return Followed(
        metric=metric,
        arm=arm,
        purpose=purpose,
        good=good,
        two_sided=purpose == "benefit",
        stopped=int(first["look"]) if first else 0,
        state=_state(first, last, purpose),
        tone=_tone(first["crossed"] * good) if first else Tone.NEUTRAL,
        chart=chart_of(
            f"{metric}, {arm}", [test for _, test in course], days=days, total=total, good=good,
            two_sided=purpose == "benefit", unit=unit_of(bound.metrics.get(metric)), ahead=ahead,
        ),
    )  # fmt: skip


def _state(first: Mapping[str, Any] | None, last: Mapping[str, Any], purpose: str) -> str:
    """What came of a test: ``crossed at look 3: z +3.51, boundary 2.96``."""
    test = first or last
    done = _DONE[purpose]
    head = f"{done} at look {test['look']}" if first else f"not {done} up to look {test['look']}"
    if "z" not in test:
        return f"{head}, p {p_value(test.get('p')).text}" if "p" in test else head
    z, upper = finite(test["z"]), finite(test["upper"])
    boundary = "no boundary yet" if upper is None or upper >= NEVER else f"boundary {number(upper, decimals=2)}"
    return f"{head}: z {number(z, decimals=2, signed=True)}, {boundary}"


def _harms(claims: Sequence[LookEntry]) -> list[str]:
    """The first crossing of each deterioration test, as a sentence."""
    found: dict[str, str] = {}
    for entry in claims:
        for name, test in entry["tests"].items():
            metric, arm, purpose = _parts(name)
            if purpose == "harm" and test["crossed"]:
                found.setdefault(name, f"{metric} got significantly worse in {arm} at look {test['look']}.")
    return list(found.values())
