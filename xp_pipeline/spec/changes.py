"""What changed between a sealed spec and its file, and what each change means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from xp_pipeline.spec.binding import Bound

COSMETIC = frozenset({"title", "hypothesis", "description", "owner", "tags", "tier"})


EXPLORATORY = frozenset({"experiment.analysis.novelty"})
"""Settings that add rows which say themselves that they are exploratory, and change no other."""


class ChangeKind(StrEnum):
    """``cosmetic`` and ``exploratory`` changes apply at once; a ``deviation`` waits for an amendment."""

    COSMETIC = "cosmetic"
    EXPLORATORY = "exploratory"
    DEVIATION = "deviation"


@dataclass(frozen=True)
class Change:
    """One difference: where in the document, from what, to what; ``None`` is absence."""

    kind: ChangeKind
    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} -> {_shown(self.after)}"


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def changes(sealed: Bound, current: Bound) -> list[Change]:
    """Every difference between two bound experiments, classified.

    A metric in role secondary or exploratory, or a segment, that is only in the current document is an
    exploratory addition; so are the definitions it brings along.
    """
    added = _added_names(sealed, current)
    before = _pruned(sealed.document(), set())
    after = _pruned(current.document(), added)
    found = [_classified(path, old, new) for path, old, new in _differences(before, after, "")]
    found += [Change(ChangeKind.EXPLORATORY, name, None, "added") for name in sorted(added)]
    return found


def additions(sealed: Bound, current: Bound) -> tuple[str, ...]:
    """Names of metrics and segments that came after registration, earlier additions included."""
    return tuple(sorted({*sealed.added, *_added_names(sealed, current)}))


def _added_names(sealed: Bound, current: Bound) -> set[str]:
    old = {use.metric for _, use in sealed.experiment.metrics.items()}
    late = ("secondary", "exploratory")
    metrics = {u.metric for role, u in current.experiment.metrics.items() if role in late and u.metric not in old}
    known = {segment.name for segment in sealed.experiment.segments}
    return metrics | {s.name for s in current.experiment.segments if s.name not in known}


def _pruned(document: dict[str, Any], added: set[str]) -> dict[str, Any]:
    """The document without additions, and with lists of named things as mappings, so order is no change."""
    experiment = dict(document["experiment"])
    roles = {
        role: {use["metric"]: use for use in uses if use["metric"] not in added}
        for role, uses in experiment.get("metrics", {}).items()
    }
    experiment["metrics"] = {role: uses for role, uses in roles.items() if uses}
    segments = {s["name"]: s for s in experiment.pop("segments", []) if s["name"] not in added}
    metrics = {name: m for name, m in document["metrics"].items() if name not in added}
    pruned = {**document, "experiment": {**experiment, "segments": segments}, "metrics": metrics}
    pruned.pop("added", None)
    if added:
        pruned["sources"] = _needed(document["sources"], metrics, experiment, segments)
    return pruned


def _needed(sources: Any, *parts: Any) -> Any:
    """Sources still named by what is left; one that only an addition uses is not a change of its own."""
    named = {value for part in parts for value in _texts(part)}
    return {name: source for name, source in sources.items() if name in named}


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for value in part.values():
            yield from _texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from _texts(value)
    elif isinstance(part, str):
        yield part


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) or isinstance(after, dict):
        old, new = (side if isinstance(side, dict) else {} for side in (before, after))
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif before != after:
        yield path, before, after


def _classified(path: str, before: Any, after: Any) -> Change:
    words = set(path.split("."))
    if words & COSMETIC:
        return Change(ChangeKind.COSMETIC, path, before, after)
    return Change(ChangeKind.EXPLORATORY if path in EXPLORATORY else ChangeKind.DEVIATION, path, before, after)
