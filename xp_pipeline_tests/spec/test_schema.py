"""The JSON Schemas take every file of the examples, shorthands included, and refuse what the loader refuses."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from xp_pipeline.spec import loader
from xp_pipeline.spec.schema import json_schema
from xp_pipeline_tests.projects import EXAMPLES, EXPERIMENT, METRICS, REPOSITORY, SOURCE

KINDS = {"sources": "source", "metrics": "metrics", "experiments": "experiment"}
TEMPLATE = REPOSITORY / "xp_pipeline" / "cli" / "template"
FILES = [p for folder in (EXAMPLES, TEMPLATE) for p in sorted(folder.rglob("*.yaml")) if p.parent.name in KINDS]


def _plain(value: Any) -> Any:
    """YAML's dates as the text that an editor sees."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.parent.name}-{p.stem}")
def test_files_of_the_examples_are_accepted(path: Path) -> None:
    schema = json_schema(KINDS[path.parent.name])
    jsonschema.validate(_plain(loader.read(path).content), schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("experiment", {**EXPERIMENT, "hypotesis": "x"}),
        ("experiment", {k: v for k, v in EXPERIMENT.items() if k != "assignment"}),
        ("experiment", {**EXPERIMENT, "analysis": {"alpha": "often"}}),
        ("experiment", {**EXPERIMENT, "assignment": {"control": "a", "weights": {"a": "half", "b": 0.5}}}),
        ("source", {**SOURCE, "kind": "table"}),
        ("source", {**SOURCE, "columns": {"id": "whole"}}),
        ("metrics", {"metrics": [{**METRICS[0], "type": "median"}]}),
        ("metrics", {"metrics": [{**METRICS[0], "window": "always"}]}),
        ("project", {"name": "x", "engine": {"memory_limit": 4}}),
    ],
)
def test_what_the_loader_refuses_is_refused(kind: str, content: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(json_schema(kind)).is_valid(content)
