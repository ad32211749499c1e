"""What a registration seals: the experiment with all it refers to, and nothing that may change without meaning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from xp_pipeline.errors import SpecError
from xp_pipeline.spec.binding import bind, restore
from xp_pipeline.spec.folder import load
from xp_pipeline_tests.projects import project


def test_a_bound_experiment_survives_json_with_its_hash(tmp_path: Path) -> None:
    bound = bind(load(project(tmp_path)), "trial")
    again = restore(json.loads(json.dumps(bound.document())))
    assert again.digest == bound.digest
    assert again.document() == bound.document()
    assert "path" not in json.dumps(bound.sources)


def test_what_an_experiment_does_not_use_is_no_part_of_its_promise(tmp_path: Path) -> None:
    root = project(tmp_path)
    before = bind(load(root), "trial").digest
    pack = next((root / "metrics").iterdir())
    content = yaml.safe_load(pack.read_text())
    content["metrics"].append({"name": "unused", "type": "mean", "source": "visitors", "value": "spend"})
    pack.write_text(yaml.safe_dump(content))
    assert bind(load(root), "trial").digest == before


def test_an_override_is_validated_with_the_metric_it_changes(tmp_path: Path) -> None:
    root = project(tmp_path)
    path = root / "experiments" / "trial.yaml"
    content = yaml.safe_load(path.read_text())
    name = content["metrics"]["primary"][0]
    name = name if isinstance(name, str) else name["metric"]
    content["metrics"]["primary"] = [{"metric": name, "override": {"direction": "decrease"}}]
    path.write_text(yaml.safe_dump(content))
    assert bind(load(root), "trial").metrics[name].direction == "decrease"
    content["metrics"]["primary"] = [{"metric": name, "override": {"window": {"kind": "conversion"}}}]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SpecError, match=r"override of metric .* is refused.*length"):
        bind(load(root), "trial")


def test_a_start_without_a_zone_is_in_the_project_s(tmp_path: Path) -> None:
    root = project(tmp_path, experiment={"start": "2026-01-01", "end": "2026-02-01T00:00:00Z"})
    settings = yaml.safe_load((root / "xp.yaml").read_text())
    (root / "xp.yaml").write_text(yaml.safe_dump({**settings, "timezone": "America/New_York"}))
    bound = bind(load(root), "trial")
    assert bound.start is not None
    assert bound.end is not None
    assert bound.start.isoformat() == "2026-01-01T00:00:00-05:00"
    assert bound.end.isoformat() == "2026-02-01T00:00:00+00:00"
