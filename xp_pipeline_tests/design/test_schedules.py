"""What look schedules cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.looks import equal_fractions, plan_looks
from xp_pipeline.design.sample_size import sample_size
from xp_pipeline.design.schedules import scheduled
from xp_pipeline.spec.looks import FIXED, Looks

WEEKLY = Looks(schedule="group_sequential", every="7d")


def test_a_fixed_horizon_costs_nothing() -> None:
    found = scheduled(FIXED, alpha=0.05, power=0.9, days=28)
    assert (found.alpha, found.power, found.inflation) == (0.05, 0.9, 1.0)


def test_the_published_inflation_of_five_looks() -> None:
    """Lan-DeMets O'Brien-Fleming, five looks, two-sided 0.05, power 0.9: 1.0231 (rpact 3.3.4)."""
    assert scheduled(WEEKLY, alpha=0.05, power=0.9, days=35).inflation == pytest.approx(1.0231, abs=5e-5)


def test_one_look_is_none() -> None:
    assert scheduled(WEEKLY, alpha=0.05, power=0.8, days=7).inflation == pytest.approx(1.0, abs=1e-6)
    assert scheduled(WEEKLY, alpha=0.05, power=0.8, days=3).inflation == pytest.approx(1.0, abs=1e-6)


def test_many_looks_cost_what_56_do() -> None:
    """The cap on looks: a year of daily ones takes 0.3 % more units than planned at the most (Pocock)."""
    daily = Looks(schedule="group_sequential", spending="pocock")
    found = scheduled(daily, alpha=0.05, power=0.8, days=120).inflation
    from xp_pipeline.stats.spending import POCOCK

    assert found == pytest.approx(plan_looks(equal_fractions(120), spending=POCOCK).inflation, rel=0.004)


def test_a_sequential_plan_has_its_power_over_all_looks() -> None:
    """20,000 simulated experiments of five looks at the inflated size: 0.8 within three Monte-Carlo errors."""
    rates = scheduled(WEEKLY, alpha=0.05, power=0.8, days=35)
    n = sample_size(Baseline(0.0, 1.0), effect=0.05, inflation=rates.inflation).control
    bounds = [look.upper for look in plan_looks(equal_fractions(5)).looks]
    rng = np.random.default_rng(4)
    steps = rng.normal(0.05 * math.sqrt(n / 10), 1.0, (20_000, 5))
    z = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, 6))
    assert (z > bounds).any(axis=1).mean() == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / 20_000))


def test_always_valid_looks_tighten_the_level() -> None:
    looks = Looks(schedule="always_valid")
    two, one = (scheduled(looks, alpha=0.05, power=0.8, days=28, two_sided=side) for side in (True, False))
    assert two.inflation == one.inflation == 1.0
    assert two.alpha < one.alpha < 0.05
