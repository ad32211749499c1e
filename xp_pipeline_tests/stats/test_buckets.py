"""Bucketed moments: their total is that of all units, and merging is bucket by bucket."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.buckets import BUCKETS, BucketedMoments
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.stats.strategies import assert_same, samples


@given(samples(2, least=1, most=40), st.lists(st.integers(0, 7), min_size=40, max_size=40))
def test_total_is_that_of_all_units(rows, labels) -> None:
    found = BucketedMoments.of(rows, labels[: len(rows)], buckets=8)
    assert len(found.buckets) == 8
    assert found.n == len(rows)
    assert_same(found.total(), Moments.of(rows), rtol=1e-12)
    for i in set(labels[: len(rows)]):
        assert_same(found.buckets[i], Moments.of(rows[np.array(labels[: len(rows)]) == i]), rtol=1e-12)


@given(samples(2, least=1), samples(2, least=1), samples(2, least=1))
def test_merging_is_associative_and_commutative(a, b, c) -> None:
    x, y, z = (BucketedMoments.of(rows, np.arange(len(rows)) % 4, buckets=4) for rows in (a, b, c))
    merged = BucketedMoments.merge
    for other in (merged(x, merged(y, z)), merged(z, y, x)):
        for one, two in zip(merged(merged(x, y), z).buckets, other.buckets, strict=True):
            assert_same(one, two, rtol=1e-12)


def test_a_large_mean_keeps_its_variance_through_buckets() -> None:
    small = np.round(np.random.default_rng(2).normal(size=2000) * 64) / 64
    found = BucketedMoments.of(small + 1e9, np.arange(2000) % BUCKETS).total()
    assert found.variance() == pytest.approx(np.var(small, ddof=1), rel=1e-9)


def test_empty_buckets_are_neutral() -> None:
    rows = np.arange(6.0).reshape(-1, 2)
    some = BucketedMoments.of(rows, [3, 3, 90])
    assert len(some.filled) == 2
    assert_same(BucketedMoments.merge(BucketedMoments.empty(2), some).total(), some.total())
    assert BucketedMoments.empty(3).total().n == 0
    assert BucketedMoments.of(np.empty((0, 2)), []).n == 0


def test_parts_of_a_query_make_the_same_evidence() -> None:
    rows = np.random.default_rng(1).normal(size=(300, 2))
    labels = np.arange(300) % 100
    parts = {i: Moments.of(rows[labels == i]) for i in range(100)}
    found, wanted = BucketedMoments.from_parts(parts, 2), BucketedMoments.of(rows, labels)
    assert_same(found.total(), wanted.total(), rtol=1e-12)
    assert_same(found.take([0]).total(), wanted.total().take([0]))


def test_units_without_a_bucket_are_refused() -> None:
    with pytest.raises(EvidenceError, match="every unit has a bucket"):
        BucketedMoments.of([1.0, 2.0], [0, 128])
    with pytest.raises(EvidenceError, match="every unit has a bucket"):
        BucketedMoments.of([1.0, 2.0], [0])
    with pytest.raises(EvidenceError, match="not a bucket"):
        BucketedMoments.from_parts({-1: Moments.empty(1)}, 1)
    with pytest.raises(EvidenceError, match="different numbers of buckets"):
        BucketedMoments.merge(BucketedMoments.empty(1), BucketedMoments.empty(1, buckets=4))
    with pytest.raises(EvidenceError, match="nothing to merge"):
        BucketedMoments.merge()
