"""Registration: a spec becomes a promise, and later changes of its file are accepted, recorded or held."""

from __future__ import annotations

from dataclasses import dataclass

from xp_pipeline.errors import SpecError, TamperError
from xp_pipeline.lifecycle.promisable import promisable
from xp_pipeline.lifecycle.sealed import Sealed, is_registered, sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.canonical import canonical_bytes, same_digest
from xp_pipeline.spec.changes import Change, ChangeKind, additions, changes
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import ExperimentState, Phase


@dataclass(frozen=True)
class Registration:
    """What a registration did.

    Attributes:
        manifest: The sealed ``registered_spec``.
        sealed: The promise in force afterwards.
        accepted: Changes recorded and applied now.
        held: Deviations that wait for ``xp amend``; the analysis goes on under the sealed spec.
    """

    manifest: Manifest
    sealed: Sealed
    accepted: tuple[Change, ...] = ()
    held: tuple[Change, ...] = ()


def register(workspace: Workspace, experiment: str, *, reason: str = "", local: bool = False) -> Registration:
    """Register an experiment, or take up what changed in its file since.

    Raises:
        SpecError: the spec is a draft, or its file is broken.
    """
    if experiment not in workspace.folder.experiments and is_registered(workspace, experiment):
        _raise_broken_file(workspace, experiment)
        return _sealed_spec(workspace, sealed(workspace, experiment))
    bound = promisable(workspace.folder, experiment)
    if not is_registered(workspace, experiment):
        _refuse_draft(workspace, bound)
        _enter(workspace, bound, reason=reason, local=local)
        return _sealed_spec(workspace, sealed(workspace, experiment))
    return _take_up(workspace, sealed(workspace, experiment), bound)


def _raise_broken_file(workspace: Workspace, experiment: str) -> None:
    """A registered experiment whose file is gone goes on; one whose file is broken says so."""
    for problem in workspace.folder.problems:
        if f"experiments/{experiment}." in str(problem.where):
            raise problem


def _refuse_draft(workspace: Workspace, bound: Bound) -> None:
    if bound.experiment.draft:
        raise SpecError(
            "a draft is never registered",
            where=workspace.folder.where("experiment", bound.id, "draft"),
            next_step="set draft: false",
        )


def _enter(workspace: Workspace, bound: Bound, *, reason: str, local: bool) -> None:
    """Enter the registration and the first state together, unless another process was faster."""
    commit = workspace.git_commit
    with workspace.ledger.writing() as pen:
        if pen.state(bound.id) is not None:
            return
        payload = _payload(bound, local=local, commit=commit)
        pen.append(bound.id, EntryKind.REGISTRATION, by=workspace.by, reason=reason, payload=payload)
        created = {"spec_hash": bound.digest, "from": None, "to": ExperimentState.CREATED.value}
        pen.append(bound.id, EntryKind.TRANSITION, by=workspace.by, payload=created)


def _payload(bound: Bound, **extra: object) -> dict[str, object]:
    return {"spec_hash": bound.digest, "document": bound.document(), **extra}


def _take_up(workspace: Workspace, before: Sealed, current: Bound) -> Registration:
    """Accept cosmetic and exploratory changes; hold everything as soon as one change deviates."""
    found = changes(before.bound, current)
    if not found:
        return _sealed_spec(workspace, before)
    if any(change.kind == ChangeKind.DEVIATION for change in found):
        held = tuple(found)
        _note_held(workspace, before, current, held)
        return _sealed_spec(workspace, before, held=held)
    kind = EntryKind.COSMETIC
    if any(change.kind == ChangeKind.EXPLORATORY for change in found):
        kind = EntryKind.EXPLORATORY
    after = current.model_copy(update={"added": additions(before.bound, current)})
    payload = _payload(after, changes=[str(c) for c in found])
    workspace.ledger.append(before.id, kind, by=workspace.by, payload=payload)
    return _sealed_spec(workspace, sealed(workspace, before.id), accepted=tuple(found))


def _note_held(workspace: Workspace, before: Sealed, current: Bound, held: tuple[Change, ...]) -> None:
    """Record a deviation once per content, however often it is met."""
    seen = workspace.ledger.entries(before.id, EntryKind.DEVIATION_SEEN)
    if not any(entry.payload["spec_hash"] == current.digest for entry in seen):
        payload = {"spec_hash": current.digest, "sealed": before.spec_hash, "changes": [str(c) for c in held]}
        workspace.ledger.append(before.id, EntryKind.DEVIATION_SEEN, by=workspace.by, payload=payload)


def _sealed_spec(
    workspace: Workspace, promise: Sealed, *, accepted: tuple[Change, ...] = (), held: tuple[Change, ...] = ()
) -> Registration:
    return Registration(seal_spec(workspace, promise), promise, accepted, held)


def seal_spec(workspace: Workspace, promise: Sealed) -> Manifest:
    """Publish ``registered_spec`` for a promise."""
    if not same_digest(promise.bound.digest, promise.spec_hash):
        raise TamperError(
            "the stored spec does not have the hash it was registered under",
            where=promise.id,
            found=promise.bound.digest,
            allowed=promise.spec_hash,
        )
    inputs = {"ledger:spec": promise.spec_hash}
    kept = workspace.unchanged(
        promise.id, Phase.REGISTERED_SPEC, as_of=None, spec_hash=promise.spec_hash, inputs=inputs
    )
    return kept or workspace.seal(
        promise.id,
        Phase.REGISTERED_SPEC,
        as_of=None,
        spec_hash=promise.spec_hash,
        verdict="passed",
        inputs=inputs,
        files={
            "spec.json": canonical_bytes(promise.bound.document()),
            "changes.json": serialize_to_json([_told(entry) for entry in promise.history]).encode(),
        },
        summary={"title": promise.bound.experiment.title, "promised_hash": promise.promised_hash},
    )


def _told(entry: object) -> dict[str, object]:
    return {name: getattr(entry, name) for name in ("seq", "time", "kind", "by", "reason")}
