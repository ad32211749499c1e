"""The level of a single test, and the power of each of several that must all succeed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from xp_pipeline.design.levels import (
    always_valid_level,
    bonferroni_level,
    family_level,
    joint_power,
    many_arms_level,
)
from xp_pipeline.errors import EvidenceError


@pytest.mark.parametrize(("treatments", "critical"), [(1, 1.960), (2, 2.212), (3, 2.349), (4, 2.442), (5, 2.511)])
def test_dunnetts_table(treatments: int, critical: float) -> None:
    """Dunnett 1964, Biometrics 20, table II (two-sided 0.05, infinite df): 1.96, 2.21, 2.35, 2.44, 2.51."""
    level = many_arms_level(0.05, shares=[1] * (treatments + 1))
    assert -special.ndtri(level / 2) == pytest.approx(critical, abs=1e-3)


@given(st.integers(1, 6), st.integers(1, 4), st.floats(0.001, 0.2))
def test_corrections_are_ordered(treatments: int, metrics: int, alpha: float) -> None:
    """Bonferroni's level is at most Dunnett's, that at most the uncorrected one; Holm begins with Bonferroni's."""
    shares = [2.0] + [1.0] * treatments
    holm, bonferroni, dunnett, none = (
        family_level(alpha, correction=c, shares=shares, metrics=metrics)
        for c in ("holm", "bonferroni", "dunnett", "none")
    )
    assert holm == bonferroni == alpha / (treatments * metrics)
    assert bonferroni <= dunnett * (1 + 1e-9)
    assert dunnett <= none * (1 + 1e-9)


def test_all_that_must_hold_do_with_the_power_asked_for() -> None:
    """Independent tests, simulated by their product: 1 - 0.2 at the least, by Bonferroni's inequality."""
    each = joint_power(0.8, 4)
    assert each == pytest.approx(0.95)
    assert each**4 >= 0.8
    assert joint_power(0.8, 1) == 0.8


def test_an_always_valid_interval_is_1_55_times_as_wide_where_it_is_tuned() -> None:
    """Waudby-Smith et al. 2024, equation 9, at n = n* and alpha 0.05."""
    assert special.ndtri(1 - always_valid_level(0.05) / 2) / special.ndtri(0.975) == pytest.approx(1.55, abs=0.005)


@pytest.mark.parametrize(("call", "word"), [
    (lambda: bonferroni_level(0.0, 1), "alpha"),
    (lambda: bonferroni_level(0.05, 0), "family"),
    (lambda: family_level(0.05, correction="tukey", shares=[1, 1]), "unknown correction"),
    (lambda: family_level(0.05, correction="dunnett", shares=[1, 0]), "share"),
    (lambda: many_arms_level(0.05, shares=[1]), "share"),
    (lambda: joint_power(1.0, 2), "power is a probability"),
    (lambda: joint_power(0.8, 0), "at least one test"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(call, word: str) -> None:
    with pytest.raises(EvidenceError, match=word) as problem:
        call()
    assert "\n" not in str(problem.value)
