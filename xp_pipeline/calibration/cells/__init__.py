"""The cells of the benchmark, grouped by subject."""

from __future__ import annotations

from functools import cache

from xp_pipeline.calibration.cells import (
    bandits,
    bayes,
    clusters,
    covariates,
    extension,
    families,
    lifts,
    margins,
    means,
    pipeline,
    planning,
    proportions,
    quantiles,
    ratios,
    resampling,
    sample_ratio,
    sequences,
    splits,
    stages,
    strata,
)
from xp_pipeline.calibration.model import Cell

_SUBJECTS = (
    bandits,
    bayes,
    clusters,
    covariates,
    extension,
    families,
    lifts,
    margins,
    means,
    pipeline,
    planning,
    proportions,
    quantiles,
    ratios,
    resampling,
    sample_ratio,
    sequences,
    splits,
    stages,
    strata,
)

CELLS: dict[str, Cell] = {
    cell.id: cell for cell in sorted((c for s in _SUBJECTS for c in s.CELLS), key=lambda cell: int(cell.id[1:]))
}
"""Every cell by its id, in order."""


@cache
def claims_of_all() -> int:
    """Tested claims of the whole benchmark, over which bands are simultaneous."""
    return sum(claim.tested for cell in CELLS.values() for study in cell.studies for claim in study.claims)
