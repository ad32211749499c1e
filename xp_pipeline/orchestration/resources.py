"""The project folder as a resource."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from xp_pipeline.lifecycle.workspace import Workspace


class ProjectResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the project afresh for every step, so that a changed spec is seen without a reload."""

    root: str = ""

    def open(self, *, run_id: str | None = None, by: str | None = None) -> Workspace:
        """The workspace of one run."""
        return Workspace.open(Path(self.root) if self.root else None, run_id=run_id, by=by)
