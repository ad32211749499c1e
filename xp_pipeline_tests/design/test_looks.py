"""Plans of looks: published inflation factors, sample numbers and powers, by simulation, and bad input."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from xp_pipeline.design.looks import (
    drift_of,
    equal_fractions,
    expected_information,
    plan_looks,
)
from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.boundaries import boundary, crossing
from xp_pipeline.stats.spending import OBRIEN_FLEMING, POCOCK, Spending
from xp_pipeline_tests.stats.shapes import shaped_boundary


@pytest.mark.parametrize(
    ("shape", "power", "ratios"),
    [
        (0.5, 0.8, (1.110, 1.166, 1.202, 1.229, 1.301)),
        (0.5, 0.9, (1.100, 1.151, 1.183, 1.207, 1.271)),
        (0.0, 0.8, (1.008, 1.017, 1.024, 1.028, 1.040)),
        (0.0, 0.9, (1.007, 1.016, 1.022, 1.026, 1.037)),
    ],
)
def test_inflation_is_that_of_jennison_and_turnbull(shape: float, power: float, ratios) -> None:
    """Tables 2.2 (Pocock) and 2.4 (O'Brien-Fleming), two-sided 0.05, 2, 3, 4, 5 and 10 looks, three digits."""
    fixed = norm.isf(0.025) + norm.isf(1 - power)
    found = [
        (drift_of(shaped_boundary(equal_fractions(k), shape=shape), power=power) / fixed) ** 2 for k in (2, 3, 4, 5, 10)
    ]
    assert found == pytest.approx(ratios, abs=6e-4)


@pytest.mark.parametrize(
    ("spending", "alpha", "power", "times", "futility", "inflation", "shift"),
    [
        (("hwang_shih_decani", 0.0), 0.03, 0.86, (0.2, 0.4, 1.0), None, 1.0788327, 9.4594101),
        (("hwang_shih_decani", -1.0), 0.07, 0.86, (0.2, 0.4, 1.0), ("hwang_shih_decani", -2.0), 1.0869177, 7.1015942),
        (("kim_demets", 2.2), 0.03, 0.66, (0.3, 0.7, 1.0), ("kim_demets", 3.2), 1.0555891, 5.5513710),
    ],
)
def test_plans_are_those_of_rpact(spending, alpha, power, times, futility, inflation: float, shift: float) -> None:
    """inflationFactor and shift of rpact's unit tests of getDesignCharacteristics, one-sided, eight digits."""
    plan = plan_looks(
        times, spending=Spending(*spending), alpha=alpha, power=power, two_sided=False,
        futility=Spending(*futility) if futility else None,
    )  # fmt: skip
    assert plan.inflation == pytest.approx(inflation, abs=2e-7)
    assert plan.drift**2 == pytest.approx(shift, abs=1e-6)


def test_expected_sample_numbers_are_those_of_rpact() -> None:
    """averageSampleNumber1 0.83081135 and 0 1.0697705, relative to a fixed horizon."""
    plan = plan_looks(
        (0.2, 0.4, 1.0), spending=Spending("hwang_shih_decani", 0.0), alpha=0.03, power=0.86, two_sided=False
    )
    assert plan.expected_planned * plan.inflation == pytest.approx(0.83081135, abs=2e-7)
    assert plan.expected_null * plan.inflation == pytest.approx(1.0697705, abs=2e-7)


def test_five_obrien_fleming_looks_cost_two_percent() -> None:
    """The drift of Lan and DeMets' function at power 0.9: factor 1.0231 (rpact 3.3.4)."""
    plan = plan_looks(equal_fractions(5), power=0.9)
    assert plan.inflation == pytest.approx(1.0231, abs=5e-5)
    assert plan.futility is None


@given(st.integers(1, 8), st.sampled_from([OBRIEN_FLEMING, POCOCK, Spending("kim_demets", 3.0)]), st.floats(0.3, 0.99))
def test_a_plan_has_the_power_it_was_asked_for(count: int, spending: Spending, power: float) -> None:
    plan = plan_looks(equal_fractions(count), spending=spending, power=power)
    assert crossing(plan.looks, drift=plan.drift).power == pytest.approx(power, abs=1e-9)
    assert plan.inflation >= 1 - 1e-9
    assert 0 < plan.expected_planned <= plan.expected_null + 1e-12 <= 1 + 1e-9


def test_one_look_is_a_fixed_horizon() -> None:
    plan = plan_looks((1.0,), power=0.8)
    assert plan.inflation == pytest.approx(1.0, abs=1e-9)
    assert plan.drift == pytest.approx(norm.isf(0.025) + norm.isf(0.2), abs=1e-6)
    assert plan.expected_null == plan.expected_planned == 1.0


def test_futility_costs_power_and_saves_looks_without_an_effect() -> None:
    with_advice = plan_looks(equal_fractions(4), futility=POCOCK)
    without = plan_looks(equal_fractions(4))
    assert with_advice.drift > without.drift
    assert with_advice.futility is not None
    assert with_advice.futility[-1] == pytest.approx(with_advice.looks[-1].upper, abs=1e-6)


def test_power_and_mean_information_by_simulation() -> None:
    """200 000 Brownian motions at the planned drift, within 3 Monte-Carlo errors."""
    replicates, times = 200_000, np.array([0.3, 0.5, 0.9, 1.0])
    plan = plan_looks(tuple(times.tolist()), spending=POCOCK, power=0.8)
    rng = np.random.default_rng(zlib.crc32(b"looks, power"))
    steps = np.diff(times, prepend=0)
    z = (rng.standard_normal((replicates, 4)) * np.sqrt(steps) + plan.drift * steps).cumsum(axis=1) / np.sqrt(times)
    crossed = np.abs(z) >= np.array([look.upper for look in plan.looks])
    stops = times[np.where(crossed.any(axis=1), crossed.argmax(axis=1), 3)]
    assert crossed.any(axis=1).mean() == pytest.approx(0.8, abs=3 * 0.4 / math.sqrt(replicates) + 1e-6)
    assert stops.mean() == pytest.approx(plan.expected_planned, abs=3 * stops.std() / math.sqrt(replicates))


def test_without_an_effect_a_test_rarely_stops_early() -> None:
    looks = boundary(equal_fractions(5), spending=OBRIEN_FLEMING)
    assert 0.99 < expected_information(looks) < 1
    assert expected_information(looks, drift=30.0) == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(
    "fractions", [(), (0.5,), (0.5, 0.9), (0.5, 1.2), (0.5, 0.4, 1.0), (0.5, 0.5, 1.0), (0.0, 1.0), (math.nan, 1.0)]
)
def test_a_plan_has_increasing_looks_to_the_planned_information(fractions) -> None:
    with pytest.raises(EvidenceError):
        plan_looks(fractions)


@pytest.mark.parametrize("power", [0.0, 0.01, 1.0, 1.5, math.nan])
def test_power_is_checked(power: float) -> None:
    with pytest.raises(EvidenceError, match="power"):
        plan_looks(equal_fractions(3), power=power)


@pytest.mark.parametrize("looks", [0, -1])
def test_a_plan_has_a_look(looks: int) -> None:
    with pytest.raises(EvidenceError, match="look"):
        equal_fractions(looks)
