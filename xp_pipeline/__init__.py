"""A Git folder of experiments and metrics becomes a daily, incremental, self-checking analysis."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from xp_pipeline.errors import AliasError, PhaseOrderError, SpecError, SRMError, TamperError, XpError
    from xp_pipeline.experiment import Experiment, MeanMetric, ProportionMetric, RatioMetric, RevenueMetric
    from xp_pipeline.results import MetricResult, MetricType
    from xp_pipeline.serialization import make_serializable, serialize_to_json
    from xp_pipeline.spec.phases import ExperimentState
    from xp_pipeline.spec.registry import ExperimentRegistry
    from xp_pipeline.telemetry import ExecutionProfiler, configure_telemetry, get_logger

_HOMES = {
    "AliasError": "errors",
    "ExecutionProfiler": "telemetry",
    "Experiment": "experiment",
    "ExperimentRegistry": "spec.registry",
    "ExperimentState": "spec.phases",
    "MeanMetric": "experiment",
    "MetricResult": "results",
    "MetricType": "results",
    "PhaseOrderError": "errors",
    "ProportionMetric": "experiment",
    "RatioMetric": "experiment",
    "RevenueMetric": "experiment",
    "SRMError": "errors",
    "SpecError": "errors",
    "TamperError": "errors",
    "XpError": "errors",
    "configure_telemetry": "telemetry",
    "get_logger": "telemetry",
    "make_serializable": "serialization",
    "serialize_to_json": "serialization",
}

__all__ = [
    "AliasError",
    "ExecutionProfiler",
    "Experiment",
    "ExperimentRegistry",
    "ExperimentState",
    "MeanMetric",
    "MetricResult",
    "MetricType",
    "PhaseOrderError",
    "ProportionMetric",
    "RatioMetric",
    "RevenueMetric",
    "SRMError",
    "SpecError",
    "TamperError",
    "XpError",
    "configure_telemetry",
    "get_logger",
    "make_serializable",
    "serialize_to_json",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that importing the package costs nothing."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"xp_pipeline.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'xp_pipeline' has no attribute {name!r}")
