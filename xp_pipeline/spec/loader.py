"""YAML with positions: every problem of a file is a SpecError that names its line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from xp_pipeline.errors import SpecError, nearest

M = TypeVar("M", bound=BaseModel)
Key = str | int
Position = tuple[Key, ...]
MAX_BYTES = 2_000_000
MAX_VALUES = 200_000


class _Loader(yaml.SafeLoader):
    """YAML with the plain scalars of version 1.2, so that country codes such as NO stay text."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false|True|False|TRUE|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$", "-+0123456789."),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
    (
        "timestamp",
        r"^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[-+]\d\d:?\d\d)?)?$",
        "0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


@dataclass(frozen=True)
class Document:
    """The content of one file and the line of every key in it."""

    path: Path
    content: dict[str, Any]
    lines: dict[Position, int] = field(repr=False, default_factory=dict)

    def where(self, position: Sequence[Key] = ()) -> str:
        """``file:line`` of the deepest known part of a position."""
        spot = tuple(position)
        while spot not in self.lines and spot:
            spot = spot[:-1]
        return f"{self.path}:{self.lines.get(spot, 1)}"


def read(path: Path) -> Document:
    """Parse one YAML file.

    Raises:
        SpecError: unreadable, empty, not YAML, a key twice, a NaN, or not a mapping.
    """
    text = _text(path)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as problem:
        raise _syntax_error(path, problem) from None
    except RecursionError:
        raise SpecError("the file is nested too deeply to be a spec", where=str(path)) from None
    if node is None:
        raise SpecError("the file is empty", where=f"{path}:1", next_step="write the spec, or remove the file")
    lines: dict[Position, int] = {}
    loader = _Loader("")
    content = _build(node, (), lines, loader, path)
    if not isinstance(content, dict):
        raise SpecError("the file is not a mapping of keys to values", where=f"{path}:1", found=type(content).__name__)
    return Document(path, content, lines)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError("the file is too large for a spec", where=str(path), allowed=f"{MAX_BYTES:,} bytes")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise SpecError("the file is not UTF-8 text", where=str(path), found=f"byte {problem.start}") from None
    except OSError as problem:
        raise SpecError("cannot read the file", where=str(path), found=problem.strerror) from None


def _syntax_error(path: Path, problem: yaml.YAMLError) -> SpecError:
    mark = getattr(problem, "problem_mark", None)
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    return SpecError(f"not YAML: {getattr(problem, 'problem', None) or problem}", where=where)


def _build(node: yaml.Node, at: Position, lines: dict[Position, int], loader: _Loader, path: Path) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(at, line)
    if len(lines) > MAX_VALUES:
        raise SpecError("the file is too large for a spec", where=f"{path}:{line}", allowed=f"{MAX_VALUES:,} values")
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, at, lines, loader, path)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*at, i), lines, loader, path) for i, child in enumerate(node.value)]
    try:
        value = loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as problem:
        raise SpecError(f"not a value: {problem}", where=f"{path}:{line}", found=str(node.value)) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError("a number here is finite", where=f"{path}:{line}", found=str(node.value))
    return value


def _build_mapping(
    node: yaml.MappingNode, at: Position, lines: dict[Position, int], loader: _Loader, path: Path
) -> dict[Any, Any]:
    built: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise SpecError("a key is a single word", where=f"{path}:{line}")
        key = loader.construct_object(key_node)
        if key in built:
            raise SpecError(f"the key {key!r} stands twice", where=f"{path}:{line}", next_step="keep one of them")
        lines[(*at, str(key))] = line
        built[key] = _build(value_node, (*at, str(key)), lines, loader, path)
    return built


def validate(model: type[M], document: Document, content: Any = None, at: Position = ()) -> M:
    """Build a model from (part of) a document.

    Raises:
        SpecError: for the first problem in reading order; ``others`` on it counts the rest.
    """
    try:
        return model.model_validate(document.content if content is None else content)
    except ValidationError as problem:
        errors = [_explain(model, document, at, e) for e in problem.errors()]
        raise sorted(errors, key=_line_of)[0] from None


def _line_of(error: SpecError) -> int:
    return int(str(error.where).rsplit(":", 1)[-1])


def _explain(model: type[BaseModel], document: Document, at: Position, error: Any) -> SpecError:
    spot = tuple(str(p) if isinstance(p, str) else p for p in error["loc"])
    where = document.where((*at, *spot))
    name = ".".join(str(p) for p in spot)
    kind = error["type"]
    if kind == "extra_forbidden":
        known = _fields_at(model, spot[:-1])
        return SpecError(f"unknown key {spot[-1]!r}", where=where, allowed=nearest(str(spot[-1]), known))
    if kind == "missing":
        return SpecError(f"{name} is missing", where=where, next_step=f"add {spot[-1]}")
    if kind == "literal_error":
        expected = str(error["ctx"]["expected"])
        return SpecError(
            f"{name} has a value it cannot have", where=where, found=repr(error["input"]), allowed=expected
        )
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = error["input"] if isinstance(error["input"], str | int | float | bool) else None
    return SpecError(f"{name}: {message}" if name else message, where=where, found=shown)


def _fields_at(model: type[BaseModel], spot: Sequence[Key]) -> list[str]:
    """Field names of the model found by following a location through nested models."""
    current: Any = model
    for part in spot:
        annotation = current.model_fields[part].annotation if _has(current, part) else current
        current = next(iter(_models_in(annotation)), current)
    extra = ["path", "sql", "database", "format", "delimiter", "asset"] if current.__name__ == "Source" else []
    return [*current.model_fields, *extra]


def _has(model: Any, part: Key) -> bool:
    return isinstance(part, str) and part in getattr(model, "model_fields", {})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in _models_in(part)]
