"""Group-sequential boundaries: published tables, other integration, simulation, and looks that do not go to plan."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.boundaries import (
    Look,
    boundary,
    crossing,
    grown,
    next_look,
    repeated_interval,
    z_of,
    z_of_p,
)
from xp_pipeline.stats.brownian import NEVER
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.spending import OBRIEN_FLEMING, POCOCK, Spending
from xp_pipeline_tests.stats.shapes import shaped_boundary
from xp_pipeline_tests.stats.strategies import arms, binary

KIM_DEMETS = Spending("kim_demets", 2.0)
SPENDINGS = [
    OBRIEN_FLEMING,
    POCOCK,
    KIM_DEMETS,
    Spending("hwang_shih_decani", -4.0),
    Spending("hwang_shih_decani", 1.0),
]
FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


def uppers(looks: tuple[Look, ...]) -> list[float]:
    return [look.upper for look in looks]


def equal(looks: int) -> tuple[float, ...]:
    return tuple((i + 1) / looks for i in range(looks))


def fractions(most: int = 6) -> st.SearchStrategy[tuple[float, ...]]:
    """Increasing shares of the planned information, the last 1."""
    steps = st.lists(st.floats(0.02, 1.0), min_size=1, max_size=most)
    return steps.map(lambda parts: (*(np.cumsum(parts)[:-1] / sum(parts)).tolist(), 1.0))


@pytest.mark.parametrize(
    ("shape", "alpha", "constants"),
    [
        (0.5, 0.01, (2.772, 2.873, 2.939, 2.986, 3.117)),
        (0.5, 0.05, (2.178, 2.289, 2.361, 2.413, 2.555)),
        (0.5, 0.10, (1.875, 1.992, 2.067, 2.122, 2.270)),
        (0.0, 0.01, (2.580, 2.595, 2.609, 2.621, 2.660)),
        (0.0, 0.05, (1.977, 2.004, 2.024, 2.040, 2.087)),
        (0.0, 0.10, (1.678, 1.710, 1.733, 1.751, 1.801)),
        (0.25, 0.05, (2.038, 2.083, 2.113, 2.136, 2.199)),
    ],
)
def test_constants_are_those_of_jennison_and_turnbull(shape: float, alpha: float, constants) -> None:
    """Tables 2.1 (Pocock), 2.3 (O'Brien-Fleming) and 2.9 (Wang-Tsiatis), 2, 3, 4, 5 and 10 looks, three digits."""
    found = [shaped_boundary(equal(k), shape=shape, alpha=alpha)[-1].upper for k in (2, 3, 4, 5, 10)]
    assert found == pytest.approx(constants, abs=6e-4)


@pytest.mark.parametrize(
    ("spending", "wanted"),
    [
        (OBRIEN_FLEMING, (4.877, 3.357, 2.680, 2.290, 2.031)),
        (POCOCK, (2.438, 2.427, 2.410, 2.397, 2.386)),
    ],
)
def test_five_equal_looks_two_sided(spending: Spending, wanted) -> None:
    """Lan and DeMets' functions at 0.05, as printed by rpact, gsDesign and ldbounds."""
    looks = boundary(FIVE, spending=spending)
    assert uppers(looks) == pytest.approx(wanted, abs=5.1e-4)
    assert [look.lower for look in looks] == [-look.upper for look in looks]


@pytest.mark.parametrize(
    ("spending", "alpha", "two_sided", "times", "wanted"),
    [
        (Spending("hwang_shih_decani", 0.0), 0.03, False, (0.2, 0.4, 1.0), (2.5121443, 2.4228747, 2.0280392)),
        (Spending("hwang_shih_decani", -1.0), 0.07, False, (0.2, 0.4, 1.0), (2.3648130, 2.1928805, 1.5660474)),
        (Spending("kim_demets", 2.2), 0.03, False, (0.3, 0.7, 1.0), (2.8594012, 2.2435708, 1.9735737)),
        (Spending("kim_demets", 2.5), 0.05, True, (0.3, 0.4, 0.8, 1.0), (3.0276355, 2.8984727, 2.2289649, 2.0639032)),
        (OBRIEN_FLEMING, 0.13, False, (0.4, 0.75, 0.85, 1.0), (2.1280732, 1.4368565, 1.4228730, 1.2970881)),
        (POCOCK, 0.13, False, (0.35, 0.7, 1.0), (1.5446617, 1.4828682, 1.4620058)),
        (POCOCK, 0.025, False, (0.4, 0.7), (2.2238750, 2.3050796)),
    ],
)
def test_unequal_looks_are_those_of_rpact(spending: Spending, alpha: float, two_sided: bool, times, wanted) -> None:
    """criticalValues of rpact's own unit tests of getDesignGroupSequential, eight digits."""
    assert uppers(boundary(times, spending=spending, alpha=alpha, two_sided=two_sided)) == pytest.approx(
        wanted, abs=1e-7
    )


@pytest.mark.parametrize(
    ("shape", "alpha", "two_sided", "times", "wanted"),
    [
        (0.0, 0.025, False, equal(3), (3.4710914, 2.4544323, 2.0040356)),
        (0.24, 0.025, True, (0.3, 0.8, 1.0), (3.2029374, 2.4819703, 2.3420706)),
        (0.39, 0.025, False, (0.3, 0.8, 1.0), (2.4761792, 2.2229286, 2.1690292)),
    ],
)
def test_shaped_boundaries_are_those_of_rpact(shape: float, alpha: float, two_sided: bool, times, wanted) -> None:
    """criticalValues of rpact's unit tests of the designs OF and WT."""
    assert uppers(shaped_boundary(times, shape=shape, alpha=alpha, two_sided=two_sided)) == pytest.approx(
        wanted, abs=1e-6
    )


def test_probabilities_to_stop_under_a_drift_are_those_of_rpact() -> None:
    """getDesignCharacteristics of the design with linear spending: shift 9.4594101, rejectionProbabilities."""
    looks = boundary((0.2, 0.4, 1.0), spending=Spending("hwang_shih_decani", 0.0), alpha=0.03, two_sided=False)
    found = crossing(looks, drift=math.sqrt(9.4594101))
    assert found.upper == pytest.approx((0.12783451, 0.21271713, 0.51944835), abs=1e-7)
    assert found.power == pytest.approx(0.86, abs=1e-7)


def test_pococks_boundary_is_that_of_ld98_to_its_grid() -> None:
    """GroupSeq's tests, a port of Reboussin, DeMets, Kim, Lan's ld98, whose grid of trapezoids is good to 2e-6."""
    found = crossing([Look(t, 0.0, 2.06739) for t in equal(4)])
    assert found.upper == pytest.approx((0.019348701, 0.013193548, 0.009750731, 0.007707020), abs=2e-6)
    assert uppers(shaped_boundary(equal(4), shape=0.5)) == pytest.approx([2.361263] * 4, abs=4e-5)


def test_a_second_look_far_out_is_exact_to_twelve_digits() -> None:
    """At 15 and 25 % of the information, by adaptive integration of the bivariate normal."""
    first, second = boundary((0.15, 0.25), spending=OBRIEN_FLEMING, alpha=0.025)
    share = second.alpha_spent - first.alpha_spent

    def density(b: float) -> float:
        return float(norm.pdf(b, 0, math.sqrt(0.15)) * norm.sf((second.upper * 0.5 - b) / math.sqrt(0.10)))

    ends = first.upper * math.sqrt(0.15)
    assert quad(density, -ends, ends, epsabs=0, epsrel=1e-12, limit=200)[0] == pytest.approx(share, rel=1e-10)


@pytest.mark.parametrize("spending", [OBRIEN_FLEMING, POCOCK, KIM_DEMETS])
def test_the_error_rate_by_the_multivariate_normal(spending: Spending) -> None:
    """P(|Z| stays inside at all looks), by Genz's algorithm at unequal looks, to its error of 1e-5."""
    times = np.array([0.1, 0.35, 0.4, 0.8, 1.0])
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    bounds = np.array(uppers(boundary(tuple(times), spending=spending)))
    inside = multivariate_normal(np.zeros(5), correlation, maxpts=10**6, seed=1).cdf(bounds, lower_limit=-bounds)
    assert 1 - inside == pytest.approx(0.05, abs=2e-5)


@pytest.mark.parametrize("spending", SPENDINGS)
def test_the_error_rate_by_simulation(spending: Spending) -> None:
    """400 000 Brownian motions at seven unequal looks, within 3 Monte-Carlo errors (0.1 points)."""
    times = np.array([0.05, 0.2, 0.3, 0.35, 0.7, 0.9, 1.0])
    replicates = 400_000
    rng = np.random.default_rng(zlib.crc32(f"error rate, {spending}".encode()))
    paths = (rng.standard_normal((replicates, 7)) * np.sqrt(np.diff(times, prepend=0))).cumsum(axis=1)
    bounds = np.array(uppers(boundary(tuple(times), spending=spending)))
    rate = float(np.mean((np.abs(paths / np.sqrt(times)) >= bounds).any(axis=1)))
    assert rate == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / replicates))


