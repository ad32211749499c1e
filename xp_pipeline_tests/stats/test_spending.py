"""Spending functions: published values, shape, and the parameters they refuse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.spending import OBRIEN_FLEMING, POCOCK, Spending

KIM_DEMETS = st.floats(0.01, 50).map(lambda rho: Spending("kim_demets", rho))
HWANG_SHIH_DECANI = st.floats(-40, 40).map(lambda gamma: Spending("hwang_shih_decani", gamma))
ANY = st.one_of(st.sampled_from([OBRIEN_FLEMING, POCOCK]), KIM_DEMETS, HWANG_SHIH_DECANI)
FRACTIONS = st.floats(0.001, 1)


@pytest.mark.parametrize(
    ("spending", "alpha", "fractions", "spent"),
    [
        (OBRIEN_FLEMING, 0.13, (0.4, 0.75, 0.85), (0.016665509, 0.080406163, 0.10053322)),
        (POCOCK, 0.13, (0.35, 0.7), (0.061214062, 0.10266465)),
        (POCOCK, 0.025, (0.4, 0.7), (0.013078429, 0.0197432)),
        (Spending("kim_demets", 2.2), 0.03, (0.3, 0.7), (0.0021222083, 0.013687904)),
        (Spending("hwang_shih_decani", -1.0), 0.07, (0.2, 0.4), (0.0090195874, 0.020036136)),
        (Spending("hwang_shih_decani", 0.0), 0.03, (0.2, 0.4), (0.006, 0.012)),
    ],
)
def test_spent_is_the_alpha_spent_of_rpact(spending: Spending, alpha: float, fractions, spent) -> None:
    """The unit tests of rpact's getDesignGroupSequential, typeOfDesign asOF, asP, asKD, asHSD."""
    assert [spending.spent(t, alpha=alpha) for t in fractions] == pytest.approx(spent, rel=1e-7)


def test_lan_and_demets_formulas_are_those_of_the_paper() -> None:
    """2 (1 - Phi(z_{a/2} / sqrt t)) and a ln(1 + (e - 1) t): Lan, DeMets 1983."""
    assert OBRIEN_FLEMING.spent(0.3, alpha=0.025) == pytest.approx(
        2 * norm.sf(norm.isf(0.0125) / math.sqrt(0.3)), rel=1e-12
    )
    assert POCOCK.spent(0.3, alpha=0.025) == pytest.approx(0.025 * math.log(1 + (math.e - 1) * 0.3), rel=1e-14)


@given(ANY, FRACTIONS, FRACTIONS, st.floats(1e-4, 0.4))
def test_it_rises_from_nothing_to_alpha(spending: Spending, s: float, t: float, alpha: float) -> None:
    early, late = sorted((s, t))
    assert (
        0 <= spending.spent(early, alpha=alpha) <= spending.spent(late, alpha=alpha) * (1 + 1e-12) <= alpha * (1 + 1e-9)
    )


@given(ANY, st.floats(1, 100), st.floats(1e-4, 0.5))
def test_all_is_spent_from_the_planned_information_on(spending: Spending, information: float, alpha: float) -> None:
    assert spending.spent(information, alpha=alpha) == alpha


@given(ANY, st.floats(1e-4, 0.4))
def test_nothing_jumps_at_the_planned_information(spending: Spending, alpha: float) -> None:
    assert spending.spent(1 - 1e-12, alpha=alpha) == pytest.approx(alpha, rel=1e-8)


@given(FRACTIONS)
def test_hwang_shih_decani_passes_through_the_straight_line(t: float) -> None:
    line = Spending("hwang_shih_decani", 0.0).spent(t, alpha=0.025)
    assert Spending("hwang_shih_decani", 1e-9).spent(t, alpha=0.025) == pytest.approx(line, rel=1e-8)
    assert Spending("kim_demets", 1.0).spent(t, alpha=0.025) == pytest.approx(line, rel=1e-12)


def test_obrien_fleming_spends_almost_nothing_early_and_underflows_to_nothing() -> None:
    assert OBRIEN_FLEMING.spent(0.1, alpha=0.025) < 1e-11
    assert OBRIEN_FLEMING.spent(1e-6, alpha=0.025) == 0.0


@pytest.mark.parametrize(
    ("family", "parameter", "word"),
    [
        ("obrien-fleming", None, "no such"),
        ("pocock", 1.0, "no parameter"),
        ("obrien_fleming", 0.0, "no parameter"),
        ("kim_demets", None, "rho"),
        ("kim_demets", 0.0, "rho"),
        ("kim_demets", -1.0, "rho"),
        ("kim_demets", math.nan, "rho"),
        ("kim_demets", 51.0, "rho"),
        ("hwang_shih_decani", None, "gamma"),
        ("hwang_shih_decani", 41.0, "gamma"),
        ("hwang_shih_decani", math.nan, "gamma"),
    ],
)
def test_families_and_parameters_are_checked(family, parameter: float | None, word: str) -> None:
    with pytest.raises(EvidenceError, match=word):
        Spending(family, parameter)


@pytest.mark.parametrize("information", [0.0, -0.1, math.nan])
def test_information_is_positive(information: float) -> None:
    with pytest.raises(EvidenceError, match="information"):
        POCOCK.spent(information, alpha=0.025)


@pytest.mark.parametrize("alpha", [0.0, -0.1, 0.6, math.nan])
def test_the_error_rate_of_a_side_is_at_most_a_half(alpha: float) -> None:
    with pytest.raises(EvidenceError, match="error rate"):
        POCOCK.spent(0.5, alpha=alpha)
