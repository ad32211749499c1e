"""What a change of a registered spec means, and that a sealed document comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xp_pipeline.spec.binding import Bound, bind, restore
from xp_pipeline.spec.changes import additions, changes
from xp_pipeline.spec.folder import load
from xp_pipeline_tests.projects import METRICS, SOURCE, project

THIRD = {"name": "orders", "type": "count", "source": "visitors", "value": "converted"}


def _bound(root: Path, *, defined: list[dict[str, Any]] | None = None, **parts: Any) -> Bound:
    source = parts.pop("source", None)
    folder = load(project(root, rows="id\n", metrics=defined, source=source, experiment=parts))
    assert not folder.problems
    return bind(folder, "trial")


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        ({"owner": "bob"}, {"cosmetic"}),
        ({"title": "x", "hypothesis": "y", "tags": ["z"]}, {"cosmetic"}),
        ({"metrics": {"primary": ["converted"], "secondary": ["spend"], "exploratory": ["orders"]}}, {"exploratory"}),
        ({"segments": ["country"]}, {"exploratory"}),
        ({"analysis": {"alpha": 0.1}}, {"deviation"}),
        ({"analysis": {"novelty": True}}, {"exploratory"}),
        ({"analysis": {"prior": {"sd": 0.02}}}, {"deviation"}),
        ({"segments": ["country", "arm", {"cross": ["country", "arm"]}]}, {"exploratory"}),
        ({"metrics": {"primary": ["spend"], "secondary": ["converted"]}}, {"deviation"}),
        ({"metrics": {"primary": ["converted"]}}, {"deviation"}),
        ({"metrics": {"primary": ["converted", "orders"], "secondary": ["spend"]}}, {"deviation"}),
        ({"assignment": {"control": "control", "weights": {"control": 0.6, "treatment": 0.4}}}, {"deviation"}),
        ({"start": "2026-01-01", "end": "2026-02-01"}, {"deviation"}),
        ({"population": {"source": "visitors", "arm": "arm", "multi_arm": "first"}}, {"deviation"}),
        ({"source": {"null_values": ["", "NA"]}}, {"deviation"}),
        ({"source": {"path": "moved.csv", "owner": "x"}}, set()),
        ({"owner": "bob", "analysis": {"alpha": 0.1}}, {"cosmetic", "deviation"}),
    ],
)
def test_kinds_of_change(tmp_path: Path, parts: dict[str, Any], kinds: set[str]) -> None:
    every = [*METRICS, THIRD]
    sealed = _bound(tmp_path / "a", defined=every)
    assert {str(c.kind) for c in changes(sealed, _bound(tmp_path / "b", defined=every, **parts))} == kinds


def test_a_metric_s_definition_is_part_of_the_promise(tmp_path: Path) -> None:
    sealed = _bound(tmp_path / "a")
    changed = _bound(tmp_path / "b", defined=[METRICS[0], {**METRICS[1], "nulls": "drop"}])
    assert [c.path for c in changes(sealed, changed)] == ["metrics.spend.nulls"]


def test_the_order_of_keys_is_no_change(tmp_path: Path) -> None:
    sealed = _bound(tmp_path / "a")
    reordered = _bound(tmp_path / "b", source={"columns": dict(reversed(SOURCE["columns"].items()))})
    assert changes(sealed, reordered) == []
    assert sealed.digest == reordered.digest


def test_a_sealed_document_comes_back_as_it_was(tmp_path: Path) -> None:
    bound = _bound(tmp_path, start="2026-01-01", end="2026-02-01", segments=["country"])
    again = restore(json.loads(json.dumps(bound.document())))
    assert again == bound
    assert again.digest == bound.digest


def test_additions_are_remembered(tmp_path: Path) -> None:
    sealed = _bound(tmp_path / "a", defined=[*METRICS, THIRD])
    more = {"primary": ["converted"], "secondary": ["spend"], "exploratory": ["orders"]}
    current = _bound(tmp_path / "b", defined=[*METRICS, THIRD], metrics=more)
    assert additions(sealed, current) == ("orders",)
