"""Where every experiment stands, for a table in the terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass

from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.sealed import is_registered, sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import bind
from xp_pipeline.spec.changes import ChangeKind, changes


@dataclass(frozen=True)
class Standing:
    """One experiment's line.

    Attributes:
        state: Lifecycle state, ``draft`` or ``unregistered``.
        as_of: Last day analysed, empty where the data has no clock or nothing ran.
        units: Units analysed.
        health: passed, warned, failed, or empty.
        verdicts: Arm to verdict.
        tags: As the file has them.
        note: What waits for a person, such as a deviation.
    """

    experiment: str
    state: str
    as_of: str
    units: int | None
    health: str
    verdicts: dict[str, str]
    tags: tuple[str, ...]
    note: str


def status(workspace: Workspace) -> list[Standing]:
    """The standing of every experiment of the folder, and of registered ones whose file is gone."""
    registered = {e.experiment for e in workspace.ledger.entries()}
    return [_standing(workspace, name) for name in sorted({*workspace.folder.experiments, *registered})]


def _standing(workspace: Workspace, name: str) -> Standing:
    state = workspace.ledger.state(name)
    rows = read(workspace.folder.lake, "experiments", name).to_dicts()
    row = rows[-1] if rows else None
    written = workspace.folder.experiments.get(name)
    draft = written is not None and written.draft
    return Standing(
        experiment=name,
        state=state.name if state else "draft" if draft else "unregistered",
        as_of=row["as_of"] if row else "",
        units=row["units"] if row else None,
        health=row["health"] if row else "",
        verdicts=json.loads(row["verdicts"]) if row else {},
        tags=written.tags if written else (),
        note=_note(workspace, name),
    )


def _note(workspace: Workspace, name: str) -> str:
    if not is_registered(workspace, name):
        return ""
    if name not in workspace.folder.experiments:
        return "its file is gone or broken"
    found = changes(sealed(workspace, name).bound, bind(workspace.folder, name))
    held = [change for change in found if change.kind == ChangeKind.DEVIATION]
    return (
        f"held: {held[0].path}{f' and {len(held) - 1} more' if len(held) > 1 else ''} (xp amend {name})" if held else ""
    )
