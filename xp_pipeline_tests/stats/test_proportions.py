"""Proportions: published score intervals, statsmodels, duality, and the switch between methods."""

from __future__ import annotations

import math
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import at_level, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.score import Counts, difference_limits, difference_se, ratio_limits, ratio_se, score_interval
from xp_pipeline_tests.stats.reference.score_intervals import DIFFERENCES, RATIOS
from xp_pipeline_tests.stats.strategies import binary

Z = float(norm.ppf(0.975))
SMALL = st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def counts_of(table: tuple[int, int, int, int]) -> Counts:
    """Published tables give the first group, our treatment, first."""
    return Counts(table[2], table[3], table[0], table[1])


@pytest.mark.parametrize(("table", "low", "high", "places"), DIFFERENCES)
def test_published_intervals_of_the_difference(table, low: float, high: float, places: int) -> None:
    assert difference_limits(counts_of(table), Z) == pytest.approx((low, high), abs=0.5001 * 10**-places)


@pytest.mark.parametrize(("table", "low", "high", "places"), RATIOS)
def test_published_intervals_of_the_ratio(table, low: float, high: float, places: int) -> None:
    assert ratio_limits(counts_of(table), Z) == pytest.approx((low, high), abs=0.5001 * 10**-places)


@pytest.mark.parametrize("table", [(7, 34, 1, 34), (24, 73, 53, 65), (5, 56, 2, 29), (8, 90, 4, 120)])
def test_statistics_and_ratio_intervals_are_those_of_statsmodels(table) -> None:
    """Not its intervals of the difference: at differences other than 0 they leave the published ones."""
    from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

    counts = counts_of(table)
    wanted = test_proportions_2indep(*table, method="score", compare="diff", correction=True)
    assert counts.difference / difference_se(counts, 0.0) == pytest.approx(wanted.statistic, rel=1e-10)
    for phi in (0.8, 1.0, 1.5):
        wanted = test_proportions_2indep(*table, value=phi, method="score", compare="ratio", correction=True)
        distance = counts.events_t / counts.n_t - phi * counts.events_c / counts.n_c
        assert distance / ratio_se(counts, phi) == pytest.approx(wanted.statistic, rel=1e-10)
    if table[0] / table[1] < 0.3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            limits = confint_proportions_2indep(*table, method="score", compare="ratio", correction=True)
        assert ratio_limits(counts, Z) == pytest.approx(limits, rel=1e-6)


@given(SMALL, SMALL, st.floats(-0.95, 0.95))
def test_standard_error_is_at_the_constrained_maximum_likelihood(control, treatment, delta) -> None:
    counts = Counts(*control, *treatment)
    low, high = max(0.0, -delta), min(1.0, 1 - delta)

    def loss(q: float) -> float:
        terms = (
            (counts.events_c, q), (counts.n_c - counts.events_c, 1 - q),
            (counts.events_t, q + delta), (counts.n_t - counts.events_t, 1 - q - delta),
        )  # fmt: skip
        return -sum(n * math.log(max(p, 1e-300)) for n, p in terms if n)

    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    best = min((q, low, high), key=loss)
    variance = best * (1 - best) / counts.n_c + (best + delta) * (1 - best - delta) / counts.n_t
    wanted = math.sqrt(max(variance, 0) * counts.units / max(counts.units - 1, 1))
    assert difference_se(counts, delta) == pytest.approx(wanted, abs=1e-4)


@given(SMALL, SMALL, st.integers(-90, 90).map(lambda i: i / 100), st.sampled_from([0.01, 0.05, 0.2]))
def test_score_p_value_and_interval_are_dual(control, treatment, null, alpha) -> None:
    assume(min(control[1], treatment[1]) > 1)
    found = proportion(binary(*control), binary(*treatment), alpha=alpha, null=null)
    assume(found.status == Status.OK and min(abs(null - found.low), abs(null - found.high)) > 1e-7)
    assert (found.p_value <= alpha) == (null < found.low or null > found.high)


@given(SMALL, SMALL, st.sampled_from([0.01, 0.05, 0.2]))
def test_relative_and_absolute_decisions_agree(control, treatment, alpha) -> None:
    assume(min(control[1], treatment[1]) > 1 and control[0] > 0)
    found = proportion(binary(*control), binary(*treatment), alpha=alpha)
    assume(min(abs(found.low), abs(found.high)) > 1e-7)
    assert found.relative.contains(0.0) == (found.low <= 0 <= found.high)


@given(SMALL, SMALL)
def test_swapping_arms_flips_signs(control, treatment) -> None:
    assume(min(control[1], treatment[1]) > 1)
    one = proportion(binary(*control), binary(*treatment))
    other = proportion(binary(*treatment), binary(*control))
    assert other.effect == pytest.approx(-one.effect)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-9)
    assert one.low <= one.effect <= one.high


