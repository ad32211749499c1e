"""From what a method answered in a replicate to the measures that are tallied."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from xp_pipeline.calibration.model import Measures
from xp_pipeline.stats.estimates import Estimate, Relative, Status

Row = dict[str, float]
NAN = float("nan")


def collect(rows: Iterable[Row]) -> Measures:
    """One mapping a replicate, as one array a measure; what a replicate leaves out is NaN."""
    table = list(rows)
    names = {name: None for row in table for name in row}
    return {name: np.array([row.get(name, NAN) for row in table], dtype=float) for name in names}


def covering(low: float, high: float, truth: float) -> Row:
    """Whether an interval covers the truth, and on which side it misses."""
    if math.isnan(low) or math.isnan(high):
        return {"undefined": 1.0}
    return {
        "covered": float(low <= truth <= high),
        "below": float(truth < low),
        "above": float(truth > high),
        "undefined": 0.0,
    }


def absolute(estimate: Estimate, truth: float) -> Row:
    """Coverage of the effect's interval, the verdict of its test, and whether the method raised a caution."""
    row = covering(estimate.low, estimate.high, truth)
    return row | decided(estimate.p_value) | {"cautioned": float(bool(estimate.reason))}


def decided(p_value: float, *, alpha: float = 0.05) -> Row:
    """Whether a test rejects; nothing where it is undefined."""
    return {} if math.isnan(p_value) else {"rejected": float(p_value <= alpha)}


def lifted(relative: Relative, truth: float) -> Row:
    """Coverage of the set of lifts; an unbounded set covers what it contains and is counted as unbounded."""
    if math.isnan(relative.low) or math.isnan(relative.high):
        return {"undefined": 1.0, "unbounded": 0.0}
    covered = relative.contains(truth)
    unbounded = relative.status == Status.UNBOUNDED
    low_side = truth < relative.lift
    return {
        "covered": float(covered),
        "covered when bounded": NAN if unbounded else float(covered),
        "below": float(not covered and low_side),
        "above": float(not covered and not low_side),
        "undefined": 0.0,
        "unbounded": float(unbounded),
    }
