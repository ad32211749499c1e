"""The skewness guard: where it speaks and where it is silent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import linearise
from xp_pipeline.stats.skew import tails_unreliable


def zero_heavy(n: int, seed: int) -> Moments:
    """Revenue of which one unit in twenty has any."""
    rng = np.random.default_rng(seed)
    return Moments.of(np.where(rng.random(n) < 0.05, rng.lognormal(0, 1.2, n), 0.0))


def test_statistic_is_the_skewness_of_the_difference_of_means() -> None:
    """For exponentials the third central moment is 2: K = (2/n_t^2 - 2/n_c^2) / se^3."""
    rng = np.random.default_rng(1)
    control, treatment = Moments.of(rng.exponential(size=40_000)), Moments.of(rng.exponential(size=100))
    found = tails_unreliable(control, treatment)
    wanted = (2 / 100**2 - 2 / 40_000**2) / (1 / 100 + 1 / 40_000) ** 1.5
    assert found is not None
    assert float(found.split("is ")[1].split(" ")[0]) == pytest.approx(wanted, abs=0.06)


def test_unequal_allocation_of_a_zero_heavy_metric_is_flagged() -> None:
    flagged = [tails_unreliable(zero_heavy(9000, 2 * i), zero_heavy(1000, 2 * i + 1)) for i in range(40)]
    assert sum(f is not None for f in flagged) >= 38


def test_kohavis_rule_speaks_where_the_difference_alone_does_not() -> None:
    control, treatment = zero_heavy(90_000, 3), zero_heavy(30_000, 4)
    found = tails_unreliable(control, treatment)
    assert found is not None
    assert "unequal allocation" in found
    assert tails_unreliable(control, zero_heavy(90_000, 5)) is None


def test_normal_and_large_samples_pass() -> None:
    rng = np.random.default_rng(6)
    assert tails_unreliable(Moments.of(rng.normal(size=500)), Moments.of(rng.normal(size=1200))) is None
    assert tails_unreliable(Moments.of(rng.exponential(size=5000)), Moments.of(rng.exponential(size=5000))) is None


@pytest.mark.parametrize("arm", [Moments.empty(1), Moments.of([1.0]), Moments.of([2.0, 2.0])])
def test_nothing_to_judge_is_silence(arm: Moments) -> None:
    assert tails_unreliable(arm, arm) is None


def test_unknown_thirds_are_silence() -> None:
    rng = np.random.default_rng(7)
    arm = linearise(Moments.of(np.column_stack([rng.exponential(size=50), 1 + rng.poisson(3, 50)])))
    assert math.isnan(arm.third)
    assert tails_unreliable(arm, arm) is None
