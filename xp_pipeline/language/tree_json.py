"""Syntax tree to JSON and back, at any depth: ``from_json(to_json(tree)) == tree``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import Enum, EnumMeta
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError

from xp_pipeline.errors import SpecError
from xp_pipeline.language.tree import (
    BooleanOperatorEnum,
    ConditionalType,
    ExperimentAST,
    ExperimentConditional,
    ExperimentGroup,
    Identifier,
    LogicalOperatorEnum,
    Node,
    RecursivePredicate,
    TerminalPredicate,
)
from xp_pipeline.language.unparser import unparse

_GRAMMAR = r"""
?start: value
?value: object | array | text | number | "null" -> null
object: "{" [pair ("," pair)*] "}"
pair: TEXT ":" value
array: "[" [value ("," value)*] "]"
text: TEXT
number: NUMBER
TEXT: /"([^"\\\x00-\x1f]|\\.)*"/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/
%ignore /[ \t\r\n]+/
"""


def to_json(tree: ExperimentAST) -> str:
    """The tree as JSON: an object per node with the node's own names, enums by name, positions left out.

    Raises:
        SpecError: the tree holds what the language cannot write.
    """
    unparse(tree)
    pieces: list[str] = []
    pending: list[object] = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, _Punctuation):
            pieces.append(item)
        elif isinstance(item, Node):
            members = [(f.name, getattr(item, f.name)) for f in fields(item) if f.name != "at"]  # type: ignore[arg-type]
            keyed = [[_Punctuation(f"{json.dumps(name)}: "), value] for name, value in members]
            pending += _bracketed("{", keyed, "}")
        elif isinstance(item, tuple):
            pending += _bracketed("[", [[value] for value in item], "]")
        else:
            pieces.append(json.dumps(item.name if isinstance(item, Enum) else item, ensure_ascii=False))
    return "".join(pieces)


class _Punctuation(str):
    """JSON that is written as it is."""

    __slots__ = ()


def _bracketed(opening: str, members: list[list[object]], closing: str) -> list[object]:
    """Members between brackets, in the order of a stack."""
    parts: list[object] = [_Punctuation(opening)]
    for number, member in enumerate(members):
        parts += [_Punctuation(", "), *member] if number else member
    return [*parts, _Punctuation(closing)][::-1]


def from_json(text: str, *, where: str | None = None) -> ExperimentAST:
    """The tree of a JSON text that ``to_json`` wrote, or that has the same form.

    Raises:
        SpecError: it is not JSON, not a tree, or a tree that the language cannot write.
    """
    place = where or "tree"
    try:
        tree = _lark().parse(text)
    except UnexpectedInput as error:
        raise SpecError("not JSON", where=f"{place}:{error.line}:{error.column}") from None
    except VisitError as error:
        raise SpecError(str(error.orig_exc), where=place) from None
    except ValueError as error:
        raise SpecError(str(error), where=place) from None
    if not isinstance(tree, ExperimentAST):
        raise SpecError("not the tree of a program", where=place, allowed=", ".join(_MEMBERS[ExperimentAST]))
    unparse(tree)
    return tree


@cache
def _lark() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="basic", transformer=_Nodes(), maybe_placeholders=False)


@v_args(inline=True)
class _Nodes(Transformer[Token, Any]):  # type: ignore[misc]
    """Builds nodes while parsing, from the leaves up."""

    def object(self, *pairs: tuple[str, Any]) -> Node:
        members = dict(pairs)
        made = next((kind for kind in _MEMBERS if members.keys() == _MEMBERS[kind].keys()), None)
        if made is None or len(members) < len(pairs):
            raise ValueError(f"no node has the members {', '.join(name for name, _ in pairs) or '(none)'}")
        return made(**{name: _fitting(made, name, value) for name, value in members.items()})

    def pair(self, name: Token, value: Any) -> tuple[str, Any]:
        return json.loads(name), value

    def array(self, *items: Any) -> tuple[Any, ...]:
        return items

    def text(self, token: Token) -> Any:
        return json.loads(token)

    number = text

    def null(self) -> None:
        return None


def _fitting(kind: type[Node], name: str, value: Any) -> Any:
    """The value as its node holds it.

    Raises:
        ValueError: it is of another form.
    """
    read = _MEMBERS[kind][name]
    if isinstance(read, EnumMeta):
        if not isinstance(value, str) or value not in read.__members__:
            raise ValueError(f"{name} is one of {', '.join(read.__members__)}; found {str(value)[:40]!r}")
        return read[value]
    if not read(value):
        raise ValueError(f"{kind.__name__}.{name} cannot be {type(value).__name__} {str(value)[:40]!r}")
    return value


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _term(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) > 0 and all(isinstance(item, str | int | float | tuple | Identifier) for item in value)
    return isinstance(value, str | int | float | Identifier)


def _branch(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) > 0 and all(isinstance(item, ExperimentGroup) for item in value)
    return isinstance(value, ExperimentConditional)


def _names(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and len(value) > 0 and all(isinstance(n, str) for n in value))


_predicate = _is(TerminalPredicate, RecursivePredicate)
_MEMBERS: Mapping[type[Node], Mapping[str, Any]] = {
    Identifier: {"name": _is(str)},
    ExperimentGroup: {"group_definition": _is(str, int, float), "group_weight": _is(int, float)},
    TerminalPredicate: {"left_term": _term, "logical_operator": LogicalOperatorEnum, "right_term": _term},
    RecursivePredicate: {
        "left_predicate": _predicate,
        "boolean_operator": BooleanOperatorEnum,
        "right_predicate": lambda value: value is None or _predicate(value),
    },
    ExperimentConditional: {
        "conditional_type": ConditionalType,
        "predicate": lambda value: value is None or _predicate(value),
        "true_branch": _branch,
        "false_branch": lambda value: value is None or _branch(value),
    },
    ExperimentAST: {
        "id": _is(str),
        "splitting_fields": _names,
        "salt": _is(str, type(None)),
        "conditions": _branch,
    },
}
