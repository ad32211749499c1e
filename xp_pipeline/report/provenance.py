"""Provenance: everything it takes to find the same numbers again, and every change of the promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xp_pipeline.report import words
from xp_pipeline.report.inputs import Amendment, Provenance, text_of
from xp_pipeline.spec.tables import SCHEMA_VERSION


@dataclass(frozen=True)
class Lineage:
    """Where the numbers come from.

    Attributes:
        facts: Name and value of each fact, values as text; hashes in full.
        sources: Name, version and digest of each source read.
        manifests: Phase in words and digest of each sealed artifact read.
    """

    facts: tuple[tuple[str, str], ...]
    sources: tuple[tuple[str, str, str], ...]
    manifests: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Change:
    """One change of the promise, or an override: who, when, why and what."""

    kind: str
    by: str
    at: str
    reason: str
    changes: tuple[str, ...]


def build_lineage(provenance: Provenance) -> Lineage:
    """The provenance section."""
    promised = provenance.get("promised_hash")
    facts = {
        "Run": provenance["run_id"],
        "Computed at": provenance["computed_at"],
        "As of": provenance.get("as_of"),
        "Spec (SHA-256)": provenance["spec_hash"],
        "Promised spec (SHA-256)": promised if promised != provenance["spec_hash"] else None,
        "Ledger head": provenance["ledger_head"],
        "Git commit": provenance.get("git_commit"),
        "Code version": provenance["code_version"],
        "Table schema": str(SCHEMA_VERSION),
    }
    return Lineage(
        facts=tuple((name, text_of(value)) for name, value in facts.items() if value),
        sources=tuple((s["source"], s["version"], s["digest"]) for s in provenance.get("sources", ())),
        manifests=tuple((words.named(words.PHASES, p), d) for p, d in provenance.get("manifests", {}).items()),
    )


def build_history(amendments: Sequence[Amendment]) -> tuple[Change, ...]:
    """The changes in the order of the ledger."""
    return tuple(
        Change(
            kind=entry["kind"],
            by=text_of(entry["by"]),
            at=text_of(entry["at"]),
            reason=text_of(entry["reason"]),
            changes=tuple(text_of(change) for change in entry.get("changes", ())),
        )
        for entry in amendments
    )
