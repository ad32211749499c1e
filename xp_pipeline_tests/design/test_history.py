"""A metric's history: units that count by a day, and the metric that goes with the duration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.history import History
from xp_pipeline.design.traffic import Traffic
from xp_pipeline.errors import EvidenceError


def history(**changes: Any) -> History:
    parts: dict[str, Any] = {
        "traffic": Traffic(np.array([100.0, 150.0, 180.0, 200.0])),
        "durations": np.array([1.0, 2.0, 4.0]),
        "mean": np.array([1.0, 2.0, 4.0]),
        "variance": np.array([1.0, 3.0, 9.0]),
    }
    return History(**(parts | changes))


def test_units_wait_for_their_windows_and_the_null_policy() -> None:
    assert [history().units(day) for day in (0, 1, 3)] == [0, 100, 180]
    late = history(delay=2.0, counted=0.5)
    assert [late.units(day) for day in (1, 2, 3, 6)] == [0, 0, 50, 100]


def test_the_metric_is_linear_between_durations_and_constant_beyond() -> None:
    found = history(variance_explained=np.array([0.0, 0.2, 0.6]))
    assert found.baseline(3) == Baseline(3.0, 6.0, variance_explained=0.4)
    assert found.baseline(0.5) == Baseline(1.0, 1.0)
    assert found.baseline(50) == Baseline(4.0, 9.0, variance_explained=0.6)


def test_durations_that_were_not_measured_are_left_out() -> None:
    nan = math.nan
    found = history(mean=np.array([nan, nan, 4.0]), variance=np.array([nan, nan, 9.0]), counted=np.array([0, 0, 1.0]))
    assert found.baseline(1) == Baseline(4.0, 9.0)
    assert found.durations.tolist() == [4.0]


def test_a_share_keeps_its_own_variance() -> None:
    found = history(mean=np.array([0.1, 0.2, 0.4]), kind="proportion")
    assert found.baseline(3).variance == pytest.approx(0.3 * 0.7)


def test_typed_numbers_are_a_constant_history() -> None:
    baseline = Baseline(3.0, 2.0, "ratio", variance_explained=0.3, design_effect=1.7)
    found = History.constant(baseline, Traffic.steady(10), delay=7)
    assert found.baseline(1) == found.baseline(90) == baseline
    assert found.units(17) == 100
    assert not found.extrapolated(300)


def test_what_was_not_seen_is_extrapolated() -> None:
    assert [history().extrapolated(day) for day in (4, 5)] == [False, True]
    assert not history(delay=2.0, durations=np.array([4.0]), mean=np.ones(1), variance=np.ones(1)).extrapolated(6)
    growing = history(traffic=Traffic.steady(10))
    assert [growing.extrapolated(day) for day in (4, 5)] == [False, True]


@pytest.mark.parametrize(("changes", "word"), [
    ({"mean": np.ones(2)}, "one figure for every duration"),
    ({"durations": np.array([1.0, 1.0, 4.0])}, "ascend"),
    ({"durations": np.array([0.0, 1.0, 4.0])}, "ascend"),
    ({"mean": np.full(3, np.nan)}, "at no duration"),
    ({"counted": 1.2}, "share"),
    ({"delay": -1.0}, "window"),
    ({"delay": math.nan}, "window"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(EvidenceError, match=word) as problem:
        history(**changes)
    assert "\n" not in str(problem.value)
