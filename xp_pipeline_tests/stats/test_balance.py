"""Balance: Austin's standardized difference and Welch's p-value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import ttest_ind

from xp_pipeline.stats.balance import balance_p_value, standardized_difference
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.stats.strategies import arms, binary


def test_austins_formula_for_prevalences() -> None:
    """Austin 2009: (p_t - p_c) / sqrt((p_t(1 - p_t) + p_c(1 - p_c))/2), here up to n/(n - 1)."""
    found = standardized_difference(binary(3000, 10_000), binary(4000, 10_000))
    assert found == pytest.approx(0.1 / math.sqrt((0.21 + 0.24) / 2), rel=1e-4)


@given(arms(2))
def test_it_has_no_unit_and_a_sign(pair) -> None:
    control, treatment = pair
    plain = standardized_difference(Moments.of(control), Moments.of(treatment), 1)
    moved = standardized_difference(Moments.of(4 * control + 2), Moments.of(4 * treatment + 2), 1)
    assert moved == pytest.approx(plain, rel=1e-9, abs=1e-9)
    assert standardized_difference(Moments.of(treatment), Moments.of(control), 1) == pytest.approx(-plain)


def test_p_value_is_welchs_of_the_chosen_variable() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(80, 2)), rng.normal(0.2, 1, size=(70, 2))
    wanted = ttest_ind(b[:, 1], a[:, 1], equal_var=False).pvalue
    assert balance_p_value(Moments.of(a), Moments.of(b), 1) == pytest.approx(wanted, rel=1e-10)


def test_constants_have_no_difference_to_speak_of() -> None:
    arm = Moments.of([1.0, 1.0])
    assert math.isnan(standardized_difference(arm, arm))
    assert math.isnan(balance_p_value(arm, arm))
    assert math.isnan(standardized_difference(Moments.empty(1), arm))
