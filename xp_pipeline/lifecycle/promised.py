"""After an amendment: the analysis as first promised, run beside the amended one in a lake of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from xp_pipeline.errors import XpError
from xp_pipeline.lifecycle.assignment.assign import assign
from xp_pipeline.lifecycle.design import design
from xp_pipeline.lifecycle.measurement.adjust import adjust
from xp_pipeline.lifecycle.planning.plan import plan
from xp_pipeline.lifecycle.quality.validate import validate
from xp_pipeline.lifecycle.register import seal_spec
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.artifacts import ArtifactStore, SealedArtifact
from xp_pipeline.spec.ledger import Entry
from xp_pipeline.spec.phases import ExperimentState, Phase


@dataclass
class _Beside(Workspace):
    """The same project, with artifacts of its own; the ledger is read, and no state moves."""

    @property
    def remembers(self) -> bool:
        """The record is that of the amended experiment."""
        return False

    @cached_property
    def artifacts(self) -> ArtifactStore:
        return ArtifactStore(self.folder.lake / "promised")

    def reach(self, experiment: str, state: ExperimentState, payload: Mapping[str, object]) -> None:
        """The promise's state is the amended experiment's."""

    def final_look(self, experiment: str) -> Entry | None:
        """The promised analysis ends where it was promised to."""
        return None


@dataclass(frozen=True)
class Promised:
    """The promised analysis, measured: its spec, its workspace, and the evidence, or why there is none."""

    promise: Sealed
    workspace: Workspace
    measured: SealedArtifact | None
    error: XpError | None


def as_promised(workspace: Workspace, promise: Sealed) -> Promised:
    """Run an amended experiment's phases under the spec as first registered, up to its evidence."""
    first = replace(promise, bound=promise.promised, spec_hash=promise.promised_hash, history=())
    beside = _Beside(workspace.folder, workspace.run_id, workspace.by, workspace.clock)
    try:
        seal_spec(beside, first)
        for phase in (plan, design, assign, validate, adjust):
            phase(beside, first)
        measured = beside.read(first.id, Phase.ADJUSTED_METRICS, spec_hash=first.spec_hash)
    except XpError as error:
        return Promised(first, beside, None, error)
    return Promised(first, beside, measured, None)
