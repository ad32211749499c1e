"""Moments: against numpy on centred data, and the algebra of merging."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.stats.strategies import assert_same, samples


def test_statistics_are_those_of_numpy_and_scipy() -> None:
    from scipy.stats import skew

    rows = np.random.default_rng(1).gamma(2.0, size=(500, 3))
    moments = Moments.of(rows)
    np.testing.assert_allclose(moments.comoment / 499, np.cov(rows, rowvar=False), rtol=1e-12)
    assert moments.variance(1) == pytest.approx(np.var(rows[:, 1], ddof=1), rel=1e-12)
    assert moments.covariance(0, 2) == pytest.approx(np.cov(rows[:, 0], rows[:, 2])[0, 1], rel=1e-12)
    assert moments.skewness() == pytest.approx(skew(rows[:, 0]), rel=1e-12)


@pytest.mark.parametrize("shift", [1e9, 1e9 + 1, 1e9 - 3])
def test_mean_of_a_billion_with_deviation_one_keeps_its_variance(shift: float) -> None:
    small = np.round(np.random.default_rng(2).normal(size=2000) * 64) / 64
    centred = small + 1e9 - shift
    found = Moments.from_sums(2000, [shift], [centred.sum()], [[np.sum(centred**2)]], float(np.sum(centred**3)))
    assert_same(found, Moments(2000, Moments.of(small).mean + 1e9, Moments.of(small).comoment, Moments.of(small).third))
    assert_same(Moments.of(small + 1e9), found)
    parts = [Moments.of(part + 1e9) for part in np.array_split(small, 128)]
    assert_same(Moments.merge(*parts), found)


@given(samples(3, least=1, most=40), st.lists(st.integers(0, 5), min_size=40, max_size=40), st.randoms())
def test_merging_any_partition_in_any_order_is_the_whole(rows, labels, random) -> None:
    groups = [rows[[label == i for label in labels[: len(rows)]]] for i in range(6)]
    random.shuffle(groups)
    assert_same(Moments.merge(*(Moments.of(group) for group in groups)), Moments.of(rows), rtol=1e-12)


@given(samples(2, least=1), samples(2, least=1), samples(2, least=1))
def test_merging_is_associative_and_commutative(a, b, c) -> None:
    x, y, z = Moments.of(a), Moments.of(b), Moments.of(c)
    assert_same(Moments.merge(Moments.merge(x, y), z), Moments.merge(x, Moments.merge(y, z)), rtol=1e-12)
    assert_same(Moments.merge(x, y), Moments.merge(y, x), rtol=1e-12)


def test_empty_parts_are_neutral_and_nothing_merges_to_empty() -> None:
    some = Moments.of([[1.0, 2.0], [3.0, 5.0]])
    assert_same(Moments.merge(Moments.empty(2), some, Moments.empty(2)), some)
    assert Moments.merge(Moments.empty(2), Moments.empty(2)).n == 0
    assert Moments.of(np.empty((0, 2))).n == 0
    assert Moments.from_sums(0, [0.0], [0.0], [[0.0]], 0.0).n == 0


def test_what_cannot_be_merged_or_counted_is_refused() -> None:
    with pytest.raises(EvidenceError, match="different variables"):
        Moments.merge(Moments.empty(1), Moments.empty(2))
    with pytest.raises(EvidenceError, match="nothing to merge"):
        Moments.merge()
    with pytest.raises(EvidenceError, match="not negative"):
        Moments.from_sums(-1, [0.0], [0.0], [[0.0]], 0.0)


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 1 / 3, -7.3])
def test_a_constant_has_exactly_no_variance_however_it_was_summed(value: float) -> None:
    rows = np.full(1000, value)
    assert Moments.of(rows).variance() == 0
    assert Moments.merge(*(Moments.of(part) for part in np.array_split(rows, 7))).variance() == 0
    shifted = rows - value * 0.9
    cubes = float(np.sum(shifted**3))
    assert Moments.from_sums(1000, [value * 0.9], [shifted.sum()], [[np.sum(shifted**2)]], cubes).variance() == 0
    buckets = [
        Moments(10, np.array([np.nextafter(value, 9e9) if i % 2 else value]), np.zeros((1, 1)), 0.0) for i in range(9)
    ]
    assert Moments.merge(*buckets).variance() == 0


def test_small_variance_that_is_real_survives() -> None:
    rows = 1.0 + np.arange(100) * 1e-9
    assert Moments.of(rows).variance() == pytest.approx(np.var(rows - 1.0, ddof=1), rel=1e-6)


def test_one_unit_has_a_mean_and_no_variance() -> None:
    one = Moments.of([4.0])
    assert one.mean[0] == 4.0
    assert math.isnan(one.variance())
    assert math.isnan(one.skewness())


def test_infinite_values_are_not_finite_moments() -> None:
    assert not Moments.of([1.0, math.inf, 2.0]).finite
    assert not Moments.of([1.0, math.nan]).finite
    assert Moments.of([1.0, 2.0]).finite


def test_linear_combinations_are_those_of_the_rows() -> None:
    rows = np.random.default_rng(3).normal(size=(50, 3))
    weights = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 0.0]])
    found = Moments.of(rows).linear(weights, [1.0, -1.0])
    wanted = Moments.of(rows @ weights.T + [1.0, -1.0])
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-12)
    np.testing.assert_allclose(found.comoment, wanted.comoment, rtol=1e-10)
    assert math.isnan(found.third)
    assert Moments.of(rows).linear([[-2.0, 0.0, 0.0]]).third == pytest.approx(-8 * Moments.of(rows).third)


def test_a_combination_that_cancels_is_a_constant() -> None:
    x = np.random.default_rng(4).normal(size=300)
    assert Moments.of(np.column_stack([3 * x, x])).linear([[1.0, -3.0]]).variance() == 0


def test_take_reorders_and_keeps_the_third_of_variable_zero_only() -> None:
    moments = Moments.of(np.random.default_rng(5).normal(size=(20, 3)))
    assert moments.take([0, 2]).third == moments.third
    assert moments.take([0, 2]).covariance(0, 1) == moments.covariance(0, 2)
    assert math.isnan(moments.take([1]).third)
