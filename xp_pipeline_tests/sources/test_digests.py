"""Digests: the same for the same content, another for another, and cheap to ask again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from xp_pipeline.sources import digests
from xp_pipeline.sources.locations import content_digest
from xp_pipeline_tests.sources.tables import declared

LONG_AGO = 1_600_000_000


def _write(path: Path, text: str, *, at: int = LONG_AGO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))


def _asked(root: Path, *, remembering: bool = True, **parts: Any) -> str:
    return content_digest(declared(**parts), root=root, lake=root / "lake" if remembering else None)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose bytes were read."""
    seen: list[str] = []
    original = digests.file_digest

    def counting(path: Path) -> str:
        seen.append(path.name)
        return original(path)

    monkeypatch.setattr(digests, "file_digest", counting)
    return seen


def test_the_digest_is_of_bytes_not_of_the_place(tmp_path: Path) -> None:
    _write(tmp_path / "t.csv", "id\na\n")
    _write(tmp_path / "elsewhere" / "u.csv", "id\na\n", at=LONG_AGO + 5)
    assert _asked(tmp_path, path="t.csv") == _asked(tmp_path, path="elsewhere/u.csv")
    _write(tmp_path / "t.csv", "id\nb\n", at=LONG_AGO + 9)
    assert _asked(tmp_path, path="t.csv") != _asked(tmp_path, path="elsewhere/u.csv")


def test_a_file_more_or_in_another_hive_folder_changes_it(tmp_path: Path) -> None:
    _write(tmp_path / "e" / "day=1" / "p.csv", "id\na\n")
    one = _asked(tmp_path, path="e")
    os.rename(tmp_path / "e" / "day=1", tmp_path / "e" / "day=2")
    two = _asked(tmp_path, path="e")
    _write(tmp_path / "e" / "day=3" / "p.csv", "id\nc\n")
    assert len({one, two, _asked(tmp_path, path="e")}) == 3
    by_name = {_asked(tmp_path, path=f"e/day={day}/p.csv") for day in (2, 3)}
    _write(tmp_path / "e" / "day=3" / "p.csv", "id\na\n", at=LONG_AGO + 9)
    by_name.add(_asked(tmp_path, path="e/day=3/p.csv"))
    assert len(by_name) == 3


def test_reading_the_bytes_otherwise_is_other_content(tmp_path: Path) -> None:
    _write(tmp_path / "t.csv", "id;x\na;1\n")
    assert _asked(tmp_path) != _asked(tmp_path, delimiter=";")


def test_an_unchanged_file_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    _write(tmp_path / "t.csv", "id\na\n")
    assert _asked(tmp_path) == _asked(tmp_path)
    assert reads == ["t.csv"]
    _write(tmp_path / "t.csv", "id\nb\n", at=LONG_AGO + 1)
    assert _asked(tmp_path) == _asked(tmp_path, remembering=False)
    assert reads == ["t.csv"] * 3


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "t.csv").write_text("id\na\n")
    assert _asked(tmp_path) == _asked(tmp_path)
    assert reads == ["t.csv"] * 2


@pytest.mark.parametrize("memory", ["", "{", "[]", '"x"'])
def test_a_broken_memory_is_only_forgotten(tmp_path: Path, memory: str) -> None:
    _write(tmp_path / "t.csv", "id\na\n")
    expected = _asked(tmp_path, remembering=False)
    _write(tmp_path / "lake" / "sources" / ".digests.json", memory)
    assert _asked(tmp_path) == _asked(tmp_path) == expected


def test_memories_of_several_sources_are_kept_together(tmp_path: Path, reads: list[str]) -> None:
    for name in ("one.csv", "two.csv"):
        _write(tmp_path / name, f"id\n{name}\n")
        _asked(tmp_path, path=name)
    _asked(tmp_path, path="one.csv")
    assert reads == ["one.csv", "two.csv"]


def test_remote_files_are_known_by_what_their_store_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pipe("/d/t.csv", b"id\na\n")
    one = _asked(tmp_path, path="memory://d/t.csv")
    assert _asked(tmp_path, path="memory://d/t.csv") == one
    memory.pipe("/d/t.csv", b"id\nb\n")
    assert _asked(tmp_path, path="memory://d/t.csv") != one

    stated = {"size": 5, "ETag": '"abc"', "LastModified": 1}
    monkeypatch.setattr(type(memory), "info", lambda *_, **__: {**stated, "type": "file", "name": "/d/t.csv"})
    one = _asked(tmp_path, path="memory://d/t.csv")
    stated["LastModified"] = 2
    assert _asked(tmp_path, path="memory://d/t.csv") == one
    stated["ETag"] = '"def"'
    assert _asked(tmp_path, path="memory://d/t.csv") != one
