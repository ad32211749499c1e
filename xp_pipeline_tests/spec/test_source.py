"""A source's declaration is refused where it stands when it cannot mean anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from xp_pipeline.errors import SpecError
from xp_pipeline.spec import loader
from xp_pipeline.spec.source import Source

BASE: dict[str, Any] = {
    "name": "events",
    "kind": "event_log",
    "unit": "user",
    "timestamp": "ts",
    "path": "events.csv",
    "columns": {"user": "integer", "ts": "timestamp", "amount": "number"},
}


def _load(tmp_path: Path, **parts: Any) -> Source:
    path = tmp_path / "events.yaml"
    path.write_text(yaml.safe_dump({**BASE, **parts}))
    return loader.validate(Source, loader.read(path))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"timezone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"timezone": "../etc/passwd"}, "unknown time zone"),
        ({"closed": "done/_SUCCESS"}, r"needs \{day\}"),
        ({"delimiter": ""}, "one character"),
        ({"delimiter": "||"}, "one character"),
        ({"path": None}, "exactly one of path, sql or database"),
        ({"sql": "SELECT 1"}, "exactly one of path, sql or database"),
        ({"timestamp": None}, "needs a timestamp"),
        ({"timestamp": "amount"}, "not of type timestamp or date"),
        ({"unit": "amount"}, "neither integer nor text"),
        ({"unit": "usr"}, "'usr' is not among the declared columns"),
        ({"max_rejected_share": 1.5}, "max_rejected_share"),
        ({"filters": [{"name": "bots"}]}, "either keep or drop"),
        ({"tabel": 1}, "tabel"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused_by_file_and_line(
    tmp_path: Path, parts: dict[str, Any], told: str
) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        _load(tmp_path, **parts)
    assert "events.yaml:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_registration_seals_the_meaning_and_not_the_address(tmp_path: Path) -> None:
    here = _load(tmp_path, show_ids=True, owner="a").promised()
    there = _load(tmp_path, path="elsewhere/*.parquet", owner="b").promised()
    assert here == there
    assert _load(tmp_path, lag="2d").promised() != here
