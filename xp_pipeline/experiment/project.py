"""From a notebook to a project folder: the YAML files, and the data they speak of as Parquet."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import yaml

from xp_pipeline.engine.predicates import identifier
from xp_pipeline.errors import SpecError
from xp_pipeline.experiment.frames import Frame, reading
from xp_pipeline.experiment.spec import DATA_FILE, Declared

_SQL = {"integer": "BIGINT", "number": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN"}


def write(folder: Path, declared: Declared, frame: Frame) -> Path:
    """Write a project that the pipeline runs to the notebook's numbers; data as Parquet, NaN as null.

    Raises:
        SpecError: the folder holds one of the files already, with other content; nothing is written.
    """
    documents = declared.documents()
    texts = {path: yaml.safe_dump(said, sort_keys=False, allow_unicode=True) for path, said in documents.items()}
    for path, text in texts.items():
        there = folder / path
        if there.exists() and there.read_text(encoding="utf-8") != text:
            raise SpecError(
                "the folder has a file of that name, with other content",
                where=str(there),
                next_step="write to another folder, or remove the file",
            )
    _write_data(folder / DATA_FILE, declared, frame)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _write_data(path: Path, declared: Declared, frame: Frame) -> None:
    named = {identifier(name): _SQL[kind] for name, kind in declared.types.items()}
    columns = [f"CAST({name} AS {kind}) AS {name}" for name, kind in named.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.parent / f".{uuid.uuid4().hex}.tmp"
    with reading():
        rows = frame.view(list(declared.types)).project(columns).relation()
        rows.write_parquet(str(making), compression="zstd")
    os.replace(making, path)
