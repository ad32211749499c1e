"""What a document is built from, beside the published tables, and the checks on what comes in."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from xp_pipeline.errors import ContractError
from xp_pipeline.spec.tables import TABLES

Row = Mapping[str, Any]
"""A row of a published table: exactly its columns, with None for null."""


class FlowStep(TypedDict):
    """One step from rows read to units analysed.

    Attributes:
        name: What the step is: ``rows read``, ``staff accounts``, ``units analysed``.
        rows: How many rows, where the step counts rows.
        units: How many units, where it counts units.
        members: How many members, where units are clusters and it counts those in them.
        kind: ``kept`` for those that remain after the step, ``excluded`` for those that leave in it.
        by_arm: The same count by arm, where the arm is known.
    """

    name: str
    kind: Literal["kept", "excluded"]
    rows: NotRequired[int]
    units: NotRequired[int]
    members: NotRequired[int]
    by_arm: NotRequired[Mapping[str, int]]


class PlannedCurve(TypedDict):
    """What a metric and arm could tell by day, each a list as long as ``days``.

    Attributes:
        days: Days since the start.
        least: Smallest effect detected, or margin ruled out, in the metric's unit; None where none is.
        lift: The same as a fraction of the baseline mean.
        extrapolated: Whether the day lies beyond the history that was replayed.
        end: Day of the planned end with windows complete; None without one.
    """

    days: Sequence[int]
    least: Sequence[float | None]
    lift: Sequence[float | None]
    extrapolated: Sequence[bool]
    end: NotRequired[float | None]


class PlannedMetric(TypedDict):
    """What was planned for one metric and arm.

    Attributes:
        metric: Metric name.
        arm: Arm compared with the control.
        n: Planned units of the arm; None where there was no baseline to plan from.
        role: Role of the metric.
        planned_effect: Absolute effect that these units are to detect, in the metric's unit.
        margin: Harm, or of equivalence the change, that these units are to rule out, in the metric's unit.
        aim: ``detect``, ``rule_out`` or ``equate``.
        wanted_relative: Either as a fraction of the baseline mean.
        mde: Smallest absolute effect detectable, or margin ruled out, in the planned time, in the metric's unit.
        mde_relative: The same as a fraction of the baseline mean.
        days: Days until the planned units are reached.
        baseline: Where the baseline comes from, or why there is none.
        curve: What is in reach by day.
    """

    metric: str
    arm: str
    n: float | None
    mde: NotRequired[float | None]
    mde_relative: NotRequired[float | None]
    days: NotRequired[float | None]
    role: NotRequired[str]
    planned_effect: NotRequired[float | None]
    margin: NotRequired[float | None]
    aim: NotRequired[str]
    wanted_relative: NotRequired[float | None]
    curve: NotRequired[PlannedCurve]
    baseline: NotRequired[str]


class Plan(TypedDict):
    """The sealed plan.

    Attributes:
        metrics: One entry per metric and arm.
        run_days: Planned length of the experiment in days.
        assumptions: What the plan rests on, as sentences.
        factorial: Factors, runs, effects and aliases of a factorial design.
    """

    metrics: Sequence[PlannedMetric]
    run_days: NotRequired[float | None]
    assumptions: NotRequired[Sequence[str]]
    factorial: NotRequired[Mapping[str, Any]]


class SourceVersion(TypedDict):
    """Which version of a source was read: its name, version and content digest."""

    source: str
    version: str
    digest: str


class Provenance(TypedDict):
    """Where the numbers come from; see the provenance section for how each is printed."""

    run_id: str
    computed_at: str
    spec_hash: str
    promised_hash: NotRequired[str | None]
    code_version: str
    ledger_head: str
    as_of: NotRequired[str | None]
    git_commit: NotRequired[str | None]
    sources: NotRequired[Sequence[SourceVersion]]
    manifests: NotRequired[Mapping[str, str]]


class Amendment(TypedDict):
    """A ledger entry that changed what is analysed, or who may see it.

    Attributes:
        kind: ``cosmetic``, ``exploratory``, ``amendment`` or ``override``.
        by: Who signed it.
        reason: Why.
        at: When.
        changes: What changed, one text per change.
    """

    kind: str
    by: str
    reason: str
    at: str
    changes: NotRequired[Sequence[str]]


class Rejection(TypedDict):
    """Rows of a source that broke its contract: the source, the reason, and how many."""

    source: str
    reason: str
    count: int


def checked(table: str, rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows of a published table.

    Raises:
        ContractError: a row lacks a column of the table.
    """
    columns = TABLES[table]
    found = tuple(rows)
    for position, row in enumerate(found):
        if missing := [name for name in columns if name not in row]:
            raise ContractError(
                f"row {position} of {table} lacks columns", where="report", found=f"no {', '.join(missing)}"
            )
    return found


def one_run(rows: Sequence[Row]) -> None:
    """Refuse rows of several runs: one scorecard has one run id.

    Raises:
        ContractError: the rows come from more than one run.
    """
    runs = sorted({str(row["run_id"]) for row in rows})
    if len(runs) > 1:
        raise ContractError(
            "a scorecard never mixes runs",
            where="report, results",
            found=f"run ids {', '.join(runs)}",
            allowed="the rows of one run",
        )


def known_specs(rows: Iterable[Row], hashes: Collection[str]) -> None:
    """Refuse rows computed under a spec that is neither in force nor promised.

    Raises:
        ContractError: a row has another spec hash.
    """
    for row in rows:
        if row["spec_hash"] not in hashes:
            raise ContractError(
                "a row was computed under another spec",
                where=f"report, {row['experiment']}",
                found=row["spec_hash"],
                allowed=", ".join(sorted(hashes)),
                next_step=f"xp run {row['experiment']}",
            )


def parsed(text: Any) -> Any:
    """A JSON column as the value it holds; None when it is empty."""
    return json.loads(text) if isinstance(text, str) and text.strip() else None


def text_of(value: Any) -> str:
    """A text column, with null as the empty text."""
    return "" if value is None else str(value)


def labels_of(row: Row) -> tuple[str, ...]:
    """The labels of a row, in the order written."""
    return tuple(part for part in (p.strip() for p in text_of(row["label"]).split(",")) if part)
