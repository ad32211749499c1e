"""What an earlier run found, read back from its table, so that a cell can be run without the others."""

from __future__ import annotations

import csv
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from xp_pipeline.calibration.bands import claim_alpha
from xp_pipeline.calibration.cells import CELLS, claims_of_all
from xp_pipeline.calibration.findings import CellResult, StudyResult, Tally, explained, judged
from xp_pipeline.calibration.model import Agreement, Cell, Study

Row = Mapping[str, str]


def kept(folder: Path, *, full: bool, besides: Container[str]) -> list[CellResult]:
    """The cells of a folder's table that still stand, judged by the bands of today.

    A cell stands if it was run by the same kind of run and at its present version, and if its studies, their
    replicates and what they measure are those of today. Others leave the page until they are run.

    Args:
        folder: Where ``calibration.csv`` may be.
        full: Whether by full runs or by subsets.
        besides: Cells that are not wanted.
    """
    path = folder / "calibration.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == ("full" if full else "subset")]
    wanted = [cell for name, cell in CELLS.items() if name not in besides]
    found = (_cell(cell, [row for row in rows if row["cell"] == cell.id], full=full) for cell in wanted)
    return [cell for cell in found if cell]


def together(cells: Iterable[CellResult]) -> tuple[CellResult, ...]:
    """Cells in the order of the benchmark."""
    order = list(CELLS)
    return tuple(sorted(cells, key=lambda cell: order.index(cell.id)))


def _cell(cell: Cell, rows: list[Row], *, full: bool) -> CellResult | None:
    studies = [_study(study, [row for row in rows if row["study"] == study.name], full=full) for study in cell.studies]
    present = all(row["version"] == str(cell.version) for row in rows)
    known = {row["study"] for row in rows} == {study.name for study in cell.studies}
    judged_ones = tuple(study for study in studies if study)
    return explained(cell, judged_ones) if present and known and len(judged_ones) == len(studies) else None


def _study(study: Study, rows: list[Row], *, full: bool) -> StudyResult | None:
    same = [row["measure"] for row in rows] == [claim.measure for claim in study.claims]
    if not same or any(int(row["replicates"]) != study.planned(full=full) for row in rows):
        return None
    tallies = {row["measure"]: _tally(row) for row in rows}
    shares = {name: Tally(1, float(rows[0][name])) for name in ("undefined", "unbounded")}
    gap = rows[0]["twin_gap"]
    twin = Agreement(int(rows[0]["twin_replicates"]), float(gap)) if gap else None
    return judged(
        study, shares | tallies, twin, replicates=study.planned(full=full), alpha=claim_alpha(claims_of_all())
    )


def _tally(row: Row) -> Tally:
    """The sums that have the row's mean and error."""
    n, mean, error = int(row["defined"]), float(row["estimate"]), float(row["mc_error"])
    if n == 0:
        return Tally()
    spread = error**2 * (n - 1) if n > 1 else 0.0
    return Tally(n, n * mean, n * (spread + mean**2))