@given(fractions(), st.sampled_from(SPENDINGS), st.floats(0.001, 0.2), st.booleans())
def test_a_plan_spends_alpha_whatever_its_looks(times, spending: Spending, alpha: float, two_sided: bool) -> None:
    assume(all(grown(a, b) for a, b in pairwise(times)))
    looks = boundary(times, spending=spending, alpha=alpha, two_sided=two_sided)
    stops = crossing(looks)
    assert math.fsum(stops.upper) + math.fsum(stops.lower) == pytest.approx(alpha, rel=1e-9)
    assert looks[-1].alpha_spent == (alpha / 2 if two_sided else alpha)


@given(fractions(), st.sampled_from(SPENDINGS))
def test_looks_one_by_one_are_the_plan(times, spending: Spending) -> None:
    assume(all(grown(a, b) for a, b in pairwise(times)))
    looks: list[Look] = []
    for t in times:
        looks.append(next_look(looks, information=t, spending=spending))
    assert tuple(looks) == boundary(times, spending=spending)


def test_one_look_is_a_fixed_horizon() -> None:
    (look,) = boundary((1.0,), spending=OBRIEN_FLEMING)
    assert look.upper == pytest.approx(norm.isf(0.025), rel=1e-12)
    assert boundary((1.0,), spending=POCOCK, two_sided=False)[0].upper == pytest.approx(norm.isf(0.05), rel=1e-12)


