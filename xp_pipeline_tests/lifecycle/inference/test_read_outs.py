"""Bayesian read-outs in the results: against posteriors from raw rows, and only where a row may be read."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.tables import READ_OUT
from xp_pipeline_tests.lifecycle.inference import concurrent_shop
from xp_pipeline_tests.projects import METRICS, project, visitors

PEOPLE = visitors(1500, lift=0.03)
LOG = {"name": "logged", "type": "mean", "source": "visitors", "value": "spend", "log": True}
NUMBERS = ("posterior_mean", "posterior_low", "posterior_high", "chance_to_win", "expected_loss")


def _results(root: Path, **experiment: Any) -> list[dict[str, Any]]:
    measured = {"metrics": {"primary": ["converted"], "secondary": ["spend", "logged"]}}
    root = project(root, rows=PEOPLE, metrics=[*METRICS, LOG], experiment=measured | experiment)
    assert run(Workspace.open(root, by="test"), "trial").error is None
    return read(root / "lake", "results", "trial").to_dicts()


def _of(rows: list[dict[str, Any]], metric: str, estimator: str) -> dict[str, Any]:
    return next(r for r in rows if (r["metric"], r["estimator"], r["segment"]) == (metric, estimator, ""))


def test_a_proportion_is_beta_binomial_exactly(tmp_path: Path) -> None:
    """Against four million draws of both posteriors; tolerances are four Monte-Carlo errors or more."""
    row = _of(_results(tmp_path), "converted", "welch")
    draw = np.random.default_rng(7)
    arms = {}
    for arm in ("control", "treatment"):
        values = [r["converted"] for r in PEOPLE if r["arm"] == arm]
        arms[arm] = draw.beta(1 + sum(values), 1 + len(values) - sum(values), size=4_000_000)
    effect = arms["treatment"] - arms["control"]
    assert row["bayes_method"] == "beta_binomial"
    assert row["chance_to_win"] == pytest.approx((effect > 0).mean(), abs=1e-3)
    assert row["expected_loss"] == pytest.approx(np.maximum(-effect, 0).mean(), abs=1e-5)
    assert row["posterior_mean"] == pytest.approx(effect.mean(), abs=1e-4)
    ends = np.quantile(effect, [0.025, 0.975])
    assert (row["posterior_low"], row["posterior_high"]) == pytest.approx(tuple(ends), abs=2e-4)
    assert "not protected against peeking" in row["bayes_reason"]


def _plain() -> tuple[float, float, float]:
    """Effect on spend, its standard error and the control mean, from raw rows."""
    control, treatment = (np.array([r["spend"] for r in PEOPLE if r["arm"] == a]) for a in ("control", "treatment"))
    se = np.sqrt(control.var(ddof=1) / control.size + treatment.var(ddof=1) / treatment.size)
    return float(treatment.mean() - control.mean()), float(se), float(control.mean())


def test_a_mean_under_a_flat_prior_is_the_normal_likelihood(tmp_path: Path) -> None:
    row = _of(_results(tmp_path), "spend", "welch")
    effect, se, _ = _plain()
    assert (row["bayes_method"], row["bayes_prior"]) == ("gaussian", "flat")
    assert row["posterior_mean"] == pytest.approx(effect, rel=1e-9)
    low, high = stats.norm.interval(0.95, effect, se)
    assert (row["posterior_low"], row["posterior_high"]) == pytest.approx((low, high), rel=1e-9)
    assert row["chance_to_win"] == pytest.approx(stats.norm.cdf(effect / se), rel=1e-9)
    loss = stats.norm.expect(lambda x: max(-x, 0.0), loc=effect, scale=se, lb=-8 * se, ub=0.0)
    assert row["expected_loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("scale", ["relative", "absolute"])
def test_a_declared_prior_shrinks_by_precision(tmp_path: Path, scale: str) -> None:
    rows = _results(tmp_path, analysis={"prior": {"mean": 0.01, "sd": 0.02, "scale": scale}})
    row = _of(rows, "spend", "welch")
    effect, se, control = _plain()
    unit = control if scale == "relative" else 1.0
    mean, sd = 0.01 * unit, 0.02 * unit
    precision = 1 / sd**2 + 1 / se**2
    expected = (mean / sd**2 + effect / se**2) / precision
    assert row["posterior_mean"] == pytest.approx(expected, rel=1e-9)
    assert row["posterior_high"] - row["posterior_low"] == pytest.approx(2 * 1.959963984540054 / precision**0.5)
    assert row["bayes_prior"].startswith("normal, mean 0.01 and sd 0.02")
    proportion = _of(rows, "converted", "welch")
    assert proportion["bayes_method"] == "gaussian"
    logged = next(r for r in rows if r["estimator"] == "log_welch")
    assert (logged["bayes_method"], logged["bayes_reason"]) == ("", "the prior is of the metric, not of its logarithm")
    assert all(logged[name] is None for name in NUMBERS)


def test_lower_is_better_turns_winning_around(tmp_path: Path) -> None:
    falling = [{**metric, "direction": "decrease"} for metric in METRICS]
    root = project(tmp_path, rows=PEOPLE, metrics=falling)
    assert run(Workspace.open(root, by="test"), "trial").error is None
    row = _of(read(root / "lake", "results", "trial").to_dicts(), "spend", "welch")
    effect, se, _ = _plain()
    assert row["chance_to_win"] == pytest.approx(stats.norm.sf(effect / se), rel=1e-9)


def test_levels_of_segments_have_none(tmp_path: Path) -> None:
    rows = _results(tmp_path, segments=["country"])
    assert all(row["chance_to_win"] is None for row in rows if row["segment"])
    assert all(row["chance_to_win"] is not None for row in rows if not row["segment"])


def test_rows_without_an_estimate_have_no_read_out(tmp_path: Path) -> None:
    rows = [{**r, "converted": 0} for r in PEOPLE]
    root = project(tmp_path, rows=rows)
    assert run(Workspace.open(root, by="test"), "trial").error is None
    row = _of(read(root / "lake", "results", "trial").to_dicts(), "converted", "score")
    assert row["status"] == "degenerate"
    assert all(row[name] is None for name in READ_OUT)


def _shop(root: Path, looks: str, as_of: date) -> pl.DataFrame:
    root = concurrent_shop.shop(root, concurrent_shop.visitors(600), looks=looks)
    assert run(Workspace.open(root, by="test"), "first", as_of=as_of).error is None
    return read(root / "lake", "results", "first")


def test_nothing_is_read_out_before_the_end_of_a_fixed_design(tmp_path: Path) -> None:
    found = _shop(tmp_path, "fixed", date(2026, 1, 12))
    assert found.select(*READ_OUT).null_count().sum_horizontal().item() == len(READ_OUT) * len(found)


def test_an_earlier_look_reads_out_what_it_tests(tmp_path: Path) -> None:
    found = _shop(tmp_path, "group_sequential", date(2026, 1, 12))
    said = {(r["metric"], r["chance_to_win"] is not None) for r in found.to_dicts() if r["decisive"]}
    assert said == {("spend", True), ("basket", True), ("purchases", False)}


def test_blocked_rows_have_none(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        rows=PEOPLE,
        experiment={"assignment": {"control": "control", "weights": {"control": 0.9, "treatment": 0.1}}},
    )
    assert run(Workspace.open(root, by="test"), "trial").status == "blocked"
    found = read(root / "lake", "results", "trial")
    assert found.select(*READ_OUT).null_count().sum_horizontal().item() == len(READ_OUT) * len(found)