@pytest.mark.parametrize(("events", "units", "estimator"), [
    (9, 100, "score"), (10, 100, "welch"), (90, 100, "welch"), (91, 100, "score"),
])  # fmt: skip
def test_the_switch_is_at_ten_events_and_ten_non_events(events: int, units: int, estimator: str) -> None:
    many = binary(40, 100)
    assert proportion(binary(events, units), many).estimator == estimator
    assert proportion(many, binary(events, units)).estimator == estimator


def test_large_counts_are_welch_with_n_minus_one() -> None:
    control, treatment = binary(100, 1000), binary(130, 1000)
    found, wanted = proportion(control, treatment), welch(control, treatment)
    assert found == wanted
    assert found.var_control == pytest.approx(0.1 * 0.9 * 1000 / 999)


def test_score_estimate_is_coherent() -> None:
    found = proportion(binary(1, 34), binary(7, 34))
    assert found.estimator == "score"
    assert found.df == math.inf
    assert found.p_value == pytest.approx(2 * norm.sf(2.241651177145989), rel=1e-9)
    assert found.effect / found.se == pytest.approx(2.241651177145989)
    assert (found.relative.low + 1, found.relative.high + 1) == pytest.approx((1.2086, 43.0330), abs=5e-5)
    assert found.relative.lift == pytest.approx(6.0)


def test_rare_events_in_a_million_keep_their_digits() -> None:
    found = proportion(binary_of(3, 1_000_000), binary_of(9, 1_000_000))
    assert found.low < 0 < 6e-6 < found.high < 2e-5
    assert found.p_value == pytest.approx(2 * norm.sf(6 / math.sqrt(12)), rel=1e-3)


def binary_of(events: int, units: int) -> Moments:
    p = events / units
    return Moments.from_sums(units, [0.0], [events], [[events]], events) if events else Moments.of([p] * units)


@pytest.mark.parametrize("events", [0, 12])
def test_no_event_at_all_is_degenerate_with_an_honest_interval(events: int) -> None:
    found = proportion(binary(events, 12), binary(events, 12))
    assert found.status == Status.DEGENERATE
    assert "both arms" in found.reason
    assert math.isnan(found.p_value)
    assert found.low < -0.2
    assert found.high > 0.2


def test_all_against_nothing_is_decided() -> None:
    found = proportion(binary(0, 10), binary(10, 10))
    assert found.status == Status.OK
    assert found.p_value < 1e-4
    assert found.low == pytest.approx(0.6636, abs=5e-5)
    assert found.relative.status == Status.UNDEFINED_RELATIVE


def test_a_null_that_leaves_no_room_for_chance_is_rejected() -> None:
    assert proportion(binary(2, 20), binary(3, 20), null=1.0).p_value < 1e-300


@pytest.mark.parametrize("values", [[0.0, 1.0, 2.0], [0.5, 0.5, 0.5], [-1.0, 1.0, 0.0]])
def test_outcomes_other_than_zero_and_one_are_invalid_data(values: list[float]) -> None:
    assert proportion(Moments.of(values), binary(1, 5)).status == Status.INVALID_DATA


@pytest.mark.parametrize(("arm", "status"), [
    (Moments.empty(1), Status.INSUFFICIENT_DATA),
    (binary(1, 1), Status.INSUFFICIENT_DATA),
    (Moments.of([1.0, math.nan]), Status.INVALID_DATA),
])  # fmt: skip
def test_arms_that_cannot_be_compared_have_a_status(arm: Moments, status: Status) -> None:
    found = proportion(arm, binary(3, 9))
    assert found.status == status
    assert math.isnan(found.p_value)


@pytest.mark.parametrize("alpha", [0.001, 0.0125, 0.05, 0.2])
def test_intervals_at_a_family_s_level_come_from_the_stored_row(alpha: float) -> None:
    found = proportion(binary(3, 200), binary(11, 180))
    counts = Counts.of_proportions(found.mean_control, found.n_control, found.mean_treatment, found.n_treatment)
    assert counts == Counts(3, 200, 11, 180)
    wanted = proportion(binary(3, 200), binary(11, 180), alpha=alpha)
    assert score_interval(counts, alpha=alpha) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert at_level(found, alpha) is found


@pytest.mark.parametrize("counts", [Counts(3, 2, 1, 5), Counts(0, 0, 1, 5), Counts(-1, 4, 1, 5)])
def test_counts_that_are_none_are_refused(counts: Counts) -> None:
    with pytest.raises(EvidenceError, match="counts are events of units"):
        score_interval(counts)
    with pytest.raises(EvidenceError, match="alpha is a probability"):
        score_interval(Counts(1, 5, 2, 5), alpha=1.0)
