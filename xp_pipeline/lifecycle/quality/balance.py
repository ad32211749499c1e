"""Pre-period numbers compared between arms: declared columns, and the covariates that adjust metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xp_pipeline.lifecycle.measurement.measure import Cell, Reading, decisive_variant
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.spec.assignment import Assignment
from xp_pipeline.spec.binding import Bound
from xp_pipeline.stats.balance import standardized_difference
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments


def balance(name: str, arms: Mapping[str, Moments], assignment: Assignment) -> list[checks.Finding]:
    """Every treatment against control, where both have a spread."""
    control = arms.get(assignment.control)
    found = []
    for arm in assignment.treatments:
        if control and arm in arms:
            test = welch(control, arms[arm])
            if test.status == Status.OK:
                found.append(checks.balance(name, arm, standardized_difference(control, arms[arm]), test.p_value))
    return found


def covariate_balance(bound: Bound, readings: Sequence[Reading]) -> list[checks.Finding]:
    """The covariates measured before exposure, each once, those that are declared for balance left to that check."""
    seen = set(bound.experiment.balance)
    found = []
    for reading in readings:
        metric = bound.metrics[reading.metric]
        if reading.variant != decisive_variant(metric):
            continue
        for i, covariate in enumerate(reading.covariates, len(metric.quantities)):
            name = f"{metric.name} {covariate}" if covariate.startswith("pre_") else covariate
            if name not in seen:
                seen.add(name)
                everyone = {c.arm: moments for c, moments in reading.cells.items() if c == Cell(c.arm)}
                arms = {arm: moments.take([i]) for arm, moments in everyone.items()}
                found += balance(name, arms, bound.experiment.assignment)
    return found


def moments_of(n: int, mean: float | None, variance: float | None) -> Moments:
    """Moments of one column from its usual statistics."""
    if not n or mean is None:
        return Moments.empty(1)
    return Moments(n, np.array([mean]), np.array([[(variance or 0.0) * (n - 1)]]), float("nan"))
