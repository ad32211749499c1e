"""An experiment as it would be sealed, without sealing it: for planning before registration."""

from __future__ import annotations

from xp_pipeline.lifecycle.promisable import promisable
from xp_pipeline.lifecycle.sealed import Sealed, is_registered, sealed
from xp_pipeline.lifecycle.workspace import Workspace


def previewed(workspace: Workspace, experiment: str) -> Sealed:
    """The promise in force, or for an unregistered experiment the one its file would make."""
    if is_registered(workspace, experiment):
        return sealed(workspace, experiment)
    bound = promisable(workspace.folder, experiment)
    return Sealed(bound, bound.digest, bound, bound.digest, workspace.clock(), False, ())
