"""Boundaries still to come: those that the looks then find, if they are taken as planned."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from xp_pipeline.lifecycle.inference.ahead import boundaries_ahead
from xp_pipeline.lifecycle.publish import read_look
from xp_pipeline.lifecycle.report import document, report_folder
from xp_pipeline.lifecycle.sealed import Sealed, sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline_tests.lifecycle.inference.test_sequential import DAYS, START, _project, _row, _rows, _run


def _opened(root: Path) -> tuple[Workspace, Sealed]:
    workspace = Workspace.open(root, by="test")
    return workspace, sealed(workspace, "trial")


def _looks(workspace: Workspace) -> list[dict[str, Any]]:
    return [dict(entry.payload) for entry in workspace.ledger.entries("trial", EntryKind.LOOK)]


def test_the_boundaries_ahead_are_those_of_the_looks_to_come(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.0))
    for day in (1, 2, 3):
        _run(root, day)
    workspace, promise = _opened(root)
    ahead = boundaries_ahead(promise.bound, _looks(workspace), as_of=(START + timedelta(days=2)).isoformat())
    expected = dict(ahead["spend|treatment|benefit"])
    assert list(expected) == [4, 5, 6, 7, 8]
    for day in expected:
        _run(root, day)
        assert _row(root)["boundary"] == pytest.approx(expected[day], rel=1e-6)
    ended = boundaries_ahead(promise.bound, _looks(workspace), as_of=(START + timedelta(days=7)).isoformat())
    assert ended == {}


def test_looks_some_days_apart_end_with_the_planned_end(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.0), looks={"schedule": "group_sequential", "every": "3d"})
    _run(root, 3)
    workspace, promise = _opened(root)
    ahead = boundaries_ahead(promise.bound, _looks(workspace), as_of=(START + timedelta(days=2)).isoformat())
    assert [day for day, _ in ahead["spend|treatment|benefit"]] == [6, DAYS]
    made = document(workspace, promise, as_of=(START + timedelta(days=2)).isoformat())
    assert (made.looks.standing, made.looks.planned) == ("number 1 of 3", 3)


def test_the_page_shows_what_ledger_and_tables_hold(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.35))
    for day in range(1, DAYS + 1):
        _run(root, day)
    workspace, promise = _opened(root)
    card = json.loads((report_folder(workspace, "trial") / "card.json").read_text(encoding="utf-8"))
    assert card["looks"]["taken"] == DAYS
    for day, look in enumerate(card["looks"]["looks"], start=1):
        as_of = (START + timedelta(days=day - 1)).isoformat()
        rows = read_look(root / "lake", "results", "trial", as_of).to_dicts()
        for test in look["tests"]:
            (row,) = (r for r in rows if r["decisive"] and r["metric"] == test["metric"])
            assert test["statistic"] == row["statistic"]
            assert test["boundary"] == row["boundary"]
    crossed = [(t["metric"], look["look"]) for look in card["looks"]["looks"] for t in look["tests"] if t["crossed"]]
    assert crossed == [("load", 2), ("spend", _row(root)["stopped_look"])]
    earlier = document(workspace, promise, as_of=(START + timedelta(days=2)).isoformat())
    assert [row.number for row in earlier.looks.rows] == [1, 2, 3]


def test_always_valid_looks_keep_their_intervals(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.9), looks={"schedule": "always_valid"})
    for day in (1, 3):
        _run(root, day)
    workspace, promise = _opened(root)
    made = document(workspace, promise, as_of=(START + timedelta(days=2)).isoformat())
    row, last = _row(root), made.looks.rows[-1].tests[0]
    assert (last.interval.low, last.interval.high, last.p.value) == (row["ci_low"], row["ci_high"], row["p_value"])
    assert made.looks.tests[0].chart is not None
