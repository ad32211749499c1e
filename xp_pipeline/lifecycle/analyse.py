"""Inference on a look: results, decisions and health sealed together, published as tables, entered in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from xp_pipeline.decision.verdict import Decision
from xp_pipeline.lifecycle import checks, evidence
from xp_pipeline.lifecycle.adjust import populations, read_clusters
from xp_pipeline.lifecycle.decide import decisions
from xp_pipeline.lifecycle.infer import Row, Setting, infer
from xp_pipeline.lifecycle.planning import planned_effects, planned_units, read_powers
from xp_pipeline.lifecycle.publish import labels, provenance, publish
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import make_serializable, serialize_to_json
from xp_pipeline.spec.artifacts import Manifest, SealedArtifact
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import ExperimentState, Phase


def analyse(workspace: Workspace, promise: Sealed, *, as_of: date | None = None) -> Manifest:
    """Seal the results of a look; the final one freezes its data versions and moves to ANALYZED.

    Raises:
        SRMError, BlockedError: the population was blocked.
        PhaseOrderError: the metrics were not measured.
    """
    day = as_of.isoformat() if as_of else None
    measured = workspace.read(promise.id, Phase.ADJUSTED_METRICS, spec_hash=promise.spec_hash, as_of=day)
    inputs = {"phase:adjusted_metrics": measured.manifest.digest}
    day = measured.manifest.as_of
    found = workspace.unchanged(
        promise.id, Phase.INFERENCE_RESULTS, as_of=day, spec_hash=promise.spec_hash, inputs=inputs
    )
    manifest = found or _seal(workspace, promise, measured, inputs)
    number = enter_look(workspace, promise, manifest)
    tabulate(workspace, promise, manifest, number)
    return manifest


def _seal(workspace: Workspace, promise: Sealed, measured: SealedArtifact, inputs: dict[str, str]) -> Manifest:
    summary = measured.manifest.summary
    validated = workspace.read(
        promise.id, Phase.VALIDATED_EXPOSURES, spec_hash=promise.spec_hash, as_of=measured.manifest.as_of
    )
    health = [checks.Finding(**raw) for raw in _numbers(validated.json("health.json"))]
    setting = setting_of(workspace, promise, final=summary["final"], blocked=summary["blocked_populations"])
    rows = infer(setting, evidence.read(measured.path("moments.parquet")), read_clusters(measured))
    read_powers(workspace, promise, rows)
    found = decisions(
        promise, planned_effects(promise, rows), health, final=summary["final"], as_of=measured.manifest.as_of
    )
    return workspace.seal(
        promise.id,
        Phase.INFERENCE_RESULTS,
        as_of=measured.manifest.as_of,
        spec_hash=promise.spec_hash,
        verdict=checks.worst(health),
        inputs=inputs,
        files={
            "results.json": serialize_to_json(rows).encode(),
            "health.json": validated.bytes("health.json"),
            "decisions.json": serialize_to_json(found).encode(),
        },
        summary={**summary, "verdicts": {decision.arm: str(decision.verdict) for decision in found}},
    )


def setting_of(
    workspace: Workspace, promise: Sealed, *, final: bool, blocked: Sequence[str] = (), **changed: Any
) -> Setting:
    """What the inference of a look is made under."""
    shown = [name for name in populations(promise) if name not in blocked]
    return Setting(
        bound=promise.bound,
        final=final,
        planned_n=planned_units(workspace, promise),
        deciding=shown[-1] if shown else "enrolled",
        blocked_populations=blocked,
        **changed,
    )


def _numbers(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Non-finite numbers are text in JSON; back to numbers."""
    return [{k: float(v) if v in ("nan", "inf", "-inf") else v for k, v in row.items()} for row in rows]


def restored(artifact: SealedArtifact, name: str) -> list[dict[str, Any]]:
    """Rows of a sealed JSON file with their numbers back."""
    return _numbers(artifact.json(name))


def enter_look(workspace: Workspace, promise: Sealed, manifest: Manifest) -> int:
    """Number the look in the ledger, once an as-of; the final one freezes what it read."""
    final = bool(manifest.summary["final"])
    read = {name: workspace.version(name).content_digest for name in promise.bound.source_names}
    with workspace.ledger.writing() as pen:
        looks = list(pen.entries(promise.id, EntryKind.LOOK))
        same = [e for e in looks if (e.payload["as_of"], e.payload["final"]) == (manifest.as_of, final)]
        number = int(same[0].payload["look"]) if same else 1 + len(looks)
        payload = {
            "look": number,
            "as_of": manifest.as_of,
            "final": final,
            "alpha_spent": promise.bound.experiment.analysis.alpha if final else 0.0,
            "spec_hash": promise.spec_hash,
            "results": manifest.digest,
            "sources": read,
        }
        if not same:
            pen.append(promise.id, EntryKind.LOOK, by=workspace.by, payload=payload)
    if final:
        workspace.reach(promise.id, ExperimentState.ANALYZED, payload={"look": number, "results": manifest.digest})
    return number


def tabulate(workspace: Workspace, promise: Sealed, manifest: Manifest, look: int) -> None:
    """Publish the sealed rows as tables, all with this run's id."""
    artifact = workspace.read(promise.id, Phase.INFERENCE_RESULTS, spec_hash=promise.spec_hash, as_of=manifest.as_of)
    found = [Decision(d["arm"], d["verdict"], d["rule"], tuple(d["reasons"])) for d in artifact.json("decisions.json")]
    health = [checks.Finding(**row) for row in restored(artifact, "health.json")]
    put(
        workspace,
        promise,
        as_of=manifest.as_of,
        look=look,
        final=bool(manifest.summary["final"]),
        retrospective=bool(manifest.summary["retrospective"]),
        units=int(manifest.summary["units"]),
        results=restored(artifact, "results.json"),
        health=health,
        decided=found,
    )


def put(
    workspace: Workspace,
    promise: Sealed,
    *,
    as_of: str | None,
    look: int,
    final: bool,
    retrospective: bool,
    units: int,
    results: Sequence[Row],
    health: Sequence[checks.Finding],
    decided: Sequence[Decision],
) -> None:
    """Write the four tables of one experiment and as-of."""
    label = labels(promise, retrospective=retrospective)
    begin = provenance(workspace, promise, as_of=as_of, look=look, final=final, label=label)
    verdict = checks.worst(health)
    tables = {
        "results": [begin | row | _labelled(promise, row, label) for row in results],
        "health": [begin | _health_row(finding) for finding in health],
        "decisions": [begin | _decision_row(workspace, promise, d) for d in decided],
        "experiments": [begin | _experiment_row(workspace, promise, units, verdict, decided)],
    }
    publish(workspace.folder.lake, promise.id, as_of, tables)


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


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A dataclass as JSON-ready mapping."""
    return dict(make_serializable(value))
