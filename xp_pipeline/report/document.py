"""The report as a document: its parts in the order of the page, built from published rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xp_pipeline.report import words
from xp_pipeline.report.aliases import FactorialDesign, build_factorial
from xp_pipeline.report.differences import Differences, build_differences, tests_of
from xp_pipeline.report.forest import Forest, build_forest
from xp_pipeline.report.format import Figure, count, moment, share
from xp_pipeline.report.health import Health, build_health
from xp_pipeline.report.inputs import (
    Amendment,
    FlowStep,
    Plan,
    Provenance,
    Rejection,
    Row,
    checked,
    known_specs,
    labels_of,
    one_run,
    text_of,
)
from xp_pipeline.report.looks import Looks, build_looks
from xp_pipeline.report.looks_inputs import NONE_AHEAD, BoundariesAhead, LookEntry
from xp_pipeline.report.method import Method, build_method
from xp_pipeline.report.planned import Planned, build_planned
from xp_pipeline.report.population import Flow, build_flow
from xp_pipeline.report.provenance import Change, Lineage, build_history, build_lineage
from xp_pipeline.report.scorecard import Scorecard, build_scorecards
from xp_pipeline.report.segments import SegmentTable, build_segments
from xp_pipeline.report.verdict import Verdict, build_verdicts
from xp_pipeline.report.withholding import is_interim, is_withheld, refuse_verdict_on_withheld, showable
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import DECIDING


class Label(NamedTuple):
    """A label that a reader must not miss, and what it means."""

    name: str
    meaning: str


class Arm(NamedTuple):
    """An arm: its name, whether it is the control, its designed share."""

    name: str
    is_control: bool
    share: Figure


@dataclass(frozen=True)
class Title:
    """The head of the page.

    Attributes:
        experiment: Experiment id.
        title: Its title; the id where it has none.
        hypothesis, owner, tags, state: As registered, and where it stands.
        start, end: Planned start and end, as text.
        as_of: Last day that counts; empty when the data has no time.
        look: Number of the look in the ledger; 0 for a reading that spends nothing.
        final: Whether this is the final look.
        registered_at: When the spec was registered.
        units: Units in the analysis population.
        arms: The arms, control first.
        labels: Labels of the whole report.
        interim: Whether estimates are read before their time.
    """

    experiment: str
    title: str
    hypothesis: str
    owner: str
    tags: tuple[str, ...]
    state: str
    start: str
    end: str
    as_of: str
    look: int
    final: bool
    registered_at: str
    units: Figure
    arms: tuple[Arm, ...]
    labels: tuple[Label, ...]
    interim: bool


@dataclass(frozen=True)
class Analysis:
    """One analysis of the data under one spec by one run.

    Attributes:
        name: Empty for the only analysis; else which one it is.
        note: Why it is there.
        spec_hash, run_id: What it was computed under, and by.
        verdicts: What it recommends; none for a side result.
        scorecards: Its numbers.
        forest: Its plot.
        segments: Its numbers by segment.
    """

    name: str
    note: str
    spec_hash: str
    run_id: str
    verdicts: tuple[Verdict, ...]
    scorecards: tuple[Scorecard, ...]
    forest: Forest
    segments: tuple[SegmentTable, ...]


@dataclass(frozen=True)
class ReportDocument:
    """The report. The first analysis is the one in force; others stand beside it.

    Attributes:
        title: The head of the page.
        withheld: Whether a blocking check failed without an override: then no estimate is in here.
        analyses: The analysis in force; the promised one after an amendment; re-analyses.
        health: Every check.
        flow: Rows and units, and where they fell.
        differences: Whether effects differ between segments and over time.
        looks: The looks taken, and the course of their tests.
        planned: Plan against actual; None without a plan.
        factorial: Factors and aliases; None where arms are no runs of a factorial design.
        method: The method in words.
        history: Changes of the promise, and overrides.
        lineage: Where the numbers come from.
    """

    title: Title
    withheld: bool
    analyses: tuple[Analysis, ...]
    health: Health
    flow: Flow
    differences: Differences
    looks: Looks
    planned: Planned | None
    factorial: FactorialDesign | None
    method: Method
    history: tuple[Change, ...]
    lineage: Lineage

    @property
    def main(self) -> Analysis:
        """The analysis in force."""
        return self.analyses[0]


def build(
    *,
    bound: Bound,
    results: Sequence[Row],
    health: Sequence[Row],
    decisions: Sequence[Row],
    experiment: Row,
    flow: Sequence[FlowStep],
    plan: Plan | None,
    provenance: Provenance,
    amendments: Sequence[Amendment] = (),
    rejected: Sequence[Rejection] = (),
    heterogeneity: Sequence[Row] = (),
    looks: Sequence[LookEntry] = (),
    looks_left: int = 0,
    boundaries_ahead: BoundariesAhead = NONE_AHEAD,
) -> ReportDocument:
    """The document of one experiment at one as-of.

    Args:
        bound: The spec in force.
        results: Rows of the results table; rows under ``promised_hash`` and rows labelled ``reanalysis``
            become analyses of their own. A row that names a segment but no level is the test that the
            effect differs between levels.
        health: Rows of the health table.
        decisions: Rows of the decisions table, one per treatment arm and spec.
        experiment: The experiment's row of the experiments table.
        flow: Steps from rows read to units analysed.
        plan: The sealed plan, or None.
        provenance: Where the numbers come from.
        amendments: Changes of the promise, and overrides.
        rejected: Rows in quarantine by source and reason.
        heterogeneity: Rows of the heterogeneity table under the spec in force.
        looks: Readings in the ledger up to this one.
        looks_left: Looks planned after this one.
        boundaries_ahead: By test, day and boundary of each of them.

    Raises:
        ContractError: a row lacks a column, an analysis mixes runs, or a withheld one has a verdict.
    """
    (card,) = checked("experiments", [experiment])
    checks, choices = checked("health", health), checked("decisions", decisions)
    withheld = is_withheld(checks)
    refuse_verdict_on_withheld(choices, withheld=withheld)
    rows = showable(checked("results", results), withheld=withheld)
    effects = checked("heterogeneity", heterogeneity)
    analyses = _analyses(rows, choices, bound, provenance, effects)
    main = analyses[0].scorecards
    return ReportDocument(
        title=_title(bound, card, rows, _override(checks, amendments)),
        withheld=withheld,
        analyses=analyses,
        health=build_health(checks),
        flow=build_flow(flow, rejected, arms=bound.experiment.assignment.arms),
        differences=build_differences(effects, bound, withheld=withheld),
        looks=build_looks(
            bound, looks, left=looks_left, ahead=boundaries_ahead, final=bool(card["final"]), withheld=withheld
        ),
        factorial=build_factorial(plan),
        planned=build_planned(plan, main, bound, as_of=text_of(card["as_of"])),
        method=build_method(bound, main),
        history=build_history(amendments),
        lineage=build_lineage(provenance),
    )


def _title(bound: Bound, card: Row, rows: Sequence[Row], override: Sequence[Label]) -> Title:
    experiment = bound.experiment
    present = dict.fromkeys(label for row in (card, *rows) for label in labels_of(row))
    if bound.added:
        present["exploratory"] = None
    return Title(
        experiment=bound.id,
        title=experiment.title or bound.id,
        hypothesis=experiment.hypothesis,
        owner=experiment.owner,
        tags=experiment.tags,
        state=text_of(card["state"]),
        start=moment(text_of(card["start"])),
        end=moment(text_of(card["end"])),
        as_of=text_of(card["as_of"]),
        look=int(card["look"] or 0),
        final=bool(card["final"]),
        registered_at=moment(text_of(card["registered_at"])),
        units=count(card["units"]),
        arms=_arms(bound),
        labels=(*override, *(Label(name, words.LABELS[name]) for name in words.LABELS if name in present)),
        interim=bool(rows) and all(is_interim(row) for row in _deciding(rows)),
    )


def _deciding(rows: Sequence[Row]) -> list[Row]:
    """The rows that a verdict reads; all rows where there is none."""
    return [row for row in rows if row["decisive"] and row["role"] in DECIDING] or list(rows)


def _override(checks: Sequence[Row], amendments: Sequence[Amendment]) -> list[Label]:
    """Who released the estimates although a blocking check failed, which then warns."""
    if not any(row["blocking"] and row["verdict"] == "warned" for row in checks):
        return []
    return [
        Label("override", f"A blocking check failed; {a['by']} released the estimates on {a['at']}: {a['reason']}")
        for a in amendments
        if a["kind"] == "override"
    ]


def _arms(bound: Bound) -> tuple[Arm, ...]:
    assignment = bound.experiment.assignment
    shares = assignment.shares or {}
    arms = sorted(assignment.arms, key=lambda arm: arm != assignment.control)
    return tuple(Arm(arm, arm == assignment.control, share(shares.get(arm))) for arm in arms)


def _analyses(
    rows: Sequence[Row],
    decisions: Sequence[Row],
    bound: Bound,
    provenance: Provenance,
    effects: Sequence[Row],
) -> tuple[Analysis, ...]:
    """The analysis in force first, then the promised one, then re-analyses in order."""
    in_force, promised = provenance["spec_hash"], provenance.get("promised_hash")
    amended = promised != in_force and any(row["spec_hash"] == promised for row in rows)
    own = [row for row in rows if "reanalysis" not in labels_of(row)]
    known_specs([*own, *decisions], {in_force, promised or in_force})
    sides = [row for row in rows if "reanalysis" in labels_of(row)]
    found = [
        _analysis("As amended" if amended else "", "", in_force, own, decisions, bound, tests_of(effects)),
    ]
    if promised and amended:
        note = "What the spec as first registered gives, beside the amended analysis."
        found.append(_analysis("As promised", note, promised, own, decisions, bound))
    for run in dict.fromkeys(row["run_id"] for row in sides):
        mine = [row for row in sides if row["run_id"] == run]
        found.append(_analysis("Re-analysis", words.LABELS["reanalysis"], mine[0]["spec_hash"], mine, (), bound))
    return tuple(found)


def _analysis(
    name: str,
    note: str,
    spec_hash: str,
    rows: Sequence[Row],
    decisions: Sequence[Row],
    bound: Bound,
    tests: Sequence[Row] = (),
) -> Analysis:
    mine = [row for row in rows if row["spec_hash"] == spec_hash]
    one_run(mine)
    cards = build_scorecards(mine, bound)
    return Analysis(
        name=name,
        note=note,
        spec_hash=spec_hash,
        run_id=text_of(mine[0]["run_id"]) if mine else "",
        verdicts=build_verdicts([row for row in decisions if row["spec_hash"] == spec_hash], cards),
        scorecards=cards,
        forest=build_forest(cards, control=bound.experiment.assignment.control),
        segments=build_segments(mine, tests),
    )