def test_a_two_sided_boundary_is_the_one_sided_at_half_but_for_both_crossings() -> None:
    both = uppers(boundary(FIVE, spending=POCOCK, alpha=0.05))
    one = uppers(boundary(FIVE, spending=POCOCK, alpha=0.025, two_sided=False))
    assert both == pytest.approx(one, abs=1e-4)
    assert all(two <= single for two, single in zip(both, one, strict=True))


@pytest.mark.parametrize("end", [0.83, 1.0, 1.15, 2.5])
@pytest.mark.parametrize("spending", SPENDINGS)
def test_underrun_and_overrun_spend_what_is_left_and_the_past_stays(spending: Spending, end: float) -> None:
    past = list(boundary((0.2, 0.4, 0.6, 0.8), spending=spending))
    final = next_look(past, information=end, spending=spending, final=True)
    stops = crossing([*past, final])
    assert math.fsum(stops.upper) == pytest.approx(0.025, rel=1e-9)
    assert final.information == end
    assert past == list(boundary((0.2, 0.4, 0.6, 0.8), spending=spending))


def test_later_data_past_the_plan_are_less_correlated_and_cost_more() -> None:
    past = list(boundary((0.2, 0.4, 0.6, 0.9), spending=OBRIEN_FLEMING))
    on_time, late = (next_look(past, information=t, spending=OBRIEN_FLEMING, final=True) for t in (1.0, 1.3))
    assert on_time.upper < late.upper


def test_rescaling_the_past_is_what_would_inflate() -> None:
    """Five looks more than planned, boundaries recomputed as if their number had been known: above 0.06, not 0.05."""
    overrun = tuple(k / 10 for k in range(1, 16))
    used = [*boundary(equal(10), spending=KIM_DEMETS)[:9]]
    for count in range(10, 16):
        rescaled = boundary(equal(count), spending=KIM_DEMETS)[-1].upper
        used.append(Look(count / 10, 0.0, rescaled, -rescaled))
    naive = crossing([replace(look, information=t) for look, t in zip(used, overrun, strict=True)])
    assert 2 * naive.power > 0.06


def test_a_final_look_replaces_the_one_at_the_same_information() -> None:
    """The data did not change: crossing the lower of two boundaries is all that can happen."""
    past = list(boundary((0.3, 0.6), spending=OBRIEN_FLEMING))
    final = next_look(past, information=0.6, spending=OBRIEN_FLEMING, final=True)
    assert final.upper < past[-1].upper
    assert math.fsum(crossing([past[0], final]).upper) == pytest.approx(0.025, rel=1e-9)


def test_nothing_is_crossed_where_nothing_is_left() -> None:
    """More was spent than the design allows by now: the look stands, but cannot stop."""
    past = [Look(0.4, 0.01, norm.isf(0.01), -norm.isf(0.01))]
    look = next_look(past, information=0.5, spending=OBRIEN_FLEMING)
    assert (look.upper, look.alpha_spent) == (NEVER, 0.01)
    assert not look.crossed(9.0)


def test_a_first_look_too_early_to_spend_cannot_stop() -> None:
    look = next_look([], information=0.003, spending=OBRIEN_FLEMING)
    assert look.upper == NEVER
    rest = next_look([look], information=1.0, spending=OBRIEN_FLEMING)
    assert rest.upper == pytest.approx(norm.isf(0.025), abs=1e-9)


def test_a_look_after_all_is_spent_is_refused() -> None:
    past = boundary((0.5, 1.0), spending=POCOCK)
    with pytest.raises(EvidenceError, match="spent"):
        next_look(past, information=1.2, spending=POCOCK, final=True)


