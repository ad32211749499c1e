"""A workspace: a project folder with its record and its lake, opened for one run."""

from __future__ import annotations

import getpass
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from xp_pipeline import __version__
from xp_pipeline.sources.ingest import SourceVersion, ingest
from xp_pipeline.spec.artifacts import ArtifactStore, Manifest, SealedArtifact
from xp_pipeline.spec.folder import Folder, find_root, load
from xp_pipeline.spec.ledger import Entry, EntryKind, Ledger
from xp_pipeline.spec.phases import ExperimentState, Phase

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


@dataclass
class Workspace:
    """Everything a phase needs besides its experiment.

    Attributes:
        folder: The project folder as read when the workspace was opened.
        run_id: Names the run in every row and manifest it writes.
        by: Who acts, for the ledger.
        clock: Where the ledger's times come from.
    """

    folder: Folder
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    by: str = field(default_factory=lambda: _user())
    clock: Clock = utc_now
    _versions: dict[str, SourceVersion] = field(default_factory=dict, repr=False)

    @property
    def remembers(self) -> bool:
        """Whether assignments made here go into the record."""
        return True

    @classmethod
    def open(cls, root: Path | None = None, *, by: str | None = None, run_id: str | None = None) -> Workspace:
        """Open the project around ``root`` (or the current folder)."""
        workspace = cls(load(find_root(root)))
        workspace.by = by or workspace.by
        workspace.run_id = run_id or workspace.run_id
        return workspace

    @property
    def root(self) -> Path:
        return self.folder.root

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.folder.record / "ledger.sqlite", clock=self.clock)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        return ArtifactStore(self.folder.lake)

    def version(self, source: str) -> SourceVersion:
        """The present version of a source, ingested at most once a run."""
        if source not in self._versions:
            self._versions[source] = ingest(
                self.folder.sources[source],
                root=self.root,
                lake=self.folder.lake,
                memory_limit=self.folder.project.engine.memory_limit,
            )
        return self._versions[source]

    def unchanged(
        self, experiment: str, phase: Phase, *, as_of: str | None, spec_hash: str, inputs: Mapping[str, str]
    ) -> Manifest | None:
        """The sealed artifact of this phase, if it was made from just these inputs by this code.

        Once the final look is taken its data is frozen: what was sealed for it stands, whatever sources say since.
        """
        manifest = self.artifacts.find(experiment, phase, as_of)
        if manifest is None or manifest.spec_hash != spec_hash or manifest.code_version != __version__:
            return None
        return manifest if manifest.inputs == dict(inputs) or self._frozen(experiment, as_of) else None

    def _frozen(self, experiment: str, as_of: str | None) -> bool:
        look = self.final_look(experiment)
        return look is not None and look.payload["as_of"] == as_of

    def final_look(self, experiment: str) -> Entry | None:
        """The ledger's entry of the final look, once taken."""
        looks = self.ledger.entries(experiment, EntryKind.LOOK)
        return next((entry for entry in reversed(looks) if entry.payload["final"]), None)

    def read(
        self,
        experiment: str,
        phase: Phase,
        *,
        spec_hash: str,
        as_of: str | None = None,
        allow_failed: bool = False,
    ) -> SealedArtifact:
        """The sealed artifact of a phase, of one day or the latest, if the gate lets it be read.

        Raises:
            PhaseOrderError, TamperError, SRMError, BlockedError: as the gate says.
        """
        latest = self.artifacts.latest(experiment, phase)
        day = as_of or (latest.as_of if latest else None)
        return self.artifacts.read(experiment, phase, spec_hash=spec_hash, as_of=day, allow_failed=allow_failed)

    def seal(self, experiment: str, phase: Phase, **parts: object) -> Manifest:
        """Publish an artifact of this run."""
        return self.artifacts.publish(
            experiment=experiment,
            phase=phase,
            code_version=__version__,
            run_id=self.run_id,
            created_at=self.clock().isoformat(),
            **parts,  # type: ignore[arg-type]
        )

    def reach(self, experiment: str, state: ExperimentState, payload: Mapping[str, object]) -> None:
        """Advance to a state, unless the experiment is there or past it."""
        current = self.ledger.state(experiment)
        if current is None or current.step < state.step:
            self.ledger.advance(experiment, state, by=self.by, payload=payload)

    @cached_property
    def git_commit(self) -> str | None:
        """Commit of the project folder, or None outside a repository."""
        try:
            done = subprocess.run(
                ["git", "rev-parse", "HEAD"],
                cwd=self.root,
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
