"""Syntax tree to text: ``parse(unparse(tree)) == tree``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal

from xp_pipeline.errors import SpecError
from xp_pipeline.language.parser import RESERVED
from xp_pipeline.language.tree import (
    BooleanOperatorEnum,
    Branch,
    ConditionalType,
    ExperimentAST,
    ExperimentConditional,
    Identifier,
    Literal,
    Predicate,
    RecursivePredicate,
    Term,
    TerminalPredicate,
)

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNQUOTABLE = re.compile(r"[\n\r\0\ud800-\udfff]")
_BINDING = {BooleanOperatorEnum.OR: 1, BooleanOperatorEnum.AND: 2, BooleanOperatorEnum.NOT: 3}
_COMPARISON = 4


def unparse(tree: ExperimentAST) -> str:
    """The program as text, indented.

    Raises:
        SpecError: the tree holds a name, text or number that the language cannot write.
    """
    lines = [f"def {_name(tree.id)} {{"]
    if tree.salt is not None:
        lines.append(f"    salt: {literal(tree.salt)}")
    if tree.splitting_fields is not None:
        lines.append(f"    splitters: {', '.join(map(_name, tree.splitting_fields))}")
    lines.extend(_body(tree.conditions))
    return "\n".join([*lines, "}", ""])


def _body(root: Branch) -> list[str]:
    """The lines of a body, with an explicit stack of what is still to be written."""
    lines: list[str] = []
    pending: list[str | tuple[Branch, int]] = [(root, 1)]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            lines.append(item)
            continue
        branch, depth = item
        pad = "    " * min(depth, 20)
        if isinstance(branch, ExperimentConditional):
            if branch.false_branch is not None:
                pending.append((_introduced(branch.false_branch), depth))
            pending.extend([f"{pad}}}", (branch.true_branch, depth + 1)])
            lines.append(f"{pad}{_head(branch)} {{")
        else:
            arms = ", ".join(f"{literal(a.group_definition)} weighted {literal(a.group_weight)}" for a in branch)
            lines.append(f"{pad}return {arms}")
    return lines


def _introduced(branch: Branch) -> Branch:
    if isinstance(branch, ExperimentConditional) and branch.conditional_type is not ConditionalType.IF:
        return branch
    raise SpecError("a false branch is an 'else if' or an 'else'", found=type(branch).__name__)


def _head(branch: ExperimentConditional) -> str:
    word = branch.conditional_type.value
    return word if branch.predicate is None else f"{word} {predicate(branch.predicate)}"


def predicate(root: Predicate) -> str:
    """A predicate with as few parentheses as its meaning needs."""
    texts: list[str] = []
    pending: list[Predicate | Callable[[], None]] = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, TerminalPredicate):
            texts.append(f"{term(item.left_term)} {item.logical_operator.value} {term(item.right_term)}")
        elif isinstance(item, RecursivePredicate):
            pending.append(lambda node=item: _join(node, texts))  # type: ignore[misc]
            if item.right_predicate is not None:
                pending.append(item.right_predicate)
            pending.append(item.left_predicate)
        else:
            item()
    return texts[0]


def _join(node: RecursivePredicate, texts: list[str]) -> None:
    """Replaces the operands on the stack by their combination; both operators lean left."""
    binding = _BINDING[node.boolean_operator]
    if node.right_predicate is None:
        texts.append(f"not {_within(node.left_predicate, texts.pop(), binding)}")
        return
    right = _within(node.right_predicate, texts.pop(), binding + 1)
    left = _within(node.left_predicate, texts.pop(), binding)
    texts.append(f"{left} {node.boolean_operator.value} {right}")


def _within(node: Predicate, text: str, least: int) -> str:
    binding = _BINDING[node.boolean_operator] if isinstance(node, RecursivePredicate) else _COMPARISON
    return text if binding >= least else f"({text})"


def term(root: Term) -> str:
    """A literal, a name, or a list in parentheses."""
    parts: list[str] = []
    pending: list[Term | _Text] = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, _Text):
            parts.append(item.text)
        elif isinstance(item, tuple):
            pending.append(_Text(")"))
            pending.extend(piece for i, each in enumerate(reversed(item)) for piece in _separated(i, each))
            pending.append(_Text("("))
        else:
            parts.append(_name(item.name) if isinstance(item, Identifier) else literal(item))
    return "".join(parts)


class _Text:
    """A piece of text among terms that are still to be written."""

    def __init__(self, text: str) -> None:
        self.text = text


def _separated(position: int, item: Term) -> list[Term | _Text]:
    return [_Text(", "), item] if position else [item]


def literal(value: Literal) -> str:
    """Text in quotes, an integer, or a decimal without an exponent.

    Raises:
        SpecError: the language has no way to write the value.
    """
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool) or not (isinstance(value, int) or math.isfinite(value)):
        raise SpecError("the language has no literal for this", found=value, allowed="text, finite numbers")
    if isinstance(value, int):
        return str(value)
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"


def _quoted(text: str) -> str:
    quote = "'" if '"' in text else '"'
    if quote in text or _UNQUOTABLE.search(text):
        raise SpecError("a text holds one kind of quotes and no line break or NUL", found=repr(text[:60]))
    return f"{quote}{text}{quote}"


def _name(name: str) -> str:
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise SpecError("not a name of the language", found=repr(name), allowed="letters, digits and _")
    return name
