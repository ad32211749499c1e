"""The report of a notebook: the pipeline's page, from rows that never left memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xp_pipeline import __version__
from xp_pipeline.decision.verdict import Decision
from xp_pipeline.lifecycle.inference.rows import Row
from xp_pipeline.lifecycle.publish import frame
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.report.document import ReportDocument, build
from xp_pipeline.report.html import render
from xp_pipeline.report.inputs import FlowStep
from xp_pipeline.serialization import serialize_to_json


@dataclass(frozen=True)
class Page:
    """A report as one HTML file without requests; ``path`` is where it was written, if it was."""

    html: str
    path: Path | None = None

    def save(self, path: str | Path) -> Page:
        """Write the file."""
        Path(path).write_text(self.html, encoding="utf-8")
        return Page(self.html, Path(path))

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{_attribute(self.html)}" style="width:100%;height:80vh;border:0"></iframe>'


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;")


def page(document: ReportDocument) -> Page:
    """The page of a document."""
    return Page(render(document))


def document_of(
    promise: Sealed,
    begin: Row,
    *,
    state: str,
    units: dict[str, int],
    rows_read: int,
    rows: Sequence[Row],
    health: Sequence[checks.Finding],
    decided: Sequence[Decision],
    plan: Any,
) -> ReportDocument:
    """The document of an analysis in memory.

    Args:
        begin: The columns that every published row begins with.
        state: Where the experiment stands.
        units: Arm to its units.
        rows: Results, those of side results included, each with its own beginning.
        plan: The plan as reports take it, or None.
    """
    return build(
        bound=promise.bound,
        results=_completed("results", rows),
        health=_completed("health", (begin | _health(finding) for finding in health)),
        decisions=_completed("decisions", (begin | _decision(decision) for decision in decided)),
        experiment=_completed("experiments", [begin | _experiment(promise, state, units, health, decided)])[0],
        flow=_flow(units, rows_read),
        plan=plan,
        provenance={
            "run_id": begin["run_id"],
            "computed_at": begin["computed_at"].isoformat(timespec="seconds"),
            "spec_hash": promise.spec_hash,
            "promised_hash": promise.promised_hash,
            "code_version": __version__,
            "ledger_head": "",
        },
    )


def _completed(table: str, rows: Iterable[Row]) -> list[Row]:
    return frame(table, list(rows)).to_dicts()


def _health(finding: checks.Finding) -> Row:
    counts = {name: serialize_to_json(getattr(finding, name)) for name in ("observed", "expected")}
    return vars(finding) | {name: text if text != "{}" else "" for name, text in counts.items()}


def _decision(decision: Decision) -> Row:
    return {
        "arm": decision.arm,
        "verdict": str(decision.verdict),
        "rule": decision.rule,
        "reasons": serialize_to_json(list(decision.reasons)),
        "nearest_change": decision.counterfactual.sentence if decision.counterfactual else "",
    }


def _experiment(
    promise: Sealed, state: str, units: dict[str, int], health: Sequence[checks.Finding], decided: Sequence[Decision]
) -> Row:
    experiment = promise.bound.experiment
    return {
        "title": experiment.title,
        "hypothesis": experiment.hypothesis,
        "state": state,
        "control": experiment.assignment.control,
        "arms": serialize_to_json(experiment.assignment.shares or dict.fromkeys(experiment.assignment.arms)),
        "units": sum(units.values()),
        "health": checks.worst(health),
        "verdicts": serialize_to_json({d.arm: str(d.verdict) for d in decided}),
        "registered_at": promise.registered_at.isoformat(),
    }


def _flow(units: dict[str, int], rows_read: int) -> list[FlowStep]:
    everyone = sum(units.values())
    steps: list[FlowStep] = [{"name": "rows read", "rows": rows_read, "kind": "kept"}]
    if rows_read > everyone:
        steps.append({"name": "without an arm", "rows": rows_read - everyone, "kind": "excluded"})
    return [*steps, {"name": "units analysed", "units": everyone, "kind": "kept", "by_arm": units}]
