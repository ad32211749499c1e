"""Equivalence end to end: at a fixed horizon, in families, along looks; what the verdict and the page say of it."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xp_pipeline.errors import SpecError
from xp_pipeline.lifecycle.acts import amend
from xp_pipeline.lifecycle.inference.reanalyse import reanalyse
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.stats.boundaries import boundary
from xp_pipeline.stats.equivalence import equivalence
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.spending import Spending
from xp_pipeline_tests.projects import project

START = date(2026, 3, 1)
DAYS = 6
SOURCE: dict[str, Any] = {
    "kind": "exposure_log",
    "timestamp": "seen",
    "timezone": "UTC",
    "complete": True,
    "columns": {"id": "integer", "arm": "text", "seen": "timestamp", "load": "number", "spend": "number"},
}
METRICS: list[dict[str, Any]] = [
    {"name": "load", "type": "mean", "source": "visitors", "value": "load", "direction": "decrease"},
    {"name": "spend", "type": "mean", "source": "visitors", "value": "spend"},
]


def _rows(rise: float, *, per_day: int = 400, seed: int = 5) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    found = []
    for i in range(per_day * DAYS):
        arm = draw.choice(["control", "treatment"])
        seen = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=i // per_day, seconds=draw.randrange(86_400))
        load = 20 + draw.gauss(0, 2) + (rise if arm == "treatment" else 0)
        found.append({"id": i, "arm": arm, "seen": seen.isoformat(), "load": load, "spend": 10 + draw.gauss(0, 2)})
    return found


def _project(root: Path, rows: list[dict[str, Any]], metrics: dict[str, Any], **analysis: Any) -> Path:
    return project(
        root, rows=rows, source=SOURCE, metrics=METRICS, settings={"timezone": "UTC"},
        experiment={
            "start": START.isoformat(), "end": (START + timedelta(days=DAYS)).isoformat(),
            "population": {"source": "visitors", "arm": "arm"}, "metrics": metrics, "analysis": analysis,
        },
    )  # fmt: skip


def _run(root: Path, day: int = DAYS) -> dict[str, dict[str, Any]]:
    """The deciding rows after a day, by metric."""
    outcome = run(Workspace.open(root, by="test"), "trial", as_of=START + timedelta(days=day - 1))
    assert outcome.error is None, outcome
    in_force = pl.col("spec_hash") == sealed(Workspace.open(root), "trial").spec_hash
    found = read(root / "lake", "results", "trial").filter(in_force & pl.col("decisive") & (pl.col("segment") == ""))
    as_of = (START + timedelta(days=day - 1)).isoformat()
    return {row["metric"]: row for row in found.to_dicts() if row["as_of"] == as_of}


def _verdict(root: Path) -> dict[str, Any]:
    in_force = pl.col("spec_hash") == sealed(Workspace.open(root), "trial").spec_hash
    return read(root / "lake", "decisions", "trial").filter(in_force).sort("as_of").to_dicts()[-1]


def _direct(rows: list[dict[str, Any]], metric: str, *, margin: float, alpha: float) -> Any:
    arms = [Moments.of([r[metric] for r in rows if r["arm"] == arm]) for arm in ("control", "treatment")]
    return equivalence(welch(*arms), margin=margin, relative=True, alpha=alpha)


@pytest.mark.parametrize(("rise", "holds", "verdict"), [(0.0, True, "ship"), (0.35, False, "do_not_ship")])
def test_a_primary_metric_that_stays_the_same_ships(tmp_path: Path, rise: float, holds: bool, verdict: str) -> None:
    rows = _rows(rise)
    root = _project(tmp_path, rows, {"primary": [{"metric": "load", "equivalence": "1.5%"}]}, looks="fixed")
    row = _run(root)["load"]
    direct = _direct(rows, "load", margin=0.015, alpha=0.05)
    assert row["margin_kind"] == "equivalence"
    assert row["margin_p_value"] == pytest.approx(direct.p_value, rel=1e-9)
    assert row["p_adjusted"] == row["margin_p_value"]
    assert row["margin_bound"] == pytest.approx(max(direct.low, direct.high, key=abs), rel=1e-9)
    assert row["margin_holds"] is direct.holds is holds
    assert row["significant"] is None
    decided = _verdict(root)
    assert decided["verdict"] == verdict
    assert ("a change above 1.50% is excluded" in decided["reasons"]) == holds
    said = "Would not ship" if holds else "Would ship if the margin of load were"
    assert said in decided["nearest_change"]


def test_too_few_units_to_show_it_ask_for_a_rerun(tmp_path: Path) -> None:
    root = _project(
        tmp_path, _rows(0.0, per_day=40), {"primary": [{"metric": "load", "equivalence": "1%"}]}, looks="fixed"
    )
    row = _run(root)["load"]
    assert row["margin_holds"] is False
    assert row["power"] < 0.5
    decided = _verdict(root)
    assert decided["verdict"] == "rerun"
    assert "times the units" in decided["reasons"]


def test_it_shares_alpha_with_the_tests_of_a_difference(tmp_path: Path) -> None:
    rows = _rows(0.0)
    primary = ["spend", {"metric": "load", "equivalence": "2%"}]
    root = _project(tmp_path, rows, {"primary": primary}, looks="fixed", primary_correction="bonferroni")
    found = _run(root)
    direct = _direct(rows, "load", margin=0.02, alpha=0.025)
    assert {row["family"] for row in found.values()} == {"primary:bonferroni"}
    assert found["load"]["family_size"] == 2
    assert found["load"]["p_adjusted"] == pytest.approx(min(1.0, 2 * found["load"]["margin_p_value"]), rel=1e-9)
    assert found["load"]["margin_bound"] == pytest.approx(max(direct.low, direct.high, key=abs), rel=1e-9)
    assert found["load"]["margin_holds"] == direct.holds
    assert found["spend"]["p_adjusted"] == pytest.approx(min(1.0, 2 * found["spend"]["p_value"]), rel=1e-9)
    with pytest.raises(SpecError, match="dunnett"):
        reanalyse(Workspace.open(root, by="test"), "trial", alpha=None, correction="dunnett", reason="try")


def test_a_guardrail_may_forbid_any_change(tmp_path: Path) -> None:
    """A fall of load is good, and yet too large a change."""
    metrics = {"primary": ["spend"], "guardrail": [{"metric": "load", "equivalence": "1%"}]}
    root = _project(tmp_path, _rows(-0.5), metrics, looks="fixed")
    row = _run(root)["load"]
    assert row["margin_holds"] is False
    assert row["margin_bound"] < -0.01
    assert row["p_adjusted"] is None
    assert "Guardrail load: a change above 1.00% cannot be excluded" in _verdict(root)["reasons"]


def test_along_the_looks_both_sides_must_be_past_the_boundary(tmp_path: Path) -> None:
    root = _project(tmp_path, _rows(0.0), {"primary": [{"metric": "load", "equivalence": "1.5%"}]})
    planned = boundary([d / DAYS for d in range(1, DAYS + 1)], spending=Spending(), alpha=0.05, two_sided=False)
    rows = [_run(root, day)["load"] for day in range(1, DAYS + 1)]
    crossed = next(i for i, row in enumerate(rows) if row["margin_holds"])
    for row, look in zip(rows[: crossed + 1], planned, strict=False):
        assert row["boundary"] == pytest.approx(look.upper, rel=1e-9)
        assert bool(row["statistic"] >= row["boundary"]) == row["margin_holds"]
    assert crossed < DAYS - 1
    assert all(row["margin_holds"] and row["stopped_look"] == crossed + 1 for row in rows[crossed:])
    assert rows[crossed]["p_adjusted"] == rows[crossed]["margin_p_value"] <= 0.05
    looks = [e.payload for e in Workspace.open(root, by="test").ledger.entries("trial", EntryKind.LOOK)]
    assert looks[0]["alpha_spent"] == pytest.approx(planned[0].alpha_spent)
    assert _verdict(root)["verdict"] == "ship"
    page = next((root / "lake").rglob("report.html")).read_text()
    assert "equivalence" in page


def _drifting(rise: float, *, from_day: int) -> list[dict[str, Any]]:
    """Nothing, then a rise of the load from a day on."""
    rows = _rows(0.0)
    begins = (START + timedelta(days=from_day - 1)).isoformat()
    return [
        row | {"load": row["load"] + (rise if row["arm"] == "treatment" and row["seen"] >= begins else 0.0)}
        for row in rows
    ]


@pytest.mark.parametrize("role", ["primary", "guardrail"])
def test_harm_beyond_the_margin_counts_although_it_held_before(tmp_path: Path, role: str) -> None:
    metrics: dict[str, Any] = {"primary": ["spend"], role: [{"metric": "load", "equivalence": "3%"}]}
    root = _project(tmp_path, _drifting(6.0, from_day=4), metrics)
    early = _run(root, 3)["load"]
    assert early["margin_holds"] is True
    last = _run(root)["load"]
    assert last["margin_holds"] is True, "the claim of the look stands"
    assert last["harmed"] is True
    decided = _verdict(root)
    assert decided["verdict"] == "do_not_ship"
    assert "was excluded at look" in decided["reasons"]
    assert "beyond its margin" in decided["reasons"]


@pytest.mark.parametrize("schedule", ["group_sequential", "always_valid"])
def test_a_change_within_the_margin_is_no_harm_at_any_look(tmp_path: Path, schedule: str) -> None:
    metrics = {"primary": ["spend"], "secondary": [{"metric": "load", "equivalence": "15%"}]}
    root = _project(tmp_path, _rows(1.0, per_day=1500), metrics, looks=schedule)
    for day in (2, 4, DAYS):
        row = _run(root, day)["load"]
        assert not row["harmed"]
    assert row["p_value"] is None or row["p_value"] < 1e-6, "a difference it is"


@pytest.mark.parametrize("schedule", ["group_sequential", "always_valid"])
def test_a_narrower_margin_is_tested_anew(tmp_path: Path, schedule: str) -> None:
    metrics = {"primary": [{"metric": "load", "equivalence": "12%"}]}
    root = _project(tmp_path, _rows(0.8), metrics, looks=schedule)
    assert _run(root, 3)["load"]["margin_holds"] is True
    path = root / "experiments" / "trial.yaml"
    path.write_text(path.read_text().replace("12%", "1%"))
    amend(Workspace.open(root, by="test"), "trial", reason="it was meant to be small")
    row = _run(root, 5)["load"]
    assert row["margin_holds"] is False
    assert _verdict(root)["verdict"] != "ship"


@pytest.mark.parametrize("schedule", ["group_sequential", "always_valid"])
def test_harm_of_a_difference_is_none_within_an_amended_margin(tmp_path: Path, schedule: str) -> None:
    root = _project(tmp_path, _rows(0.8, per_day=1500), {"primary": ["load"]}, looks=schedule)
    assert _run(root, 3)["load"]["harmed"] is True
    path = root / "experiments" / "trial.yaml"
    said = path.read_text()
    path.write_text(said.replace("- load", "- {metric: load, equivalence: 20%}"))
    assert path.read_text() != said
    amend(Workspace.open(root, by="test"), "trial", reason="it may change that much")
    row = _run(root, 5)["load"]
    assert row["harmed"] is False
    assert row["margin_holds"] is True
    assert _verdict(root)["verdict"] == "ship"


def test_dunnett_leaves_no_test_of_equivalence_to_a_difference(tmp_path: Path) -> None:
    metrics = {"primary": ["spend"], "secondary": [{"metric": "load", "equivalence": "2%"}]}
    root = _project(tmp_path, _rows(0.8), metrics, looks="fixed")
    assert _run(root)["load"]["margin_holds"] is False
    with pytest.raises(SpecError, match="not of equivalence"):
        reanalyse(Workspace.open(root, by="test"), "trial", alpha=None, correction="dunnett", reason="try")


def test_what_holds_in_its_family_has_its_bound_within_the_margin(tmp_path: Path) -> None:
    """Holm leaves the second test the whole alpha once the first has won."""
    metrics = {"primary": [{"metric": "load", "equivalence": "1.1%"}, {"metric": "spend", "equivalence": "50%"}]}
    found = dict.fromkeys(range(12))
    for seed in found:
        root = _project(tmp_path / str(seed), _rows(0.0, seed=seed), metrics, looks="fixed")
        row = _run(root)["load"]
        assert row["margin_holds"] == (abs(row["margin_bound"]) < row["margin"])
        found[seed] = row["margin_holds"] and row["margin_p_value"] > 0.025
    assert any(found.values()), "one of them holds at alpha and not at its Bonferroni share"


@pytest.mark.parametrize("method", ["confidence_sequence", "msprt"])
def test_a_confidence_sequence_within_the_margins_shows_it(tmp_path: Path, method: str) -> None:
    looks = {"schedule": "always_valid", "method": method}
    root = _project(tmp_path, _rows(0.0), {"primary": [{"metric": "load", "equivalence": "4%"}]}, looks=looks)
    rows = [_run(root, day)["load"] for day in (1, 3, 5)]
    assert rows[-1]["margin_holds"] is True
    assert abs(rows[-1]["margin_bound"]) < 0.04
    assert rows[-1]["interval_kind"] == "always_valid"
    assert [row["p_value"] for row in rows] == [None] * 3
