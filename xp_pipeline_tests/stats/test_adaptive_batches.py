"""Batches of adaptively collected data: from rows, and their sample ratio against the logged propensities."""

from __future__ import annotations

import numpy as np
import pytest

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.adaptive_batches import AdaptiveBatch, batches_of, phases, sample_ratio
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.srm import sequential_phases


def test_rows_become_batches() -> None:
    outcome = [1.0, 2.0, 4.0, 8.0, 16.0]
    names = ["a", "b", "a", "a", "b"]
    days = ["mon", "mon", "mon", "tue", "tue"]
    logged = {"mon": {"a": 0.5, "b": 0.5}, "tue": {"a": 0.2, "b": 0.8}, "wed": {"a": 0.1, "b": 0.9}}
    found = batches_of(outcome, names, days, logged)
    assert [(b.arm("a").n, b.arm("b").n) for b in found] == [(2, 1), (1, 1), (0, 0)]
    assert found[0].arm("a").mean[0] == 2.5 and found[1].propensity("b") == 0.8


@pytest.mark.parametrize(
    ("names", "days"), [(["a", "c"], ["mon", "mon"]), (["a", "a"], ["mon", "sun"]), (["a"], ["mon", "mon"])]
)
def test_rows_without_a_logged_propensity_are_refused(names, days) -> None:
    with pytest.raises(EvidenceError):
        batches_of([1.0, 2.0], names, days, {"mon": {"a": 0.5, "b": 0.5}})


def units(n) -> Moments:
    return Moments(n, np.zeros(1), np.zeros((1, 1)), 0.0)


def counted(*rows) -> list[AdaptiveBatch]:
    """Batches of this many units of control and treatment, and the propensity of treatment."""
    return [
        AdaptiveBatch({"control": units(c), "treatment": units(t)}, {"control": 1 - share, "treatment": share})
        for c, t, share in rows
    ]


def test_the_ratio_is_tested_against_the_propensities_in_force() -> None:
    """Totals of 550 to 450 look broken at 50/50; against 90/10 and 20/80 they are what was designed."""
    found = sample_ratio(counted((450, 50, 0.1), (100, 400, 0.8)))
    assert found.df == 2
    assert found.statistic == pytest.approx(0.0, abs=1e-20)
    broken = sample_ratio(counted((450, 50, 0.5), (100, 400, 0.5)))
    assert broken.p_value < 1e-10


def test_small_batches_are_tested_together() -> None:
    """40 batches of 50 at 5 % expect 2.5 units of the arm each: two are a phase."""
    batches = counted(*[(47, 3, 0.05), (48, 2, 0.05)] * 20)
    tested = phases(batches)
    assert len(tested) == 20
    assert tested[0] == ({"control": 95, "treatment": 5}, {"control": 95.0, "treatment": 5.0})
    assert sample_ratio(batches).statistic == pytest.approx(0.0)
    assert sequential_phases(tested).status == Status.OK


def test_what_remains_joins_the_last_phase() -> None:
    batches = counted((50, 50, 0.5), (3, 1, 0.5))
    assert phases(batches) == [({"control": 53, "treatment": 51}, {"control": 52.0, "treatment": 52.0})]


def test_no_units_are_not_testable() -> None:
    assert sample_ratio([]).status == Status.NOT_TESTABLE
    assert sample_ratio(counted((2, 1, 0.5))).status == Status.NOT_TESTABLE
