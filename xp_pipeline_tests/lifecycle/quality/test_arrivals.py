"""Days and arrivals: dates begin in their zone, late rows are counted, and the slowest source is named."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline_tests.projects import SOURCE, csv_text, project, visitors


def _dated(root: Path, rows: list[dict[str, Any]], zone: str = "UTC", **source: Any) -> Path:
    columns = {**SOURCE["columns"], "day": source.pop("type", "date")}
    return project(
        root,
        rows=rows,
        source={"kind": "unit_table", "timestamp": "day", "columns": columns, **source},
        settings={"timezone": zone},
        experiment={"start": "2026-01-01", "end": "2026-01-06"},
    )


def _rows(days: int, per_day: int = 200) -> list[dict[str, Any]]:
    return [{**row, "day": f"2026-01-{1 + i // per_day:02d}"} for i, row in enumerate(visitors(days * per_day, seed=7))]


def _health(root: Path, check: str) -> list[dict[str, Any]]:
    return read(root / "lake", "health", "trial").filter(pl.col("check") == check).to_dicts()


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Tokyo"])
def test_a_date_is_a_day_of_the_project_s_zone(tmp_path: Path, zone: str) -> None:
    """The first day counts in full and nothing falls before the start, east and west of Greenwich."""
    root = _dated(tmp_path, _rows(5), zone, complete=True)
    assert run(Workspace.open(root, by="test"), "trial", as_of=date(2026, 1, 2)).error is None
    assert read(root / "lake", "experiments", "trial")["units"].to_list() == [400]
    assert [row["scope"] for row in _health(root, "srm_day")] == ["2026-01-01", "2026-01-02"]


def test_rows_that_come_after_their_day_was_analysed_are_counted(tmp_path: Path) -> None:
    on_time = [row for row in _rows(4) if row["id"] % 10 or row["day"] > "2026-01-02"]
    root = _dated(tmp_path, on_time)
    assert run(Workspace.open(root, by="test"), "trial", as_of=date(2026, 1, 2)).error is None
    assert not _health(root, "late")
    (root / "visitors.csv").write_text(csv_text(_rows(4)))
    assert run(Workspace.open(root, by="test"), "trial", as_of=date(2026, 1, 3)).error is None
    (late,) = _health(root, "late")
    assert late["verdict"] == "warned"
    assert late["statistic"] == pytest.approx(40 / 400)
    assert "40 of 400 rows" in late["message"]


def test_the_source_that_lags_behind_is_named(tmp_path: Path) -> None:
    root = _dated(tmp_path, _rows(5))
    events = {"name": "events", "kind": "event_log", "unit": "id", "timestamp": "day", "path": "events.csv"}
    columns = {"id": "integer", "day": "date"}
    import yaml

    written = {**events, "asset": "dbt/events", "columns": columns}
    (root / "sources" / "events.yaml").write_text(yaml.safe_dump(written))
    (root / "events.csv").write_text(csv_text([{"id": i, "day": f"2026-01-0{1 + i % 2}"} for i in range(100)]))
    metrics = [{"name": "converted", "type": "count", "source": "events"}]
    (root / "metrics" / "metrics.yaml").write_text(yaml.safe_dump({"metrics": metrics}))
    trial = yaml.safe_load((root / "experiments" / "trial.yaml").read_text())
    trial["metrics"] = {"primary": ["converted"]}
    (root / "experiments" / "trial.yaml").write_text(yaml.safe_dump(trial))
    outcome = run(Workspace.open(root, by="test"), "trial")
    assert outcome.error is None, outcome
    found = {row["scope"]: row for row in _health(root, "freshness")}
    assert found["visitors"]["verdict"] == "passed"
    assert found["events"]["verdict"] == "warned"
    assert "events (made by dbt/events) is closed through 2026-01-01, 3 days behind" in found["events"]["message"]


def test_a_table_of_periods_has_one_row_a_unit_and_period(tmp_path: Path) -> None:
    rows = _rows(2)
    root = _dated(tmp_path, [*rows, rows[0]], kind="unit_periods")
    outcome = run(Workspace.open(root, by="test"), "trial")
    assert "one row a unit and period" in str(outcome.error)
