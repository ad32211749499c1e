"""Effects by days since exposure through the pipeline, against numbers from the raw rows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.novelty import novelty
from xp_pipeline_tests.lifecycle.inference.concurrent_shop import ARMS, DAYS, START, Visitor, shop, visitors

PEOPLE = visitors(1500, fading=1.0)


def _daily(people: list[Visitor], arm: str, days: int) -> np.ndarray:
    """Spend by unit and whole day since exposure, of units seen on all of the days."""
    end = START + timedelta(days=DAYS)
    seen = [p for p in people if p.arms[0] == arm and p.seen[0] + timedelta(days=days) <= end]
    found = np.zeros((len(seen), days))
    for i, person in enumerate(seen):
        for at, amount in person.bought:
            day = (at - person.seen[0]) // timedelta(days=1)
            if 0 <= day < days:
                found[i, day] += amount
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shop(tmp_path_factory.mktemp("shop"), PEOPLE, novelty=True)
    assert run(Workspace.open(root, by="test"), "first").error is None
    return root


def _rows(root: Path, kind: str, metric: str = "spend") -> list[dict[str, object]]:
    found = read(root / "lake", "heterogeneity", "first").to_dicts()
    return [row for row in found if row["kind"] == kind and row["metric"] == metric]


def test_each_day_is_welch_on_the_cohorts_rows(root: Path) -> None:
    rows = _rows(root, "novelty_day")
    days = len(rows)
    assert days == 14
    control, treatment = (_daily(PEOPLE, arm, days) for arm in ARMS)
    for day, row in enumerate(rows):
        expected = stats.ttest_ind(treatment[:, day], control[:, day], equal_var=False)
        low, high = expected.confidence_interval(0.95)
        assert row["day"] == day
        assert (row["n_arm"], row["n_baseline"]) == (len(treatment), len(control))
        assert row["effect"] == pytest.approx(treatment[:, day].mean() - control[:, day].mean(), abs=1e-9)
        if row["status"] == "ok":
            assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high), abs=1e-9)


def test_days_on_which_nobody_did_anything_refuse_the_slope_with_a_reason(root: Path) -> None:
    """Purchases stop after ten days, so the last days have no variance."""
    assert {row["status"] for row in _rows(root, "novelty_day")[11:]} == {"degenerate"}
    (slope,) = _rows(root, "novelty_slope")
    assert slope["status"] == "degenerate"
    assert slope["p_value"] is None
    assert "1,500 units were seen on all of the first 14 days" in str(slope["reason"])


def test_a_metric_without_a_value_a_day_says_so(root: Path) -> None:
    (slope,) = _rows(root, "novelty_slope", "basket")
    assert (slope["status"], slope["reason"]) == ("not_testable", "only sums, counts and occurrences are read by day")
    assert not _rows(root, "novelty_slope", "purchases")


def test_a_fading_effect_is_found_and_equals_the_array_computation(tmp_path: Path) -> None:
    """With an end after nine days the cohort is seen on every day that anybody buys on."""
    root = shop(tmp_path, PEOPLE, novelty=True)
    spec = root / "experiments" / "first.yaml"
    spec.write_text(spec.read_text().replace("2026-01-21", "2026-01-15"), encoding="utf-8")
    assert run(Workspace.open(root, by="test"), "first").error is None
    days = len(_rows(root, "novelty_day"))
    assert 3 <= days <= 10
    end = START + timedelta(days=14)
    tables = []
    for arm in ARMS:
        people = [p for p in PEOPLE if p.seen[0] + timedelta(days=days) <= end]
        tables.append(_daily(people, arm, days))
    seen = sum(len(table) for table in tables)
    enrolled = sum(p.seen[0] < end for p in PEOPLE)
    assert seen >= enrolled / 2 > sum(p.seen[0] + timedelta(days=days + 1) <= end for p in PEOPLE)
    expected = novelty(*(_moments(table) for table in tables))
    (slope,), (halves,), (curved,) = (
        _rows(root, kind) for kind in ("novelty_slope", "novelty_early_late", "novelty_curved")
    )
    assert slope["difference"] == pytest.approx(expected.slope.difference, rel=1e-9)
    assert slope["p_value"] == pytest.approx(expected.slope.p_value, rel=1e-6)
    assert slope["effect"] == pytest.approx(expected.start, rel=1e-9)
    assert halves["difference"] == pytest.approx(expected.early_late.difference, rel=1e-9)
    assert curved["p_value"] == pytest.approx(expected.curved_p, rel=1e-6)
    assert slope["differs"] is True
    assert float(str(slope["difference"])) < 0


def _moments(table: np.ndarray) -> Moments:
    centred = table - table.mean(axis=0)
    return Moments(len(table), table.mean(axis=0), centred.T @ centred, float("nan"))


def test_novelty_is_off_unless_asked_for(tmp_path: Path) -> None:
    root = shop(tmp_path, visitors(300))
    assert run(Workspace.open(root, by="test"), "first").error is None
    assert read(root / "lake", "heterogeneity", "first").is_empty()
