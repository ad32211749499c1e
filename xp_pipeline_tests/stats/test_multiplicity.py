"""Families: textbook adjustments, statsmodels' names, and members that leave."""

from __future__ import annotations

import math
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.multiplicity import (
    Method,
    adjust,
    adjusted,
    critical_p,
    family,
    preferential_weights,
    selected_alpha,
    simultaneous_alpha,
    weighted_bonferroni,
)

FEW = settings(max_examples=25)
PS = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_holm_by_hand() -> None:
    assert adjust([0.01, 0.04, 0.03, 0.005], method="holm") == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_1995_example_rejects_four_of_fifteen() -> None:
    """Their thrombolysis example (J. R. Stat. Soc. B 57, section 4): Bonferroni and Hochberg reject 3, theirs 4."""
    ps = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
        0.4262, 0.5719, 0.6528, 0.7590, 1.0,
    ]  # fmt: skip
    assert sum(p <= 0.05 for p in adjust(ps, method="fdr_bh") if p is not None) == 4
    for method in ("bonferroni", "holm", "hochberg"):
        assert sum(p <= 0.05 for p in adjust(ps, method=method) if p is not None) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [m for m in get_args(Method) if m != "none"])
def test_every_name_is_the_adjustment_of_statsmodels(method: Method) -> None:
    from statsmodels.stats.multitest import multipletests

    ps = [0.001, 0.2, 0.013, 0.04, 0.04, 0.9]
    name = "simes-hochberg" if method == "hochberg" else method
    assert adjust(ps, method=method) == pytest.approx(list(multipletests(ps, method=name)[1]))


@FEW
@given(PS, st.sampled_from(get_args(Method)))
def test_adjusted_is_at_least_raw_and_at_most_one(ps, method) -> None:
    found = adjust(ps, method=method)
    assert all(raw - 1e-12 <= p <= 1 for raw, p in zip(ps, found, strict=True) if p is not None)


@FEW
@given(PS, st.sampled_from(get_args(Method)), st.randoms())
def test_order_does_not_matter(ps, method, random) -> None:
    order = list(range(len(ps)))
    random.shuffle(order)
    plain, shuffled = adjust(ps, method=method), adjust([ps[i] for i in order], method=method)
    assert shuffled == pytest.approx([plain[i] for i in order])


@FEW
@given(PS)
def test_power_is_ordered(ps) -> None:
    hommel, hochberg, holm, bonferroni = (adjust(ps, method=m) for m in ("hommel", "hochberg", "holm", "bonferroni"))
    for a, b, c, d in zip(hommel, hochberg, holm, bonferroni, strict=True):
        assert a <= b + 1e-12
        assert b <= c + 1e-12
        assert c <= d + 1e-12


def test_undefined_members_leave_the_family() -> None:
    found = adjust([0.01, None, 0.03, math.nan], method="bonferroni")
    assert found[0] == pytest.approx(0.02)
    assert found[2] == pytest.approx(0.06)
    assert found[1] is None
    assert found[3] is None
    assert adjust([None, math.nan], method="holm") == [None, None]
    assert adjust([], method="holm") == []


def test_none_leaves_p_values_as_they_are() -> None:
    assert adjust([0.3, None, 0.01], method="none") == [0.3, None, 0.01]


def test_unknown_methods_and_impossible_p_values_are_refused() -> None:
    with pytest.raises(EvidenceError, match="did you mean 'holm'"):
        adjust([0.1], method="hom")  # type: ignore[arg-type]
    with pytest.raises(EvidenceError, match="probability"):
        adjust([1.2], method="holm")


def test_simultaneous_alpha_is_bonferronis() -> None:
    assert simultaneous_alpha(0.05, 4) == 0.0125
    with pytest.raises(EvidenceError, match="at least one"):
        simultaneous_alpha(0.05, 0)


@FEW
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_hommel_is_the_closure_of_simes_tests(ps) -> None:
    """Hommel 1988 by definition: the largest Simes p-value of all intersections that contain the hypothesis."""
    for i, found in enumerate(adjust(ps, method="hommel")):
        others = [j for j in range(len(ps)) if j != i]
        families = [[ps[i], *(ps[j] for j in c)] for r in range(len(ps)) for c in combinations(others, r)]
        simes = [min(len(f) * p / k for k, p in enumerate(sorted(f), 1)) for f in families]
        assert found == pytest.approx(min(max(simes), 1.0), abs=1e-12)


