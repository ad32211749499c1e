"""What only people do: amend, override, conclude, decide. Each is signed, reasoned, and entered in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from xp_pipeline.errors import PhaseOrderError, RecordError, SpecError, nearest
from xp_pipeline.lifecycle.comparisons import decided
from xp_pipeline.lifecycle.promisable import promisable, refuse_new_weights
from xp_pipeline.lifecycle.sealed import Sealed, sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.changes import Change, additions, changes
from xp_pipeline.spec.ledger import Entry, EntryKind
from xp_pipeline.spec.phases import Phase

BLOCKING = ("srm", "leak", "undeclared_arm", "multi_arm")
DECISIONS = ("ship", "do_not_ship", "extend", "no_decision")


def _signed(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise RecordError("a person's act is signed and has a reason", next_step="add --by NAME --reason TEXT")


def amend(workspace: Workspace, experiment: str, *, reason: str) -> tuple[Sealed, Sequence[Change]]:
    """Accept every difference between the sealed spec and its file.

    Raises:
        SpecError: there is nothing to amend.
        PhaseOrderError: the final look is taken; a re-analysis is what remains.
    """
    _signed(workspace.by, reason)
    before = sealed(workspace, experiment)
    current = promisable(workspace.folder, experiment)
    refuse_new_weights(before.bound, current)
    found = changes(before.bound, current)
    if not found:
        raise SpecError("the file says what is sealed: there is nothing to amend", where=experiment)
    if workspace.final_look(experiment):
        raise PhaseOrderError(
            "the final look is taken, so the design can no longer change",
            where=experiment,
            next_step=f"xp reanalyse {experiment} for a labelled side result",
        )
    after = current.model_copy(update={"added": additions(before.bound, current)})
    payload = {
        "spec_hash": after.digest,
        "document": after.document(),
        "changes": [str(change) for change in found],
        "from": before.spec_hash,
    }
    workspace.ledger.append(experiment, EntryKind.AMENDMENT, by=workspace.by, reason=reason, payload=payload)
    return sealed(workspace, experiment), found


def override(workspace: Workspace, experiment: str, check: str, *, reason: str) -> Entry:
    """Show estimates although a blocking check failed; every page says so."""
    _signed(workspace.by, reason)
    promise = sealed(workspace, experiment)
    if check not in BLOCKING:
        raise SpecError(f"no blocking check {check!r}", where=experiment, allowed=nearest(check, BLOCKING))
    return workspace.ledger.append(
        experiment,
        EntryKind.OVERRIDE,
        by=workspace.by,
        reason=reason,
        payload={"check": check, "spec_hash": promise.spec_hash},
    )


def conclude(workspace: Workspace, experiment: str, *, as_of: date | None, reason: str) -> Entry:
    """End an experiment before its plan: the look on that day is the final one.

    Raises:
        PhaseOrderError: it is concluded already, or was never analysed.
    """
    _signed(workspace.by, reason)
    promise = sealed(workspace, experiment)
    if workspace.final_look(experiment):
        raise PhaseOrderError("the final look is taken already", where=experiment)
    latest = workspace.artifacts.latest(experiment, Phase.ASSIGNMENTS)
    day = as_of.isoformat() if as_of else latest.as_of if latest else None
    if day is None:
        raise PhaseOrderError("nothing was analysed yet", where=experiment, next_step=f"xp run {experiment}")
    payload = {"as_of": day, "spec_hash": promise.spec_hash}
    return workspace.ledger.append(experiment, EntryKind.CONCLUSION, by=workspace.by, reason=reason, payload=payload)


def decide(workspace: Workspace, experiment: str, arm: str, decision: str, *, reason: str) -> Entry:
    """Record what people decided about an arm; it stands beside the recommendation and never replaces it.

    Raises:
        PhaseOrderError: before the final look.
        SpecError: no such arm or decision.
    """
    _signed(workspace.by, reason)
    promise = sealed(workspace, experiment)
    treatments = decided(promise.bound)
    if arm not in treatments:
        raise SpecError(f"no treatment arm {arm!r}", where=experiment, allowed=nearest(arm, treatments))
    if decision not in DECISIONS:
        raise SpecError(f"no decision {decision!r}", where=experiment, allowed=nearest(decision, DECISIONS))
    look = workspace.final_look(experiment)
    if look is None:
        raise PhaseOrderError("a decision follows the final look", where=experiment, next_step=f"xp run {experiment}")
    payload = {"arm": arm, "decision": decision, "results": look.payload["results"]}
    return workspace.ledger.append(experiment, EntryKind.DECISION, by=workspace.by, reason=reason, payload=payload)
