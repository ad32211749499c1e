"""Text to syntax tree, or an error that says where, what was found and what was expected."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from string import digits
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from xp_pipeline.errors import SpecError
from xp_pipeline.language.tree import (
    BooleanOperatorEnum,
    ConditionalType,
    ExperimentAST,
    ExperimentConditional,
    ExperimentGroup,
    Identifier,
    LogicalOperatorEnum,
    Position,
    Predicate,
    RecursivePredicate,
    Term,
    TerminalPredicate,
    place,
)

RESERVED = frozenset(
    {"def", "salt", "splitters", "if", "else", "elseif", "weighted", "return", "and", "or", "not", "in"}
)
_WORDS = {
    "NAME": "a name",
    "TEXT": "a quoted text",
    "INTEGER": "a number",
    "DECIMAL": "a number",
    "$END": "the end of the program",
}
_CONTEXT = 40
_MAX_DIGITS = 1000


def parse(text: str, *, where: str | None = None) -> ExperimentAST:
    """The tree of a program.

    Args:
        text: Exactly one program.
        where: The file, for messages.

    Raises:
        SpecError: anything else; the message begins ``where:line:column``, and a note shows the line with a caret.
    """
    source, where = text.removeprefix("\ufeff"), where or "program"
    try:
        tree: ExperimentAST = _lark().parse(source)
    except UnexpectedCharacters as error:
        at = Position(error.line, error.column)
        raise _refusal(source, where, at, _unreadable(source[error.pos_in_stream :])) from None
    except UnexpectedToken as error:
        expected = _expected(error.accepts or error.expected)
        at = _end(source) if error.token.type == "$END" else _at(error.token)
        raise _refusal(source, where, at, _unexpected(error.token, expected), expected) from None
    except _Unfit as error:
        raise _refusal(source, where, _at(error.token), error.what, error.allowed) from None
    return tree


def _refusal(text: str, where: str, at: Position, what: str, allowed: str | None = None) -> SpecError:
    error = SpecError(what, where=place(where, at), found=shown(text, *at), allowed=allowed)
    error.add_note(caret(text, *at))
    return error


def caret(text: str, line: int, column: int) -> str:
    """The line of the text and a caret below the column, for a terminal."""
    content = _line(text, line)
    return f"{content}\n{' ' * (column - 1)}^"


def shown(text: str, line: int, column: int) -> str:
    """The line with a caret in front of the offending place, as part of a one-line message."""
    content = _line(text, line)
    before, after = content[: column - 1], content[column - 1 :]
    left = "…" + before[-_CONTEXT:] if len(before) > _CONTEXT else before
    right = after[:_CONTEXT] + "…" if len(after) > _CONTEXT else after
    return f"{left.lstrip()}^{right.rstrip()}"


def _line(text: str, line: int) -> str:
    """A line of the text, as wide as it was; what cannot be shown is replaced."""
    lines = text.split("\n")
    found = lines[line - 1] if line <= len(lines) else ""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in found)


@cache
def _lark() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar, parser="lalr", lexer="basic", transformer=_Tree(), maybe_placeholders=False, keep_all_tokens=False
    )


class _Unfit(Exception):
    """A token that the grammar allows and the tree does not."""

    def __init__(self, what: str, token: Token, allowed: str | None = None) -> None:
        self.what, self.token, self.allowed = what, token, allowed


@v_args(inline=True)
class _Tree(Transformer[Token, ExperimentAST]):  # type: ignore[misc]
    """Builds nodes while parsing, from the leaves up, so that depth costs no recursion."""

    def start(self, name: Token, *parts: Any) -> ExperimentAST:
        *head, body = parts
        given: dict[str, Any] = dict(head)
        return ExperimentAST(str(name), given.get("splitters"), given.get("salt"), body, at=_at(name))

    def salt(self, token: Token) -> tuple[str, str]:
        return "salt", str(token)[1:-1]

    def splitters(self, *tokens: Token) -> tuple[str, tuple[str, ...]]:
        return "splitters", tuple(map(str, tokens))

    def arms(self, *arms: ExperimentGroup) -> tuple[ExperimentGroup, ...]:
        return arms

    def arm(self, label: Any, weight: Token) -> ExperimentGroup:
        return ExperimentGroup(label, _number(weight), at=_at(weight))

    def chain(self, word: Token, predicate: Predicate, body: Any, tail: Any = None) -> ExperimentConditional:
        return ExperimentConditional(ConditionalType.IF, predicate, body, tail, at=_at(word))

    def else_if(self, word: Token, *parts: Any) -> ExperimentConditional:
        predicate, body, *tail = parts[1:] if isinstance(parts[0], Token) else parts
        return ExperimentConditional(ConditionalType.ELIF, predicate, body, tail[0] if tail else None, at=_at(word))

    def else_(self, word: Token, body: Any) -> ExperimentConditional:
        return ExperimentConditional(ConditionalType.ELSE, None, body, None, at=_at(word))

    def or_(self, left: Predicate, right: Predicate) -> RecursivePredicate:
        return RecursivePredicate(left, BooleanOperatorEnum.OR, right)

    def and_(self, left: Predicate, right: Predicate) -> RecursivePredicate:
        return RecursivePredicate(left, BooleanOperatorEnum.AND, right)

    def not_(self, _word: Token, predicate: Predicate) -> RecursivePredicate:
        return RecursivePredicate(predicate, BooleanOperatorEnum.NOT, None)

    def comparison(self, left: Term, operator: tuple[LogicalOperatorEnum, Position], right: Term) -> TerminalPredicate:
        at = left.at if isinstance(left, Identifier) else operator[1]
        return TerminalPredicate(left, operator[0], right, at=at)

    def operator(self, *words: Token) -> tuple[LogicalOperatorEnum, Position]:
        return LogicalOperatorEnum(" ".join(words)), _at(words[0])

    def name(self, token: Token) -> Identifier:
        return Identifier(str(token), at=_at(token))

    def list(self, *terms: Term) -> tuple[Term, ...]:
        return terms

    def text(self, token: Token) -> str:
        return str(token)[1:-1]

    def number(self, *tokens: Token) -> int | float:
        value = _number(tokens[-1])
        return -value if len(tokens) > 1 else value


def _at(token: Token) -> Position:
    return Position(token.line or 1, token.column or 1)


def _number(token: Token) -> int | float:
    if len(token) > _MAX_DIGITS:
        raise _Unfit("the number is too long", token, f"at most {_MAX_DIGITS} digits")
    value = float(token) if token.type == "DECIMAL" else int(token)
    if not math.isfinite(value if isinstance(value, float) else 0.0):
        raise _Unfit("the number is too large", token, "decimals below 1.8e308")
    return value


def _end(text: str) -> Position:
    return Position(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


def _unexpected(token: Token, expected: str) -> str:
    if token.type == "$END":
        return "the program ends too early"
    if str(token) in RESERVED and "a name" in expected:
        return f"{str(token)!r} is a word of the language and cannot be a name"
    return f"unexpected {str(token)[:30]!r}"


def _expected(terminals: Any) -> str:
    words = {_WORDS.get(name) or f"'{_terminals()[name]}'" for name in terminals}
    return ", ".join(sorted(words, key=lambda word: (word.startswith("'"), word)))


@cache
def _terminals() -> dict[str, str]:
    return {terminal.name: terminal.pattern.value for terminal in _lark().terminals}


def _unreadable(rest: str) -> str:
    """What is wrong with a text that no token begins."""
    hint = next((said for start, said in _HINTS if rest.startswith(start)), None)
    if rest[0] in "'\"" and rest[0] in rest[1:].split("\n", 1)[0]:
        return "a text holds NUL, a carriage return, or half of a surrogate pair"
    if rest[0] in digits:
        return "a number has digits on both sides of its point, and nothing attached"
    return hint or f"unexpected character {rest[0]!r} (U+{ord(rest[0]):04X})"


_HINTS = (
    ("/*", "a comment is not closed with '*/'"),
    ('"', "a text is not closed on its line"),
    ("'", "a text is not closed on its line"),
    ("=", "'=' is not an operator; equality is '=='"),
    ("!", "'!' is not an operator; write 'not', or '!=' between two terms"),
    (".", "a number has digits on both sides of its point"),
)
