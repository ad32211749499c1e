"""Dagster's contents page: the assets of the lifecycle, their jobs, sensors and schedule."""

from __future__ import annotations

import dagster as dg

from xp_pipeline.orchestration.build import build_definitions


@dg.definitions
def defs() -> dg.Definitions:
    """Everything xp_pipeline shows in Dagster, for the project of ``XP_PROJECT`` or the current folder."""
    return build_definitions()
