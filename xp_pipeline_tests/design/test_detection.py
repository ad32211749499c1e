"""Power: against statsmodels, against simulation, and what looks, clusters and covariates cost or save."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.baseline import Baseline, design_effect, quantile_variance
from xp_pipeline.design.detection import non_inferiority_power, power_of
from xp_pipeline.errors import EvidenceError

UNIT = Baseline(0.0, 1.0)


@pytest.mark.parametrize("ratio", [1.0, 0.25, 3.0])
@pytest.mark.parametrize("n", [2_500_000, 40_000_000])
@pytest.mark.parametrize("effect", [0.0005, 0.002])
def test_large_samples_have_the_normal_power_of_statsmodels(effect: float, n: int, ratio: float) -> None:
    from statsmodels.stats.power import NormalIndPower

    wanted = NormalIndPower().power(effect, n, 0.05, ratio=ratio)
    assert power_of(UNIT, effect=effect, n_control=n, n_treatment=n * ratio) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("alternative", ["two-sided", "larger"])
@pytest.mark.parametrize(
    ("n", "effect", "alpha"), [(12, 0.9, 0.05), (60, 0.4, 0.01), (900, 0.12, 0.1), (30_000, 0.02, 0.05)]
)
def test_equal_arms_have_the_t_power_of_statsmodels(n: int, effect: float, alpha: float, alternative: str) -> None:
    from statsmodels.stats.power import TTestIndPower

    wanted = TTestIndPower().power(effect, n, alpha, alternative=alternative)
    two_sided = alternative == "two-sided"
    found = power_of(UNIT, effect=effect, n_control=n, n_treatment=n, alpha=alpha, two_sided=two_sided)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_proportions_as_simulated() -> None:
    """20,000 experiments of a 10 % and a 12 % share, unpooled z: within three Monte-Carlo errors (0.3 points each)."""
    rng = np.random.default_rng(7)
    n, p, q = 2000, 0.10, 0.12
    a, b = rng.binomial(n, p, 20_000) / n, rng.binomial(n, q, 20_000) / n
    z = (b - a) / np.sqrt(a * (1 - a) / n + b * (1 - b) / n)
    wanted = float(np.mean(np.abs(z) > 1.959964))
    found = power_of(Baseline(p, p * (1 - p), "proportion"), effect=q - p, n_control=n, n_treatment=n)
    assert found == pytest.approx(wanted, abs=3 * math.sqrt(0.25 / 20_000))


def test_medians_as_simulated() -> None:
    """4,000 experiments on medians of exponentials, z by the true density: within three Monte-Carlo errors."""
    rng = np.random.default_rng(8)
    n, shift = 900, 0.12
    variance = quantile_variance(0.5, density=0.5)
    a, b = (np.median(rng.exponential(1.0, (4000, n)), axis=1) for _ in range(2))
    wanted = float(np.mean(np.abs(b + shift - a) > 1.959964 * math.sqrt(2 * variance / n)))
    found = power_of(Baseline(math.log(2), variance, "quantile"), effect=shift, n_control=n, n_treatment=n)
    assert found == pytest.approx(wanted, abs=3 * math.sqrt(0.25 / 4000))


def test_clusters_as_simulated() -> None:
    """4,000 experiments of 60 clusters of 20 a side, ICC 0.1, tested on cluster means: the design effect's power."""
    rng = np.random.default_rng(9)
    clusters, size, rho, effect = 60, 20, 0.1, 0.2
    deviation = math.sqrt(rho + (1 - rho) / size)
    a, b = (rng.normal(0, deviation, (4000, clusters)) for _ in range(2))
    gap = b.mean(axis=1) + effect - a.mean(axis=1)
    z = gap / np.sqrt((a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)) / clusters)
    wanted = float(np.mean(np.abs(z) > 1.980))
    baseline = Baseline(0.0, 1.0, design_effect=design_effect(cluster_size=size, correlation=rho))
    found = power_of(baseline, effect=effect, n_control=clusters * size, n_treatment=clusters * size)
    assert found == pytest.approx(wanted, abs=3 * math.sqrt(0.25 / 4000))


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 0.5), st.integers(20, 50_000), st.floats(1, 4), st.floats(1, 2))
def test_design_effect_and_inflation_are_fewer_units(effect: float, n: int, deff: float, inflation: float) -> None:
    clustered = Baseline(0.0, 1.0, design_effect=deff)
    found = power_of(clustered, effect=effect, n_control=n, n_treatment=2 * n, inflation=inflation)
    fewer = n / deff / inflation
    assert found == pytest.approx(
        power_of(UNIT, effect=effect, n_control=fewer, n_treatment=2 * fewer), rel=1e-9, nan_ok=True
    )


@settings(max_examples=60, deadline=None)
@given(st.floats(-2, 2), st.floats(0.1, 5), st.floats(-3, 3))
def test_units_of_measurement_do_not_matter(effect: float, scale: float, shift: float) -> None:
    plain = power_of(Baseline(1.0, 2.0), effect=effect, n_control=80, n_treatment=50)
    other = Baseline(scale + shift, 2.0 * scale**2)
    assert power_of(other, effect=effect * scale, n_control=80, n_treatment=50) == pytest.approx(plain, abs=1e-9)


def test_a_tiny_arm_has_no_power_and_says_so() -> None:
    assert math.isnan(power_of(UNIT, effect=1, n_control=1, n_treatment=100))
    assert math.isnan(power_of(Baseline(1.0, 0.0), effect=1, n_control=100, n_treatment=100))
    assert math.isnan(non_inferiority_power(UNIT, margin=1, n_control=1, n_treatment=100))
    assert math.isnan(power_of(Baseline(0.5, 0.25, "proportion"), effect=0.1, n_control=1, n_treatment=9, pooled=True))


@pytest.mark.parametrize(("call", "word"), [
    (lambda: power_of(UNIT, effect=1, n_control=9, n_treatment=9, inflation=0.9), "looks cost"),
    (lambda: power_of(UNIT, effect=1, n_control=9, n_treatment=9, inflation=math.inf), "looks cost"),
    (lambda: power_of(UNIT, effect=1, n_control=9, n_treatment=9, pooled=True), "only proportions"),
    (lambda: non_inferiority_power(UNIT, margin=-1, n_control=9, n_treatment=9), "harm tolerated"),
    (lambda: non_inferiority_power(UNIT, margin=math.nan, n_control=9, n_treatment=9), "harm tolerated"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(call, word: str) -> None:
    with pytest.raises(EvidenceError, match=word) as problem:
        call()
    assert "\n" not in str(problem.value)
