"""Families of the primary and secondary metrics, as declared, and the verdicts that follow by declared rules."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline_tests.projects import SOURCE, project

ARMS = ("control", "blue", "red")
METRICS: list[dict[str, Any]] = [
    {"name": "spend", "type": "mean", "source": "visitors", "value": "spend"},
    {"name": "load", "type": "mean", "source": "visitors", "value": "load", "direction": "decrease"},
]


def _rows(n: int = 900, lifts: tuple[float, ...] = (0.0, 0.15, 0.05), harm: float = 0.0) -> list[dict[str, Any]]:
    draw = random.Random(23)
    rows = []
    for unit in range(n):
        k = draw.randrange(3)
        spend, load = draw.gauss(3 + lifts[k], 1), draw.gauss(10 + (harm if k else 0), 1)
        rows.append({"id": unit, "arm": ARMS[k], "spend": round(spend, 6), "load": round(load, 6)})
    return rows


def _run(root: Path, rows: list[dict[str, Any]], **analysis: Any) -> Path:
    root = project(
        root,
        rows=rows,
        source={**SOURCE, "columns": {"id": "integer", "arm": "text", "spend": "number", "load": "number"}},
        metrics=METRICS,
        experiment={
            "assignment": {"control": "control", "weights": dict.fromkeys(ARMS, 100 / 3)},
            "metrics": {"primary": ["spend"], "secondary": ["load"]},
            "analysis": analysis,
        },
    )
    outcome = run(Workspace.open(root, by="test"), "trial")
    assert outcome.error is None, outcome
    return root


def _primary(root: Path) -> dict[str, dict[str, Any]]:
    rows = read(root / "lake", "results", "trial").to_dicts()
    return {row["arm"]: row for row in rows if row["metric"] == "spend"}


def test_dunnett_compares_all_arms_with_their_one_control(tmp_path: Path) -> None:
    rows = _rows()
    found = _primary(_run(tmp_path, rows, primary_correction="dunnett"))
    values = {arm: [r["spend"] for r in rows if r["arm"] == arm] for arm in ARMS}
    expected = stats.dunnett(values["blue"], values["red"], control=values["control"])
    for arm, p in zip(("blue", "red"), expected.pvalue, strict=True):
        row = found[arm]
        assert row["p_adjusted"] == pytest.approx(p, abs=3e-3), "scipy pools one variance"
        assert row["p_value"] < row["p_adjusted"] < 2 * row["p_value"] + 1e-12
        assert (row["ci_adjusted_low"] > 0 or row["ci_adjusted_high"] < 0) == row["significant"]
        assert row["family"] == "primary:dunnett"


@pytest.mark.parametrize("method", ["holm", "hochberg", "hommel", "bonferroni"])
def test_declared_corrections_are_those_of_statsmodels(tmp_path: Path, method: str) -> None:
    from statsmodels.stats.multitest import multipletests

    found = _primary(_run(tmp_path, _rows(), primary_correction=method))
    raw = [found[arm]["p_value"] for arm in ("blue", "red")]
    named = {"hochberg": "simes-hochberg"}.get(method, method)
    expected = multipletests(raw, method=named)[1]
    assert [found[arm]["p_adjusted"] for arm in ("blue", "red")] == pytest.approx(list(expected), rel=1e-9)


def test_preferential_bonferroni_shares_alpha_between_primary_and_secondary(tmp_path: Path) -> None:
    root = _run(tmp_path, _rows(), primary_correction="preferential", primary_share=0.75)
    for row in read(root / "lake", "results", "trial").to_dicts():
        weight = (0.75 if row["role"] == "primary" else 0.25) / 2
        assert row["p_adjusted"] == pytest.approx(min(1.0, row["p_value"] / weight), rel=1e-12)
        assert row["family"] == "primary:preferential"


def test_harm_shares_an_arm_s_budget_and_stops_a_winner(tmp_path: Path) -> None:
    root = _run(tmp_path, _rows(lifts=(0.0, 0.5, 0.0), harm=0.5))
    decided = {row["arm"]: row for row in read(root / "lake", "decisions", "trial").to_dicts()}
    assert decided["blue"]["verdict"] == "do_not_ship"
    assert any("harm" in reason["sentence"] for reason in json.loads(decided["blue"]["reasons"]))
    rows = [r for r in read(root / "lake", "results", "trial").to_dicts() if r["metric"] == "load"]
    for row in rows:
        assert row["harmed"] == (stats.t.sf(row["effect"] / row["se"], row["df"]) <= 0.005)


def test_a_rule_list_of_one_s_own_decides(tmp_path: Path) -> None:
    rules = {
        "name": "brave",
        "rules": [{"when": ["any primary wins"], "then": "ship"}, {"when": ["all primary settled"], "then": "extend"}],
        "otherwise": "do_not_ship",
    }
    root = _run(tmp_path, _rows(lifts=(0.0, 0.5, 0.0), harm=0.5), rule=rules)
    decided = {row["arm"]: row for row in read(root / "lake", "decisions", "trial").to_dicts()}
    assert decided["blue"]["verdict"] == "ship"
    assert decided["blue"]["rule"] == "brave"
    assert decided["blue"]["nearest_change"]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("bold", "risk_aware"),
        ({"rules": [{"when": ["some primary wins"], "then": "ship"}]}, "a condition reads such as"),
        ({"rules": [{"when": ["none primary harmed"], "then": "ship"}]}, "nothing is known about"),
        ({"rules": []}, "has none of its own"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(tmp_path: Path, rules: Any, told: str) -> None:
    root = project(tmp_path, experiment={"analysis": {"rule": rules}})
    problems = Workspace.open(root).folder.problems
    assert any(told in str(problem) for problem in problems), problems
