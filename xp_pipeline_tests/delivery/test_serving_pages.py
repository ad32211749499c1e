"""The how-to runs block by block, and the example serves what it says."""

from __future__ import annotations

import re
import runpy
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from xp_pipeline_tests.delivery.shop import EXPERIMENT, shop
from xp_pipeline_tests.projects import EXAMPLES, REPOSITORY

PAGE = REPOSITORY / "docs" / "serving.md"
BLOCK = re.compile(r"^```python( postgres)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _blocks() -> list[tuple[bool, str]]:
    """Whether a block needs PostgreSQL, and its code, as far down the page as it stands."""
    text = PAGE.read_text(encoding="utf-8")
    return [(bool(m[1]), "\n" * text.count("\n", 0, m.start(2)) + m[2]) for m in BLOCK.finditer(text)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of the page, running now, its design sealed as the page's first block declares it."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    span = {"start": (today - timedelta(days=3)).isoformat(), "end": (today + timedelta(days=3)).isoformat()}
    root = shop(tmp_path / "project", **{**EXPERIMENT, **span})
    monkeypatch.chdir(root)
    return root


def test_the_page_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openfeature", reason="the extra openfeature is not installed")
    blocks = _blocks()
    assert len(blocks) == 11
    names: dict[str, object] = {"__name__": "page"}
    for needs_server, code in blocks:
        if not needs_server:
            exec(compile(code, str(PAGE), "exec"), names)
    names["log"].close()  # type: ignore[attr-defined]
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("LogStats(offered=1, logged=1, repeated=0, dropped=0, unflushed=0")
    assert re.fullmatch(r"[123] pages, Hello", shown[1])
    assert re.fullmatch(r"[123] (control|one_page|guest) Reason.SPLIT|[123] \S+ SPLIT", shown[2])
    assert shown[3] == "Symbol(pages): the value is not of the type that is asked for; found int; allowed: str"
    rows = [line for path in (project / "record" / "exposures").glob("*.csv") for line in path.read_text().splitlines()]
    assert [row.split(",")[:2] for row in rows[1:]] == [["user-7", "checkout"]]


def test_the_pages_block_on_postgresql_runs(project: Path, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from xp_pipeline_tests.delivery.conftest import emptied

    emptied(postgres).close()
    monkeypatch.setenv("STORE_URL", postgres)
    names: dict[str, object] = {}
    exec("from xp_pipeline.delivery import RegisteredExperiment", names)
    ((_, code),) = [block for block in _blocks() if block[0]]
    exec(compile(code, str(PAGE), "exec"), names)
    names["shared"].store.close()  # type: ignore[attr-defined]


def test_the_example_analyses_what_it_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unmade = shutil.ignore_patterns("lake", "record", "generated")
    folder = Path(shutil.copytree(EXAMPLES / "serving", tmp_path / "serving", ignore=unmade))
    declared = yaml.safe_load((folder / "project" / "sources" / "served.yaml").read_text())
    runpy.run_path(str(folder / "serve.py"))["main"](["--users", "1500"])
    shown = capsys.readouterr().out
    counts = re.findall(r"analysed ([\d,]+) \+ ([\d,]+) users; served ([\d,]+) \+ ([\d,]+)", shown)
    assert len(counts) == 2
    assert all(found[:2] == found[2:] for found in counts)
    assert yaml.safe_load((folder / "project" / "sources" / "served.yaml").read_text()) == declared
