"""Sealed artifacts: files first, then the one manifest that makes them exist, read only through the gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from xp_pipeline.errors import BlockedError, PhaseOrderError, SRMError, TamperError, XpError
from xp_pipeline.spec.atomic import leftovers, publish_bytes, publish_content
from xp_pipeline.spec.canonical import HASH_VERSION, file_digest, same_digest
from xp_pipeline.spec.manifest import Manifest, Verdict, check_as_of
from xp_pipeline.spec.names import check_id
from xp_pipeline.spec.phases import Phase

__all__ = ["LATEST", "ArtifactStore", "Content", "Manifest", "SealedArtifact", "Verdict"]

LATEST: Literal["latest"] = "latest"
"""In place of an as-of day: the greatest one there is."""

Content = bytes | Callable[[Path], None]
"""A file's bytes, or a function that writes the file at the path it is given."""


@dataclass(frozen=True)
class SealedArtifact:
    """An artifact that passed the gate; each of its files is checked when it is first asked for.

    Attributes:
        manifest: What it is and what it was made from.
        folder: Where its phase keeps files.
    """

    manifest: Manifest
    folder: Path
    _checked: dict[str, Path] = field(default_factory=dict, repr=False, compare=False)

    def path(self, name: str) -> Path:
        """Path of a file, its content being what was sealed.

        Raises:
            TamperError: the file is missing or changed.
            PhaseOrderError: the artifact never had a file of that name.
        """
        if name not in self._checked:
            self._checked[name] = self._check(name)
        return self._checked[name]

    def bytes(self, name: str) -> bytes:
        """Content of a file."""
        return self.path(name).read_bytes()

    def json(self, name: str) -> Any:
        """Content of a JSON file."""
        return json.loads(self.bytes(name))

    def _check(self, name: str) -> Path:
        manifest = self.manifest
        if name not in manifest.files:
            raise PhaseOrderError(
                f"the sealed {manifest.phase} has no file {name!r}",
                where=manifest.experiment,
                allowed=", ".join(sorted(manifest.files)) or "none",
                next_step=f"xp run {manifest.experiment}",
            )
        sealed = manifest.files[name]
        path = self.folder / "files" / sealed / name
        found = file_digest(path) if path.is_file() else "no file"
        if not same_digest(found, sealed):
            raise _broken(f"a file of the sealed {manifest.phase} is not what was sealed", path, found, sealed)
        return path


