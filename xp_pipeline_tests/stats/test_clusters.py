"""Clusters: against least squares with cluster-robust errors."""

from __future__ import annotations

import numpy as np
import pytest

from xp_pipeline.stats.clusters import clustered
from xp_pipeline.stats.estimates import Status


def villages(g: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, arm and village of people, arms mixed within villages."""
    rng = np.random.default_rng(seed)
    village = np.repeat(np.arange(g), rng.integers(5, 40, g))
    arm = rng.integers(0, 2, len(village))
    return rng.normal(size=g)[village] + 0.4 * arm + rng.normal(size=len(village)), arm, village


def sums(y: np.ndarray, arm: np.ndarray, village: np.ndarray, which: int) -> np.ndarray:
    taken = arm == which
    g = village.max() + 1
    return np.column_stack([
        np.bincount(village[taken], y[taken], minlength=g), np.bincount(village[taken], minlength=g)
    ]).astype(float)  # fmt: skip


def test_standard_error_is_the_cluster_robust_one_of_least_squares() -> None:
    from statsmodels.regression.linear_model import OLS

    y, arm, village = villages(60, 1)
    found = clustered(sums(y, arm, village, 0), sums(y, arm, village, 1))
    fit = OLS(y, np.column_stack([np.ones(len(y)), arm])).fit(
        cov_type="cluster", cov_kwds={"groups": village, "use_correction": False}
    )
    assert found.effect == pytest.approx(fit.params[1], rel=1e-9)
    assert found.se == pytest.approx(fit.bse[1] * (60 / 59) ** 0.5, rel=1e-9)
    assert found.df == 59
    assert found.var_mean_control + found.var_mean_treatment - 2 * found.cov_means == pytest.approx(found.se**2)
    assert found.reason == ""


def test_villages_of_one_arm_have_independent_arms() -> None:
    y, _, village = villages(50, 2)
    arm = village % 2
    assert clustered(sums(y, arm, village, 0), sums(y, arm, village, 1)).cov_means == 0.0


def test_few_clusters_are_a_caution() -> None:
    y, arm, village = villages(12, 3)
    found = clustered(sums(y, arm, village, 0), sums(y, arm, village, 1))
    assert found.status == Status.OK
    assert "only 12 clusters" in found.reason


def test_what_cannot_be_estimated_has_a_status() -> None:
    one = np.array([[3.0, 2.0]])
    assert clustered(one, one).status == Status.INSUFFICIENT_DATA
    assert clustered(np.zeros((3, 2)), np.ones((3, 2))).status == Status.INSUFFICIENT_DATA
    assert clustered(np.ones((3, 2)), np.ones((3, 2))).status == Status.DEGENERATE
