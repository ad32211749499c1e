"""Every program and every call in docs/language.md."""

from __future__ import annotations

import doctest
import re

import pytest

from xp_pipeline.language import check, parse, to_json, unparse
from xp_pipeline_tests.projects import REPOSITORY

TEXT = (REPOSITORY / "docs" / "language.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```pyab\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda text: text.split()[1])
def test_a_program_of_the_documentation_is_sound(program: str) -> None:
    tree = parse(program)
    assert [str(finding) for finding in check(tree) if finding.severity == "error"] == []
    assert parse(unparse(tree)) == tree
    assert to_json(tree)


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 3


def test_the_calls_of_the_documentation_give_what_it_says() -> None:
    text = TEXT.replace("```\n", "\n")
    example = doctest.DocTestParser().get_doctest(text, {}, "language.md", "language.md", 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(example, out=said.append).failed == 0, "".join(said)
    assert len(example.examples) > 20