@pytest.mark.parametrize(
    ("times", "word"),
    [
        ((), "needs a look"),
        ((0.4, 0.2, 1.0), "grows"),
        ((0.4, 0.4, 1.0), "grows"),
        ((0.4, 0.4000001, 1.0), "grows"),
        ((0.0, 1.0), "positive"),
        ((-0.1, 1.0), "positive"),
        ((0.5, math.nan), "positive"),
        ((0.5, math.inf), "positive"),
        ((0.5, 1.0, 1.2), "the last"),
        ((0.5, 1.1, 1.2), "the last"),
    ],
)
def test_fractions_are_checked(times, word: str) -> None:
    with pytest.raises(EvidenceError, match=word):
        boundary(times, spending=POCOCK)


@pytest.mark.parametrize("information", [0.4, 0.3, 0.4000001, math.nan, -1.0])
def test_a_look_without_new_units_is_no_look(information: float) -> None:
    past = boundary((0.2, 0.4), spending=POCOCK)
    with pytest.raises(EvidenceError, match=r"grows|positive"):
        next_look(past, information=information, spending=POCOCK)
    assert not grown(0.4, information)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(EvidenceError, match="alpha"):
        boundary(FIVE, spending=POCOCK, alpha=alpha)


def test_what_crosses() -> None:
    both, one = Look(0.5, 0.01, 2.0, -2.0), Look(0.5, 0.01, 2.0)
    assert [both.crossed(z) for z in (-2.0, -1.9, 1.9, 2.0, math.nan)] == [-1, 0, 0, 1, 0]
    assert [one.crossed(z) for z in (-9.0, 2.0)] == [0, 1]


@given(arms())
def test_z_has_the_p_value_and_the_sign_of_the_estimate(pair) -> None:
    estimate = welch(*(Moments.of(arm[:, 0]) for arm in pair))
    z = z_of(estimate)
    assert 2 * norm.sf(abs(z)) == pytest.approx(max(estimate.p_value, 1e-15), rel=1e-6, abs=1e-15)
    assert z * estimate.effect >= 0


def test_z_of_what_is_undefined_crosses_nothing() -> None:
    undefined = welch(Moments.of([1.0]), Moments.of([1.0, 2.0]))
    assert math.isnan(z_of(undefined))
    assert Look(0.5, 0.01, 2.0, -2.0).crossed(z_of(undefined)) == 0


def test_z_of_extreme_p_values_is_finite() -> None:
    assert z_of_p(0.0) == pytest.approx(37.5, abs=0.1)
    assert z_of_p(1.0) == pytest.approx(-8.2, abs=0.1)
    assert z_of_p(0.5) == 0.0
    with pytest.raises(EvidenceError, match="probability"):
        z_of_p(math.nan)


@given(arms(), st.floats(1.0, 5.0))
def test_repeated_intervals_and_crossing_are_dual_on_both_scales(pair, upper: float) -> None:
    estimate = welch(*(Moments.of(arm[:, 0]) for arm in pair))
    z, look = z_of(estimate), Look(0.5, 0.01, upper, -upper)
    assume(abs(abs(z) - upper) > 1e-6)
    low, high, lift = repeated_interval(estimate, look)
    assert (look.crossed(z) == 0) == (low <= 0 <= high)
    if lift.status in (Status.OK, Status.UNBOUNDED):
        assert lift.contains(0.0) == (low <= 0 <= high)


@given(st.integers(0, 12), st.integers(0, 12), st.floats(1.0, 4.0))
def test_small_counts_decide_alike_on_both_scales(events_c: int, events_t: int, upper: float) -> None:
    estimate = proportion(binary(events_c, 40), binary(events_t, 55))
    low, high, lift = repeated_interval(estimate, Look(1.0, 0.025, upper, -upper))
    if lift.status in (Status.OK, Status.UNBOUNDED):
        assert lift.contains(0.0) == (low <= 0 <= high)


def test_the_repeated_interval_of_a_single_look_is_welchs() -> None:
    rng = np.random.default_rng(3)
    estimate = welch(Moments.of(rng.normal(5, 1, 12)), Moments.of(rng.normal(6, 2, 9)))
    (look,) = boundary((1.0,), spending=OBRIEN_FLEMING)
    low, high, lift = repeated_interval(estimate, look)
    assert (low, high) == pytest.approx((estimate.low, estimate.high), rel=1e-9)
    assert (lift.low, lift.high) == pytest.approx((estimate.relative.low, estimate.relative.high), rel=1e-9)


def test_the_repeated_interval_of_an_undefined_estimate_says_why() -> None:
    undefined = welch(Moments.of([1.0]), Moments.of([1.0, 2.0]))
    low, high, lift = repeated_interval(undefined, Look(0.5, 0.01, 2.0, -2.0))
    assert math.isnan(low)
    assert math.isnan(high)
    assert lift.status == Status.INSUFFICIENT_DATA
