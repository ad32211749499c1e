"""A workspace without a folder: the specs of a notebook, for the lifecycle functions that read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from xp_pipeline.experiment.metrics import SOURCE
from xp_pipeline.experiment.spec import DATA_FILE
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.sources.ingest import SourceVersion
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.folder import Folder
from xp_pipeline.spec.project import Project
from xp_pipeline.spec.source import Source


@dataclass
class MemoryWorkspace(Workspace):
    """A workspace whose one source is a frame in memory; it has no ledger and no lake."""

    def version(self, source: str) -> SourceVersion:
        """The frame as it is: named, not digested."""
        return SourceVersion(source, "memory", "", Path(), 0, 0, {}, {}, [], None, None)


def workspace_of(bound: Bound, source: Source) -> MemoryWorkspace:
    """The workspace of a notebook."""
    root = Path(DATA_FILE).parent
    project = Project(name=bound.id, timezone=bound.timezone)
    return MemoryWorkspace(
        Folder(root, project, {SOURCE: source}, bound.metrics, {bound.id: bound.experiment}, documents={})
    )


def promise_of(bound: Bound, at: datetime | None = None) -> Sealed:
    """What a notebook promised, as lifecycle functions take it; registered nowhere but here."""
    digest = bound.digest
    return Sealed(
        bound=bound,
        spec_hash=digest,
        promised=bound,
        promised_hash=digest,
        registered_at=at or datetime.now(UTC),
        local=True,
        history=(),
    )
