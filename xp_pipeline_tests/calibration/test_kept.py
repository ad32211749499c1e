"""Cells of an earlier run stand beside those that are run now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from xp_pipeline.calibration import kept as module
from xp_pipeline.calibration.cells import CELLS
from xp_pipeline.calibration.findings import Calibration
from xp_pipeline.calibration.kept import kept, together
from xp_pipeline.calibration.page import page, write
from xp_pipeline.calibration.runner import calibrate, chosen


@pytest.fixture(scope="module")
def run() -> Calibration:
    return calibrate(chosen(["C9", "C18"]), full=False)


def test_what_was_written_reads_back_as_it_was_judged(run: Calibration, tmp_path: Path) -> None:
    write(run, tmp_path)
    again = kept(tmp_path, full=False, besides=[])
    assert [cell.id for cell in again] == ["C9", "C18"]
    assert page(replace(run, cells=tuple(again))) == page(run)


def test_cells_that_are_run_now_or_were_run_otherwise_are_not_kept(run: Calibration, tmp_path: Path) -> None:
    write(run, tmp_path)
    assert [cell.id for cell in kept(tmp_path, full=False, besides=["C9"])] == ["C18"]
    assert kept(tmp_path, full=True, besides=[]) == []
    assert kept(tmp_path / "nowhere", full=False, besides=[]) == []


def test_a_cell_of_another_version_or_with_other_studies_leaves_the_page(
    run: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(run, tmp_path)
    c9 = CELLS["C9"]
    more = replace(c9.studies[0], replicates=c9.studies[0].replicates * 10)
    for changed in (
        replace(c9, version=c9.version + 1),
        replace(c9, studies=c9.studies[:-1]),
        replace(c9, studies=(more, *c9.studies[1:])),
    ):
        monkeypatch.setattr(module, "CELLS", {**CELLS, "C9": changed})
        assert [cell.id for cell in kept(tmp_path, full=False, besides=[])] == ["C18"]


def test_cells_stand_in_the_order_of_the_benchmark(run: Calibration) -> None:
    assert [cell.id for cell in together(reversed(run.cells))] == ["C9", "C18"]
