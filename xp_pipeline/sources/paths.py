"""Paths of a project: variables filled in, globs and folders expanded, locally or through fsspec."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from xp_pipeline.errors import SourceError
from xp_pipeline.spec.source import Source

ENDINGS = {
    "csv": tuple(ending + zipped for ending in (".csv", ".tsv", ".txt") for zipped in ("", ".gz")),
    "parquet": (".parquet", ".pq"),
}
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "abfs", "az": "abfs", "hdfs": "hdfs"}


def expanded(text: str, *, where: str) -> str:
    """``${NAME}`` replaced from the environment.

    Raises:
        SourceError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SourceError(
                f"the environment variable {match[1]} is not set", where=where, next_step=f"export {match[1]}=…"
            )
        return os.environ[match[1]]

    return _VARIABLE.sub(value, text)


def is_remote(path: str) -> bool:
    """Whether a path is a URL, such as ``s3://…``, that fsspec has to open."""
    return "://" in path


def resolved(path: str, *, root: Path, where: str) -> str:
    """A path of the project with its variables filled in: a URL as it is, a file made absolute."""
    text = _plain(path, where)
    return text if is_remote(text) else os.path.join(root.absolute(), text)


def _plain(path: str, where: str) -> str:
    text = expanded(path, where=where)
    return unquote(urlsplit(text).path) if text.startswith("file://") else text


def files(source: Source, *, root: Path) -> list[str]:
    """The files of a source with a path, sorted.

    A folder stands for the data files in it and below, without those whose name, or whose folder's, begins
    with a dot or an underscore.

    Raises:
        SourceError: there is none, or one is empty.
    """
    where = f"source {source.name}"
    pattern = _plain(source.location.path or "", where)
    found = _remote_files(pattern, where) if is_remote(pattern) else _local_files(pattern, root.absolute())
    if not found:
        raise SourceError(
            "no such file, and no data file in such a folder",
            where=where,
            found=pattern if is_remote(pattern) else os.path.join(root.absolute(), pattern),
            allowed=f"files, folders, or a glob of {', '.join((*ENDINGS['csv'], *ENDINGS['parquet']))}",
            next_step="check path; it is relative to the project folder",
        )
    empty = next((path for path in found if not is_remote(path) and os.path.getsize(path) == 0), None)
    if empty:
        raise SourceError("the file is empty", where=where, found=empty)
    return sorted(found)


def base(source: Source, *, root: Path) -> str:
    """What the places of a source's files are relative to: its file or folder, or the folder above its wildcards."""
    pattern = _plain(source.location.path or "", f"source {source.name}")
    wildcard = re.search(r"[*?\[]", pattern)
    whole = pattern if is_remote(pattern) else os.path.join(root.absolute(), pattern)
    if wildcard is None or (not is_remote(pattern) and os.path.exists(whole)):
        return whole
    return os.path.join(root.absolute(), os.path.dirname(pattern[: wildcard.start()]))


def exists(path: str) -> bool:
    """Whether a resolved path exists."""
    if not is_remote(path):
        return os.path.exists(path)
    filesystem, name = open_filesystem(path, where=path)
    filesystem.invalidate_cache()
    return bool(filesystem.exists(name))


def open_filesystem(url: str, *, where: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path on it.

    Raises:
        SourceError: its driver is not installed, or the protocol is unknown.
    """
    import fsspec

    protocol = url.split("://", 1)[0]
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as problem:
        extra = _EXTRAS.get(protocol)
        step = f"pip install 'fsspec[{extra}]'" if extra else None
        raise SourceError(f"no driver for {protocol}://", where=where, found=problem, next_step=step) from None
    except Exception as problem:
        raise _unreachable(protocol, where, problem) from None
    return filesystem, str(path)


def _unreachable(protocol: str, where: str, problem: Exception) -> SourceError:
    told = next(iter(str(problem).splitlines()), "") or type(problem).__name__
    return SourceError(f"cannot reach {protocol}://", where=where, found=told)


def _local_files(pattern: str, root: Path) -> list[str]:
    """A file that exists under the very name goes before a pattern; wildcards in the root's name are none."""
    exact = os.path.exists(os.path.join(root, pattern))
    matched = [pattern] if exact else glob.glob(pattern, root_dir=root, recursive=True)
    places = [os.path.join(root, match) for match in matched]
    return [path for place in places for path in (_below(place) if os.path.isdir(place) else [place])]


def _below(folder: str) -> list[str]:
    found = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    return _data_files(found, folder)


def _remote_files(pattern: str, where: str) -> list[str]:
    filesystem, path = open_filesystem(pattern, where=where)
    # Drivers remember listings for the life of the process; a sensor would never see a new file.
    filesystem.invalidate_cache()
    try:
        matched = filesystem.glob(path) if glob.has_magic(path) else [path] * filesystem.exists(path)
        names = [
            name
            for match in matched
            for name in (_data_files(filesystem.find(match), match) if filesystem.isdir(match) else [match])
        ]
    except Exception as problem:
        raise _unreachable(pattern.split("://", 1)[0], where, problem) from None
    return [filesystem.unstrip_protocol(name) for name in names]


def _data_files(paths: Iterable[str], folder: str) -> list[str]:
    return [path for path in paths if path.endswith((*ENDINGS["csv"], *ENDINGS["parquet"])) and _meant(path, folder)]


def _meant(path: str, folder: str) -> bool:
    return not any(part.startswith((".", "_")) for part in os.path.relpath(path, folder).split(os.sep))