def test_many_families_at_once_are_each_on_its_own() -> None:
    rng = np.random.default_rng(4)
    table = rng.random((40, 6)) ** 3
    table[rng.random(table.shape) < 0.2] = np.nan
    for method in get_args(Method):
        rows = [[math.nan if p is None else p for p in adjust(list(row), method=method)] for row in table]
        np.testing.assert_allclose(adjusted(table, method=method), rows, rtol=1e-12)


def test_who_left_a_family_is_counted() -> None:
    found = family([0.01, None, 0.03, math.nan, 0.2], method="holm")
    assert (found.size, found.left) == (3, 2)
    assert found.reason == "2 of 5 tests have no p-value and left the family"
    assert found.significant == (True, None, False, None, False)
    assert math.isnan(found.p_adjusted[1])
    assert found.interval_alpha == pytest.approx(0.05 / 3)
    assert (found.simultaneous, found.dual) == (True, False)
    assert family([0.01], method="holm").reason == ""
    assert family([None], method="fdr_bh").size == 0


@FEW
@given(PS, st.sampled_from(["bonferroni", "fdr_bh", "fdr_by", "none"]))
def test_dual_families_select_just_those_whose_interval_leaves_out_the_null(ps, method) -> None:
    """An interval at level 1 - a leaves out the null exactly when p < a."""
    found = family(ps, method=method)
    assert found.dual
    for p, significant in zip(ps, found.significant, strict=True):
        if abs(p - found.interval_alpha) > 1e-12:
            assert significant == (p < found.interval_alpha)


@FEW
@given(PS, st.sampled_from(["holm", "hochberg", "hommel"]))
def test_bonferroni_intervals_are_compatible_with_sharper_tests(ps, method) -> None:
    found = family(ps, method=method)
    assert all(s for p, s in zip(ps, found.significant, strict=True) if p < found.interval_alpha)


@FEW
@given(PS, st.sampled_from(get_args(Method)), st.data())
def test_the_critical_p_is_where_a_member_becomes_significant(ps, method, data) -> None:
    index = data.draw(st.integers(0, len(ps) - 1))
    critical = critical_p(ps, index, method=method)
    assert 0.05 / len(ps) / 3 < critical <= 0.05 + 1e-12
    for p, wanted in ((critical, True), (critical * (1 + 1e-9) + 1e-14, False)):
        assert (adjust([*ps[:index], p, *ps[index + 1 :]], method=method)[index] <= 0.05) == wanted  # type: ignore[operator]


def test_false_coverage_of_selected_intervals_is_held() -> None:
    """20 000 families of 10 z-tests, 5 of them with an effect: the share of selected intervals that miss, 5 %."""
    rng = np.random.default_rng(20)
    truth = np.where(np.arange(10) < 5, 2.5, 0.0)
    z = truth + rng.normal(size=(20_000, 10))
    p = 2 * _upper(np.abs(z))
    selected = adjusted(p, method="fdr_bh") <= 0.05
    count = selected.sum(axis=1)
    half = _critical(0.05 * np.maximum(count, 1) / 10)[:, None]
    missed = (selected & (np.abs(z - truth) > half)).sum(axis=1) / np.maximum(count, 1)
    assert missed.mean() <= 0.05 + 3 * missed.std() / math.sqrt(20_000)
    assert missed.mean() > 0.01
    assert selected_alpha(0.05, 3, 10) == pytest.approx(0.015)
    assert selected_alpha(0.05, 0, 10) == pytest.approx(0.005)
    with pytest.raises(EvidenceError, match="selected"):
        selected_alpha(0.05, 4, 3)


def _upper(z):
    from scipy.special import ndtr

    return ndtr(-z)


def _critical(alpha):
    from scipy.special import ndtri

    return -ndtri(alpha / 2)


def test_preferential_bonferroni_keeps_the_primary_level() -> None:
    few, many = preferential_weights([True, False]), preferential_weights([True, *[False] * 20])
    assert few[0] == many[0] == 0.5
    assert math.fsum(many) == pytest.approx(1)
    assert preferential_weights([True, True]) == (0.5, 0.5)
    assert preferential_weights([True, False, False], primary_share=0.8) == pytest.approx((0.8, 0.1, 0.1))
    found = weighted_bonferroni([0.02, 0.02, math.nan], preferential_weights([True, False, False]))
    assert found[:2] == pytest.approx([0.04, 0.08])
    assert math.isnan(found[2])
    with pytest.raises(EvidenceError, match="share of alpha"):
        preferential_weights([True, False], primary_share=1.0)
    with pytest.raises(EvidenceError, match="weights divide alpha"):
        weighted_bonferroni([0.1, 0.1], [0.9, 0.2])
