"""Published weights on disk: numbered files of the record that only grow in number, each beside what was learned.

record/allocations/EXPERIMENT/000002-thompson_beta@1f2e3d4c5b6a.json          the weights, which services follow
record/allocations/EXPERIMENT/000002-thompson_beta@1f2e3d4c5b6a.state.json    the state that led to them
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xp_pipeline.delivery.algorithms.allocation import Allocation
from xp_pipeline.errors import DataError, PhaseOrderError, RecordError, TamperError
from xp_pipeline.spec.atomic import publish_bytes
from xp_pipeline.spec.canonical import bytes_digest, same_digest

FOLDER = "allocations"
"""Where weights are, below the record."""

_WEIGHTS = re.compile(r"^\d{6,}-(?!.*\.state\.json$).+\.json$")


def folder_of(record: Path, experiment: str) -> Path:
    """Where the weights of an experiment are published."""
    return record / FOLDER / experiment


def weights_path(folder: Path, number: int, version: str) -> Path:
    """The file of a publication."""
    return folder / f"{number:06d}-{version}.json"


def state_path(folder: Path, number: int, version: str) -> Path:
    """The file of the state that led to a publication."""
    return folder / f"{number:06d}-{version}.state.json"


def write(path: Path, document: Mapping[str, Any]) -> str:
    """Put a document in its place by one rename; the digest of its bytes.

    Raises:
        RecordError: the disk refuses.
    """
    content = (json.dumps(document, indent=1, sort_keys=False, allow_nan=False) + "\n").encode()
    try:
        publish_bytes(path, content)
    except OSError as problem:
        raise RecordError(f"the weights cannot be written: {problem.strerror}", where=str(path)) from problem
    return bytes_digest(content)


def read_latest(record: Path, experiment: str) -> Allocation:
    """The weights that are in force.

    Raises:
        PhaseOrderError: none were published yet.
        DataError: the file is not what was published.
    """
    paths = [path for path in folder_of(record, experiment).glob("*.json") if _WEIGHTS.match(path.name)]
    if not paths:
        step = f"xp run {experiment}"
        raise PhaseOrderError("no weights are published yet", where=experiment, next_step=step)
    last = max(paths, key=lambda path: int(path.name.split("-", 1)[0]))
    return Allocation.load(_document(last))


def read_state(path: Path, *, digest: str) -> Mapping[str, Any] | None:
    """The document of a state, None where the file is gone: all of it can be learned anew from the data.

    Raises:
        TamperError: the file is not the one whose digest the ledger has.
        DataError: it is not JSON.
    """
    if not path.exists():
        return None
    found = bytes_digest(path.read_bytes())
    if not same_digest(found, digest):
        raise TamperError(
            "the state of the algorithm is not the one that was published",
            where=str(path),
            found=found,
            allowed=digest,
            next_step="restore it from the backup of record/, or remove it: it is learned anew from the data",
        )
    return _document(path)


def _document(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as problem:
        raise DataError("this is not JSON", where=str(path), found=str(problem)) from None
    if not isinstance(content, dict):
        raise DataError("this is no document of weights", where=str(path), found=type(content).__name__)
    return content
