"""What holds of the house as a whole."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

from xp_pipeline.engine import queries
from xp_pipeline_tests.projects import REPOSITORY

MODULES = sorted((REPOSITORY / "xp_pipeline").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_a_module_says_what_it_is_and_owes_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no module docstring"
    assert "TODO" not in text
    assert "FIXME" not in text


@pytest.mark.parametrize("name", queries.names())
def test_every_query_says_what_it_takes_and_gives(name: str) -> None:
    text = (queries.folder() / f"{name}.sql").read_text(encoding="utf-8")
    for heading in ("-- Purpose:", "-- Inputs:", "-- Output:"):
        assert heading in text


def test_the_data_dictionary_is_current() -> None:
    made = runpy.run_path(str(REPOSITORY / "docs" / "make_tables.py"))["dictionary"]()
    assert (REPOSITORY / "docs" / "tables.md").read_text(encoding="utf-8") == made, "run python docs/make_tables.py"
