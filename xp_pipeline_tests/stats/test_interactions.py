"""Interactions: the saturated regression with HC2, additivity, calibration, and assignments that share a salt."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.interactions import assignment_independence, interaction
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import ratio
from xp_pipeline_tests.stats.strategies import samples

ARMS = {"first": ("a0", "a1"), "second": ("b0", "b1")}
PLACES = [(a, b) for a in ARMS["first"] for b in ARMS["second"]]


def test_it_is_the_interaction_of_the_saturated_regression_with_hc2() -> None:
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(1)
    a, b = (rng.random(700) < 0.4).astype(float), (rng.random(700) < 0.7).astype(float)
    y = 1 + 2 * a - b + 0.7 * a * b + rng.normal(size=700) * (1 + a + 2 * b)
    cells = {(f"a{i}", f"b{j}"): Moments.of(y[(a == i) & (b == j)]) for i in (0, 1) for j in (0, 1)}
    found = interaction(cells, **ARMS)
    fit = OLS(y, np.column_stack([np.ones(700), a, b, a * b])).fit(cov_type="HC2")
    assert found.interaction.difference == pytest.approx(fit.params[3], rel=1e-9)
    assert found.interaction.se == pytest.approx(fit.bse[3], rel=1e-9)
    v = [m.variance() / m.n for m in cells.values()]
    df = sum(v) ** 2 / sum(x**2 / (m.n - 1) for x, m in zip(v, cells.values(), strict=True))
    assert found.interaction.df == pytest.approx(df, rel=1e-9)
    assert found.within_control.effect == pytest.approx(fit.params[1], rel=1e-9)
    assert found.within_treatment.effect == pytest.approx(fit.params[1] + fit.params[3], rel=1e-9)


@given(st.lists(samples(1, most=8), min_size=4, max_size=4))
def test_which_experiment_comes_first_does_not_matter(values) -> None:
    cells = {place: Moments.of(v) for place, v in zip(PLACES, values, strict=True)}
    one = interaction(cells, **ARMS).interaction
    turned = interaction({(b, a): m for (a, b), m in cells.items()}, first=ARMS["second"], second=ARMS["first"])
    if one.status == Status.OK and turned.interaction.status == Status.OK:
        assert one.difference == pytest.approx(turned.interaction.difference, abs=1e-9)
        assert one.p_value == pytest.approx(turned.interaction.p_value, rel=1e-6)


def test_ratios_are_compared_by_their_own_estimator() -> None:
    rng = np.random.default_rng(2)
    cells = {
        place: Moments.of(np.column_stack([rng.poisson(rate, 900), 1 + rng.poisson(3, 900)]))
        for place, rate in zip(PLACES, (1.0, 1.0, 1.0, 2.0), strict=True)
    }
    found = interaction(cells, **ARMS, estimator=ratio)
    assert found.within_control.estimator == "ratio"
    assert found.interaction.difference == pytest.approx(0.25, abs=0.04)
    assert found.interaction.p_value < 1e-6


def test_a_missing_cell_is_no_interaction_of_zero() -> None:
    found = interaction({place: Moments.of([1.0, 2.0, 4.0]) for place in PLACES[:3]}, **ARMS).interaction
    assert found.status == Status.INSUFFICIENT_DATA
    assert math.isnan(found.p_value)
    assert interaction({}, **ARMS).interaction.status == Status.INSUFFICIENT_DATA


def test_additive_effects_are_no_interaction() -> None:
    """4000 pairs of experiments with two effects that add up, 4 x 100 units: 5 % +- 3 x 0.35 points."""
    rng = np.random.default_rng(3)
    shift = dict(zip(PLACES, (0.0, 2.0, 1.0, 3.0), strict=True))
    rejected = [
        interaction({p: Moments.of(rng.normal(s, 1 + s, 100)) for p, s in shift.items()}, **ARMS).interaction.p_value
        <= 0.05
        for _ in range(4000)
    ]
    assert np.mean(rejected) == pytest.approx(0.05, abs=3 * 0.0035)


@pytest.mark.parametrize("table", [[[20, 30], [40, 25]], [[500, 480, 510], [250, 260, 240]]])
def test_independence_is_scipys_chi_square(table) -> None:
    found, wanted = assignment_independence(table), stats.chi2_contingency(table, correction=False)
    assert (found.statistic, found.p_value, found.df) == pytest.approx((wanted.statistic, wanted.pvalue, wanted.dof))
    np.testing.assert_allclose(found.expected, wanted.expected_freq)
    assert found.cramers_v == pytest.approx(stats.contingency.association(np.array(table), method="cramer"))


def test_fishers_twins() -> None:
    """10 of 13 monozygotic and 2 of 17 dizygotic twins of criminals were convicted too: chi-square 13.032, published
    in Fisher 1934, Statistical Methods for Research Workers, section 21."""
    assert assignment_independence([[10, 3], [2, 15]]).statistic == pytest.approx(13.032, abs=5e-4)


def test_a_shared_salt_shows() -> None:
    found = assignment_independence([[1000, 0], [0, 1000]])
    assert found.independent() is False
    assert found.cramers_v == pytest.approx(1)
    assert found.p_value > 0
    assert assignment_independence([[1000, 1010], [990, 1000]]).independent() is True


def test_few_units_are_not_testable() -> None:
    for table in ([[3, 4], [2, 1]], [[0, 0], [50, 60]], [[0, 0], [0, 0]]):
        found = assignment_independence(table)
        assert found.status == Status.NOT_TESTABLE
        assert found.independent() is None
        assert "expects" in found.reason


@pytest.mark.parametrize("table", [[[1, 2]], [[1, -2], [3, 4]], [[1, math.nan], [3, 4]]])
def test_what_is_no_table_is_refused(table) -> None:
    with pytest.raises(EvidenceError, match="two experiments"):
        assignment_independence(table)
