"""The manifest of a sealed artifact: what it is, what it was made from, and the digests of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any, Literal, get_args

from xp_pipeline.errors import SpecError
from xp_pipeline.spec.canonical import digest, plain
from xp_pipeline.spec.phases import Phase

Verdict = Literal["passed", "warned", "failed"]

_UNSEALED = ("run_id", "created_at", "digest")
_PHASE = "phase:"


@dataclass(frozen=True)
class Manifest:
    """What an artifact is.

    Attributes:
        experiment: Whose it is.
        phase: Which kind it is.
        as_of: Last day of event time in it, ``YYYY-MM-DD``; None where there is no clock.
        spec_hash: SHA-256 of the spec it was made under.
        spec_hash_version: How that hash is defined.
        code_version: Version of the code that made it.
        verdict: Whether readers may go on.
        inputs: Digests of all it was made from, by name: ``phase:design``, ``source:orders``, …
        files: SHA-256 of each file, by name.
        summary: A little JSON for readers that need no file.
        run_id: The run that made it.
        created_at: When, ISO 8601.
        digest: SHA-256 over everything but ``run_id``, ``created_at`` and itself, so that the same
            computation has the same digest.
    """

    experiment: str
    phase: Phase
    as_of: str | None
    spec_hash: str
    spec_hash_version: str
    code_version: str
    verdict: Verdict
    inputs: dict[str, str]
    files: dict[str, str]
    summary: dict[str, Any]
    run_id: str
    created_at: str
    digest: str = ""

    @property
    def upstream(self) -> dict[Phase, str]:
        """Digests of the artifacts of other phases it was made from."""
        return {
            Phase(name.removeprefix(_PHASE)): cited for name, cited in self.inputs.items() if name.startswith(_PHASE)
        }

    def check(self) -> None:
        """Refuse what could not be read back.

        Raises:
            SpecError: an unknown verdict or phase, a day where there is one artifact per experiment, or a
                summary that is not JSON.
        """
        if self.verdict not in get_args(Verdict):
            allowed = ", ".join(get_args(Verdict))
            raise SpecError("unknown verdict", where=self.experiment, found=self.verdict, allowed=allowed)
        unknown = [n for n in self.inputs if n.startswith(_PHASE) and n.removeprefix(_PHASE) not in list(Phase)]
        if unknown:
            raise SpecError("unknown phase among the inputs", where=self.experiment, found=unknown[0])
        if self.as_of and not self.phase.dated:
            raise SpecError(f"the {self.phase} has no as-of", where=self.experiment, found=self.as_of)
        self.content_digest()

    def sealed(self, *, files: Mapping[str, str]) -> Manifest:
        """This manifest over these files, with its digest."""
        whole = replace(self, files=dict(files), summary=plain(self.summary))
        return replace(whole, digest=whole.content_digest())

    def content_digest(self) -> str:
        """What ``digest`` has to be."""
        return digest({name: value for name, value in asdict(self).items() if name not in _UNSEALED})

    def to_json(self) -> bytes:
        """The manifest as it is stored."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """A stored manifest, its digest not yet checked."""
        stored = json.loads(content)
        missing = {f.name for f in fields(cls)} ^ set(stored)
        if missing:
            raise KeyError(", ".join(sorted(missing)))
        return cls(**{**stored, "phase": Phase(stored["phase"])})


def check_as_of(text: str | None) -> str | None:
    """Return a day (or None) unchanged.

    Raises:
        SpecError: it is not written ``YYYY-MM-DD``, or does not exist.
    """
    try:
        if text is None or date.fromisoformat(text).isoformat() == text:
            return text
    except (ValueError, TypeError):
        pass
    raise SpecError("an as-of is a day", found=repr(text), allowed="YYYY-MM-DD")
