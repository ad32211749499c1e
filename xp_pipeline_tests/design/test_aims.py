"""Aims: to detect an effect or to rule out harm, each with its own power, reach and size."""

from __future__ import annotations

import math

import pytest

from xp_pipeline.design.aims import Detect, Rates, RuleOut
from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detectable import minimum_detectable_effect, smallest_margin
from xp_pipeline.design.sample_size import non_inferiority_sample_size, sample_size
from xp_pipeline.errors import EvidenceError

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
