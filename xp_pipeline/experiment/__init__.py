"""The notebook's front door: an experiment over a frame, with the pipeline's own numbers."""

from xp_pipeline.experiment.metrics import BaseMetric, MeanMetric, ProportionMetric, RatioMetric, RevenueMetric
from xp_pipeline.experiment.notebook import Experiment
from xp_pipeline.experiment.results import Results

__all__ = [
    "BaseMetric",
    "Experiment",
    "MeanMetric",
    "ProportionMetric",
    "RatioMetric",
    "Results",
    "RevenueMetric",
]
