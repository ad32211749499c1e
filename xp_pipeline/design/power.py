"""Power analysis in one place: power at given arms, arms for a power, and the effects in reach."""

from __future__ import annotations

from xp_pipeline.design.aims import Aim, Detect, Equate, Rates, RuleOut
from xp_pipeline.design.baseline import Baseline, design_effect, normal_density, quantile_variance, ratio_variance
from xp_pipeline.design.curves import power_curve
from xp_pipeline.design.detectable import minimum_detectable_effect, smallest_margin
from xp_pipeline.design.detection import non_inferiority_power, power_of, power_with
from xp_pipeline.design.history import History
from xp_pipeline.design.levels import always_valid_level, bonferroni_level, family_level, joint_power, many_arms_level
from xp_pipeline.design.replay import Replay, RunTime, replay, run_time
from xp_pipeline.design.sample_size import SampleSize, non_inferiority_sample_size, sample_size
from xp_pipeline.design.schedules import scheduled
from xp_pipeline.design.traffic import Traffic

__all__ = [
    "Aim",
    "Baseline",
    "Detect",
    "Equate",
    "History",
    "Rates",
    "Replay",
    "RuleOut",
    "RunTime",
    "SampleSize",
    "Traffic",
    "always_valid_level",
    "bonferroni_level",
    "design_effect",
    "family_level",
    "joint_power",
    "many_arms_level",
    "minimum_detectable_effect",
    "non_inferiority_power",
    "non_inferiority_sample_size",
    "normal_density",
    "power_curve",
    "power_of",
    "power_with",
    "quantile_variance",
    "ratio_variance",
    "replay",
    "run_time",
    "sample_size",
    "scheduled",
    "smallest_margin",
]
