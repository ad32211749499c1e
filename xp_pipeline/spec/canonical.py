"""One text per document and one SHA-256 per text, so that two parties can agree on what was promised."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xp_pipeline.errors import SpecError

HASH_VERSION = "v1"
"""Stored beside every hash: keys sorted, the separators ``", "`` and ``": "``, text escaped to ASCII."""


def canonical_bytes(document: Mapping[str, Any]) -> bytes:
    """The bytes that a document is hashed over, under ``HASH_VERSION``.

    Raises:
        SpecError: it is no mapping, or holds NaN, an infinity, a key that is not text, or a value JSON has
            no form for; the message names the key.
    """
    if not isinstance(document, Mapping):
        raise SpecError("only a mapping has a canonical form", found=type(document).__name__)
    return json.dumps(plain(document), sort_keys=True, allow_nan=False).encode()


def plain(document: Any) -> Any:
    """A deep copy made of dicts, lists and JSON scalars, sharing nothing with the original.

    Raises:
        SpecError: as ``canonical_bytes``.
    """
    try:
        return _plain(document, "")
    except RecursionError:
        raise SpecError("the document is nested too deeply, or contains itself") from None


def _plain(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _writable(int(value), path)
    if isinstance(value, float):
        return _finite(float(value), path)
    raise SpecError("this value has no canonical form", where=path or None, found=type(value).__name__, allowed="JSON")


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise SpecError("a key is text", where=path or None, found=repr(key), next_step=f"write {str(key)!r}")
    return key


def _finite(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise SpecError("a number here is finite", where=path or None, found=value)
    return value


def _writable(value: int, path: str) -> int:
    try:
        str(value)
    except ValueError:
        raise SpecError("the number has too many digits", where=path or None) from None
    return value


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical bytes, as 64 hexadecimal digits."""
    return bytes_digest(canonical_bytes(document))


def bytes_digest(content: bytes) -> str:
    """SHA-256 of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_digest(one: str, other: str) -> bool:
    """Compare two digests in a time that does not depend on where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
