"""The page and the card of a look, rendered from published rows and sealed artifacts."""

from __future__ import annotations

import os
import uuid
from datetime import date
from pathlib import Path
from typing import Any

from xp_pipeline import __version__
from xp_pipeline.lifecycle.inference.ahead import boundaries_ahead
from xp_pipeline.lifecycle.publish import read_look
from xp_pipeline.lifecycle.quality.flow import population_flow
from xp_pipeline.lifecycle.schedule import looks_left
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.report.card import experiment_card
from xp_pipeline.report.charts import forest_svg
from xp_pipeline.report.document import ReportDocument, build
from xp_pipeline.report.html import render as render_html
from xp_pipeline.report.markdown import scorecard
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.ledger import Entry, EntryKind
from xp_pipeline.spec.phases import ExperimentState, Phase

_TOLD = (
    EntryKind.COSMETIC,
    EntryKind.EXPLORATORY,
    EntryKind.AMENDMENT,
    EntryKind.OVERRIDE,
    EntryKind.DEVIATION_SEEN,
)


def report(workspace: Workspace, promise: Sealed, *, as_of: date | None = None) -> Manifest:
    """Render the latest look (or one as-of); the render of the final look moves to REPORTED."""
    results = workspace.read(
        promise.id,
        Phase.INFERENCE_RESULTS,
        spec_hash=promise.spec_hash,
        as_of=as_of.isoformat() if as_of else None,
    )
    manifest = render(workspace, promise, as_of=results.manifest.as_of)
    if results.manifest.summary["final"]:
        payload = {"report": manifest.digest, "results": results.manifest.digest}
        workspace.reach(promise.id, ExperimentState.REPORTED, payload=payload)
    return manifest


def render(workspace: Workspace, promise: Sealed, *, as_of: str | None, blocked: bool = False) -> Manifest:
    """Write the page, the card and a Markdown scorecard, seal them, and put the newest where people look."""
    page = document(workspace, promise, as_of=as_of)
    phase = Phase.VALIDATED_EXPOSURES if blocked else Phase.INFERENCE_RESULTS
    source = workspace.artifacts.find(promise.id, phase, as_of)
    files: dict[str, bytes] = {
        "report.html": render_html(page).encode("utf-8"),
        "card.json": serialize_to_json(experiment_card(page), indent=2).encode(),
        "scorecard.md": scorecard(page).encode("utf-8"),
        "forest.svg": forest_svg(page).encode("utf-8"),
    }
    manifest = workspace.seal(
        promise.id,
        Phase.REPORT,
        as_of=as_of,
        spec_hash=promise.spec_hash,
        verdict="failed" if blocked else "passed",
        inputs={f"phase:{phase}": source.digest if source else ""},
        files=files,
        summary={key: source.summary[key] for key in ("blocked_by", "reason") if source and blocked},
    )
    for name, content in files.items():
        _place(report_folder(workspace, promise.id) / name, content)
    return manifest


def report_folder(workspace: Workspace, experiment: str) -> Path:
    """Where the newest page of an experiment stands."""
    return workspace.folder.lake / "reports" / experiment


def _place(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.parent / f".{uuid.uuid4().hex}.tmp"
    making.write_bytes(content)
    os.replace(making, path)


def document(workspace: Workspace, promise: Sealed, *, as_of: str | None) -> ReportDocument:
    """The document of one look."""
    rows = {
        table: _rows(workspace, table, promise.id, as_of)
        for table in ("results", "health", "decisions", "heterogeneity")
    }
    experiment = _rows(workspace, "experiments", promise.id, as_of)[0]
    final = bool(experiment["final"])
    looks = _looks(workspace, promise, as_of, final=final)
    return build(
        bound=promise.bound,
        **rows,
        experiment=experiment,
        flow=population_flow(workspace, promise, as_of),
        plan=_plan(workspace, promise),
        provenance=_provenance(workspace, promise, experiment, as_of),
        amendments=[_amendment(e) for e in workspace.ledger.entries(promise.id) if e.kind in _TOLD],
        rejected=[
            {"source": name, "reason": reason, "count": count}
            for name in promise.bound.source_names
            for reason, count in workspace.version(name).rejected.items()
        ],
        looks=looks,
        looks_left=looks_left(promise.bound, as_of=as_of, final=final),
        boundaries_ahead={} if final else boundaries_ahead(promise.bound, looks, as_of=as_of),
    )


def _looks(workspace: Workspace, promise: Sealed, as_of: str | None, *, final: bool) -> list[Any]:
    """What the ledger keeps of the readings up to this one, each day once; an earlier day is never the final look."""
    found: dict[str | None, Any] = {}
    for entry in workspace.ledger.entries(promise.id, EntryKind.LOOK):
        payload = entry.payload
        day = payload["as_of"]
        earlier = bool(as_of and day and day < as_of)
        if (earlier and not payload["final"]) or (day == as_of and bool(payload["final"]) == final):
            found[day] = payload
    return sorted(found.values(), key=lambda payload: str(payload["as_of"]))


def _rows(workspace: Workspace, table: str, experiment: str, as_of: str | None) -> list[dict[str, Any]]:
    return read_look(workspace.folder.lake, table, experiment, as_of).to_dicts()


def _plan(workspace: Workspace, promise: Sealed) -> Any:
    return workspace.read(promise.id, Phase.POWER_PLAN, spec_hash=promise.spec_hash).json("plan.json")


def _provenance(workspace: Workspace, promise: Sealed, experiment: dict[str, Any], as_of: str | None) -> Any:
    manifests = {}
    for phase in list(Phase)[:-1]:
        found = workspace.artifacts.find(promise.id, phase, as_of) or workspace.artifacts.find(promise.id, phase, None)
        if found:
            manifests[str(phase)] = found.digest
    registration = workspace.ledger.entries(promise.id, EntryKind.REGISTRATION)[0]
    head = workspace.ledger.head()
    return {
        "run_id": experiment["run_id"],
        "computed_at": experiment["computed_at"].isoformat(timespec="seconds"),
        "spec_hash": promise.spec_hash,
        "promised_hash": promise.promised_hash,
        "code_version": __version__,
        "ledger_head": f"{head.seq}:{head.digest}",
        "as_of": as_of,
        "git_commit": registration.payload.get("commit"),
        "sources": [
            {
                "source": n,
                "version": workspace.version(n).version,
                "digest": workspace.version(n).content_digest,
            }
            for n in promise.bound.source_names
        ],
        "manifests": manifests,
    }


def _amendment(entry: Entry) -> Any:
    kind = "held deviation" if entry.kind == EntryKind.DEVIATION_SEEN else str(entry.kind)
    return {
        "kind": kind,
        "by": entry.by,
        "reason": entry.reason,
        "at": entry.time[:19],
        "changes": entry.payload.get("changes", []) or ([entry.payload["check"]] if "check" in entry.payload else []),
    }
