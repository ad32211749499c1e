"""Equivalence: statsmodels' two one-sided tests, relative margins, duality with the intervals, small counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.equivalence import equivalence
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline_tests.stats.strategies import arms, binary

CONTROL = np.random.default_rng(5).normal(10.0, 2.0, 300)
TREATMENT = np.random.default_rng(6).normal(10.1, 3.0, 200)


@pytest.mark.parametrize("margins", [(0.5, 0.5), (0.3, 0.9)])
def test_absolute_margins_are_statsmodels_tost(margins: tuple[float, float]) -> None:
    from statsmodels.stats.weightstats import ttost_ind

    found = equivalence(welch(Moments.of(CONTROL), Moments.of(TREATMENT)), margin=margins[0], margin_high=margins[1])
    wanted = ttost_ind(TREATMENT, CONTROL, -margins[0], margins[1], usevar="unequal")[0]
    assert found.p_value == pytest.approx(wanted, rel=1e-9)
    assert (found.margin_low, found.margin_high) == margins


@given(arms(), st.floats(0.01, 5.0), st.floats(0.01, 5.0), st.booleans(), st.sampled_from([0.01, 0.05, 0.2]))
def test_it_holds_exactly_when_the_interval_lies_within_the_margins(pair, fall, rise, relative, alpha) -> None:
    estimate = welch(*(Moments.of(arm) for arm in pair))
    found = equivalence(estimate, margin=fall, margin_high=rise, relative=relative, alpha=alpha)
    assume(found.status == Status.OK)
    room = min(found.low + fall, rise - found.high)
    assume(abs(room) > 1e-7 * (1 + abs(found.low) + abs(found.high)))
    assert found.holds == (room > 0)


@given(st.integers(0, 9), st.integers(0, 9), st.floats(0.02, 0.9), st.booleans())
def test_small_counts_stay_dual(events_c, events_t, margin, relative) -> None:
    found = equivalence(proportion(binary(events_c, 40), binary(events_t, 35)), margin=margin, relative=relative)
    assume(found.status == Status.OK)
    room = min(found.low, -found.high) + margin
    assume(abs(room) > 1e-7)
    assert found.holds == (room > 0)


def test_swapping_arms_swaps_the_margins() -> None:
    control, treatment = Moments.of(CONTROL), Moments.of(TREATMENT)
    one = equivalence(welch(control, treatment), margin=0.3, margin_high=0.6)
    other = equivalence(welch(treatment, control), margin=0.6, margin_high=0.3)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-12)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_at_the_margin_it_is_accepted_no_more_often_than_alpha() -> None:
    """4000 experiments with the truth at the lower margin: 5 % +- 3 x 0.35 points, exact when data are many."""
    rng = np.random.default_rng(7)
    held = [
        equivalence(
            welch(Moments.of(rng.normal(10, 1, 200)), Moments.of(rng.normal(9.5, 1, 200))), margin=0.05, relative=True
        ).holds
        for _ in range(4000)
    ]
    assert np.mean(held) == pytest.approx(0.05, abs=3 * 0.0035)


@pytest.mark.parametrize(("control", "relative", "status"), [
    ([1.0], False, Status.INSUFFICIENT_DATA),
    ([2.0, 2.0], False, Status.DEGENERATE),
    ([-1.0, 1.0, 0.0], True, Status.UNDEFINED_RELATIVE),
    ([-10.0, 11.0, 0.0], True, Status.UNBOUNDED),
    ([1.0, math.nan], False, Status.INVALID_DATA),
])  # fmt: skip
def test_undefined_is_neither_held_nor_failed(control: list[float], relative: bool, status: Status) -> None:
    treatment = [3.0, 3.0] if status == Status.DEGENERATE else [1.0, 2.0, 4.0]
    found = equivalence(welch(Moments.of(control), Moments.of(treatment)), margin=0.1, relative=relative)
    assert (found.status, found.holds) == (status, None)
    assert found.reason
    assert math.isnan(found.p_value)


def test_margins_are_positive() -> None:
    with pytest.raises(EvidenceError, match="margin"):
        equivalence(welch(Moments.of(CONTROL), Moments.of(TREATMENT)), margin=0.1, margin_high=0.0)
