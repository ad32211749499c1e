"""Traffic: distinct units by day, as observed and beyond."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.design.traffic import Traffic
from xp_pipeline.errors import EvidenceError


def test_a_steady_stream_is_a_multiplication() -> None:
    found = Traffic.steady(250)
    np.testing.assert_allclose(found.at([0, 0.5, 1, 10, 365]), [0, 125, 250, 2500, 91_250])
    assert not found.extrapolated([1, 100]).any()


def test_observed_days_are_as_observed_and_later_ones_follow_the_fitted_power() -> None:
    days = np.arange(1, 29)
    found = Traffic(1000 * days**0.6)
    np.testing.assert_allclose(found.at(days), 1000 * days**0.6)
    assert found.exponent == pytest.approx(0.6, abs=1e-9)
    assert found.at(100) == pytest.approx(1000 * 100**0.6, rel=1e-9)
    assert found.extrapolated([28, 29]).tolist() == [False, True]


def test_returning_units_are_not_new_ones() -> None:
    """10,000 units that each come on a day with probability 0.1: distinct ones saturate, and the fit knows it."""
    rng = np.random.default_rng(2)
    first = rng.geometric(0.1, 10_000)
    distinct = np.array([(first <= day).sum() for day in range(1, 29)])
    found = Traffic(distinct)
    assert found.exponent < 0.4
    naive = distinct[0] * 56
    truth = 10_000 * (1 - 0.9**56)
    assert abs(found.at(56) - truth) < 0.2 * truth
    assert naive > 5 * truth


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60).filter(any), st.floats(0, 400), st.floats(0, 400))
def test_it_never_falls(new: list[int], one: float, other: float) -> None:
    found = Traffic(np.cumsum(np.array(new, dtype=float)))
    low, high = sorted((one, other))
    assert 0 <= found.exponent <= 1
    assert found.at(low) <= found.at(high) * (1 + 1e-12)


@pytest.mark.parametrize(("call", "word"), [
    (lambda: Traffic(np.array([])), "never fall"),
    (lambda: Traffic(np.array([5.0, 4.0])), "never fall"),
    (lambda: Traffic(np.array([0.0, 0.0])), "positive"),
    (lambda: Traffic(np.array([-1.0, 4.0])), "positive"),
    (lambda: Traffic(np.array([1.0, math.nan])), "never fall"),
    (lambda: Traffic(np.array([[1.0, 2.0]])), "never fall"),
    (lambda: Traffic(np.array([1.0]), growth=1.5), "exponent"),
    (lambda: Traffic.steady(0), "arriving"),
    (lambda: Traffic.steady(math.nan), "arriving"),
    (lambda: Traffic.steady(math.inf), "arriving"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(call, word: str) -> None:
    with pytest.raises(EvidenceError, match=word) as problem:
        call()
    assert "\n" not in str(problem.value)
