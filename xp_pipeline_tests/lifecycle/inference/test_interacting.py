"""Two experiments over the same visitors: independence and interaction, against numbers from the raw rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats
from typer.testing import CliRunner

from xp_pipeline.cli.app import app
from xp_pipeline.errors import PhaseOrderError, SpecError
from xp_pipeline.lifecycle.inference.interacting import interactions
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.tables import INTERACTIONS
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.lifecycle.inference.concurrent_shop import ARMS, Visitor, shop, visitors
from xp_pipeline_tests.projects import EXPERIMENT, SOURCE, project
from xp_pipeline_tests.projects import visitors as unit_rows

PEOPLE = visitors(1200, together=3.0)


def _run(root: Path, as_of: Any = None) -> Workspace:
    workspace = Workspace.open(root, by="test")
    for name in ("first", "second"):
        outcome = run(workspace, name, as_of=as_of)
        assert outcome.error is None, outcome
    return workspace


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shop(tmp_path_factory.mktemp("shop"), PEOPLE)
    _run(root)
    return root


def _cells(value: Callable[[Visitor], float]) -> dict[tuple[str, str], np.ndarray]:
    return {(a, b): np.array([value(p) for p in PEOPLE if p.arms == (a, b)]) for a in ARMS for b in ARMS}


def _spend(person: Visitor) -> float:
    """Since the visitor was in both."""
    return sum(amount for at, amount in person.bought if at >= max(person.seen))


def test_independence_is_pearsons_test_of_the_units_in_both(root: Path) -> None:
    found = interactions(Workspace.open(root, by="test"), "first", "second")[0]
    counts = Counter(p.arms for p in PEOPLE)
    expected = stats.chi2_contingency([[counts[a, b] for b in ARMS] for a in ARMS], correction=False)
    assert found["statistic"] == pytest.approx(expected.statistic, rel=1e-9)
    assert found["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert found["units"] == len(PEOPLE)
    assert json.loads(found["counts"]) == {a: {b: counts[a, b] for b in ARMS} for a in ARMS}
    assert found["significant"] is False


def test_the_interaction_is_the_difference_in_differences_of_raw_rows(root: Path) -> None:
    (row,) = interactions(Workspace.open(root, by="test"), "first", "second", metric="spend")[1:]
    cells = _cells(_spend)
    means = {arms: values.mean() for arms, values in cells.items()}
    in_control = means["treatment", "control"] - means["control", "control"]
    in_arm = means["treatment", "treatment"] - means["control", "treatment"]
    parts = {arms: values.var(ddof=1) / values.size for arms, values in cells.items()}
    se = np.sqrt(sum(parts.values()))
    df = sum(parts.values()) ** 2 / sum(v**2 / (cells[arms].size - 1) for arms, v in parts.items())
    assert row["effect_in_control"] == pytest.approx(in_control, rel=1e-9)
    assert row["effect_in_arm"] == pytest.approx(in_arm, rel=1e-9)
    assert row["difference"] == pytest.approx(in_arm - in_control, rel=1e-9)
    assert row["se"] == pytest.approx(se, rel=1e-9)
    assert row["df"] == pytest.approx(df, rel=1e-6)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs((in_arm - in_control) / se), df), rel=1e-6)
    assert row["units"] == len(PEOPLE)
    assert row["significant"] is True
    assert row["interval_kind"] == "confidence"


def test_every_metric_that_either_decides_by_is_read_as_one_family(root: Path) -> None:
    rows = interactions(Workspace.open(root, by="test"), "first", "second")[1:]
    assert [row["metric"] for row in rows] == ["spend", "basket"]
    assert {row["family_size"] for row in rows} == {2}
    raw = [row["p_value"] for row in rows]
    expected = stats.false_discovery_control(raw, method="bh")
    assert [row["p_adjusted"] for row in rows] == pytest.approx(list(expected), rel=1e-9)


def test_the_ratio_of_a_cell_is_that_of_its_sums(root: Path) -> None:
    (row,) = interactions(Workspace.open(root, by="test"), "first", "second", metric="basket")[1:]
    spend = _cells(_spend)
    baskets = _cells(lambda p: sum(at >= max(p.seen) for at, _ in p.bought))
    ratio = {arms: spend[arms].sum() / baskets[arms].sum() for arms in spend}
    in_control = ratio["treatment", "control"] - ratio["control", "control"]
    in_arm = ratio["treatment", "treatment"] - ratio["control", "treatment"]
    assert row["difference"] == pytest.approx(in_arm - in_control, rel=1e-9)


def test_one_salt_for_both_is_found(tmp_path: Path) -> None:
    same = [replace(p, arms=(p.arms[0], p.arms[0])) for p in visitors(200)]
    workspace = _run(shop(tmp_path, same))
    independence, *tests = interactions(workspace, "first", "second")
    assert independence["significant"] is True
    assert independence["strength"] == pytest.approx(1)
    assert {row["status"] for row in tests} == {"insufficient_data"}


def test_nobody_in_both_is_a_status(tmp_path: Path) -> None:
    other = {"population": {"source": "exposures", "where": {"experiment": "third"}, "arm": "arm"}}
    root = shop(tmp_path, PEOPLE[:400], second=other)
    log = root / "exposures.csv"
    rows = log.read_text().splitlines()
    strangers = [r.replace(",second,", ",third,").replace(r.split(",")[0], str(9000 + i), 1)
                 for i, r in enumerate(rows) if ",second," in r]  # fmt: skip
    log.write_text("\n".join([r for r in rows if ",second," not in r] + strangers) + "\n")
    independence, *tests = interactions(_run(root), "first", "second")
    assert (independence["status"], independence["units"]) == ("not_testable", 0)
    assert {(row["status"], row["reason"]) for row in tests} == {("not_testable", "no unit is in both")}


def test_while_either_runs_there_is_a_band_and_no_p_value(tmp_path: Path) -> None:
    workspace = _run(shop(tmp_path, PEOPLE), as_of=date(2026, 1, 15))
    (row,) = interactions(workspace, "first", "second", metric="spend")[1:]
    assert row["interval_kind"] == "sequence"
    assert row["p_adjusted"] is None or np.isnan(row["p_adjusted"])
    assert "p_value" not in row
    half = (row["ci_high"] - row["ci_low"]) / 2
    assert half > 2.5 * row["se"]
    assert row["ci_low"] < row["difference"] < row["ci_high"]


def test_other_definitions_and_names_are_refused_with_words(tmp_path: Path) -> None:
    override = [{"metric": "spend", "override": {"cap": {"value": 20}}}]
    workspace = _run(shop(tmp_path, PEOPLE[:300], second={"metrics": {"primary": override}}))
    (row,) = interactions(workspace, "first", "second")[1:]
    assert (row["status"], row["reason"]) == ("not_testable", "the two define it differently")
    with pytest.raises(SpecError, match="not measured by both"):
        interactions(workspace, "first", "second", metric="basket")
    with pytest.raises(SpecError, match="itself"):
        interactions(workspace, "first", "first")


def test_before_any_run_it_says_what_to_run(tmp_path: Path) -> None:
    root = shop(tmp_path, PEOPLE[:50])
    with pytest.raises(PhaseOrderError, match="not registered"):
        interactions(Workspace.open(root, by="test"), "first", "second")


def test_the_command_prints_rows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    command = CliRunner()
    said = command.invoke(app, ["interactions", "first", "second", "--format", "json"])
    assert said.exit_code == 0, said.output
    rows = json.loads(said.output)
    assert [list(row) for row in rows] == [list(INTERACTIONS)] * 3
    table = command.invoke(app, ["interactions", "first", "second", "--metric", "spend"])
    assert "1,200 units are in both experiments; their arms are independent" in table.output
    csv = command.invoke(app, ["interactions", "first", "second", "--format", "csv"])
    assert csv.output.splitlines()[0] == ",".join(INTERACTIONS)


def test_tables_without_time_and_covariates_are_measured_too(tmp_path: Path) -> None:
    """One row a unit, an arm column an experiment; adjusted as the decision is."""
    draw = np.random.default_rng(11)
    rows = [{**row, "other": ARMS[int(draw.integers(2))]} for row in unit_rows(800, lift=0.2)]
    metrics = {"primary": ["spend"]}
    root = project(
        tmp_path, rows=rows, source={"columns": {**SOURCE["columns"], "other": "text"}}, experiment={"metrics": metrics}
    )
    spec = {**EXPERIMENT, "id": "second", "population": {"source": "visitors", "arm": "other"}, "metrics": metrics}
    (root / "experiments" / "second.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    workspace = Workspace.open(root, by="test")
    assert all(run(workspace, name).error is None for name in ("trial", "second"))
    (row,) = interactions(workspace, "trial", "second")[1:]
    cells = {
        (a, b): np.array([(r["spend"], r["before"]) for r in rows if (r["arm"], r["other"]) == (a, b)])
        for a in ARMS
        for b in ARMS
    }
    within = {b: cuped(*(Moments.of(cells[a, b]) for a in ARMS)) for b in ARMS}
    assert row["estimator"] == "cuped"
    assert row["effect_in_control"] == pytest.approx(within["control"].effect, rel=1e-9)
    assert row["effect_in_arm"] == pytest.approx(within["treatment"].effect, rel=1e-9)
    assert row["se"] == pytest.approx(np.hypot(within["control"].se, within["treatment"].se), rel=1e-9)


def test_phases_with_other_shares_are_a_caution(tmp_path: Path) -> None:
    weights = {"control": 0.5, "treatment": 0.5}
    later = {"at": "2026-01-06", "weights": {"control": 0.48, "treatment": 0.52}}
    phases = [{"at": "2026-01-01", "weights": weights}, later]
    ramp = {"assignment": {"control": "control", "weights": weights, "salt": "s", "phases": phases}}
    workspace = _run(shop(tmp_path, PEOPLE[:600], second=ramp))
    rows = interactions(workspace, "first", "second")
    assert all("phases or branches with other shares are pooled" in row["reason"] for row in rows)
