"""The exposure log as a source of the pipeline: its declaration, its first file, its closed days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from xp_pipeline.delivery.errors import StoreError
from xp_pipeline.delivery.journal import Journal
from xp_pipeline.delivery.variants import UNKNOWN
from xp_pipeline.errors import SpecError

FOLDER = "exposures"
"""Where the log is, below the record."""

CLOSED = "_closed"
"""Where the marks of closed days are, below the log."""

_DAY = timedelta(days=1)


def exposure_source(
    *,
    name: str = "served",
    record: str = "record",
    unit: Literal["text", "integer"] = "text",
    lag: str = "1h",
    marked: bool = False,
) -> Mapping[str, Any]:
    """The declaration of the log as a source, as it stands in ``sources/*.yaml``.

    Args:
        name: What specs call it.
        record: The record's folder, below the project folder.
        unit: The type of unit ids: that of the events they are joined with.
        lag: How late exposures may arrive: what a log could take to write its queue down.
        marked: Whether a day is closed by its mark (``close_days``); otherwise a later exposure closes it, of any
            experiment that is served.
    """
    place = f"{record}/{FOLDER}"
    closing = {"closed": f"{place}/{CLOSED}/{{day}}"} if marked else {"lag": lag}
    return {
        "name": name,
        "description": "Who met which variant first when, as it was served.",
        "kind": "exposure_log",
        "path": place,
        "format": "csv",
        "unit": "unit",
        "timestamp": "at",
        "null_values": [UNKNOWN],
        **closing,
        "columns": {
            "unit": {"type": unit, "nullable": False},
            "experiment": {"type": "text", "nullable": False},
            "variant": {"type": "text", "nullable": False},
            "propensity": {"type": "number", "at_least": 0, "at_most": 1},
            "version": "text",
            "at": {"type": "timestamp", "nullable": False},
        },
    }


def declare_exposures(root: Path | str, **settings: Any) -> Path:
    """Write the declaration into a project folder and begin the log there, so that runs find a source from day one.

    Args:
        root: The project folder.
        settings: Those of ``exposure_source``; the record is the project's.

    Returns:
        The declaration's file.

    Raises:
        SpecError: there is no project here, or a file of that name says something else.
    """
    import yaml

    from xp_pipeline.delivery.designs import places

    folder, project = places(root)
    content = exposure_source(**{**settings, "record": project.record})
    path = folder / "sources" / f"{content['name']}.yaml"
    text = yaml.safe_dump(dict(content), sort_keys=False)
    if path.exists() and yaml.safe_load(path.read_text(encoding="utf-8")) != content:
        raise SpecError("another source is declared there", where=str(path), next_step="name this one otherwise")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    journal = Journal(folder / project.record / FOLDER)
    journal.publish()
    journal.close()
    return path


def close_days(
    folder: Path | str, *, zone: str = "UTC", now: datetime | None = None, grace: timedelta = timedelta(hours=1)
) -> list[date]:
    """Publish what is committed, and mark the days that are over, from the first exposure's on.

    Call it once a day, from a service or from cron. An exposure of a marked day that is written later counts all the
    same, as late data does.

    Args:
        folder: ``record/exposures`` of the project.
        zone: The project's time zone.
        now: The present moment; by default it is looked up.
        grace: How long after midnight a day is over: longer than logs take to write their queues down.

    Returns:
        The days that were marked now.

    Raises:
        StoreError: the disk refuses.
    """
    journal = Journal(Path(folder))
    try:
        journal.publish()
        first = journal.first_moment()
    finally:
        journal.close()
    if first is None:
        return []
    today = ((now or datetime.now(UTC)) - grace).astimezone(ZoneInfo(zone)).date()
    day = datetime.fromisoformat(first).astimezone(ZoneInfo(zone)).date()
    marks = [Path(folder) / CLOSED / (day + i * _DAY).isoformat() for i in range((today - day).days)]
    return [date.fromisoformat(mark.name) for mark in marks if _marked(mark)]


def _marked(mark: Path) -> bool:
    """Whether a mark was made now."""
    if mark.exists():
        return False
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        return True
    except OSError as problem:
        raise StoreError(f"a day cannot be marked as closed: {problem.strerror}", where=str(mark)) from problem
