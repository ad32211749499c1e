"""A type checker follows what is picked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SNIPPET = """
from xp_pipeline.delivery import BaseContext, Pyrosper, Symbol, pick

limit: Symbol[int] = Symbol("limit")
untyped = Symbol("untyped")
pyrosper = Pyrosper()
reveal_type(pyrosper.pick(limit))
reveal_type(pyrosper.pick(untyped))
reveal_type(pyrosper.pick("text", str))
reveal_type(pick(pyrosper, limit))
reveal_type(pick(pyrosper, untyped, float))
reveal_type(pyrosper.set_for_user_sync(1).pick(limit))


class Context(BaseContext):
    def setup(self) -> Pyrosper:
        return pyrosper


class Page:
    title = Context.pick(str, "title")


reveal_type(Page().title)
with Context() as current:
    reveal_type(current)


@Context()
def greet(name: str) -> int:
    return 1


reveal_type(greet)
wrong: str = pyrosper.pick(limit)
greet(1)
"""
REVEALED = [
    "int",
    "Any",
    "str",
    "int",
    "float",
    "int",
    "str",
    "xp_pipeline.delivery.pyrosper.Pyrosper",
    "def (name: str) -> int",
]


def test_mypy_follows_picks(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(snippet)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if "snippet.py" in line]
    notes = [line.split('"')[1].replace("builtins.", "") for line in lines if "Revealed type" in line]
    errors = [line for line in lines if ": error:" in line]
    assert notes == REVEALED, done.stdout
    assert len(errors) == 2, done.stdout
    assert '"int", variable has type "str"' in errors[0]
    assert 'has incompatible type "int"; expected "str"' in errors[1]
