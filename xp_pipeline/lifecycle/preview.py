"""An experiment as it would be sealed, without sealing it: for planning before registration."""

from __future__ import annotations

from xp_pipeline.lifecycle.sealed import Sealed, is_registered, sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import bind


def previewed(workspace: Workspace, experiment: str) -> Sealed:
    """The promise in force, or for an unregistered experiment the one its file would make."""
    if is_registered(workspace, experiment):
        return sealed(workspace, experiment)
    bound = bind(workspace.folder, experiment)
    return Sealed(bound, bound.digest, bound, bound.digest, workspace.clock(), False, ())
