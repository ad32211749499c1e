"""Cluster randomisation: clusters block on their sample ratio, members given clusters only warn, both are counted."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from scipy import stats

from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.quality.flow import population_flow
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import bind
from xp_pipeline.spec.folder import load
from xp_pipeline_tests.projects import copied, project, real_data

Row = dict[str, Any]
SOURCE: Row = {
    "kind": "event_log",
    "unit": "village",
    "timestamp": "ts",
    "complete": True,
    "columns": {"village": "text", "person": "integer", "ts": "timestamp", "arm": "text", "spend": "number"},
}
METRICS: list[Row] = [
    {"name": "spend", "type": "mean", "source": "visitors", "value": "spend"},
    {"name": "per_visit", "type": "ratio", "numerator": {"source": "visitors", "value": "spend"},
     "denominator": {"source": "visitors", "aggregate": "count"}},
]  # fmt: skip
EXPERIMENT: Row = {
    "population": {"source": "visitors", "arm": "arm", "member": "person"},
    "metrics": {"primary": ["spend"], "secondary": ["per_visit"]},
}


def villages(n: int = 120, *, lost: float = 0.0, treated: float = 0.5, seed: int = 5) -> list[Row]:
    """Visits of the people of villages; a share of the treatment's people is lost."""
    draw = random.Random(seed)
    rows: list[Row] = []
    person = 0
    for i in range(n):
        arm = "treatment" if draw.random() < treated else "control"
        for _ in range(draw.randint(5, 40)):
            person += 1
            if arm == "treatment" and draw.random() < lost:
                continue
            for _ in range(draw.randint(1, 3)):
                ts = f"2026-01-{draw.randint(1, 20):02d}T10:00:00Z"
                rows.append({"village": f"v{i}", "person": person, "ts": ts, "arm": arm, "spend": draw.gauss(10, 2)})
    return rows


def ran(root: Path, rows: list[Row], **experiment: Any) -> Workspace:
    project(root, rows=rows, source=SOURCE, metrics=METRICS, experiment={**EXPERIMENT, **experiment})
    workspace = Workspace.open(root, by="test")
    outcome = run(workspace, "trial")
    assert outcome.status in ("done", "blocked"), outcome.error
    return workspace


def checks(workspace: Workspace) -> dict[str, Row]:
    return {row["check"]: row for row in read(workspace.folder.lake, "health", "trial").to_dicts()}


def sizes(rows: list[Row]) -> dict[str, list[int]]:
    """Arm to the number of people of each village, by plain Python."""
    people: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in rows:
        people[row["arm"], row["village"]].add(row["person"])
    found: dict[str, list[int]] = defaultdict(list)
    for (arm, _), members in sorted(people.items()):
        found[arm].append(len(members))
    return found


def test_members_are_counted_and_compared_given_their_clusters(tmp_path: Path) -> None:
    rows = villages()
    workspace = ran(tmp_path, rows)
    found, by_arm = checks(workspace), sizes(rows)
    assert json.loads(found["srm"]["observed"]) == {arm: len(many) for arm, many in by_arm.items()}
    members = found["srm_members"]
    assert json.loads(members["observed"]) == {arm: sum(many) for arm, many in by_arm.items()}
    assert (members["verdict"], members["blocking"]) == ("passed", False)
    every = np.concatenate(list(by_arm.values()))
    between = sum(len(m) * (np.mean(m) - every.mean()) ** 2 for m in by_arm.values())
    assert members["statistic"] == pytest.approx(between / every.var(ddof=1))
    assert members["p_value"] == pytest.approx(stats.chi2.sf(between / every.var(ddof=1), 1))
    flow = {s["name"]: s for s in population_flow(workspace, sealed(workspace, "trial"), _as_of(workspace))}
    assert flow["members in them"]["by_arm"] == {arm: sum(many) for arm, many in by_arm.items()}
    page = (workspace.folder.lake / "reports" / "trial" / "report.html").read_text()
    assert "members in them" in page and "Sample ratio of members" in page


def _as_of(workspace: Workspace) -> str | None:
    return str(read(workspace.folder.lake, "results", "trial")["as_of"][0])


def test_members_lost_in_one_arm_warn_and_do_not_block(tmp_path: Path) -> None:
    workspace = ran(tmp_path, villages(200, lost=0.4))
    found = checks(workspace)
    assert found["srm"]["verdict"] == "passed"
    assert (found["srm_members"]["verdict"], found["srm_members"]["p_value"] < 1e-3) == ("warned", True)
    assert "lost, or joined" in found["srm_members"]["hint"]
    assert workspace.ledger.state("trial") is not None
    assert read(workspace.folder.lake, "results", "trial").filter(pl.col("status") == "ok").height


def test_clusters_off_their_split_block(tmp_path: Path) -> None:
    workspace = ran(tmp_path, villages(200, treated=0.25))
    found = checks(workspace)
    assert found["srm"]["verdict"] == "failed"
    assert found["srm_members"]["verdict"] == "passed"


def test_an_unknown_split_is_not_tested(tmp_path: Path) -> None:
    assignment = {"control": "control", "weights": "unknown", "arms": ["control", "treatment"]}
    found = checks(ran(tmp_path, villages(40), assignment=assignment))
    assert found["srm_members"]["verdict"] == "not_testable"


def test_stores_of_one_size_say_no_more_than_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XP_DATA", str(real_data()))
    root = copied("fast_food", tmp_path)
    path = root / "experiments" / "promotion.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["population"]["member"] = "week"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "promotion").status == "done"
    rows = read(workspace.folder.lake, "health", "promotion").to_dicts()
    found = next(row for row in rows if row["check"] == "srm_members")
    # 137 stores of four weeks each.
    assert sum(json.loads(found["observed"]).values()) == 548
    assert found["verdict"] == "not_testable"
    assert "one size" in found["message"]


@pytest.mark.parametrize(
    ("member", "kind", "said"),
    [
        ("persn", "event_log", "unknown column of visitors 'persn'"),
        ("village", "event_log", "the member is the unit itself"),
        ("person", "unit_table", "one row per cluster"),
    ],
)
def test_a_member_that_cannot_be_counted_is_refused_by_line(tmp_path: Path, member: str, kind: str, said: str) -> None:
    population = {"source": "visitors", "arm": "arm", "member": member}
    experiment = {**EXPERIMENT, "population": population, "metrics": {"primary": ["spend"]}}
    root = project(
        tmp_path, rows=villages(5), source={**SOURCE, "kind": kind}, metrics=METRICS[:1], experiment=experiment
    )
    with pytest.raises(ValueError, match=said) as problem:
        bind(load(root), "trial")
    at = int(str(problem.value).split(":")[1])
    assert "member:" in (root / "experiments" / "trial.yaml").read_text().splitlines()[at - 1]
