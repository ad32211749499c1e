"""Sources for tests: a table written to a folder, declared, ingested, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from xp_pipeline.sources.ingest import SourceVersion, ingest
from xp_pipeline.spec.source import Source


def declared(**parts: Any) -> Source:
    """A source that accepts anything it is not told to refuse; a log when it has a timestamp."""
    kind = "event_log" if "timestamp" in parts else "unit_periods"
    base = {"name": "t", "kind": kind, "unit": "id", "path": "t.csv", "max_rejected_share": 1}
    return Source.model_validate({**base, "columns": {"id": "text"}, **parts})


def taken(root: Path, source: Source) -> SourceVersion:
    """The version of a source whose project is ``root``."""
    return ingest(source, root=root, lake=root / "lake")


def from_csv(root: Path, text: str, **parts: Any) -> SourceVersion:
    """Write ``t.csv`` and ingest it."""
    (root / "t.csv").write_text(text, encoding="utf-8", newline="")
    return taken(root, declared(**parts))


def from_frame(root: Path, frame: pl.DataFrame, **parts: Any) -> SourceVersion:
    """Write ``t.parquet`` and ingest it."""
    frame.write_parquet(root / "t.parquet")
    return taken(root, declared(path="t.parquet", **parts))


def kept(version: SourceVersion, column: str) -> list[Any]:
    """The clean values of a column, in order."""
    return pl.read_parquet(version.data, glob=False, hive_partitioning=False)[column].to_list()


def quarantined(version: SourceVersion) -> list[tuple[int, str, str]]:
    """Row number, column and reason of what was refused."""
    return pl.read_parquet(version.quarantine).select("_row", "column", "reason").rows()


def cells(root: Path, type_: str, texts: list[str], **parts: Any) -> tuple[list[Any], dict[str, int]]:
    """What quoted cells of a CSV column become, and the reasons for those that are refused."""
    quoted = "".join(f'{i},"{text.replace(chr(34), chr(34) * 2)}"\n' for i, text in enumerate(texts))
    version = from_csv(root, f"id,x\n{quoted}", columns={"id": "text", "x": type_}, null_values=[], **parts)
    return kept(version, "x"), version.rejected
