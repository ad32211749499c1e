"""Dunnett: his tables of 1955 and 1964, his example, SciPy's p-values, and intervals dual to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.dunnett import dunnett, dunnett_critical, dunnett_family, dunnett_level, loadings
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline_tests.stats.strategies import binary

EQUAL = math.sqrt(0.5)
"""Loading of arms of equal size: correlation 0.5."""

TABLE_1964 = {
    (0.05, 5): (2.57, 3.03, 3.29, 3.48, 3.62, 3.73, 3.82, 3.90, 3.97),
    (0.05, 10): (2.23, 2.57, 2.76, 2.89, 2.99, 3.07, 3.14, 3.19, 3.24),
    (0.05, 20): (2.09, 2.38, 2.54, 2.65, 2.73, 2.80, 2.86, 2.90, 2.95),
    (0.05, 60): (2.00, 2.27, 2.41, 2.51, 2.58, 2.64, 2.69, 2.73, 2.77),
    (0.05, math.inf): (1.96, 2.21, 2.35, 2.44, 2.51, 2.57, 2.61, 2.65, 2.69),
    (0.01, 10): (3.17, 3.53, 3.74, 3.88, 3.99),
    (0.01, math.inf): (2.58, 2.79, 2.92, 3.00, 3.06),
}
"""Two-sided critical values by alpha and degrees of freedom for 1, 2 … treatments: Biometrics 20, tables II, III."""

BLOOD = (
    [7.40, 8.50, 7.20, 8.24, 9.84, 8.32],
    [9.76, 8.80, 7.68, 9.36],
    [12.80, 9.68, 12.16, 9.20, 10.55],
)
"""Blood counts of three groups, the first untreated: Dunnett 1955, J. Am. Stat. Assoc. 50, table 2."""


@pytest.mark.parametrize(("alpha", "df"), TABLE_1964)
def test_critical_values_of_the_table(alpha: float, df: float) -> None:
    for k, published in enumerate(TABLE_1964[alpha, df], 1):
        assert dunnett_critical(alpha, loadings=[EQUAL] * k, df=df) == pytest.approx(published, abs=0.00501)


def test_the_example_of_1955() -> None:
    """SciPy documents p = 0.620 and 0.0059 for it; its integration is accurate to about 1e-4."""
    groups = [np.array(group) for group in BLOOD]
    df = sum(len(g) - 1 for g in groups)
    s = math.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups) / df)
    sizes = [len(g) for g in groups]
    t = [
        (g.mean() - groups[0].mean()) / (s * math.sqrt(1 / n + 1 / sizes[0]))
        for g, n in zip(groups[1:], sizes[1:], strict=True)
    ]
    found = dunnett(t, loadings=loadings(1 / sizes[0], [1 / n for n in sizes[1:]]), df=df)
    assert found == pytest.approx((0.62004941, 0.0059035), abs=2e-4)
    wanted = stats.dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(1)).pvalue
    assert found == pytest.approx(tuple(wanted), abs=1e-3)


@pytest.mark.parametrize("df", [4.0, 37.5, math.inf])
@pytest.mark.parametrize("t", [0.0, 0.7, 2.0, 5.0, 12.0])
def test_with_one_treatment_it_is_the_ordinary_p_value(t: float, df: float) -> None:
    wanted = 2 * (stats.t.sf(t, df) if math.isfinite(df) else stats.norm.sf(t))
    assert dunnett([t], loadings=[0.6], df=df)[0] == pytest.approx(wanted, rel=1e-9)


def test_without_a_shared_control_it_is_sidaks() -> None:
    found = dunnett([1.5, 2.5, 0.3], loadings=[0.0, 0.0, 0.0])
    for p, t in zip(found, (1.5, 2.5, 0.3), strict=True):
        assert p == pytest.approx(1 - (1 - 2 * stats.norm.sf(t)) ** 3, rel=1e-10)


@settings(max_examples=20)
@given(
    st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4),
    st.floats(0.0, 6.0),
    st.sampled_from([8.0, 60.0, math.inf]),
)
def test_it_lies_between_the_single_test_and_bonferroni(load, t, df) -> None:
    single = 2 * float(stats.t.sf(t, df) if math.isfinite(df) else stats.norm.sf(t))
    p = dunnett([t] * len(load), loadings=load, df=df)[0]
    assert single * (1 - 1e-9) <= p <= min(1.0, len(load) * single) * (1 + 1e-9)


def test_p_values_and_intervals_are_dual_for_unequal_arms() -> None:
    rng = np.random.default_rng(8)
    control = Moments.of(rng.normal(10, 2, 60))
    arms = [
        Moments.of(rng.normal(10 + d, s, n)) for d, s, n in ((0.7, 1, 30), (0.9, 4, 90), (1.4, 2, 12), (0.0, 1, 40))
    ]
    for alpha in (0.01, 0.05, 0.2):
        found = dunnett_family([welch(control, arm) for arm in arms], alpha=alpha)
        for one in found:
            assert (one.p_adjusted < alpha) == (one.low > 0 or one.high < 0)
    wider = [
        (f.high - f.low) / (e.high - e.low)
        for f, e in zip(found, [welch(control, a, alpha=0.2) for a in arms], strict=True)
    ]
    assert min(wider) > 1


def test_undefined_comparisons_leave_the_family() -> None:
    rng = np.random.default_rng(9)
    control, arm = (Moments.of(rng.normal(0, 1, 50)) for _ in range(2))
    found = dunnett_family([welch(control, arm), welch(control, Moments.empty(1))])
    assert found[0].p_adjusted == pytest.approx(welch(control, arm).p_value, rel=1e-9)
    assert (found[1].status, math.isnan(found[1].p_adjusted)) == (Status.INSUFFICIENT_DATA, True)
    small = dunnett_family([proportion(binary(3, 50), binary(5, 50))])[0]
    assert small.status == Status.NOT_TESTABLE
    assert "score" in small.reason
    found = dunnett([math.nan, 2.0], loadings=[0.7, 0.7])
    assert math.isnan(found[0])
    assert found[1] == pytest.approx(2 * stats.norm.sf(2.0), rel=1e-9)
    with pytest.raises(EvidenceError, match="one control"):
        dunnett_family([welch(control, arm), welch(Moments.of([1.0, 2.0]), arm)])


def test_family_wise_error_is_kept_and_bonferronis_is_beaten() -> None:
    """4000 experiments of three arms against a smaller control with other variances: 5 % +- 3 x 0.35 points."""
    rng = np.random.default_rng(10)
    sizes, sds, replicates = (40, 60, 80, 60), (1.0, 1.5, 0.7, 1.0), 4000
    means = np.stack([rng.normal(0, s / math.sqrt(n), replicates) for n, s in zip(sizes, sds, strict=True)], axis=1)
    v = np.array([s**2 / n for n, s in zip(sizes, sds, strict=True)])
    critical = dunnett_critical(0.05, loadings=loadings(v[0], v[1:]))
    z = np.abs(means[:, 1:] - means[:, :1]) / np.sqrt(v[0] + v[1:])
    assert (z.max(axis=1) >= critical).mean() == pytest.approx(0.05, abs=3 * 0.0035)
    assert critical < stats.norm.isf(0.05 / 6)


def test_planning_level_lies_between_bonferroni_and_alpha() -> None:
    level = dunnett_level(0.05, shares=[0.4, 0.2, 0.2, 0.2])
    assert 0.05 / 3 < level < 0.05
    assert dunnett_level(0.05, shares=[0.5, 0.5]) == pytest.approx(0.05, rel=1e-9)


def test_what_cannot_be_asked() -> None:
    for load in ([], [1.0], [-0.1]):
        with pytest.raises(EvidenceError, match="loading"):
            dunnett_critical(0.05, loadings=load)
    with pytest.raises(EvidenceError, match="degrees of freedom"):
        dunnett([1.0], loadings=[0.5], df=0.0)
    with pytest.raises(EvidenceError, match="alpha"):
        dunnett_critical(1.0, loadings=[0.5])
    with pytest.raises(EvidenceError, match="variances"):
        loadings(1.0, [0.0])
    with pytest.raises(EvidenceError, match="control first"):
        dunnett_level(0.05, shares=[1.0])
