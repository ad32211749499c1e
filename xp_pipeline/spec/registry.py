"""Pre-registration: a spec is stored once under an id, and anything else is told from it by its hash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from xp_pipeline.errors import SpecError
from xp_pipeline.spec.canonical import HASH_VERSION, bytes_digest, canonical_bytes, digest, same_digest
from xp_pipeline.spec.chain import EntryKind, Page
from xp_pipeline.spec.ledger import Ledger
from xp_pipeline.spec.names import check_id

CARRIES_SPEC = (EntryKind.REGISTRATION, EntryKind.COSMETIC, EntryKind.EXPLORATORY, EntryKind.AMENDMENT)
"""Kinds of ledger entry with a ``spec_hash`` and the ``document`` it covers; the last one is in force."""


class ExperimentRegistry:
    """Which spec each experiment promised.

    >>> registry = ExperimentRegistry()
    >>> spec = {"primary_metric": "conversion_rate", "alpha": 0.05, "target_n": 10000}
    >>> registry.register_spec("EXP-101", spec)[:8]
    'd0aa136a'
    >>> registry.verify_spec("EXP-101", {**spec, "alpha": 0.10})
    False

    Args:
        ledger: Where registrations are kept; without one they last as long as the object.
        by: Who registers, for the ledger.
    """

    def __init__(self, ledger: Ledger | None = None, *, by: str = "registry") -> None:
        self._ledger = ledger
        self._by = by
        self._texts: dict[str, bytes] = {}

    def register_spec(self, experiment_id: str, spec_dict: Mapping[str, Any]) -> str:
        """Store a spec and return its hash; the same spec again changes nothing.

        Raises:
            SpecError: the id is registered with another spec, or the spec has no canonical form.
        """
        check_id(experiment_id)
        text = canonical_bytes(spec_dict)
        if self._ledger is None:
            self._refuse_other(experiment_id, self._texts.setdefault(experiment_id, text), text)
        else:
            self._record(self._ledger, experiment_id, text)
        return bytes_digest(text)

    def verify_spec(self, experiment_id: str, spec_dict: Mapping[str, Any]) -> bool:
        """Whether this is the spec in force; False for an id that was never registered."""
        registered = self._text(experiment_id)
        try:
            return registered is not None and same_digest(bytes_digest(registered), digest(spec_dict))
        except SpecError:
            return False

    def spec(self, experiment_id: str) -> Mapping[str, Any]:
        """The spec in force, frozen to its leaves.

        Raises:
            SpecError: the id was never registered.
        """
        registered = self._text(experiment_id)
        if registered is None:
            raise SpecError("no spec is registered", where=experiment_id, next_step="register it first")
        frozen: Mapping[str, Any] = _frozen(json.loads(registered))
        return frozen

    def _text(self, experiment_id: str) -> bytes | None:
        if self._ledger is None:
            return self._texts.get(experiment_id)
        with self._ledger.reading() as page:
            return _in_force(page, experiment_id)

    def _record(self, ledger: Ledger, experiment_id: str, text: bytes) -> None:
        with ledger.writing() as pen:
            registered = _in_force(pen, experiment_id)
            if registered is not None:
                self._refuse_other(experiment_id, registered, text)
                return
            payload = {
                "spec_hash": bytes_digest(text),
                "spec_hash_version": HASH_VERSION,
                "document": json.loads(text),
            }
            pen.append(experiment_id, EntryKind.REGISTRATION, by=self._by, payload=payload)

    def _refuse_other(self, experiment_id: str, registered: bytes, text: bytes) -> None:
        old, new = bytes_digest(registered), bytes_digest(text)
        if not same_digest(old, new):
            raise SpecError(
                "another spec is registered under this id",
                where=experiment_id,
                found=new,
                allowed=old,
                next_step=f"xp amend {experiment_id} --reason … --by …, or choose another id",
            )


def _in_force(page: Page, experiment_id: str) -> bytes | None:
    """Canonical text of the last spec the ledger carries for an experiment."""
    text = None
    for entry in page.entries(experiment_id):
        if entry.kind in CARRIES_SPEC and "document" in entry.payload:
            text = canonical_bytes(entry.payload["document"])
    return text


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
