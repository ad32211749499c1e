"""Assignment blocks end to end: programs, ramps, layers, logged arms held against the design and the record."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from xp_pipeline.cli.app import app
from xp_pipeline.design.strata import stratified as in_strata
from xp_pipeline.errors import SpecError
from xp_pipeline.language import Program
from xp_pipeline.language.buckets import bucket, choose
from xp_pipeline.lifecycle.assignment.ask import ask, explain_assignment
from xp_pipeline.lifecycle.assignment.remembered import folder
from xp_pipeline.lifecycle.assignment.salting import balanced_salt
from xp_pipeline.lifecycle.preview import previewed
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import Outcome, run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.stratified import Stratum, stratified
from xp_pipeline_tests.projects import project, visitors

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 8
SOURCE: dict[str, Any] = {
    "kind": "exposure_log",
    "timestamp": "seen",
    "timezone": "UTC",
    "complete": True,
    "columns": {"id": "integer", "arm": "text", "country": "text", "seen": "timestamp", "spend": "number"},
}
METRIC = {"name": "spend", "type": "mean", "source": "visitors", "value": "spend"}
PROGRAM = """
def pages {
    splitters: id
    if country == 'DE' { return 'control' weighted 9, 'treatment' weighted 1 }
    else if country in ('NO', 'SE') { return 'control' weighted 1, 'treatment' weighted 1 }
    else { return 'control' weighted 1 }
}
"""


def _visits(n: int = 4000, *, drift: float = 0.0, seed: int = 3) -> list[dict[str, Any]]:
    """Units spread evenly over the days; what they spend depends on country and, with a drift, on the day."""
    draw = random.Random(seed)
    rows = []
    for unit in range(n):
        seen = START + timedelta(days=DAYS * unit / n)
        country = draw.choice(["DE", "NO", "SE", "FI"])
        level = 10 + drift * ((seen - START) // timedelta(days=1)) + (5 if country == "DE" else 0)
        rows.append({"id": unit, "arm": "", "country": country, "seen": seen, "spend": level + draw.gauss(0, 1)})
    return rows


def _project(
    root: Path, rows: list[dict[str, Any]], assignment: dict[str, Any], *, complete: bool = True, **parts: Any
) -> Path:
    settings = {"timezone": "UTC", **parts.pop("settings", {})}
    population = {"source": "visitors", **parts.pop("population", {})}
    written = [{**r, "seen": r["seen"].isoformat(), "spend": round(r["spend"], 6)} for r in rows]
    root = project(
        root,
        rows=written,
        source={**SOURCE, "complete": complete},
        metrics=[METRIC],
        experiment={
            "start": START.isoformat(),
            "end": (START + timedelta(days=DAYS)).isoformat(),
            "assignment": assignment,
            "population": population,
            "metrics": {"primary": ["spend"]},
            "analysis": {"looks": "fixed"},
            **parts,
        },
        settings=settings,
    )
    (root / "assignments").mkdir(exist_ok=True)
    (root / "assignments" / "pages.pyab").write_text(PROGRAM, encoding="utf-8")
    return root


def _run(root: Path, experiment: str = "trial") -> Outcome:
    outcome = run(Workspace.open(root, by="test"), experiment)
    assert outcome.error is None, outcome
    return outcome


def _assigned(root: Path) -> dict[int, dict[str, Any]]:
    workspace = Workspace.open(root, by="test")
    promise = sealed(workspace, "trial")
    artifact = workspace.read("trial", Phase.ASSIGNMENTS, spec_hash=promise.spec_hash)
    rows = pl.read_parquet(artifact.path("assignments.parquet")).to_dicts()
    return {row["unit"]: row for row in rows}


def _health(root: Path, check: str) -> dict[str, dict[str, Any]]:
    rows = read(root / "lake", "health", "trial").filter(pl.col("check") == check).to_dicts()
    return {row["scope"]: row for row in rows}


def _row(root: Path) -> dict[str, Any]:
    rows = read(root / "lake", "results", "trial").to_dicts()
    return next(row for row in rows if row["decisive"] and not row["segment"])


WITH_PROGRAM = {"control": "control", "arms": ["control", "treatment"], "program": "pages.pyab"}
EVEN = {"control": 0.5, "treatment": 0.5}
UNEVEN = {"control": 0.9, "treatment": 0.1}


def test_a_program_assigns_as_its_scalar_reading_and_effects_are_those_of_its_branches(tmp_path: Path) -> None:
    rows = _visits()
    root = _project(tmp_path, rows, WITH_PROGRAM)
    _run(root)
    program = Program.parse(PROGRAM, default_salt="trial")
    found = _assigned(root)
    for row in rows:
        answer = program.assign({"id": row["id"], "country": row["country"]})
        assert found[row["id"]]["arm"] == answer.arm
        assert found[row["id"]]["stratum"] == f"branch {answer.branch}"
    strata = []
    for branch in ("branch 0", "branch 1"):
        arms = [
            Moments.of(
                [r["spend"] for r in rows if (found[r["id"]]["stratum"], found[r["id"]]["arm"]) == (branch, arm)]
            )
            for arm in ("control", "treatment")
        ]
        strata.append(Stratum(*arms))
    expected, row = stratified(strata), _row(root)
    assert row["estimator"] == "stratified"
    assert row["effect"] == pytest.approx(expected.effect, rel=1e-5)
    assert row["se"] == pytest.approx(expected.se, rel=1e-5)
    assert abs(row["effect"]) < 4 * row["se"], "pooled over branches, Germans would fill the control arm"
    assert "do not choose between these arms" in row["reason"]
    assert _health(root, "srm")["all"]["verdict"] == "passed"


def test_a_ramp_keeps_everybody_and_averages_over_its_phases(tmp_path: Path) -> None:
    rows = _visits(6000, drift=2.0)
    halfway = START + timedelta(days=DAYS // 2)
    phases = [{"at": START.isoformat(), "weights": UNEVEN}, {"at": halfway.isoformat(), "weights": EVEN}]
    returning = [{**row, "seen": row["seen"] + timedelta(days=4)} for row in rows[:2000]]
    root = _project(
        tmp_path, rows + returning, {"control": "control", "weights": EVEN, "phases": phases}, segments=["country"]
    )
    _run(root)
    found = _assigned(root)
    for row in rows:
        shares = UNEVEN if row["seen"] < halfway else None
        if shares:
            assert found[row["id"]]["arm"] == choose(bucket("trial", row["id"]), shares), "first exposure decides"
    assert {row["status"] for row in found.values()} == {"ok"}
    row = _row(root)
    assert row["estimator"] == "stratified"
    assert abs(row["effect"]) < 4 * row["se"] < 1, "pooled, the drift alone would make an effect of about 1.6"
    assert _health(root, "srm")["all"]["verdict"] == "passed"
    segments = read(root / "lake", "results", "trial").filter(pl.col("segment") == "country")
    assert sorted(set(segments["segment_value"])) == ["DE", "FI", "NO", "SE"]
    assert set(segments["estimator"]) == {"stratified"}


def test_a_coverage_ramp_at_constant_weights_needs_no_strata(tmp_path: Path) -> None:
    rows = _visits()
    halfway = START + timedelta(days=DAYS // 2)
    phases = [{"at": START.isoformat(), "coverage": 0.1}, {"at": halfway.isoformat(), "coverage": 0.5}]
    root = _project(tmp_path, rows, {"control": "control", "weights": EVEN, "phases": phases})
    _run(root)
    found = _assigned(root)
    early = [row["id"] for row in rows if row["seen"] < halfway]
    assert len([i for i in early if i in found]) == pytest.approx(0.1 * len(early), rel=0.3)
    assert _row(root)["estimator"] == "welch"
    missing = read(root / "lake", "health", "trial").filter(pl.col("check") == "null_arm")
    assert missing["statistic"][0] > 0
    assert missing["verdict"][0] == "passed", "the design leaves them out, nothing was lost"


def test_experiments_of_a_layer_share_nobody(tmp_path: Path) -> None:
    rows = _visits(2000)
    settings = {"layers": {"page": {"holdouts": {"annual": [0.9, 1.0]}}}}
    units = []
    for name, between in (("one", [0, 0.4]), ("two", [0.4, 0.9])):
        layer = {"control": "control", "weights": EVEN, "layer": {"name": "page", "range": between}}
        root = _project(tmp_path / name, rows, layer, settings=settings)
        _run(root)
        units.append(set(_assigned(root)))
    assert not units[0] & units[1]
    assert len(units[0]) == pytest.approx(800, rel=0.15)
    assert len(units[0] | units[1]) == pytest.approx(1800, rel=0.05)


def test_logged_arms_are_held_against_the_sealed_rule(tmp_path: Path) -> None:
    rows = _visits(2000)
    for row in rows:
        row["arm"] = choose(bucket("salt of the service", row["id"]), EVEN)
    for row in rows[:7]:
        row["arm"] = {"control": "treatment", "treatment": "control"}[row["arm"]]
    given = {"control": "control", "weights": EVEN, "salt": "salt of the service"}
    root = _project(tmp_path, rows, given, population={"arm": "arm"})
    _run(root)
    found = _health(root, "assignment_integrity")["design"]
    assert found["verdict"] == "warned"
    assert found["statistic"] == 7
    assert "sha256" in found["message"]


def test_the_record_keeps_a_unit_where_it_was_and_tells_of_contradictions(tmp_path: Path) -> None:
    rows = _visits(2000)
    for row in rows:
        row["arm"] = choose(bucket("x", row["id"]), EVEN)
    given = {"control": "control", "weights": EVEN}
    root = _project(tmp_path / "logged", rows, given, population={"arm": "arm"}, complete=False)
    _run(root)
    kept = list(folder(Workspace.open(root), "trial").glob("*.parquet"))
    assert len(kept) == 1
    assert len(pl.read_parquet(kept[0])) == 1750, "the last day is not closed"
    for row in rows[:5]:
        row["arm"] = {"control": "treatment", "treatment": "control"}[row["arm"]]
    _project(tmp_path / "logged", rows, given, population={"arm": "arm"}, complete=False)
    _run(root)
    assert list(folder(Workspace.open(root), "trial").glob("*.parquet")) == kept, "appended to, never rewritten"
    assert _health(root, "assignment_integrity")["record"]["statistic"] == 5


def _page(root: Path) -> str:
    return (root / "lake" / "reports" / "trial" / "report.html").read_text(encoding="utf-8")


def test_the_page_says_how_arms_were_assigned(tmp_path: Path) -> None:
    root = _project(tmp_path / "program", _visits(800), WITH_PROGRAM)
    _run(root)
    assert "follow from the program pages.pyab" in _page(root)
    assert "so the sample ratio cannot be tested" not in _page(root)
    phases = [{"at": START.isoformat(), "coverage": 0.4}, {"at": "2026-03-05", "weights": UNEVEN}]
    root = _project(tmp_path / "ramp", _visits(800), {"control": "control", "weights": EVEN, "phases": phases})
    _run(root)
    assert "40.0% of units from 2026-03-01" in _page(root)
    assert "at control 90.0%, treatment 10.0%" in _page(root)


def test_validate_warns_of_who_falls_through_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _project(tmp_path, _visits(20), WITH_PROGRAM)
    leaky = "def pages { if country == 'DE' { return 'control' weighted 1, 'treatment' weighted 1 } }"
    (root / "assignments" / "pages.pyab").write_text(leaky, encoding="utf-8")
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, ["validate"])
    assert done.exit_code == 0
    assert "warning: assignments/pages.pyab:1:" in done.output


def test_growthbook_and_v1_assign_in_the_pipeline_as_in_a_call(tmp_path: Path) -> None:
    rows = _visits(1500)
    for name in ("growthbook", "v1"):
        root = _project(tmp_path / name, rows, {"control": "control", "weights": EVEN, "rule": name, "salt": "seed"})
        _run(root)
        workspace = Workspace.open(root)
        answers = ask(workspace, previewed(workspace, "trial"), [str(row["id"]) for row in rows[:200]])
        found = _assigned(root)
        assert [answer.arm for answer in answers] == [found[row["id"]]["arm"] for row in rows[:200]]
        assert [answer.recorded for answer in answers] == [answer.arm for answer in answers]


def test_a_dry_run_says_branch_bucket_and_arm_and_exposes_nobody(tmp_path: Path) -> None:
    root = _project(tmp_path, _visits(50), WITH_PROGRAM)
    workspace = Workspace.open(root, by="test")
    promise = previewed(workspace, "trial")
    (answer,) = ask(workspace, promise, ["7"], fields={"country": "DE"})
    assert answer.decided_by == 'branch 0: country == "DE"'
    assert answer.bucket == pytest.approx(bucket("trial", 7))
    assert answer.arm in ("control", "treatment")
    assert answer.recorded == ""
    assert not folder(workspace, "trial").exists()
    text = explain_assignment(promise)
    assert 'branch 1, country in ("NO", "SE"): control [0.000000, 0.500000), treatment [0.500000, 1.000000)' in text


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ({**WITH_PROGRAM, "program": "page.pyab"}, "no program 'page.pyab'"),
        ({**WITH_PROGRAM, "arms": ["control", "other"]}, "treatment"),
        ({**WITH_PROGRAM, "weights": EVEN}, "either weights or a program"),
        ({"control": "control", "weights": EVEN, "layer": {"name": "page", "range": [0, 0.5]}}, "unknown layer"),
        ({"control": "control", "weights": EVEN, "layer": {"name": "page", "range": [0.5, 0.2]}}, "range of buckets"),
        (
            {"control": "control", "weights": EVEN, "phases": [{"at": "2026-03-03"}]},
            "begins with the experiment",
        ),
        (
            {"control": "control", "weights": EVEN, "phases": [{"at": "2026-03-01"}, {"at": "2026-02-01"}]},
            "follow each other",
        ),
        ({"control": "control", "weights": EVEN, "rule": "v1", "phases": [{"at": "2026-03-01"}]}, "rule v2"),
        ({"control": "control", "arms": ["control", "treatment"], "weights": "unknown"}, "cannot be computed"),
    ],
)
def test_an_assignment_that_cannot_be_is_refused_with_its_line(
    tmp_path: Path, assignment: dict[str, Any], told: str
) -> None:
    root = _project(tmp_path, _visits(20), assignment)
    problems = [str(problem) for problem in Workspace.open(root).folder.problems]
    assert any(told in problem for problem in problems), problems
    assert all(":" in problem for problem in problems)


def test_two_experiments_that_overlap_in_a_layer_are_refused(tmp_path: Path) -> None:
    layer = {"control": "control", "weights": EVEN, "layer": {"name": "page", "range": [0, 0.5]}}
    root = _project(tmp_path, _visits(20), layer, settings={"layers": {"page": {}}})
    other = (root / "experiments" / "trial.yaml").read_text().replace("id: trial", "id: twin")
    (root / "experiments" / "twin.yaml").write_text(other)
    (problem,) = Workspace.open(root).folder.problems
    assert "would be those of trial" in str(problem)
    assert "twin.yaml" in str(problem)


def _people(root: Path, assignment: dict[str, Any], n: int = 601, **parts: Any) -> Path:
    return project(
        root,
        rows=visitors(n),
        metrics=[{"name": "spend", "type": "mean", "source": "visitors", "value": "spend"}],
        experiment={
            "assignment": assignment,
            "population": {"source": "visitors"},
            "metrics": {"primary": ["spend"]},
            **parts,
        },
    )


def test_strata_of_a_unit_table_keep_their_shares_and_latecomers_move_nobody(tmp_path: Path) -> None:
    given = {"control": "control", "weights": EVEN, "stratify": ["country"]}
    root = _people(tmp_path, given)
    _run(root)
    found = _assigned(root)
    rows = visitors(601)
    expected = in_strata([r["id"] for r in rows], [[r["country"]] for r in rows], EVEN, salt="trial")
    assert [found[r["id"]]["arm"] for r in rows] == expected
    for country in ("DE", "NO"):
        arms = [found[r["id"]]["arm"] for r in rows if r["country"] == country]
        assert abs(arms.count("control") - arms.count("treatment")) <= 1
    (answer,) = ask(Workspace.open(root), previewed(Workspace.open(root), "trial"), ["5"])
    assert answer.recorded == found[5]["arm"]
    assert "see the record" in answer.reason


def test_a_salt_is_searched_before_anybody_is_assigned(tmp_path: Path) -> None:
    root = _people(tmp_path, {"control": "control", "weights": EVEN}, balance=["before"])
    workspace = Workspace.open(root, by="test")
    found = balanced_salt(workspace, previewed(workspace, "trial"), tries=50)
    assert found.imbalance < 0.02 < found.distribution()["max"]
    rows = visitors(601)
    values = {arm: [r["before"] for r in rows if choose(bucket(found.salt, r["id"]), EVEN) == arm] for arm in EVEN}
    gap = sum(values["treatment"]) / len(values["treatment"]) - sum(values["control"]) / len(values["control"])
    assert abs(gap) / 3 == pytest.approx(found.imbalance, rel=0.1)
    _run(root)
    with pytest.raises(SpecError, match="has begun"):
        balanced_salt(Workspace.open(root), previewed(Workspace.open(root), "trial"))


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ({"control": "control", "weights": EVEN, "stratify": ["spend"]}, "cannot stratify"),
        ({"control": "control", "weights": EVEN, "stratify": ["town"]}, "unknown column 'town'"),
        ({"control": "control", "weights": EVEN, "stratify": ["country"], "rule": "v1"}, "bucket rule v2"),
    ],
)
def test_strata_that_cannot_be_are_refused(tmp_path: Path, assignment: dict[str, Any], told: str) -> None:
    problems = [str(problem) for problem in Workspace.open(_people(tmp_path, assignment)).folder.problems]
    assert any(told in problem for problem in problems), problems
