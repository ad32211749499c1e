"""Adaptive experiments in a service: the rule that follows the published weights."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from xp_pipeline.delivery.algorithms.allocation import Allocation, following
from xp_pipeline.delivery.algorithms.published import read_latest
from xp_pipeline.delivery.designs import Design, places
from xp_pipeline.delivery.protocols import Assigner
from xp_pipeline.delivery.rules import within

REFRESH = 30.0
"""Seconds for which weights are believed."""


def published_assigner(root: Path | str, design: Design, *, clock: Callable[[], datetime]) -> Assigner:
    """The rule of an adaptive design, by the weights that the pipeline published last.

    They are read anew every 30 seconds of the clock; while they cannot be read, the last ones stay in force.

    Raises:
        PhaseOrderError: none are published yet.
        DataError: the weights are not what was published.
    """
    folder, project = places(root)

    def read() -> Allocation:
        return read_latest(folder / project.record, design.experiment)

    return within(design, following(read, design.salt, refresh=REFRESH, clock=lambda: clock().timestamp()))
