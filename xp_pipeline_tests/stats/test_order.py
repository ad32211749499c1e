"""Order statistics: quantiles of numpy, ranks, ties, and merging in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.order import OrderStatistics, ThresholdCounts

VALUES = st.lists(st.integers(-50, 50).map(lambda i: i / 4), max_size=30)


def same(one: OrderStatistics, other: OrderStatistics) -> bool:
    return np.array_equal(one.values, other.values) and np.array_equal(one.counts, other.counts)


@given(VALUES, VALUES, VALUES)
def test_merging_is_associative_commutative_and_exact(a, b, c) -> None:
    x, y, z = (OrderStatistics.of(values) for values in (a, b, c))
    merge = OrderStatistics.merge
    assert same(merge(merge(x, y), z), merge(x, merge(y, z)))
    assert same(merge(x, y), merge(y, x))
    assert same(merge(x, y, z), OrderStatistics.of(a + b + c))
    assert same(merge(x, OrderStatistics.empty()), x)


@given(VALUES.filter(len), st.floats(0.001, 0.999))
def test_quantile_is_numpys_type_seven(values, p) -> None:
    found = OrderStatistics.of(values)
    assert found.n == len(values)
    assert found.quantile(p) == pytest.approx(np.quantile(values, p, method="linear"), rel=1e-12, abs=1e-12)


@given(VALUES.filter(len))
def test_ranks_are_the_sorted_values(values) -> None:
    found = OrderStatistics.of(values)
    assert [found.at(rank) for rank in range(1, len(values) + 1)] == sorted(values)
    assert (found.at(-3), found.at(10**6)) == (min(values), max(values))


def test_units_without_an_event_are_zeros_that_count() -> None:
    found = OrderStatistics.of([5.0, -0.0, 7.0], zeros=7)
    assert found.n == 10
    assert found.values.tolist() == [0.0, 5.0, 7.0]
    assert found.counts.tolist() == [8, 1, 1]
    assert found.quantile(0.5) == 0.0
    assert found.ties(0.5) == 8
    assert found.ties(0.95) == 1


def test_counts_of_a_query_are_the_same_evidence() -> None:
    found = OrderStatistics.from_counts([3.0, 1.0, 3.0, 9.0], [2, 1, 4, 0])
    assert same(found, OrderStatistics.of([1.0] + [3.0] * 6))


def test_arrays_make_the_object_again() -> None:
    found = OrderStatistics.of(np.random.default_rng(1).normal(size=50))
    assert same(OrderStatistics(found.values, found.counts), found)
    assert (found.values.dtype, found.counts.dtype) == (np.float64, np.int64)


def test_nothing_has_no_quantile() -> None:
    assert math.isnan(OrderStatistics.empty().quantile(0.5))
    assert OrderStatistics.of([]).n == 0
    assert OrderStatistics.empty().ties(0.5) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_known(bad: float) -> None:
    assert not OrderStatistics.of([1.0, bad]).finite
    assert OrderStatistics.of([1.0, 2.0]).finite


@pytest.mark.parametrize(("values", "counts"), [([1.0], [1, 2]), ([1.0], [-1]), ([1.0], [0.5]), ([[1.0]], [[1]])])
def test_counts_are_whole_numbers_one_a_value(values: list[float], counts: list[float]) -> None:
    with pytest.raises(EvidenceError, match="every value has a count"):
        OrderStatistics.from_counts(values, counts)
    with pytest.raises(EvidenceError, match="nothing to merge"):
        OrderStatistics.merge()


def test_counts_against_one_threshold_merge() -> None:
    one, other = ThresholdCounts.of([1, 0], [3, 2], threshold=4.0), ThresholdCounts.of([5], [5], threshold=4.0)
    merged = ThresholdCounts.merge(one, other)
    assert merged.moments.n == 3
    assert merged.moments.mean.tolist() == pytest.approx([2.0, 10 / 3])
    with pytest.raises(EvidenceError, match="different thresholds"):
        ThresholdCounts.merge(one, ThresholdCounts.of([1], [1], threshold=5.0))
