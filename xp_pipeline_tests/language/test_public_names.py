"""The package's names: each is there, and asking which arm a unit gets loads no engine."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

from xp_pipeline import language
from xp_pipeline.language import Program

TEXT = "def p { splitters: u if x == 1 { return 'a' weighted 1, 'b' weighted 1 } else { return 'c' weighted 1 } }"


@pytest.mark.parametrize("name", language.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(language, name) is not None


def test_no_name_is_hidden_by_a_module() -> None:
    for module in ("parser", "unparser", "checks", "routes", "program", "sql", "frames", "tree_json"):
        __import__(f"xp_pipeline.language.{module}")
    assert all(not hasattr(getattr(language, name), "__path__") for name in language.__all__)
    assert callable(language.parse) and callable(language.unparse) and callable(language.check)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Programm"):
        _ = language.Programm


@pytest.mark.parametrize(
    "work",
    [
        "import xp_pipeline.language",
        "from xp_pipeline.language import buckets; buckets.bucket('s', 1)",
        f"from xp_pipeline.language import Program; Program.parse({TEXT!r}).assign({{'u': 1, 'x': 1}})",
        f"from xp_pipeline.language import Program; Program.parse({TEXT!r}).sql('t', {{'u': 'text', 'x': 'text'}})",
        f"from xp_pipeline.language import *; ExperimentEvaluator({TEXT!r})(u=1, x=1); check(parse({TEXT!r}))",
    ],
)
def test_no_engine_is_loaded(work: str) -> None:
    heavy = "('numpy', 'polars', 'duckdb', 'pyarrow', 'pydantic', 'scipy')"
    code = f"{work}\nimport sys\nprint([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_program_survives_copies() -> None:
    program = Program.parse(TEXT, rule="v1", default_salt="s")
    fields = {"u": 1, "x": 1}
    expected = program.assign(fields)
    for twin in (copy.deepcopy(program), copy.copy(program), pickle.loads(pickle.dumps(program))):
        assert twin == program
        assert twin.assign(fields) == expected
        assert twin.splits == program.splits
