"""The terminal, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from xp_pipeline.spec.schema import FILES, json_schema
from xp_pipeline_tests.projects import project


def _xp(*arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from xp_pipeline.cli import main; main()", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    environment.pop("XP_PROJECT", None)
    environment.pop("DAGSTER_HOME", None)
    return subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, check=False)


def test_from_init_to_a_decision(tmp_path: Path) -> None:
    assert _xp("init", "mine", at=tmp_path).returncode == 0
    root = tmp_path / "mine"
    assert "all in order" in _xp("validate", at=root).stdout
    assert "signed_up" in _xp("plan", "short_form", at=root).stdout
    done = _xp("run", at=root)
    assert done.returncode == 0, done.stderr
    assert "short_form: ship" in done.stdout
    assert "8/8 report" in done.stderr
    rows = json.loads(_xp("results", "short_form", "--format", "json", at=root).stdout)
    assert {row["metric"] for row in rows} == {"signed_up", "revenue"}
    decided = _xp("decide", "short_form", "short_form", "ship", "--by", "ann", "--reason", "clear", at=root)
    assert decided.returncode == 0, decided.stderr
    again = _xp("reanalyse", "short_form", "--alpha", "0.01", "--by", "ann", "--reason", "a stricter look", at=root)
    assert again.returncode == 0, again.stderr
    assert "The ledger is whole" in _xp("verify", at=root).stdout
    assert (root / _xp("report", "short_form", at=root).stdout.splitlines()[0]).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["results", "trial"], 4, "xp run trial"),
        (["results", "trail"], 2, "did you mean 'trial'"),
        (["run", "trial", "--as-of", "soon"], 2, "YYYY-MM-DD"),
        (["override", "trial", "--check", "srm", "--by", "a", "--reason", "b"], 4, "not registered"),
        (["explain", "metric", "spent"], 2, "did you mean 'spend'"),
        (["results", "trial", "--format", "xls"], 2, "table, json, csv, parquet"),
        (["verify", "--head", "3"], 2, "SEQ:DIGEST"),
    ],
)
def test_errors_are_one_line_with_an_exit_code(arguments: list[str], code: int, told: str, tmp_path: Path) -> None:
    done = _xp(*arguments, at=project(tmp_path))
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_spec_errors_do_not_wait_for_dagster(tmp_path: Path) -> None:
    root = project(tmp_path, experiment={"hypotesis": "x"})
    code = (
        "import sys\nfrom xp_pipeline.cli.app import app\n"
        "try:\n    app(['validate'], standalone_mode=False)\nexcept BaseException:\n    pass\n"
        "print([m for m in ('dagster', 'scipy', 'duckdb', 'polars', 'pandera') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("kind", FILES)
def test_schemas_are_schemas(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(kind))
