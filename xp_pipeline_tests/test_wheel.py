"""A wheel, built and installed elsewhere, brings its SQL, templates and terminal along."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from xp_pipeline.engine import queries
from xp_pipeline_tests.projects import REPOSITORY

pytestmark = pytest.mark.e2e


def test_the_wheel_runs_elsewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(REPOSITORY)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    wheel = next((tmp_path / "dist").glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        names = set(archive.namelist())
    assert {f"xp_pipeline/sql/{name}.sql" for name in queries.names()} <= names
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from xp_pipeline.engine import queries\n"
        "assert str(queries.folder()).startswith(sys.argv[1]), queries.folder()\n"
        "from xp_pipeline.cli.init import create\nfrom pathlib import Path\ncreate(Path('mine'))\n"
        "from xp_pipeline.lifecycle.run import run\nfrom xp_pipeline.lifecycle.workspace import Workspace\n"
        "outcome = run(Workspace.open(Path('mine')), 'short_form')\n"
        "assert outcome.status == 'done', outcome\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
