"""Heterogeneity: published meta-analyses, statsmodels, the interaction of a regression, and calibration."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.heterogeneity import cochran_q, crossed_name, effect_difference, margin
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.stats.strategies import arms, assert_same

BORENSTEIN = (
    (94, 22, 60, 92, 20, 60), (98, 21, 65, 92, 22, 65), (98, 28, 40, 88, 26, 40), (94, 19, 200, 82, 17, 200),
    (98, 21, 50, 88, 22, 45), (96, 21, 85, 92, 22, 85),
)  # fmt: skip
"""Mean, standard deviation and size of treated and control of six studies: Borenstein, Hedges, Higgins, Rothstein 2009,
Introduction to Meta-Analysis, table 14.1. Of Hedges' g they find Q = 12.0033 on 5 degrees of freedom, p = 0.0347,
I^2 = 58.34 %, and a common effect of 0.41."""


def _hedges(m_t: float, s_t: float, n_t: int, m_c: float, s_c: float, n_c: int) -> tuple[float, float]:
    """Hedges' g and its variance (their chapter 4)."""
    df = n_t + n_c - 2
    d = (m_t - m_c) / math.sqrt(((n_t - 1) * s_t**2 + (n_c - 1) * s_c**2) / df)
    j = 1 - 3 / (4 * df - 1)
    return j * d, j**2 * ((n_t + n_c) / (n_t * n_c) + d**2 / (2 * (n_t + n_c)))


STUDIES = [_hedges(*row) for row in BORENSTEIN]

BCG = (
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
    (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232), (17, 1699, 65, 1600),
    (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
)  # fmt: skip
"""Cases and others with and without vaccine in 13 trials: Colditz et al. 1994, JAMA 271. Of the log risk ratios
Viechtbauer 2010 (J. Stat. Softw. 36) reports Q(12) = 152.233 and I^2 of the DerSimonian-Laird kind 92.12 %."""


def _effect(effect: float, variance: float) -> Estimate:
    return Estimate(Status.OK, "", "welch", 100, 100, effect=effect, se=math.sqrt(variance), df=198.0)


def test_a_textbook_meta_analysis() -> None:
    found = cochran_q([_effect(*study) for study in STUDIES])
    assert (found.q, found.df) == (pytest.approx(12.0033, abs=5e-5), 5)
    assert found.p_value == pytest.approx(0.0347, abs=5e-5)
    assert found.i_squared == pytest.approx(0.5834, abs=5e-5)
    assert found.common == pytest.approx(0.41, abs=0.005)


def test_the_vaccine_trials() -> None:
    studies = [
        _effect(math.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)) for a, b, c, d in BCG
    ]
    found = cochran_q(studies)
    assert (found.q, found.df) == (pytest.approx(152.233, abs=5e-4), 12)
    assert found.i_squared == pytest.approx(0.9212, abs=5e-5)
    assert found.p_value < 1e-20


def test_it_is_that_of_statsmodels() -> None:
    from statsmodels.stats.meta_analysis import combine_effects

    wanted = combine_effects(*(np.array(column) for column in zip(*STUDIES, strict=True)))
    found = cochran_q([_effect(*study) for study in STUDIES])
    assert found.q == pytest.approx(wanted.q, rel=1e-9)
    assert found.common == pytest.approx(wanted.mean_effect_fe, rel=1e-9)
    assert found.common_se == pytest.approx(wanted.sd_eff_w_fe, rel=1e-9)


segments = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 4)), min_size=2, max_size=6)


@given(segments, st.randoms(), st.floats(-100, 100), st.floats(0.01, 100))
def test_order_shift_and_scale_do_not_matter(studies, random, shift, scale) -> None:
    one = cochran_q([_effect(*study) for study in studies])
    shuffled = random.sample(studies, len(studies))
    other = cochran_q([_effect(scale * (e + shift), scale**2 * v) for e, v in shuffled])
    assert other.q == pytest.approx(one.q, rel=1e-6, abs=1e-9)
    assert other.common == pytest.approx(scale * (one.common + shift), rel=1e-7, abs=1e-7 * scale)


