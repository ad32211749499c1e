"""Files that appear whole or not at all, and survive a power cut once they have appeared."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from xp_pipeline.spec.canonical import file_digest

TEMPORARY = ".tmp-"


def publish_bytes(path: Path, content: bytes) -> None:
    """Put a file in its place by one rename, replacing what was there."""
    with _temporary(path.parent) as draft:
        draft.write_bytes(content)
        _into_place(draft, path)


def publish_content(folder: Path, name: str, content: bytes | Callable[[Path], None]) -> str:
    """Put a file at ``folder/<its digest>/name`` and return the digest.

    A file that is there already is replaced, so that a damaged one is mended.
    """
    with _temporary(folder, name) as draft:
        if callable(content):
            content(draft)
        else:
            draft.write_bytes(content)
        digest = file_digest(draft)
        _into_place(draft, folder / digest / name)
    return digest


def leftovers(folder: Path, cited: set[Path], *, before: datetime) -> list[Path]:
    """Temporary files, and content below ``files/`` that nobody cites, last written before a moment."""
    content = {path for path in folder.glob("files/*/*") if path not in cited}
    drafts = folder.rglob(f"{TEMPORARY}*")
    return sorted(path for path in (*content, *drafts) if _written(path) < before)


def _written(path: Path) -> datetime:
    """When a file was last written; one that has just been renamed away is as young as can be."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.max.replace(tzinfo=UTC)


@contextmanager
def _temporary(folder: Path, name: str = "") -> Iterator[Path]:
    """A path on the same file system; the suffix stays, for writers that look at it."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{TEMPORARY}{uuid.uuid4().hex}{Path(name).suffix}"
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _into_place(draft: Path, path: Path) -> None:
    """Flush, rename, and flush the folders, so that the name lasts as long as the content."""
    _flush(draft)
    path.parent.mkdir(exist_ok=True)
    os.replace(draft, path)
    _flush(path.parent)
    _flush(path.parent.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
