"""What planning knows of a metric: variances by kind, and the formulas that give them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.design.baseline import (
    Baseline,
    design_effect,
    normal_density,
    quantile_variance,
    ratio_variance,
)
from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import linearise


def test_variances_follow_the_kind() -> None:
    assert Baseline(10, 4).variances(3) == (4, 4)
    assert Baseline(10, 4, scales=True).variances(1) == pytest.approx((4, 4 * 1.1**2))
    assert Baseline(0.2, 0.16, "proportion").variances(0.1) == pytest.approx((0.16, 0.21))
    assert Baseline(10, 4, variance_explained=0.75).variances(0) == (1, 1)


def test_lift_and_effect_are_inverse() -> None:
    assert Baseline(-4, 1).absolute(0.05) == pytest.approx(0.2)
    assert Baseline(-4, 1).lift(0.2) == pytest.approx(0.05)
    assert math.isnan(Baseline(0, 1).lift(0.2))


def test_the_ratio_variance_is_the_delta_methods() -> None:
    rng = np.random.default_rng(3)
    visits = rng.poisson(4, 5000) + 1.0
    moments = Moments.of(np.column_stack([rng.gamma(2, visits), visits]))
    found = ratio_variance(
        numerator=float(moments.mean[0]), denominator=float(moments.mean[1]), var_numerator=moments.variance(0),
        var_denominator=moments.variance(1), covariance=moments.covariance(0, 1),
    )  # fmt: skip
    assert found == pytest.approx(linearise(moments).variance(), rel=1e-12)


def test_the_median_of_a_normal_has_pi_over_two_of_the_means_variance() -> None:
    """Kenney, Keeping 1962, Mathematics of Statistics: Var(median) = pi sigma^2 / (2 n)."""
    assert quantile_variance(0.5, density=normal_density(0.5, sd=3.0)) == pytest.approx(9 * math.pi / 2)


def test_a_quantiles_variance_is_that_of_samples() -> None:
    """4,000 samples of 2,000: the standard deviation of the variance's estimate is 2.2 %."""
    rng = np.random.default_rng(11)
    found = np.quantile(rng.exponential(1.0, (4000, 2000)), 0.9, axis=1)
    wanted = quantile_variance(0.9, density=0.1) / 2000
    assert float(np.var(found)) == pytest.approx(wanted, rel=0.07)


def test_design_effects() -> None:
    """Kish 1965: 1 + (m - 1) rho. Eldridge, Ashby, Kerry 2006: 1 + ((cv^2 + 1) m - 1) rho."""
    assert design_effect(cluster_size=21, correlation=0.05) == pytest.approx(2.0)
    assert design_effect(cluster_size=20, correlation=0.05, size_variation=0.65) == pytest.approx(2.3725)
    assert design_effect(cluster_size=1, correlation=0.3) == 1.0


@given(st.floats(1, 500), st.floats(0, 1), st.floats(0, 3))
def test_clusters_never_add_information(size: float, correlation: float, variation: float) -> None:
    assert design_effect(cluster_size=size, correlation=correlation, size_variation=variation) >= 1


@pytest.mark.parametrize(("call", "word"), [
    (lambda: Baseline(math.inf, 1), "finite"),
    (lambda: Baseline(1, math.nan), "finite"),
    (lambda: Baseline(-0.1, 0.1, "proportion"), "share"),
    (lambda: Baseline(1, 1, variance_explained=-0.1), "share of the variance"),
    (lambda: Baseline(1, 1, design_effect=0.9), "clusters do not add"),
    (lambda: Baseline(0, 1, scales=True), "scales"),
    (lambda: Baseline(0.5, 0.25, "proportion", scales=True), "scales"),
    (lambda: Baseline(0.5, 0.25, "proportion").variances(0.6), "out of its range"),
    (lambda: ratio_variance(numerator=1, denominator=0, var_numerator=1, var_denominator=1, covariance=0),
     "denominator"),
    (lambda: quantile_variance(1.0, density=1), "probability"),
    (lambda: quantile_variance(0.5, density=0), "density"),
    (lambda: normal_density(0.0, sd=1), "probability"),
    (lambda: normal_density(0.5, sd=-1), "deviation"),
    (lambda: design_effect(cluster_size=0, correlation=0.1), "clusters"),
    (lambda: design_effect(cluster_size=5, correlation=1.1), "clusters"),
    (lambda: design_effect(cluster_size=5, correlation=0.1, size_variation=math.nan), "clusters"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(call, word: str) -> None:
    with pytest.raises(EvidenceError, match=word) as problem:
        call()
    assert "\n" not in str(problem.value)