def test_of_two_segments_it_is_the_square_of_their_difference() -> None:
    a, b = _effect(0.3, 0.01), _effect(0.7, 0.03)
    found = effect_difference(replace(a, df=math.inf), replace(b, df=math.inf))
    assert cochran_q([a, b]).q == pytest.approx((found.difference / found.se) ** 2)
    assert cochran_q([a, b]).p_value == pytest.approx(found.p_value)


def test_equal_lifts_on_unequal_baselines_are_one_effect_on_the_relative_scale_only() -> None:
    rng = np.random.default_rng(3)
    cells = [(rng.normal(m, 1, 3000), rng.normal(1.1 * m, 1, 3000)) for m in (10, 40)]
    found = [welch(*map(Moments.of, cell)) for cell in cells]
    assert cochran_q(found, scale="absolute").p_value < 1e-6
    assert cochran_q(found, scale="relative").p_value > 0.001


def test_segments_without_an_estimate_are_counted() -> None:
    known = [_effect(*study) for study in STUDIES[:2]]
    nothing = welch(Moments.of([1.0]), Moments.of([1.0, 2.0]))
    found = cochran_q([*known, nothing])
    assert (found.status, found.df) == (Status.OK, 1)
    assert found.reason == "1 of 3 segments have no estimate"
    assert cochran_q([known[0], nothing]).status == Status.NOT_TESTABLE
    assert cochran_q([]).status == Status.NOT_TESTABLE
    assert math.isnan(cochran_q([]).p_value)


def test_q_and_the_difference_are_calibrated() -> None:
    """4000 experiments without a difference, 4 segments of 2 x 300 skewed units: 5 % +- 3 x 0.35 points."""
    rng = np.random.default_rng(4)
    q, two = [], []
    for _ in range(4000):
        values = rng.exponential(1.0, (4, 2, 300)) + np.arange(4)[:, None, None]
        effects = [welch(Moments.of(c), Moments.of(t)) for c, t in values]
        q.append(cochran_q(effects).p_value <= 0.05)
        two.append(effect_difference(effects[0], effects[1]).p_value <= 0.05)
    assert np.mean(q) == pytest.approx(0.05, abs=3 * 0.0035)
    assert np.mean(two) == pytest.approx(0.05, abs=3 * 0.0035)


@given(arms(), arms(), st.sampled_from([0.01, 0.05, 0.3]))
def test_p_value_and_interval_of_a_difference_are_dual(first, second, alpha) -> None:
    found = effect_difference(*(welch(*map(Moments.of, pair)) for pair in (first, second)), alpha=alpha)
    back = effect_difference(*(welch(*map(Moments.of, pair)) for pair in (second, first)), alpha=alpha)
    if min(abs(found.low), abs(found.high)) > 1e-9:
        assert (found.p_value < alpha) == (found.low > 0 or found.high < 0)
    assert (found.low, found.high) == pytest.approx((-back.high, -back.low))


@pytest.mark.parametrize("place", [0, 1])
def test_a_difference_with_an_undefined_effect_is_undefined(place: int) -> None:
    pair = [_effect(0.1, 0.1), _effect(0.2, 0.1)]
    pair[place] = welch(Moments.of([2.0, 2.0]), Moments.of([3.0, 3.0]))
    found = effect_difference(*pair)
    assert found.status == Status.DEGENERATE
    assert found.reason
    assert math.isnan(found.p_value)


def test_margins_of_a_crossing_are_those_of_the_units() -> None:
    rng = np.random.default_rng(5)
    country, device = rng.integers(0, 3, 200), rng.integers(0, 2, 200)
    y = rng.normal(1e6, 1, 200)
    cells = {
        (f"c{i}", f"d{j}"): Moments.of(y[(country == i) & (device == j)]) for i in range(3) for j in range(2)
    }  # fmt: skip
    by_country = margin(cells, keep=[0])
    assert set(by_country) == {("c0",), ("c1",), ("c2",)}
    for i in range(3):
        assert_same(by_country[(f"c{i}",)], Moments.of(y[country == i]))
    assert_same(margin(cells, keep=[])[()], Moments.of(y))
    assert margin(cells, keep=[1, 0])[("d1", "c2")].n == cells[("c2", "d1")].n
    assert crossed_name(["country", "device"]) == "country x device"
    with pytest.raises(EvidenceError, match="one level of every dimension"):
        margin(cells, keep=[2])
