"""YAML with positions: what is text stays text, and every problem names its line."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import SpecError
from xp_pipeline.spec import loader
from xp_pipeline.spec.project import Project


def _read(tmp_path: Path, text: str | bytes) -> loader.Document:
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return loader.read(path)


def test_country_codes_and_clock_times_stay_text(tmp_path: Path) -> None:
    content = _read(tmp_path, "a: [NO, yes, on, 1:30, 010, 1e3, null, 2026-01-05]\n").content["a"]
    assert content[:5] == ["NO", "yes", "on", "1:30", "010"]
    assert content[5] == 1000.0
    assert content[6] is None
    assert content[7].isoformat() == "2026-01-05"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "empty"),
        ("- a\n", 1, "not a mapping"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice"),
        ("a: 1\nb:\n  c: .nan\n", 3, "finite"),
        ("a: 1\nb: .inf\n", 2, "finite"),
        ("a: {b: 1\nc: 2\n", 2, "not YAML"),
        ("a: !!python/object:os.system x\n", 1, "not a value"),
    ],
)
def test_a_problem_names_its_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        _read(tmp_path, text)
    assert f"x.yaml:{line}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="UTF-8"):
        _read(tmp_path, b"a: \xff\n")


def test_nesting_of_thousands_of_levels_answers(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        _read(tmp_path, "[" * 5000 + "]" * 5000)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(SpecError, match="too large"):
        _read(tmp_path, "l0: &l0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(levels))


@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_spec_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "x.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(SpecError):
        loader.validate(Project, loader.read(path))
