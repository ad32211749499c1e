"""Hypothesis strategies for the units of an arm, and the moments they make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from xp_pipeline.stats.moments import Moments

VALUES = st.integers(-4000, 4000).map(lambda i: i / 8)


def samples(k: int = 1, *, least: int = 2, most: int = 30) -> st.SearchStrategy[NDArray[np.float64]]:
    """Arrays of shape (n, k) of eighths, whose sums are exact."""
    row = st.lists(VALUES, min_size=k, max_size=k)
    return st.lists(row, min_size=least, max_size=most).map(lambda rows: np.array(rows, dtype=float).reshape(-1, k))


def varied(values: NDArray[np.float64]) -> bool:
    """Whether every variable takes more than one value."""
    return all(np.ptp(values[:, i]) > 0 for i in range(values.shape[1]))


def arms(k: int = 1) -> st.SearchStrategy[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Two arms that vary."""
    arm = samples(k).filter(varied)
    return st.tuples(arm, arm)


def binary(events: int, units: int) -> Moments:
    """Moments of an arm where ``events`` of ``units`` are 1."""
    return Moments.of([1.0] * events + [0.0] * (units - events))


def assert_same(found: Moments, wanted: Moments, rtol: float = 1e-9) -> None:
    """Equal moments, up to rounding on the scale of their products."""
    scale = 1 + np.abs(wanted.comoment).max()
    assert found.n == wanted.n
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(found.comoment, wanted.comoment, rtol=rtol, atol=rtol * scale)
    assert found.third == pytest.approx(wanted.third, rel=rtol, abs=rtol * scale**1.5)
