"""Sealed designs: what a service needs to know of a registered experiment, read through the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xp_pipeline.errors import PhaseOrderError
from xp_pipeline.spec.artifacts import ArtifactStore
from xp_pipeline.spec.ledger import Ledger
from xp_pipeline.spec.phases import Phase
from xp_pipeline.spec.registry import CARRIES_SPEC

if TYPE_CHECKING:
    from xp_pipeline.spec.project import Project

UNIT = "unit"
"""The field that holds the unit's id."""


@dataclass(frozen=True)
class Step:
    """A step of a ramp.

    Attributes:
        at: First moment it is in force.
        shares: Share of the units that take part, by arm.
        ranges: Buckets [low, high) and their arm.
    """

    at: datetime
    shares: Mapping[str, float]
    ranges: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Design:
    """The sealed design of an experiment.

    Attributes:
        experiment: Its id.
        arms: Names of the arms, in order.
        control: Which of them is control.
        shares: Share of each arm, summing to 1; None when the split is unknown.
        rule: Bucket rule by which a unit gets its arm.
        salt: What the rule mixes into every unit's id.
        start: First moment of assignment; None for no bound.
        end: First moment after it; None for no bound.
        unit: Name under which a program knows the unit's id.
        program: Text of the assignment program; None where shares are the same for all.
        phases: Steps of a ramp in order of time; none for shares that stay.
        layer: Salt and range of buckets of the layer whose units alone take part; None for everybody.
        adaptive: Whether the shares are published as the experiment goes.
        spec_hash: SHA-256 of the spec that it was made under.
        digest: Digest of the sealed artifact.
    """

    experiment: str
    arms: tuple[str, ...]
    control: str
    shares: Mapping[str, float] | None
    rule: str
    salt: str
    start: datetime | None
    end: datetime | None
    spec_hash: str
    digest: str
    unit: str = "unit"
    program: str | None = None
    phases: tuple[Step, ...] = ()
    layer: tuple[str, float, float] | None = None
    adaptive: bool = False

    def is_open(self, now: datetime) -> bool:
        """Whether units are assigned at a moment."""
        return (self.start is None or now >= self.start) and (self.end is None or now < self.end)


def read_design(root: Path | str, experiment: str) -> Design:
    """The design that is in force for an experiment of a project folder.

    Raises:
        PhaseOrderError: it is not registered, or its design is not sealed yet.
        TamperError: the seal is broken.
        SpecError: there is no project here.
    """
    folder, project = places(root)
    return design_in(experiment, record=folder / project.record, lake=folder / project.lake)


def places(root: Path | str) -> tuple[Path, Project]:
    """The project folder around a path, and what its xp.yaml says.

    Raises:
        SpecError: there is no project here, or its xp.yaml is broken.
    """
    from xp_pipeline.spec import loader
    from xp_pipeline.spec.folder import PROJECT_FILE, find_root
    from xp_pipeline.spec.project import Project

    folder = find_root(Path(root))
    return folder, loader.validate(Project, loader.read(folder / PROJECT_FILE))


def design_in(experiment: str, *, record: Path, lake: Path) -> Design:
    """As ``read_design``, for a record and a lake wherever they are."""
    entries = [e for e in Ledger(record / "ledger.sqlite").entries(experiment) if e.kind in CARRIES_SPEC]
    if not entries:
        step = f"xp register {experiment} --by YOU"
        raise PhaseOrderError("the experiment is not registered", where=experiment, next_step=step)
    spec_hash = entries[-1].payload["spec_hash"]
    sealed = ArtifactStore(lake).read(experiment, Phase.DESIGN, spec_hash=spec_hash, as_of=None)
    return _design(sealed.json("design.json"), spec_hash, sealed.manifest.digest)


def _design(document: Mapping[str, Any], spec_hash: str, digest: str) -> Design:
    return Design(
        experiment=document["experiment"],
        arms=tuple(document["arms"]),
        control=document["control"],
        shares=document["shares"],
        rule=document["bucket_rule"],
        salt=document["salt"],
        start=_moment(document["start"]),
        end=_moment(document["end"]),
        spec_hash=spec_hash,
        digest=digest,
        unit=document["unit"],
        program=document["program"],
        phases=tuple(
            Step(_instant(step["at"]), step["shares"], tuple((low, high, arm) for low, high, arm in step["ranges"]))
            for step in document["phases"]
        ),
        layer=(layer["salt"], layer["low"], layer["high"]) if (layer := document["layer"]) else None,
        adaptive="adaptive" in document,
    )


def _instant(text: str) -> datetime:
    moment = _moment(text)
    assert moment is not None
    return moment


def _moment(text: str | None) -> datetime | None:
    moment = datetime.fromisoformat(text) if text else None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
