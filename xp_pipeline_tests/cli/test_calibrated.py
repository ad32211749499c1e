"""The command ``xp calibrate``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from xp_pipeline.cli.app import app
from xp_pipeline.errors import SpecError


def test_chosen_cells_are_told_claim_by_claim_and_written(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["calibrate", "--cells", "C26,c9", "--processes", "1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "CUPED, variance" in done.output and "in band" in done.output
    text = (tmp_path / "calibration.md").read_text(encoding="utf-8")
    assert "## C26: Margins over looks" in text and "## C9: CUPED, variance" in text
    assert (tmp_path / "calibration.csv").read_text(encoding="utf-8").startswith("cell,subject,study")


def test_wrong_options_are_refused() -> None:
    for arguments, message in (
        (["--cells", "C99"], "no such cell"),
        (["checkout"], "--project"),
        (["--project", "--replays", "0"], "one split or more"),
    ):
        done = CliRunner().invoke(app, ["calibrate", *arguments])
        assert isinstance(done.exception, SpecError), done.output
        assert message in str(done.exception)


@pytest.mark.slow
def test_the_subset_is_in_band(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["calibrate", "--subset", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
