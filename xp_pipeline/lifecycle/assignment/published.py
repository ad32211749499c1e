"""Publishing the weights of an adaptive experiment: the state, the ledger and the file, in that order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xp_pipeline.delivery.algorithms import Allocation, BatchAlgorithm, FixedWeights, algorithm_named
from xp_pipeline.delivery.algorithms.published import folder_of, read_state, state_path, weights_path, write
from xp_pipeline.errors import DataError, RecordError
from xp_pipeline.lifecycle.sealed import Sealed, published_shares
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.ledger import Entry, EntryKind

STATE_FORMAT = 1
"""Version of the state's document; another one is refused."""


@dataclass(frozen=True)
class Publication:
    """Weights that were published.

    Attributes:
        number: Position among the experiment's publications, from 1.
        allocation: The weights.
        as_of: Last day whose rewards led to them; None for the first ones.
        state: SHA-256 of the state's file.
        run_id: The run that published them.
    """

    number: int
    allocation: Allocation
    as_of: str | None
    state: str
    run_id: str

    @classmethod
    def of(cls, entry: Entry) -> Publication:
        """From its ledger entry."""
        payload = entry.payload
        allocation = Allocation(entry.experiment, published_shares(entry), payload["version"])
        return cls(payload["number"], allocation, payload["as_of"], payload["state"], payload["run_id"])


def algorithm_of(bound: Bound) -> BatchAlgorithm[Any]:
    """The algorithm of an adaptive experiment, with its settings.

    Raises:
        DataError: it has no such setting, or not with this value.
    """
    adaptive = bound.experiment.assignment.adaptive
    assert adaptive is not None
    if adaptive.algorithm == "fixed":
        return FixedWeights(_declared(bound))
    return algorithm_named(
        adaptive.algorithm, **{"floor": adaptive.floor, "discount": adaptive.discount, **adaptive.settings}
    )


def last(workspace: Workspace, experiment: str) -> Publication | None:
    """What was published last, as the ledger has it; None before the first."""
    entries = workspace.ledger.entries(experiment, EntryKind.ALLOCATION)
    return Publication.of(entries[-1]) if entries else None


def begin(workspace: Workspace, promise: Sealed) -> None:
    """Publish the declared weights, with an algorithm that has learned nothing; nothing if weights are in force.

    An algorithm without rewards would give equal shares; the declared ones say how carefully to begin.
    """
    bound = promise.bound
    if not bound.experiment.assignment.adaptive or not workspace.remembers:
        return
    held = last(workspace, promise.id)
    if held and list(held.allocation.shares) == list(bound.experiment.assignment.arms):
        mend(workspace, held)
        return
    arms = bound.experiment.assignment.arms
    declared = FixedWeights(_declared(bound))
    first = Allocation.of(promise.id, arms, declared, declared.initial(len(arms)))
    publish(workspace, promise, first, algorithm_of(bound).initial(len(arms)), as_of=None, after=held)


def publish(
    workspace: Workspace,
    promise: Sealed,
    allocation: Allocation,
    state: Any,
    *,
    as_of: str | None,
    after: Publication | None,
) -> Publication:
    """Publish weights: the state's file, the ledger's entry, the file that services read.

    Killed in between, the next run finds the entry and writes the file.

    Args:
        workspace: Where.
        promise: The experiment.
        allocation: The weights.
        state: That they follow from.
        as_of: Last day whose rewards are in it.
        after: What was published before, as far as the caller knows.

    Raises:
        RecordError: another run published meanwhile, or the disk refuses.
    """
    number = after.number + 1 if after else 1
    folder = folder_of(workspace.folder.record, promise.id)
    digest = write(state_path(folder, number, allocation.version), _state_document(promise, state))
    with workspace.ledger.writing() as pen:
        known = [entry.payload["number"] for entry in pen.entries(promise.id, EntryKind.ALLOCATION)]
        if known and known[-1] >= number:
            raise RecordError(
                "another run published weights meanwhile", where=promise.id, next_step=f"xp run {promise.id}"
            )
        payload = {
            "number": number,
            "version": allocation.version,
            "arms": list(allocation.shares),
            "shares": dict(allocation.shares),
            "as_of": as_of,
            "state": digest,
            "run_id": workspace.run_id,
            "spec_hash": promise.spec_hash,
        }
        entry = pen.append(promise.id, EntryKind.ALLOCATION, by=workspace.by, payload=payload)
    published = Publication.of(entry)
    mend(workspace, published)
    return published


def mend(workspace: Workspace, publication: Publication) -> None:
    """Write the file of a publication that the ledger has, unless it is there."""
    folder = folder_of(workspace.folder.record, publication.allocation.experiment)
    path = weights_path(folder, publication.number, publication.allocation.version)
    if not path.exists():
        write(path, publication.allocation.dump() | {"as_of": publication.as_of, "state": publication.state})


def learned(workspace: Workspace, promise: Sealed, held: Publication | None) -> Any:
    """The state of the algorithm: the published one, or none learned yet where the algorithm or its arms are others.

    Raises:
        TamperError: the state is not the one that was published.
        DataError: it cannot be read.
    """
    algorithm, arms = algorithm_of(promise.bound), promise.bound.experiment.assignment.arms
    fresh = algorithm.initial(len(arms))
    if held is None:
        return fresh
    folder = folder_of(workspace.folder.record, promise.id)
    path = state_path(folder, held.number, held.allocation.version)
    document = read_state(path, digest=held.state)
    if document is None or (document.get("algorithm"), document.get("arms")) != (algorithm.name, list(arms)):
        return fresh
    if document.get("format") != STATE_FORMAT or not isinstance(document.get("state"), dict):
        raise DataError("a state of another format", where=str(path), found=document.get("format"))
    try:
        return algorithm.load(document["state"])
    except DataError as problem:
        raise DataError(problem.what, where=str(path), found=problem.found, allowed=problem.allowed) from None


def _state_document(promise: Sealed, state: Any) -> dict[str, Any]:
    algorithm = algorithm_of(promise.bound)
    return {
        "format": STATE_FORMAT,
        "experiment": promise.id,
        "arms": list(promise.bound.experiment.assignment.arms),
        "algorithm": algorithm.name,
        "state": dict(algorithm.dump(state)),
    }


def _declared(bound: Bound) -> list[float]:
    return list((bound.experiment.assignment.shares or {}).values())
