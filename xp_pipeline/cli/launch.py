"""``xp run``: the daily job in this process, on an instance that belongs to the project."""

from __future__ import annotations

import logging
import os
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from xp_pipeline.spec.phases import Phase

_INSTANCE = """telemetry:
  enabled: false
nux:
  enabled: false
"""


def home(root: Path) -> Path:
    """The project's Dagster home, made on first use; ``DAGSTER_HOME`` names another."""
    folder = Path(os.environ.get("DAGSTER_HOME") or root / ".dagster")
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_INSTANCE)
    return folder


def launch(root: Path, experiments: list[str], as_of: date | None) -> int:
    """Run and show progress; the exit code is 0, 1 (failed) or 3 (blocked by a quality check)."""
    console = Console(stderr=True, highlight=False)
    os.environ["DAGSTER_HOME"] = str(home(root))
    with console.status("starting Dagster"):
        import dagster as dg

        from xp_pipeline.orchestration.build import build_definitions
        from xp_pipeline.orchestration.daily import DAILY
        from xp_pipeline.orchestration.progress import LOGGER, Listening

        job = build_definitions(root).resolve_job_def(DAILY)
    logger = logging.getLogger(LOGGER)
    listener = Listening(None, _Told(console))
    logger.addHandler(listener)
    try:
        with dg.DagsterInstance.get() as instance:
            job.execute_in_process(instance=instance, raise_on_error=False, run_config=_run_config(experiments, as_of))
    finally:
        logger.removeHandler(listener)
    return _summary(root, experiments)


def _run_config(experiments: list[str], as_of: date | None) -> dict[str, Any]:
    config = {"experiments": experiments, "as_of": as_of.isoformat() if as_of else None}
    return {"loggers": {"progress": {}}, "ops": {"analyse_running": {"config": config}}}


class _Told:
    """A line an experiment, phase after phase."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, experiment: str, phase: str, what: str) -> None:
        if phase == "outcome":
            status, _, error = what.partition("|")
            colour = {"done": "green", "blocked": "red", "failed": "red"}.get(status, "yellow")
            line = Text.assemble((experiment, "bold"), " ", (status, colour), f"  {error}" if error else "")
            self._console.print(line, soft_wrap=True)
        elif what == "done":
            number = list(Phase).index(Phase(phase)) + 1
            self._console.print(Text(f"{experiment}  {number}/{len(Phase)} {phase}", style="dim"), soft_wrap=True)


def _summary(root: Path, experiments: list[str]) -> int:
    from xp_pipeline.cli.tables import show_status
    from xp_pipeline.lifecycle.status import status
    from xp_pipeline.lifecycle.workspace import Workspace

    workspace = Workspace.open(root)
    found = [s for s in status(workspace) if not experiments or s.experiment in experiments]
    show_status(found, reports=workspace.folder.lake / "reports")
    if any(s.health == "failed" for s in found):
        return 3
    return 1 if _failed(workspace) else 0


def _failed(workspace: Any) -> bool:
    """Whether the run just made ended with a failure that is not a block."""
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        last = instance.get_run_records(limit=1)
    return bool(last) and last[0].dagster_run.is_failure
