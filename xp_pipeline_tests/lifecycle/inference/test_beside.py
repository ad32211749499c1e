"""Second readings that a spec asks for, and other ways to adjust and to make a lift's interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xp_pipeline.language.buckets import storage_bucket
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.stats.buckets import BucketedMoments
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.means import at_level, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.resampling import adjusted_means, jackknife
from xp_pipeline.stats.stratified import Stratum, stratified
from xp_pipeline_tests.projects import project, visitors

ROWS = visitors(3000, lift=0.1)
ARMS = ("control", "treatment")


def _rows(root: Path, **analysis: Any) -> dict[str, dict[str, Any]]:
    """The rows of the adjusted mean, by estimator."""
    root = project(
        root,
        rows=ROWS,
        experiment={"metrics": {"primary": ["spend"]}, "segments": ["country"], "analysis": analysis},
    )
    outcome = run(Workspace.open(root, by="test"), "trial")
    assert outcome.error is None, outcome
    return {row["estimator"]: row for row in read(root / "lake", "results", "trial").to_dicts() if not row["segment"]}


def _arms(**match: Any) -> list[Moments]:
    kept = [row for row in ROWS if all(row[key] == value for key, value in match.items())]
    return [Moments.of([[row["spend"], row["before"]] for row in kept if row["arm"] == arm]) for arm in ARMS]


def test_a_segment_can_stratify_the_effect_afterwards(tmp_path: Path) -> None:
    found = _rows(tmp_path, post_stratify="country")
    expected = stratified([Stratum(*_arms(country=level)) for level in ("DE", "NO")])
    row = found[expected.estimator]
    assert row["effect"] == pytest.approx(expected.effect, rel=1e-9)
    assert row["se"] == pytest.approx(expected.se, rel=1e-9)
    assert not row["decisive"]
    assert found["cuped"]["decisive"]


def test_a_jackknife_over_storage_buckets_stands_beside(tmp_path: Path) -> None:
    row = _rows(tmp_path, resampling="jackknife")["jackknife"]
    sides = [
        BucketedMoments.of(
            [[r["spend"], r["before"]] for r in ROWS if r["arm"] == arm],
            [storage_bucket(r["id"]) for r in ROWS if r["arm"] == arm],
        )
        for arm in ARMS
    ]
    expected = jackknife(*sides, pair=adjusted_means)
    assert row["effect"] == pytest.approx(expected.effect, rel=1e-9)
    assert row["se"] == pytest.approx(expected.se, rel=1e-7)


def test_a_bootstrap_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = (_rows(tmp_path / name, resampling="bootstrap") for name in ("a", "b"))
    assert first["bootstrap"]["se"] == second["bootstrap"]["se"]
    assert first["bootstrap"]["se"] == pytest.approx(first["cuped"]["se"], rel=0.25)


def test_each_arm_may_have_its_own_slopes(tmp_path: Path) -> None:
    expected = cuped(*_arms(), method="lin")
    row = _rows(tmp_path, adjustment="lin")[expected.estimator]
    assert row["decisive"]
    assert (row["effect"], row["se"]) == pytest.approx((expected.effect, expected.se), rel=1e-9)


@pytest.mark.parametrize("method", ["delta", "log"])
def test_lifts_by_delta_and_log_are_made_by_name(tmp_path: Path, method: Any) -> None:
    plain = welch(*(arm.take([0]) for arm in _arms()))
    expected = at_level(plain, 0.05, method=method).relative
    row = _rows(tmp_path, lift=method)["welch"]
    assert (row["lift_low"], row["lift_high"]) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((plain.low, plain.high), rel=1e-9)


def test_bad_settings_are_refused_with_their_line(tmp_path: Path) -> None:
    for analysis, told in (
        ({"post_stratify": "region"}, "unknown segment 'region'"),
        ({"resampling": "magic"}, "jackknife"),
    ):
        root = project(tmp_path, experiment={"segments": ["country"], "analysis": analysis})
        problems = [str(problem) for problem in Workspace.open(root).folder.problems]
        assert any(told in problem and "trial.yaml:" in problem for problem in problems), problems
