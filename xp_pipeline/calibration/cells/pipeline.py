"""The cell of A/A experiments through the whole pipeline, from registry to report: C25."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.measures import Row, collect
from xp_pipeline.calibration.model import Cell, Measures, Study, at_most, within
from xp_pipeline.calibration.trials import KINDS, METRICS, UNITS, run_project, write_project

DECILES = tuple(k / 10 for k in range(1, 10))


def _experiments(rng: Generator, count: int) -> Measures:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        names = write_project(root, rng, count)
        found = run_project(root, names)
    return collect(_measured(name, rows) for name, rows in zip(names, found, strict=True))


def _measured(name: str, rows: dict[str, dict[str, Any]] | None) -> Row:
    """Shares of one experiment's metrics; an experiment that a check blocked has none."""
    if rows is None:
        return {"blocked": 1.0}
    p = np.array([rows[f"{name}_{m}"]["p_value"] for m in range(len(METRICS))], dtype=float)
    kinds = np.array([kind.name for kind, _ in METRICS])
    return {
        "blocked": 0.0,
        "a secondary metric is significant": float(
            any(row["significant"] for row in rows.values() if row["role"] == "secondary")
        ),
        "rejected": float((p <= 0.05).mean()),
        **{f"rejected, {kind.name}": float((p[kinds == kind.name] <= 0.05).mean()) for kind in KINDS},
        **{f"p up to {q:g}": float((p <= q).mean()) for q in DECILES},
    }


C25 = Cell(
    "C25",
    "A/A experiments end to end",
    "Experiments of one project without any effect, run from the registry to the report: pooled over metrics, 5 % are "
    "significant before adjustment and p-values are uniform (at every tenth); after it, hardly any experiment has a "
    "significant secondary metric.",
    "lifecycle.run.run",
    (
        Study(
            f"{len(METRICS)} metrics, {UNITS:,} units",
            _experiments,
            (
                within("rejected", 0.05, 0.01, "mean"),
                *(within(f"rejected, {kind.name}", 0.05, 0.01, "mean") for kind in KINDS),
                *(within(f"p up to {q:g}", q, 0.01, "mean") for q in DECILES),
                at_most("a secondary metric is significant", 0.05, 0.06),
                at_most("blocked", 0.001, 0.002),
            ),
            500,
            fewest=50,
            batch=25,
        ),
    ),
)
CELLS = (C25,)
