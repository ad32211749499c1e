"""Futility bounds: rpact's and gsDesign's examples, what following or ignoring them costs, and their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from xp_pipeline.design.looks import plan_looks
from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.boundaries import boundary, crossing
from xp_pipeline.stats.futility import advised_power, futility_bounds
from xp_pipeline.stats.spending import OBRIEN_FLEMING, POCOCK, Spending


def hwang_shih_decani(gamma: float) -> Spending:
    return Spending("hwang_shih_decani", gamma)


def kim_demets(rho: float) -> Spending:
    return Spending("kim_demets", rho)


@pytest.mark.parametrize(
    ("times", "alpha", "power", "spending", "futility", "wanted"),
    [
        ((0.2, 0.4, 1.0), 0.07, 0.86, hwang_shih_decani(-1), hwang_shih_decani(-2), (-1.1063623, -0.35992439)),
        ((0.3, 0.7, 1.0), 0.03, 0.66, kim_demets(2.2), kim_demets(3.2), (-1.1558435, 0.72836893)),
        ((0.4, 0.75, 1.0), 0.13, 0.59, OBRIEN_FLEMING, kim_demets(2.5), (-0.83725762, 0.35992547)),
        ((0.4, 0.75, 0.85, 1.0), 0.13, 0.59, OBRIEN_FLEMING, kim_demets(2.5), (-0.82676531, 0.3743303, 0.65077266)),
    ],
)
def test_bounds_are_those_of_rpact(times, alpha, power, spending, futility, wanted) -> None:
    """futilityBounds of rpact's unit tests of non-binding one-sided designs, eight digits."""
    plan = plan_looks(times, spending=spending, alpha=alpha, power=power, two_sided=False, futility=futility)
    assert plan.futility is not None
    assert plan.futility[:-1] == pytest.approx(wanted, abs=1e-7)
    assert plan.futility[-1] == pytest.approx(plan.looks[-1].upper, abs=1e-6)


def test_gsdesigns_default_design() -> None:
    """Three looks, upper -4 and lower -2 of Hwang, Shih, DeCani: 3.01, 2.55, 2.00 and -0.24, 0.94, 2.00; ratio 1.07."""
    plan = plan_looks(
        (1 / 3, 2 / 3, 1.0), spending=hwang_shih_decani(-4), alpha=0.025, power=0.9, two_sided=False,
        futility=hwang_shih_decani(-2),
    )  # fmt: skip
    assert [look.upper for look in plan.looks] == pytest.approx([3.01, 2.55, 2.00], abs=5e-3)
    assert plan.futility == pytest.approx((-0.24, 0.94, 2.00), abs=5e-3)
    assert plan.inflation == pytest.approx(1.07, abs=5e-3)


designs = st.tuples(st.integers(1, 6), st.sampled_from([OBRIEN_FLEMING, POCOCK, kim_demets(2)]), st.booleans())


@given(designs, st.floats(1.0, 5.0), st.floats(0.02, 0.4))
def test_beta_is_spent_as_planned_and_no_bound_passes_the_boundary(design, drift: float, beta: float) -> None:
    count, spending, two_sided = design
    looks = boundary(tuple((k + 1) / count for k in range(count)), spending=spending, two_sided=two_sided)
    bounds = futility_bounds(looks, drift=drift, beta=beta, spending=spending)
    assert len(bounds) == count
    assert all(low <= look.upper for low, look in zip(bounds, looks, strict=True))
    power = advised_power(looks, bounds, drift=drift)
    assert power <= crossing(looks, drift=drift).power + 1e-12
    assert (
        power >= 1 - beta - 1e-9 or bounds[-1] < looks[-1].upper or power >= crossing(looks, drift=drift).power - beta
    )


def test_ignoring_the_advice_costs_no_error_and_following_it_saves_some() -> None:
    looks = boundary((0.3, 0.6, 1.0), spending=POCOCK, alpha=0.05, two_sided=False)
    bounds = futility_bounds(looks, drift=2.8, beta=0.2, spending=POCOCK)
    assert crossing(looks).power == pytest.approx(0.05, rel=1e-9)
    assert advised_power(looks, bounds, drift=0.0) < 0.05


def test_the_probability_of_stopping_in_vain_by_the_multivariate_normal() -> None:
    """At the planned drift the first two looks stop for futility with the beta spent by then, to Genz's 1e-5."""
    times = np.array([0.4, 0.7])
    looks = boundary((0.4, 0.7, 1.0), spending=OBRIEN_FLEMING, two_sided=False)
    bounds = futility_bounds(looks, drift=3.0, beta=0.1, spending=kim_demets(1.0))
    law = multivariate_normal(
        3.0 * np.sqrt(times), np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    )
    first = law.cdf(np.array([bounds[0], np.inf]))
    second = law.cdf(np.array([looks[0].upper, bounds[1]]), lower_limit=np.array([bounds[0], -np.inf]))
    assert (first, first + second) == pytest.approx((0.04, 0.07), abs=2e-5)


def test_the_lower_boundary_of_a_two_sided_test_plays_no_part() -> None:
    """A decrease that is significant is a result, not futility: bounds read upper boundaries only."""
    both = boundary((0.5, 1.0), spending=OBRIEN_FLEMING, alpha=0.05)
    bounds = futility_bounds(both, drift=3.0, beta=0.1, spending=POCOCK)
    upper_only = tuple(type(look)(look.information, look.alpha_spent, look.upper) for look in both)
    assert futility_bounds(upper_only, drift=3.0, beta=0.1, spending=POCOCK) == bounds


def test_where_waiting_is_worth_less_than_beta_the_bound_is_the_boundary() -> None:
    """Nine in ten cross at once: stopping all others there and then costs less than the beta of the look."""
    looks = boundary((0.5, 1.0), spending=POCOCK)
    drift = (looks[0].upper + 1.3) / math.sqrt(0.5)
    bounds = futility_bounds(looks, drift=drift, beta=0.4, spending=POCOCK)
    assert bounds == tuple(look.upper for look in looks)
    assert advised_power(looks, bounds, drift=drift) == pytest.approx(crossing(looks, drift=drift).upper[0], rel=1e-12)


def test_an_enormous_effect_is_not_given_up() -> None:
    looks = boundary((0.25, 0.5, 1.0), spending=OBRIEN_FLEMING)
    bounds = futility_bounds(looks, drift=25.0, beta=1e-6, spending=OBRIEN_FLEMING)
    assert bounds[0] < looks[0].upper
    assert advised_power(looks, bounds, drift=25.0) == pytest.approx(1.0, abs=2e-6)


def test_a_single_look_has_its_boundary_or_less() -> None:
    looks = boundary((1.0,), spending=OBRIEN_FLEMING)
    (bound,) = futility_bounds(looks, drift=3.0, beta=0.1, spending=POCOCK)
    assert bound <= looks[0].upper
    assert math.isfinite(bound)


@pytest.mark.parametrize("beta", [0.0, 0.6, math.nan])
def test_beta_is_checked(beta: float) -> None:
    looks = boundary((0.5, 1.0), spending=OBRIEN_FLEMING)
    with pytest.raises(EvidenceError, match="error rate"):
        futility_bounds(looks, drift=3.0, beta=beta, spending=POCOCK)


@pytest.mark.parametrize("drift", [-1.0, math.nan, math.inf])
def test_the_planned_effect_is_checked(drift: float) -> None:
    looks = boundary((0.5, 1.0), spending=OBRIEN_FLEMING)
    with pytest.raises(EvidenceError, match="planned effect"):
        futility_bounds(looks, drift=drift, beta=0.1, spending=POCOCK)
