"""Names that become folders: any alphabet is welcome, nothing that a path or a terminal would misread."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import SpecError
from xp_pipeline.spec.names import check_id


@pytest.mark.parametrize(
    "name",
    [
        "EXP-101",
        "cookie_cats",
        "v1.2",
        "7",
        "größe",
        "実験-1",
        "эксперимент",
        "प्रयोग",
        "น้ำ",
        "x" * 128,
        "語" * 80,
    ],
)
def test_accepts(name: str) -> None:
    assert check_id(name) is name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        (".", "begins with a dot"),
        ("..", "begins with a dot"),
        (".hidden", "begins with a dot"),
        ("a..b", "two dots"),
        ("a.", "ends with a dot"),
        ("--all", "hyphen"),
        ("a/b", "holds the character '/'"),
        ("../../etc/passwd", "holds the character '/'"),
        ("a\\b", "holds the character"),
        ("c:", "holds the character ':'"),
        ("a b", "holds the character ' '"),
        ("a\nb", r"holds the character '\\n'"),
        ("a\x00b", r"holds the character '\\x00'"),
        ("a\x1b[31m", r"holds the character '\\x1b'"),
        ("a\u202eb", r"holds the character '\\u202e'"),
        ("a\ud800", r"holds the character '\\ud800'"),
        ("*", r"holds the character '\*'"),
        ("___", "neither a letter nor a digit"),
        ("x" * 129, "longer than"),
        ("語" * 81, "longer than"),
        (unicodedata.normalize("NFD", "größe"), "composed form"),
        (None, "is not text"),
        (101, "is not text"),
    ],
)
def test_refuses(name: str, problem: str) -> None:
    with pytest.raises(SpecError, match=f"^shop.yaml:3: the experiment id .*{problem}") as refusal:
        check_id(name, where="shop.yaml:3")
    assert str(refusal.value).isprintable()


def test_says_what_kind_of_name_it_is() -> None:
    with pytest.raises(SpecError, match="the metric name is empty"):
        check_id("", what="metric name")


@given(st.text(max_size=140))
def test_whatever_is_accepted_is_one_part_of_a_path(name: str) -> None:
    try:
        check_id(name)
    except SpecError:
        return
    assert Path("root", name).parts == ("root", name)
    assert Path("root", name).resolve().parent == Path("root").resolve()
    assert len(name.encode()) <= 240
