"""The promise in force: what the ledger says was registered, and every change accepted since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xp_pipeline.errors import PhaseOrderError
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import Bound, restore
from xp_pipeline.spec.extension import Granted
from xp_pipeline.spec.ledger import Entry, EntryKind

_CARRYING = (EntryKind.REGISTRATION, EntryKind.COSMETIC, EntryKind.EXPLORATORY, EntryKind.AMENDMENT)


@dataclass(frozen=True)
class Sealed:
    """A registered experiment.

    Attributes:
        bound: The spec in force, with accepted changes.
        spec_hash: Its SHA-256; artifacts are sealed under it.
        promised: The spec as first registered.
        promised_hash: Its SHA-256.
        registered_at: When it was registered (UTC).
        local: Registered on a laptop, with ``--local``.
        history: The accepted changes, oldest first.
    """

    bound: Bound
    spec_hash: str
    promised: Bound
    promised_hash: str
    registered_at: datetime
    local: bool
    history: tuple[Entry, ...]

    @property
    def id(self) -> str:
        return self.bound.id

    @property
    def amended(self) -> bool:
        """Whether a deviation was accepted since registration."""
        return any(entry.kind == EntryKind.AMENDMENT for entry in self.history)


def sealed(workspace: Workspace, experiment: str) -> Sealed:
    """The promise in force for an experiment.

    Raises:
        PhaseOrderError: it was never registered.
    """
    known = workspace.ledger.entries(experiment)
    entries = [e for e in known if e.kind in _CARRYING]
    if not entries:
        raise PhaseOrderError(
            "the experiment is not registered",
            where=experiment,
            next_step=f"xp register {experiment} --by YOU",
        )
    first, last = entries[0], entries[-1]
    shares = {e.payload["version"]: published_shares(e) for e in known if e.kind == EntryKind.ALLOCATION}
    granted = next((Granted.model_validate(e.payload["granted"]) for e in known if e.kind == EntryKind.EXTENSION), None)
    found = {"allocations": shares, "extended": granted}
    bound, promised = _bound(last.payload, found), _bound(first.payload, found)
    return Sealed(
        bound=bound,
        spec_hash=last.payload["spec_hash"],
        promised=promised,
        promised_hash=first.payload["spec_hash"],
        registered_at=datetime.fromisoformat(first.time),
        local=bool(first.payload.get("local")),
        history=tuple(entries[1:]),
    )


def is_registered(workspace: Workspace, experiment: str) -> bool:
    """Whether the ledger knows the experiment."""
    return bool(workspace.ledger.entries(experiment, EntryKind.REGISTRATION))


def published_shares(entry: Entry) -> dict[str, float]:
    """Shares by arm as an entry has published them, in the order of the arms, by which units are assigned."""
    return {arm: entry.payload["shares"][arm] for arm in entry.payload["arms"]}


def _bound(payload: dict[str, Any], found: dict[str, Any]) -> Bound:
    """The spec of an entry, with what was found under way."""
    return restore(payload["document"]).model_copy(update=found)
