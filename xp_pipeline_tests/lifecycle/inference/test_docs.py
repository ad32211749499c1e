"""The page on analyses: its files validate as a project, and every experiment of it runs to the end."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import polars as pl
import pytest
import yaml

from xp_pipeline.lifecycle.promisable import promisable
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.folder import load
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.schema import json_schema
from xp_pipeline_tests.projects import REPOSITORY, csv_text

PAGE = (REPOSITORY / "docs" / "analysis.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
DAYS, PER_DAY = 7, 400


def _visitors() -> str:
    draw = random.Random(4)
    rows = []
    for i in range(DAYS * PER_DAY):
        arm, before = draw.choice(["old", "new"]), draw.expovariate(0.1)
        seen = datetime(2026, 3, 1, 23, tzinfo=UTC) + timedelta(days=i // PER_DAY, seconds=draw.randrange(80_000))
        rows.append({
            "id": i, "arm": arm, "seen": seen.isoformat(), "country": draw.choice(["DE", "NO"]),
            "device": draw.choice(["phone", "desk"]), "city": f"c{draw.randrange(60)}", "before": before,
            "bought": int(draw.random() < (0.3 if arm == "new" else 0.2)), "spend": before + draw.gauss(20, 4),
            "seconds": draw.gauss(12, 3),
        })  # fmt: skip
    return csv_text(rows)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of the page, with visitors."""
    folder = tmp_path_factory.mktemp("page")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (folder / "visitors.csv").write_text(_visitors(), encoding="utf-8")
    return folder


def test_the_files_of_the_page_are_a_project_that_validates(root: Path) -> None:
    folder = load(root)
    assert folder.problems == ()
    assert len(folder.experiments) == sum(name.startswith("experiments/") for name in FILES) == 8
    for name in folder.experiments:
        assert promisable(folder, name).id == name
        content = json.loads(json.dumps(yaml.safe_load(FILES[f"experiments/{name}.yaml"]), default=str))
        jsonschema.validate(content, json_schema("experiment"), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("roles", "ship"),
        ("migration", "rerun"),
        ("looks", "do_not_ship"),
        ("any_time", "do_not_ship"),
        ("one_look", "do_not_ship"),
        ("readings", "do_not_ship"),
        ("differences", "ship"),
        ("own_rules", "do_not_ship"),
    ],
)
def test_every_experiment_of_the_page_runs_to_its_verdict(root: Path, name: str, verdict: str) -> None:
    outcome = run(Workspace.open(root, by="test"), name)
    assert outcome.status == "done", outcome.error
    assert read(root / "lake", "decisions", name)["verdict"].to_list() == [verdict]


def test_second_readings_and_read_outs_are_there(root: Path) -> None:
    for name in ("readings", "differences"):
        run(Workspace.open(root, by="test"), name)
    readings = set(read(root / "lake", "results", "readings")["estimator"])
    assert {"capped_lin", "capped_stratified_cuped", "capped_jackknife", "clustered"} <= readings
    found = read(root / "lake", "results", "differences")
    assert "country x device" in set(found["segment"])
    assert found.filter(pl.col("decisive"))["bayes_method"].to_list()
    kinds = set(read(root / "lake", "heterogeneity", "differences")["kind"])
    assert {"cochran_q", "scan", "novelty_slope"} <= kinds


def test_the_variance_of_the_page_is_read_once(root: Path) -> None:
    workspace = Workspace.open(root, by="test")
    run(workspace, "one_look")
    (entry,) = workspace.ledger.entries("one_look", EntryKind.EXTENSION)
    assert entry.payload["granted"]["as_of"] == "2026-03-04"
