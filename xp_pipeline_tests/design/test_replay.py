"""Replay: run times that wait for windows, count units once, and let variance grow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.aims import Detect, Rates, RuleOut
from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detection import power_of
from xp_pipeline.design.history import History
from xp_pipeline.design.replay import replay, run_time
from xp_pipeline.design.sample_size import sample_size
from xp_pipeline.design.traffic import Traffic
from xp_pipeline.errors import EvidenceError

SHARE = Baseline(0.1, 0.09, "proportion")


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.3), st.integers(100, 50_000), st.integers(0, 14))
def test_steady_traffic_runs_for_units_by_units_a_day_and_the_window(lift: float, per_day: int, delay: int) -> None:
    size = sample_size(SHARE, effect=0.1 * lift)
    found = run_time(History.constant(SHARE, Traffic.steady(per_day), delay=delay), Detect(lift, relative=True))
    days = math.ceil((size.total - 1) / per_day) + delay
    if days > 365:
        assert found.days is None
        assert "365 days do not reach power 0.8" in found.reason
    else:
        assert found.days == pytest.approx(max(days, 1), abs=1)


def test_every_day_is_what_an_experiment_of_that_length_has() -> None:
    history = History(
        Traffic(np.array([1000.0, 1700.0, 2200.0])), np.array([1.0, 3.0]), np.array([2.0, 4.0]), np.array([5.0, 20.0])
    )
    found = replay(history, Detect(0.1, relative=True), days=[1, 2, 3], shares=(0.6, 0.3))
    assert found.units.tolist() == pytest.approx([900, 1530, 1980])
    assert found.wanted.tolist() == pytest.approx([0.2, 0.3, 0.4])
    wanted = power_of(Baseline(3.0, 12.5), effect=0.3, n_control=1020, n_treatment=510)
    assert found.power[1] == pytest.approx(wanted, rel=1e-12)
    at_least = power_of(Baseline(3.0, 12.5), effect=float(found.least[1]), n_control=1020, n_treatment=510)
    assert at_least == pytest.approx(0.8, abs=1e-6)
    np.testing.assert_allclose(found.lift, found.least / np.array([2.0, 3.0, 4.0]))


def test_returning_units_make_a_run_longer_than_division_says() -> None:
    """The trap of units a day times days: half of the units of a day have come before."""
    saturating = Traffic(10_000 * (1 - 0.9 ** np.arange(1, 29)))
    size = sample_size(SHARE, effect=0.02).total
    assert size < 10_000
    found = run_time(History.constant(SHARE, saturating), Detect(0.02))
    assert found.days is not None
    assert found.days > math.ceil(size / float(saturating.units[0]))
    assert saturating.at(found.days) >= size - 1


def test_growing_variance_may_undo_growing_units() -> None:
    """An open window: power is reached on day 2 and lost again; the run time is when it is reached for good."""
    days = np.arange(1.0, 11.0)
    variance = np.where(days == 3, 40.0, 1.0)
    history = History(Traffic.steady(1000), days, np.full(10, 10.0), variance)
    found = run_time(history, Detect(0.15))
    assert found.days is not None
    assert found.days > 3
    early = replay(history, Detect(0.15), days=[2, 3]).power
    assert early[0] > 0.8 > early[1]


def test_guardrails_are_replayed_too() -> None:
    history = History.constant(Baseline(10.0, 25.0), Traffic.steady(500), delay=2)
    aim = RuleOut(0.03, relative=True, rates=Rates(power=0.9))
    found = run_time(history, aim)
    assert found.days is not None
    shown = replay(history, aim, days=[found.days - 1, found.days])
    assert shown.power[0] < 0.9 <= shown.power[1]
    assert shown.lift[0] > 0.03 >= shown.lift[1]


def test_early_days_without_units_have_nothing_in_reach() -> None:
    history = History.constant(SHARE, Traffic.steady(500), delay=7)
    found = replay(history, Detect(0.05, relative=True), days=[1, 7, 8])
    assert np.isnan(found.power[:2]).all()
    assert np.isnan(found.least[:2]).all()
    assert found.least[2] > 0
    assert np.isnan(replay(history, Detect(), days=[8]).power).all()


def test_why_there_is_no_run_time() -> None:
    history = History.constant(SHARE, Traffic.steady(3))
    assert run_time(history, Detect(0.001)).reason == "365 days do not reach power 0.8; the best is 0.05"


def test_both_arms_need_a_share() -> None:
    history = History.constant(SHARE, Traffic.steady(3))
    for shares in ((0.0, 1.0), (0.8, 0.4)):
        with pytest.raises(EvidenceError, match="share of the units"):
            replay(history, Detect(0.01), days=[1], shares=shares)
        with pytest.raises(EvidenceError, match="share of the units"):
            run_time(history, Detect(0.01), shares=shares)
