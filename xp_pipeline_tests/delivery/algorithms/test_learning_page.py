"""The page on learning runs block by block."""

from __future__ import annotations

import re

from xp_pipeline_tests.projects import REPOSITORY

PAGE = REPOSITORY / "docs" / "learning.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_page_runs() -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = ["\n" * text.count("\n", 0, m.start(1)) + m[1] for m in BLOCK.finditer(text)]
    assert len(blocks) == 6
    names: dict[str, object] = {"__name__": "page"}
    for code in blocks:
        exec(compile(code, str(PAGE), "exec"), names)