class ArtifactStore:
    """Sealed artifacts under ``<lake>/artifacts/<experiment>/<phase>/``.

    ``files/<digest>/<name>`` holds content, never changed; ``<as-of day or all>.json`` is the manifest.

    Args:
        lake: Root of everything derived. It comes into being with the first artifact.
    """

    def __init__(self, lake: Path) -> None:
        self.root = Path(lake) / "artifacts"

    def publish(
        self,
        *,
        experiment: str,
        phase: Phase,
        as_of: str | None,
        spec_hash: str,
        code_version: str,
        verdict: Verdict,
        inputs: Mapping[str, str],
        files: Mapping[str, Content],
        run_id: str,
        summary: Mapping[str, Any] | None = None,
        created_at: str | None = None,
    ) -> Manifest:
        """Write the files, then make the artifact visible by one atomic rename.

        Whoever reads meanwhile sees the artifact before or the artifact after, never a mixture. An artifact
        made before for the same as-of is superseded.

        Args:
            experiment: Whose it is.
            phase: Which kind it is.
            as_of: Last day of event time in it, ``YYYY-MM-DD``; None where there is no clock.
            spec_hash: SHA-256 of the spec it was made under.
            code_version: Version of the code that made it.
            verdict: ``failed`` closes the gate for readers.
            inputs: Digests of what it was made from: ``phase:design``, ``source:orders``, …
            files: Content by file name.
            run_id: The run that made it.
            summary: A little JSON for readers that need no file. ``reason`` says why a verdict failed, and
                ``blocked_by: srm`` that it was the sample ratio.
            created_at: ISO 8601; now by default.

        Raises:
            SpecError: a name, the as-of, the verdict or the summary is not acceptable.
            XpError: the lake cannot be written; what was there before still is.
        """
        folder = self._folder(experiment, phase)
        manifest = Manifest(
            experiment=experiment,
            phase=Phase(phase),
            as_of=check_as_of(as_of),
            spec_hash=spec_hash,
            spec_hash_version=HASH_VERSION,
            code_version=code_version,
            verdict=verdict,
            inputs=dict(inputs),
            files={check_id(name, what="file name"): "" for name in files},
            summary=dict(summary or {}),
            run_id=run_id,
            created_at=created_at or datetime.now(UTC).isoformat(),
        )
        manifest.check()
        try:
            digests = {name: publish_content(folder / "files", name, content) for name, content in files.items()}
            sealed = manifest.sealed(files=digests)
            publish_bytes(folder / _file_name(as_of), sealed.to_json())
        except OSError as problem:
            raise _unwritable(folder, problem) from problem
        return sealed

    def find(self, experiment: str, phase: Phase, as_of: str | None) -> Manifest | None:
        """The manifest of one as-of, or None.

        Raises:
            TamperError: it is there, but is not what was sealed.
        """
        return self._load(self._folder(experiment, phase) / _file_name(check_as_of(as_of)))

    def manifests(self, experiment: str, phase: Phase) -> list[Manifest]:
        """All manifests of a phase: the one without a clock first, then by day."""
        found = (self.find(experiment, phase, as_of) for as_of in self._days(experiment, phase))
        return [manifest for manifest in found if manifest]

    def latest(self, experiment: str, phase: Phase) -> Manifest | None:
        """The manifest of the greatest day, or None."""
        days = self._days(experiment, phase)
        return self.find(experiment, phase, days[-1]) if days else None

    def read(
        self,
        experiment: str,
        phase: Phase,
        *,
        spec_hash: str,
        as_of: str | None = LATEST,
        allow_failed: bool = False,
    ) -> SealedArtifact:
        """The gate: an artifact, if it is whole, current, made under this spec, and not failed.

        Args:
            experiment: Whose artifact.
            phase: Which kind.
            spec_hash: SHA-256 of the spec in force.
            as_of: The day, None for an artifact without a clock, or ``LATEST``.
            allow_failed: Open a failed one too (to report it, or under a signed override).

        Raises:
            PhaseOrderError: it was never made, or what it was made from has been made anew since.
            TamperError: a digest is broken, or it was sealed under another spec.
            SRMError: its verdict is failed for a sample ratio mismatch.
            BlockedError: its verdict is failed for another reason.
        """
        manifest = self._wanted(experiment, phase, as_of)
        if not same_digest(manifest.spec_hash, spec_hash):
            raise TamperError(
                f"the {phase} was sealed under another spec than the registered one",
                where=experiment,
                found=manifest.spec_hash,
                allowed=spec_hash,
                next_step=f"xp run {experiment}; after an edit of the spec, xp amend {experiment} first",
            )
        self._check_upstream(manifest)
        if manifest.verdict == "failed" and not allow_failed:
            raise _refusal(manifest)
        return SealedArtifact(manifest, self._folder(experiment, phase))

    def sweep(self, *, older_than: timedelta = timedelta(hours=1)) -> list[Path]:
        """Remove what crashed or superseded runs left behind, and return the paths.

        Args:
            older_than: Spares younger files, which a run may be about to publish.
        """
        swept = []
        for folder in sorted(self.root.glob("*/*/")):
            cited = {
                folder / "files" / digest / name
                for path in folder.glob("*.json")
                for name, digest in _whole(path).files.items()
            }
            swept += leftovers(folder, cited, before=datetime.now(UTC) - older_than)
        for path in swept:
            path.unlink(missing_ok=True)
        return swept

    def _folder(self, experiment: str, phase: Phase) -> Path:
        return self.root / check_id(experiment) / Phase(phase).value

    def _days(self, experiment: str, phase: Phase) -> list[str | None]:
        names = sorted(path.stem for path in self._folder(experiment, phase).glob("*.json"))
        days: list[str | None] = [name for name in names if name != _ALL]
        return ([None] if _ALL in names else []) + days

    def _load(self, path: Path) -> Manifest | None:
        if not path.exists():
            return None
        manifest = _whole(path)
        place = self._folder(manifest.experiment, manifest.phase) / _file_name(manifest.as_of)
        if place != path:
            raise _broken("a manifest lies in the place of another", path, str(path), str(place))
        return manifest

    def _wanted(self, experiment: str, phase: Phase, as_of: str | None) -> Manifest:
        found = self.latest(experiment, phase) if as_of == LATEST else self.find(experiment, phase, as_of)
        if found is None:
            raise _missing(experiment, phase, None if as_of == LATEST else as_of)
        return found

    def _check_upstream(self, manifest: Manifest) -> None:
        """Follow the cited phases to the first; each has to be the present one of its as-of."""
        for upstream, cited in manifest.upstream.items():
            as_of = manifest.as_of if upstream.dated else None
            current = self.find(manifest.experiment, upstream, as_of)
            if current is None:
                raise _missing(manifest.experiment, upstream, as_of)
            if not same_digest(current.digest, cited):
                raise PhaseOrderError(
                    f"the {manifest.phase} is stale: the {upstream} it was made from has been made anew",
                    where=manifest.experiment,
                    found=cited,
                    allowed=current.digest,
                    next_step=f"xp run {manifest.experiment}",
                )
            self._check_upstream(current)


_ALL = "all"


def _file_name(as_of: str | None) -> str:
    return f"{as_of or _ALL}.json"


def _whole(path: Path) -> Manifest:
    """The manifest in a file, its digest checked."""
    try:
        manifest = Manifest.from_json(path.read_bytes())
        computed = manifest.content_digest()
        intact = same_digest(computed, manifest.digest)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise _broken("a manifest is not readable", path, type(problem).__name__, "the JSON that was sealed") from None
    if not intact:
        raise _broken("a manifest is not what was sealed", path, computed, manifest.digest)
    return manifest


def _unwritable(folder: Path, problem: OSError) -> XpError:
    return XpError(
        f"the lake cannot be written: {problem.strerror or problem}",
        where=str(folder),
        next_step="check the space on its disk, and who may write to lake/",
    )


def _broken(what: str, path: Path, found: str, allowed: str) -> TamperError:
    next_step = f"remove {path.name} and xp run its experiment, or delete lake/ and rebuild it"
    return TamperError(what, where=str(path), found=found, allowed=allowed, next_step=next_step)


def _missing(experiment: str, phase: Phase, as_of: str | None) -> PhaseOrderError:
    step = f"xp register {experiment} --by YOU" if phase == Phase.REGISTERED_SPEC else f"xp run {experiment}"
    return PhaseOrderError(
        f"no sealed {phase}" + (f" as of {as_of}" if as_of else ""),
        where=experiment,
        allowed=f"state {phase.state} or later",
        next_step=step,
    )


def _refusal(manifest: Manifest) -> BlockedError:
    kind = SRMError if manifest.summary.get("blocked_by") == "srm" else BlockedError
    return kind(
        str(manifest.summary.get("reason") or f"the {manifest.phase} failed its checks"),
        where=manifest.experiment,
        next_step=f"find the cause (xp report {manifest.experiment}), or sign: "
        f"xp override {manifest.experiment} --reason … --by …",
    )
