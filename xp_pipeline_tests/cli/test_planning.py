"""``xp plan`` as a user types it: from numbers, fast and in 80 columns; from an experiment; and refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xp_pipeline_tests.projects import project

NUMBERS = ("--baseline", "0.1", "--mde", "5%")


def _plan(*arguments: str, at: Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from xp_pipeline.cli import main; main()", "plan", *arguments]
    environment = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": encoding}
    environment.pop("XP_PROJECT", None)
    return subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, check=False)


def test_numbers_alone_need_no_project(tmp_path: Path) -> None:
    done = _plan(*NUMBERS, at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "57,761" in done.stdout
    assert "115,522 units of all arms" in done.stdout


@pytest.mark.parametrize("arguments", [
    (*NUMBERS, "--per-day", "5000", "--days", "28", "--weights", "2,1,1", "--looks", "group_sequential"),
    (*NUMBERS, "--per-day", "300", "--window", "7d"),
    ("--baseline", "12.5", "--sd", "31", "--mde", "3%", "--units", "50000"),
    ("--baseline", "12.5", "--sd", "31", "--equivalence", "2%", "--per-day", "9000", "--days", "20"),
    ("--baseline", "12.5", "--sd", "31", "--margin", "2%", "--guardrails", "2", "--per-day", "9000"),
    ("--baseline", "0", "--sd", "1", "--mde", "0.05", "--per-day", "900", "--days", "10"),
])  # fmt: skip
def test_the_screen_is_80_columns_wide_and_draws_the_curve(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = _plan(*arguments, at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "█" in done.stdout
    assert "by day" in done.stdout or "by true effect" in done.stdout


def test_a_terminal_of_plain_characters_gets_them(tmp_path: Path) -> None:
    done = _plan(*NUMBERS, "--per-day", "5000", at=tmp_path, encoding="ascii")
    assert done.returncode == 0, done.stderr
    assert "####" in done.stdout


def test_numbers_load_nothing_heavy(tmp_path: Path) -> None:
    """What keeps the answer under two seconds."""
    code = (
        "import sys; sys.argv = ['xp', 'plan', '--baseline', '0.1', '--mde', '5%', '--per-day', '5000']\n"
        "from xp_pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('dagster', 'duckdb', 'polars', 'pandas', 'statsmodels', 'scipy.stats')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_json_holds_the_curve(tmp_path: Path) -> None:
    done = _plan(*NUMBERS, "--per-day", "5000", "--format", "json", at=tmp_path)
    found = json.loads(done.stdout)["metrics"][0]
    assert found["n"] == 57_761
    assert len(found["curve"]["days"]) == len(found["curve"]["lift"]) > 10


def test_an_experiment_without_a_past_says_what_is_missing(tmp_path: Path) -> None:
    done = _plan("trial", at=project(tmp_path))
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "no baseline typed" in done.stdout
    assert "planning.units_per_day" in " ".join(done.stdout.split())


@pytest.mark.parametrize(("arguments", "told"), [
    ((), "xp plan ID, or xp plan --baseline 0.1 --mde 5%"),
    (("trial", *NUMBERS), "plan an experiment or typed numbers"),
    ((*NUMBERS, "--format", "xml"), "table, json"),
    (("--baseline", "0.1"), "nothing to plan"),
    (("--baseline", "0.1", "--mde", "lots"), "an amount is a number"),
    (("--baseline", "0.1", "--margin", "-2%"), "a margin is positive"),
    (("--baseline", "0.1", "--equivalence", "0%"), "a margin is positive"),
    (("--baseline", "0.1", "--equivalence", "2%", "--mde", "2%"), "a plan is for one test"),
    ((*NUMBERS, "--weights", "half,half"), "a weight is a number"),
    ((*NUMBERS, "--weights", "1"), "every arm needs a share"),
    ((*NUMBERS, "--looks", "often"), "fixed"),
    ((*NUMBERS, "--window", "7"), "a duration is a whole number and a unit"),
    ((*NUMBERS, "--type", "mean"), "needs its standard deviation"),
    ((*NUMBERS, "--power", "1.2"), "power is a probability"),
    (("--baseline", "2", "--mde", "5%"), "share"),
])  # fmt: skip
def test_what_cannot_be_is_one_line_and_exit_code_two(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    done = _plan(*arguments, at=project(tmp_path))
    assert done.returncode == 2, done.stdout
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
