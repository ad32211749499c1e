"""The project file, xp.yaml: names, places, defaults and automation."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from xp_pipeline.spec.assignment import Buckets
from xp_pipeline.spec.values import Model


class Defaults(Model):
    """Settings below which packs, metrics and experiments lay their own."""

    metric: dict[str, Any] = {}
    analysis: dict[str, Any] = {}


class Automation(Model):
    """What Dagster does unasked."""

    schedule: str | None = Field("0 6 * * *", description="Cron of the daily job in the project's zone, or null.")
    watch_specs: bool = True
    watch_sources: bool = True
    interval_seconds: int = Field(60, ge=5)


class Engine(Model):
    """How much of the machine a step may take; results do not depend on it."""

    memory_limit: str | None = Field(None, description="DuckDB's limit, such as 4GB.")


class Layer(Model):
    """A layer of experiments that share no unit; an experiment names it with its range of buckets."""

    holdouts: dict[str, Buckets] = Field({}, description="Name to range of buckets that no experiment may take.")


class Project(Model):
    """The whole of xp.yaml."""

    name: str
    timezone: str = "UTC"
    lake: str = "lake"
    record: str = "record"
    engine: Engine = Engine()
    defaults: Defaults = Defaults()
    automation: Automation = Automation()
    layers: dict[str, Layer] = {}
