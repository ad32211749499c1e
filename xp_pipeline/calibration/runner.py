"""Runs the benchmark, batch by batch, over as many processes as are given; their number changes no figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from xp_pipeline import __version__
from xp_pipeline.calibration.bands import FAMILY_ERROR, claim_alpha
from xp_pipeline.calibration.cells import CELLS, claims_of_all
from xp_pipeline.calibration.findings import Calibration, CellResult, StudyResult, Tally, add, explained, judged, tally
from xp_pipeline.calibration.model import Agreement, Cell, Study
from xp_pipeline.calibration.seeds import stream
from xp_pipeline.errors import SpecError, nearest

Progress = Callable[[str, int, int], None]
"""Told of a cell, the batches of it that are done, and all of its batches."""

_TWIN = -1
"""The batch that compares a twin with the shipped function, on numbers of its own."""


class Batch(NamedTuple):
    """A part of a study, small enough for one process."""

    cell: str
    study: str
    number: int
    replicates: int


class Drawn(NamedTuple):
    """What a batch gave: sums, or the comparison of a twin."""

    tallies: dict[str, Tally]
    twin: Agreement | None


def chosen(names: Sequence[str]) -> list[Cell]:
    """The cells named, in their own order; all of them where none is named.

    Raises:
        SpecError: a name is no cell.
    """
    wanted = [name.upper() for name in names]
    unknown = [name for name in wanted if name not in CELLS]
    if unknown:
        raise SpecError("no such cell of the benchmark", found=unknown[0], allowed=nearest(unknown[0], CELLS))
    return [cell for name, cell in CELLS.items() if not wanted or name in wanted]


def calibrate(
    cells: Sequence[Cell], *, full: bool, processes: int = 1, progress: Progress = lambda *_: None
) -> Calibration:
    """Simulate the cells and judge every claim.

    Args:
        cells: Registered cells; bands are those of the whole benchmark, whichever run.
        full: All replicates, or the subset's tenth.
        processes: How many work at once.
        progress: Told of every batch that is finished.
    """
    found: list[CellResult] = []
    with _workers(processes) as work:
        for cell, drawn in [(cell, work(_batches(cell, full=full))) for cell in cells]:
            found.append(explained(cell, _gathered(cell, drawn, full=full, progress=progress)))
    return Calibration("full" if full else "subset", __version__, claims_of_all(), FAMILY_ERROR, tuple(found))


class _workers:  # noqa: N801
    """Maps batches to what they gave, lazily and in order."""

    def __init__(self, processes: int) -> None:
        fresh = get_context("spawn")
        self._pool = ProcessPoolExecutor(processes, mp_context=fresh) if processes > 1 else None

    def __enter__(self) -> Callable[[Sequence[Batch]], Iterator[Drawn]]:
        return lambda batches: (self._pool.map if self._pool else map)(draw, batches)

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


def _batches(cell: Cell, *, full: bool) -> list[Batch]:
    batches = []
    for study in cell.studies:
        planned = study.planned(full=full)
        starts = range(0, planned, study.batch)
        batches += [Batch(cell.id, study.name, i, min(study.batch, planned - start)) for i, start in enumerate(starts)]
        batches += [Batch(cell.id, study.name, _TWIN, 0)] if study.twin else []
    return batches


def draw(batch: Batch) -> Drawn:
    """Simulate one batch on its own stream of random numbers."""
    cell = CELLS[batch.cell]
    study = cell.study(batch.study)
    if batch.number == _TWIN:
        assert study.twin
        return Drawn({}, study.twin(stream(cell.id, f"{study.name}/twin", cell.version, 0)))
    rng = stream(cell.id, study.name, cell.version, batch.number)
    return Drawn(tally(study.simulate(rng, batch.replicates)), None)


def _gathered(cell: Cell, drawn: Iterator[Drawn], *, full: bool, progress: Progress) -> tuple[StudyResult, ...]:
    """The batches of every study together, in the order they were planned."""
    planned = _batches(cell, full=full)
    sums: dict[str, dict[str, Tally]] = {study.name: {} for study in cell.studies}
    twins: dict[str, Agreement] = {}
    for done, (batch, result) in enumerate(zip(planned, drawn, strict=True), start=1):
        progress(cell.id, done, len(planned))
        sums[batch.study] = add(sums[batch.study], result.tallies)
        if result.twin:
            twins[batch.study] = result.twin
    return tuple(_judged(study, sums[study.name], twins.get(study.name), full=full) for study in cell.studies)


def _judged(study: Study, sums: dict[str, Tally], twin: Agreement | None, *, full: bool) -> StudyResult:
    return judged(study, sums, twin, replicates=study.planned(full=full), alpha=claim_alpha(claims_of_all()))
