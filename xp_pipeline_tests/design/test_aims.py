"""Aims: to detect an effect or to rule out harm, each with its own power, reach and size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xp_pipeline.design.aims import Detect, Equate, Rates, RuleOut
from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detectable import minimum_detectable_effect, smallest_margin
from xp_pipeline.design.sample_size import non_inferiority_sample_size, sample_size
from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.equivalence import equivalence
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments

BASELINE = Baseline(8.0, 40.0)
RATES = Rates(0.01, 0.9, 1.1)


def test_detection_is_planned_by_the_functions_of_its_name() -> None:
    aim = Detect(0.05, relative=True, rates=RATES)
    rates = {"alpha": 0.01, "power": 0.9, "inflation": 1.1}
    assert aim.wanted(BASELINE) == pytest.approx(0.4)
    assert aim.size(BASELINE, (0.7, 0.3)) == sample_size(BASELINE, effect=0.4, shares=(0.7, 0.3), **rates)
    assert aim.least(BASELINE, 900, 300) == minimum_detectable_effect(BASELINE, n_control=900, n_treatment=300, **rates)
    size = aim.size(BASELINE, (1, 1))
    assert aim.power(BASELINE, size.control, size.treatment) == pytest.approx(0.9, abs=1e-3)


def test_ruling_out_is_planned_by_the_functions_of_its_name() -> None:
    aim = RuleOut(0.05, relative=True, increase_is_good=False, rates=RATES)
    rates = {"alpha": 0.01, "power": 0.9, "inflation": 1.1, "relative": True, "increase_is_good": False}
    assert aim.wanted(BASELINE) == pytest.approx(0.4)
    assert aim.size(BASELINE, (1, 1)) == non_inferiority_sample_size(BASELINE, margin=0.05, **rates)
    least = smallest_margin(BASELINE, n_control=900, n_treatment=300, **rates)
    assert aim.least(BASELINE, 900, 300) == pytest.approx(8 * least)
    assert aim.power(BASELINE, 5000, 5000) > aim.power(BASELINE, 500, 500)


def test_equivalence_is_sized_by_the_known_formula() -> None:
    """2 (z_.95 + z_.90)^2 (sd / margin)^2 in each arm for power 0.8 (Chow, Shao, Wang 2008, section 3.2)."""
    aim = Equate(0.5)
    size = aim.size(Baseline(20.0, 900.0), (1, 1))
    assert size.control == pytest.approx(2 * (1.6448536 + 1.2815516) ** 2 * 900 / 0.25, rel=1e-4)
    assert aim.power(Baseline(20.0, 900.0), size.control, size.treatment) == pytest.approx(0.8, abs=1e-4)
    assert aim.least(Baseline(20.0, 900.0), size.control, size.treatment) == pytest.approx(0.5, rel=1e-4)
    assert aim.power(Baseline(20.0, 900.0), 50, 50) == 0
    assert math.isnan(aim.power(Baseline(20.0, 900.0), 1, 1))


@pytest.mark.parametrize("mean", [8.0, -8.0])
def test_an_experiment_of_the_size_planned_for_equivalence_has_its_power(mean: float) -> None:
    """3000 experiments: 80 % +- 3 x 0.73 points; a relative margin weighs the noise of the control mean."""
    aim = Equate(0.25, relative=True)
    baseline = Baseline(mean, 40.0)
    size = aim.size(baseline, (1, 1))
    draw = np.random.default_rng(11)
    held = 0
    for _ in range(3000):
        arms = [Moments.of(draw.normal(mean, math.sqrt(40), n)) for n in (size.control, size.treatment)]
        held += bool(equivalence(welch(*arms), margin=0.25, relative=True).holds)
    assert held / 3000 == pytest.approx(aim.power(baseline, size.control, size.treatment), abs=0.022)
    assert held / 3000 > 0.778


def test_a_fall_is_hoped_for_where_less_is_better() -> None:
    near_one = Baseline(0.97, 0.97 * 0.03, "proportion")
    assert Detect(0.05, relative=True, increase_is_good=False).size(near_one, (1, 1)).total > 0
    with pytest.raises(EvidenceError, match="out of its range"):
        Detect(0.05, relative=True).size(near_one, (1, 1))


def test_without_an_effect_only_what_is_in_reach_can_be_said() -> None:
    aim = Detect()
    assert math.isnan(aim.wanted(BASELINE))
    assert math.isnan(aim.power(BASELINE, 100, 100))
    assert aim.least(BASELINE, 100, 100) > 0
    with pytest.raises(EvidenceError, match="effect other than 0"):
        aim.size(BASELINE, (1, 1))
