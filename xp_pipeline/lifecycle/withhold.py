"""What a blocked population leaves behind: health, blocked rows, a verdict of not decidable, and a page."""

from __future__ import annotations

from xp_pipeline.lifecycle.comparisons import comparisons
from xp_pipeline.lifecycle.inference.analyse import restored
from xp_pipeline.lifecycle.inference.decide import decisions
from xp_pipeline.lifecycle.inference.heterogeneous import blocked_rows
from xp_pipeline.lifecycle.inference.rows import Row
from xp_pipeline.lifecycle.measurement.adjust import populations
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.quality.validate import refuse
from xp_pipeline.lifecycle.report import render
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.tables import Look, put
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import Phase
from xp_pipeline.stats.estimates import Status


def withhold(workspace: Workspace, promise: Sealed, manifest: Manifest) -> None:
    """Publish a blocked look and render its page, then raise.

    Raises:
        SRMError, BlockedError: always.
    """
    artifact = workspace.read(
        promise.id,
        Phase.VALIDATED_EXPOSURES,
        spec_hash=promise.spec_hash,
        as_of=manifest.as_of,
        allow_failed=True,
    )
    health = [checks.Finding(**row) for row in restored(artifact, "health.json")]
    blocking = next(f for f in health if f.blocks)
    rows = _blocked_rows(promise, blocking.message)
    look = Look.of(manifest, 0)
    decided = decisions(promise, rows, health, final=look.final, as_of=look.as_of)
    effects = blocked_rows(promise.bound, populations(promise)[-1], blocking.message)
    put(workspace, promise, look, rows, health, decided, effects)
    _enter_verdict(workspace, promise, manifest, blocking)
    render(workspace, promise, as_of=manifest.as_of, blocked=True)
    raise refuse(promise, health)


def _blocked_rows(promise: Sealed, reason: str) -> list[Row]:
    """A row for every metric, comparison and population that would have had one."""
    return [
        {
            "population": population,
            "metric": metric.name,
            "metric_type": metric.type,
            "role": role,
            "direction": metric.direction,
            "segment": "",
            "segment_value": "",
            "arm": comparison.name,
            "baseline": comparison.baseline,
            "estimator": "",
            "decisive": population == populations(promise)[-1],
            "status": str(Status.BLOCKED),
            "reason": reason,
            "alpha": promise.bound.experiment.analysis.alpha,
        }
        for population in populations(promise)
        for role, _, metric in promise.bound.uses
        for comparison in comparisons(promise.bound)
    ]


def _enter_verdict(workspace: Workspace, promise: Sealed, manifest: Manifest, blocking: checks.Finding) -> None:
    """Enter the block in the ledger, once a sealed verdict."""
    known = workspace.ledger.entries(promise.id, EntryKind.VERDICT)
    if not any(entry.payload["validated"] == manifest.digest for entry in known):
        payload = {"as_of": manifest.as_of, "check": blocking.check, "validated": manifest.digest}
        workspace.ledger.append(
            promise.id, EntryKind.VERDICT, by=workspace.by, reason=blocking.message, payload=payload
        )
