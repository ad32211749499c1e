"""The five published tables of one look, from results, health, decisions and the tests between effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xp_pipeline.decision.verdict import Decision
from xp_pipeline.lifecycle.publish import labels, provenance, publish
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.ledger import EntryKind

Row = dict[str, Any]
Beside = tuple[Sealed, "Look", Sequence[Row], Sequence[Decision]]


@dataclass(frozen=True)
class Look:
    """One look: its as-of, number (0 where none was taken), whether it is final, and what it looked at."""

    as_of: str | None
    number: int
    final: bool
    retrospective: bool
    units: int

    @classmethod
    def of(cls, manifest: Manifest, number: int) -> Look:
        """The look that a sealed artifact of the data phases belongs to."""
        said = manifest.summary
        return cls(manifest.as_of, number, bool(said["final"]), bool(said["retrospective"]), int(said["units"]))


def put(
    workspace: Workspace,
    promise: Sealed,
    look: Look,
    results: Sequence[Row],
    health: Sequence[checks.Finding],
    decided: Sequence[Decision],
    effects: Sequence[Row],
    *,
    beside: Beside | None = None,
) -> None:
    """Write the tables of one experiment and as-of; ``beside`` is the promised analysis of an amended one."""
    begin = _begin(workspace, promise, look)
    tables = {
        "results": [begin | row | _labelled(promise, row, begin["label"]) for row in results],
        "health": [begin | _health_row(finding) for finding in health],
        "decisions": [begin | _decision_row(workspace, promise, d) for d in decided],
        "heterogeneity": [begin | row | {"label": f"{begin['label']},exploratory"} for row in effects],
        "experiments": [begin | _experiment_row(workspace, promise, look.units, checks.worst(health), decided)],
    }
    if beside:
        first, its_look, rows, its_decided = beside
        other = _begin(workspace, first, its_look)
        tables["results"] += [other | row for row in rows]
        tables["decisions"] += [other | _decision_row(workspace, first, d) for d in its_decided]
    publish(workspace.folder.lake, promise.id, look.as_of, tables)


def _begin(workspace: Workspace, promise: Sealed, look: Look) -> Row:
    label = labels(promise, retrospective=look.retrospective)
    return provenance(workspace, promise, as_of=look.as_of, look=look.number, final=look.final, label=label)


def _labelled(promise: Sealed, row: Row, label: str) -> Row:
    added = row["metric"] in promise.bound.added or row.get("segment") in promise.bound.added
    return {"label": f"{label},exploratory"} if added else {}


def _health_row(finding: checks.Finding) -> Row:
    return {
        **{k: v for k, v in vars(finding).items() if k not in ("observed", "expected")},
        "observed": serialize_to_json(finding.observed) if finding.observed else "",
        "expected": serialize_to_json(finding.expected) if finding.expected else "",
    }


def _decision_row(workspace: Workspace, promise: Sealed, decision: Decision) -> Row:
    human = [
        e for e in workspace.ledger.entries(promise.id, EntryKind.DECISION) if e.payload.get("arm") == decision.arm
    ]
    return {
        "arm": decision.arm,
        "verdict": str(decision.verdict),
        "rule": decision.rule,
        "reasons": serialize_to_json(list(decision.reasons)),
        "nearest_change": decision.counterfactual.sentence if decision.counterfactual else "",
        "human_decision": human[-1].payload["decision"] if human else "",
        "human_reason": human[-1].reason if human else "",
    }


def _experiment_row(workspace: Workspace, promise: Sealed, units: int, health: str, decided: Sequence[Decision]) -> Row:
    experiment, bound = promise.bound.experiment, promise.bound
    state = workspace.ledger.state(promise.id)
    return {
        "title": experiment.title,
        "hypothesis": experiment.hypothesis,
        "owner": experiment.owner,
        "tags": ",".join(experiment.tags),
        "state": state.name if state else "",
        "start": bound.start.isoformat() if bound.start else "",
        "end": bound.end.isoformat() if bound.end else "",
        "control": experiment.assignment.control,
        "arms": serialize_to_json(experiment.assignment.shares or dict.fromkeys(experiment.assignment.arms)),
        "units": units,
        "health": health,
        "verdicts": serialize_to_json({d.arm: str(d.verdict) for d in decided}),
        "registered_at": promise.registered_at.isoformat(),
        "ledger_head": workspace.ledger.head().digest,
    }
