"""Sample sizes: published ones beyond the two-arm t test, and how they scale."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from xp_pipeline.design.baseline import Baseline, quantile_variance
from xp_pipeline.design.levels import many_arms_level
from xp_pipeline.design.sample_size import non_inferiority_sample_size, sample_size
from xp_pipeline.errors import EvidenceError

UNIT = Baseline(0.0, 1.0)


def test_a_published_non_inferiority_of_proportions() -> None:
    """Chow, Shao, Wang 2008, page 90: cure rates 0.65 and 0.85, margin 0.10, one-sided 0.05, power 0.8: 25 per arm."""
    share = Baseline(0.65, 0.2275, "proportion")
    found = non_inferiority_sample_size(share, margin=0.10, effect=0.20)
    assert 25 <= found.control <= 26


def test_the_allocation_that_needs_least_is_equal() -> None:
    """N ~ 1 / (f (1 - f)) where variances are equal: 80/20 needs 1/0.64 of 50/50."""
    equal, unequal = (sample_size(UNIT, effect=0.02, shares=s).total for s in ((1, 1), (4, 1)))
    assert unequal / equal == pytest.approx(1 / 0.64, rel=1e-3)


def test_clusters_and_covariates_multiply() -> None:
    plain = sample_size(Baseline(0.0, 1.0), effect=0.02).total
    clustered = sample_size(Baseline(0.0, 1.0, design_effect=2.5), effect=0.02).total
    adjusted = sample_size(Baseline(0.0, 1.0, variance_explained=0.6), effect=0.02).total
    assert clustered == pytest.approx(2.5 * plain, rel=1e-4)
    assert adjusted == pytest.approx(0.4 * plain, rel=1e-3)


def test_dunnetts_plan_has_the_power_it_was_made_for() -> None:
    """4,000 simulated experiments of three treatments, one of them effective, tested at Dunnett's level."""
    shares = (2.0, 1.0, 1.0, 1.0)
    level = many_arms_level(0.05, shares=shares)
    size = sample_size(UNIT, effect=0.2, alpha=level, shares=shares[:2])
    rng = np.random.default_rng(5)
    control = rng.normal(0, 1 / math.sqrt(size.control), 4000)
    effects = np.array([0.2, 0.0, 0.0])
    treatments = rng.normal(0, 1 / math.sqrt(size.treatment), (4000, 3)) + effects
    z = (treatments - control[:, None]) / math.sqrt(1 / size.control + 1 / size.treatment)
    critical = -NormalDist().inv_cdf(level / 2)
    assert (np.abs(z[:, 0]) > critical).mean() == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / 4000))
    nothing = np.abs(z - effects / math.sqrt(1 / size.control + 1 / size.treatment)) > critical
    assert nothing.any(axis=1).mean() == pytest.approx(0.05, abs=3 * math.sqrt(0.0475 / 4000))


def test_a_median_needs_pi_over_two_as_many() -> None:
    """The asymptotic relative efficiency of the median to the mean under a normal is 2 / pi."""
    density = 1 / math.sqrt(2 * math.pi)
    median = sample_size(Baseline(0.0, quantile_variance(0.5, density=density), "quantile"), effect=0.02).total
    assert median / sample_size(UNIT, effect=0.02).total == pytest.approx(math.pi / 2, rel=1e-3)


@pytest.mark.parametrize(("call", "word"), [
    (lambda: sample_size(UNIT, effect=math.inf), "effect other than 0"),
    (lambda: sample_size(UNIT, effect=0.1, shares=(1, -1)), "share of the units"),
    (lambda: sample_size(UNIT, effect=0.1, shares=(math.nan, 1)), "share of the units"),
    (lambda: sample_size(UNIT, effect=0.1, inflation=0.5), "looks cost"),
    (lambda: non_inferiority_sample_size(UNIT, margin=0.1, effect=-0.1), "no affordable sample"),
    (lambda: non_inferiority_sample_size(Baseline(1.0, 0.0), margin=0.1), "variance"),
    (lambda: non_inferiority_sample_size(UNIT, margin=0.1, power=0.0), "power is a probability"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(call, word: str) -> None:
    with pytest.raises(EvidenceError, match=word) as problem:
        call()
    assert "\n" not in str(problem.value)
