"""Serving: which variant a user gets, decided once, stored, logged, and picked by name."""

from __future__ import annotations

from xp_pipeline.delivery.algorithms import FixedWeights
from xp_pipeline.delivery.context import BaseContext, get_current
from xp_pipeline.delivery.designs import Design, read_design
from xp_pipeline.delivery.experiments import BaseExperiment
from xp_pipeline.delivery.exposures import Exposure, ExposureLog, LogStats
from xp_pipeline.delivery.protocols import Algorithm, AlgorithmRow, Assigned, Assigner, Drawn, Store
from xp_pipeline.delivery.pyrosper import Pyrosper, UserPicks, pick
from xp_pipeline.delivery.reading import close_days, declare_exposures, exposure_source
from xp_pipeline.delivery.registered import RegisteredExperiment
from xp_pipeline.delivery.rules import assigner
from xp_pipeline.delivery.served import ServedExperiment
from xp_pipeline.delivery.stored import StoredExperiment
from xp_pipeline.delivery.stores import MemoryStore, SqliteStore
from xp_pipeline.delivery.symbols import Symbol
from xp_pipeline.delivery.variants import Choice, ExperimentRecord, UserVariant, Variant

__all__ = [
    "Algorithm",
    "AlgorithmRow",
    "Assigned",
    "Assigner",
    "BaseContext",
    "BaseExperiment",
    "Choice",
    "Design",
    "Drawn",
    "ExperimentRecord",
    "Exposure",
    "ExposureLog",
    "FixedWeights",
    "LogStats",
    "MemoryStore",
    "Pyrosper",
    "RegisteredExperiment",
    "ServedExperiment",
    "SqliteStore",
    "Store",
    "StoredExperiment",
    "Symbol",
    "UserPicks",
    "UserVariant",
    "Variant",
    "assigner",
    "close_days",
    "declare_exposures",
    "exposure_source",
    "get_current",
    "pick",
    "read_design",
]
