"""A project whose exposures are served by this package, and whose events are whatever a test writes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from xp_pipeline.delivery import declare_exposures
from xp_pipeline.lifecycle.run import run_phase
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase

START = datetime(2026, 3, 2, tzinfo=UTC)
END = datetime(2026, 3, 9, tzinfo=UTC)
DURING = datetime(2026, 3, 4, 12, tzinfo=UTC)
EXPERIMENT: dict[str, Any] = {
    "id": "checkout",
    "start": "2026-03-02",
    "end": "2026-03-09",
    "assignment": {"control": "control", "weights": {"control": "50%", "one_page": "30%", "guest": "20%"}},
    "population": {"source": "served", "where": {"experiment": "checkout"}, "arm": "variant"},
    "metrics": {"primary": ["conversion"]},
}
METRIC = {"name": "conversion", "type": "proportion", "source": "events", "where": {"event": "purchase"}}
EVENTS = {
    "name": "events",
    "kind": "event_log",
    "path": "events.csv",
    "unit": "user_id",
    "timestamp": "ts",
    "columns": {"user_id": "text", "ts": "timestamp", "event": "text"},
    "complete": True,
}


def shop(root: Path, *, sealed: bool = True, unit: str = "text", marked: bool = False, **experiment: Any) -> Path:
    """Write the project; seal its design unless told not to."""
    for folder in ("sources", "metrics", "experiments"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write(root / "xp.yaml", {"name": "shop"})
    columns = {**EVENTS["columns"], "user_id": unit}  # type: ignore[dict-item]
    _write(root / "sources" / "events.yaml", {**EVENTS, "columns": columns})
    _write(root / "metrics" / "metrics.yaml", {"metrics": [METRIC]})
    _write(root / "experiments" / "checkout.yaml", {**EXPERIMENT, **experiment})
    write_events(root, [(-1, "2026-03-01T12:00:00Z", "visit")])
    declare_exposures(root, unit=unit, marked=marked)
    if sealed:
        seal(root)
    return root


def seal(root: Path, *experiments: str) -> None:
    """Register experiments and seal their designs, as the first phases of a run do."""
    workspace = Workspace.open(root, by="test")
    assert not workspace.folder.problems, workspace.folder.problems
    for experiment in experiments or ("checkout",):
        for phase in (Phase.REGISTERED_SPEC, Phase.POWER_PLAN, Phase.DESIGN):
            run_phase(workspace, experiment, phase)


def write_events(root: Path, events: Iterable[tuple[object, str, str]]) -> None:
    """Unit, time and name of each event."""
    lines = ["user_id,ts,event", *(f"{unit},{ts},{event}" for unit, ts, event in events)]
    (root / "events.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
