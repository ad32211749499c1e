"""Text to tree: any text is one program, or an error that says where and what was expected."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.errors import SpecError
from xp_pipeline.language import (
    BooleanOperatorEnum,
    ConditionalType,
    ExperimentAST,
    ExperimentConditional,
    ExperimentGroup,
    Identifier,
    LogicalOperatorEnum,
    Position,
    RecursivePredicate,
    TerminalPredicate,
    parse,
    unparse,
)
from xp_pipeline_tests.language import programs

ARM = (ExperimentGroup("a", 1),)
FRAGMENTS = [
    *("def", "salt", "splitters", "if", "else", "elseif", "weighted", "return", "and", "or", "not", "in", "income"),
    *("{", "}", "(", ")", ":", ",", "==", "!=", ">=", "<=", ">", "<", "-", "1", "2.5", ".5", "1.", "1e3", "=", "=>"),
    *("!", "@", ";", "//", "/*", "*/", '"', "'", "\\", "\n", "\0", "é", "𝄞", "#", '"text"', "'it\"s'"),
    *("def p {", "return 'a' weighted 1"),
]


def condition(text: str) -> TerminalPredicate | RecursivePredicate:
    tree = parse(f"def p {{ if {text} {{ return 'a' weighted 1 }} }}")
    assert isinstance(tree.conditions, ExperimentConditional)
    assert tree.conditions.predicate is not None
    return tree.conditions.predicate


def comparison(name: str) -> TerminalPredicate:
    return TerminalPredicate(Identifier(name), LogicalOperatorEnum.EQ, 1)


def test_a_program_is_the_tree_of_its_names() -> None:
    found = parse("""
        def homepage {
            salt: "s"
            splitters: user_id, device
            if country == "US" { return "a" weighted 1, 2 weighted 0.5 }
            else if age >= 18 { return 1.5 weighted 1 }
            else { return -3 weighted 1 }
        }""")
    last = ExperimentConditional(ConditionalType.ELSE, None, (ExperimentGroup(-3, 1),), None)
    adult = TerminalPredicate(Identifier("age"), LogicalOperatorEnum.GE, 18)
    middle = ExperimentConditional(ConditionalType.ELIF, adult, (ExperimentGroup(1.5, 1),), last)
    american = TerminalPredicate(Identifier("country"), LogicalOperatorEnum.EQ, "US")
    first = (ExperimentGroup("a", 1), ExperimentGroup(2, 0.5))
    chain = ExperimentConditional(ConditionalType.IF, american, first, middle)
    assert found == ExperimentAST("homepage", ("user_id", "device"), "s", chain)
    assert found.at == Position(2, 13)
    assert isinstance(found.conditions, ExperimentConditional)
    assert found.conditions.at == Position(5, 13)


def test_not_binds_tighter_than_and_tighter_than_or_and_all_lean_left() -> None:
    a, b, c, d = map(comparison, "abcd")
    negated = RecursivePredicate(a, BooleanOperatorEnum.NOT, None)
    both = RecursivePredicate(negated, BooleanOperatorEnum.AND, b)
    either = RecursivePredicate(both, BooleanOperatorEnum.OR, c)
    assert condition("not a == 1 and b == 1 or c == 1 or d == 1") == RecursivePredicate(
        either, BooleanOperatorEnum.OR, d
    )
    grouped = RecursivePredicate(RecursivePredicate(a, BooleanOperatorEnum.OR, b), BooleanOperatorEnum.AND, c)
    assert condition("(a == 1 or b == 1) and c == 1") == grouped
    assert condition("not not a == 1") == RecursivePredicate(negated, BooleanOperatorEnum.NOT, None)


@pytest.mark.parametrize(
    "name", ["income", "order", "android", "inside", "organisation_id", "notes", "iff", "defn", "_in"]
)
def test_words_of_the_language_inside_names_are_names(name: str) -> None:
    assert condition(f"{name} == 1") == comparison(name)
    assert parse(f"def {name} {{ splitters: {name} return 1 weighted 1 }}").splitting_fields == (name,)


@pytest.mark.parametrize("name", ["class", "lambda", "None", "partial", "kwargs", "self", "import", "select", "from"])
def test_words_of_python_and_sql_are_names(name: str) -> None:
    assert condition(f"{name} == 1") == comparison(name)


@pytest.mark.parametrize(
    "word", ["def", "salt", "splitters", "if", "else", "weighted", "return", "and", "or", "not", "in"]
)
def test_words_of_the_language_are_not(word: str) -> None:
    with pytest.raises(
        SpecError, match=f"'{word}' is a word of the language and cannot be a name; found def \\^{word}"
    ):
        parse(f"def {word} {{ return 1 weighted 1 }}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"10"', "10"),
        ("'nan'", "nan"),
        ('"1e3"', "1e3"),
        ('"it\'s"', "it's"),
        ("'a \"b\"'", 'a "b"'),
        (r'"a\tb"', r"a\tb"),
        ('"// no comment /* */"', "// no comment /* */"),
        ('""', ""),
        ('"ユーザー"', "ユーザー"),
        ("9007199254740993", 9007199254740993),
        ("-5", -5),
        ("- 5", -5),
        ("2.50", 2.5),
        ("-0.0", -0.0),
        ("(1, 1.0, '1')", (1, 1.0, "1")),
        ("((1, 2), (3))", ((1, 2), (3,))),
    ],
)
def test_literals_keep_value_and_type(text: str, value: object) -> None:
    expected = TerminalPredicate(Identifier("x"), LogicalOperatorEnum.EQ, value)  # type: ignore[arg-type]
    assert condition(f"x == {text}") == expected


@pytest.mark.parametrize("text", ["not in", "not   in", "not\n in", "not /* here */ in", "not // there\n in"])
def test_not_in_is_one_operator_however_it_is_spaced(text: str) -> None:
    found = condition(f"x {text} (1)")
    assert isinstance(found, TerminalPredicate)
    assert found.logical_operator is LogicalOperatorEnum.NOT_IN


def test_comments_end_where_they_say() -> None:
    tree = parse("/* a */ def p { return 'a' weighted 1, /* b */ 'b' weighted 1 /* c */ // d } \n }")
    assert tree.conditions == (ExperimentGroup("a", 1), ExperimentGroup("b", 1))


def test_elseif_and_else_if_are_the_same() -> None:
    text = "def p {{ if x == 1 {{ return 1 weighted 1 }} {} x == 2 {{ return 2 weighted 1 }} }}"
    assert parse(text.format("elseif")) == parse(text.format("else if")) == parse(text.format("else\n if"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.pyab:1:1: the program ends too early; found ^; allowed: 'def'"),
        ("def p {", "1:8: the program ends too early"),
        ("xyz def p { return 1 weighted 1 }", "1:1: unexpected 'xyz'; found ^xyz def"),
        ("def p { return 1 weighted 1 } def q { return 1 weighted 1 }", "1:31: unexpected 'def'.*allowed: the end"),
        ("def p { return 1 weighted 1 } x", "1:31: unexpected 'x'"),
        ("def p { return 1 weighted .5 }", "1:27: a number has digits on both sides of its point"),
        ("def p { return 1 weighted 1. }", "1:27: a number has digits on both sides of its point"),
        ("def p { return 1 weighted 1e3 }", "1:27: a number has digits on both sides .* nothing attached"),
        ("def p { return 1 weighted -1 }", "1:27: unexpected '-'; .*allowed: a number"),
        ("def p { return 1 weighted 1, }", "1:30: unexpected '}'; .*allowed: a number, a quoted text, '-'"),
        ("def p { return 1 }", "1:18: unexpected '}'.*allowed: 'weighted'"),
        ("def p { return x weighted 1 }", "1:16: unexpected 'x'"),
        ("def p { if !a == 1 { return 1 weighted 1 } }", "1:12: '!' is not an operator; .*found def p { if ^!a"),
        ("def p { if a = 1 { return 1 weighted 1 } }", "1:14: '=' is not an operator; equality is '=='"),
        ("def p { if a => 1 { return 1 weighted 1 } }", "1:14: '=' is not an operator"),
        ("def p { if a { return 1 weighted 1 } }", "1:14: unexpected '{'.*allowed: .*'=='"),
        ("def p { if a < b < c { return 1 weighted 1 } }", "1:18: unexpected '<'"),
        ("def p { if a in () { return 1 weighted 1 } }", "1:18: unexpected '\\)'"),
        ("def p { if a in (1,) { return 1 weighted 1 } }", "1:20: unexpected '\\)'"),
        ("def p { if a == 1 { return 1 weighted 1 } return 1 weighted 1 }", "1:43: unexpected 'return'"),
        (
            "def p { splitters: a salt: 'x' return 1 weighted 1 }",
            "1:22: 'salt' is a word of the language|unexpected 'salt'",
        ),
        ("def p { salt: 'a' salt: 'b' return 1 weighted 1 }", "1:19: unexpected 'salt'"),
        ("def p { return 'a weighted 1 }", "1:16: a text is not closed on its line"),
        ("def p {\n  return 'a\n' weighted 1 }", "2:10: a text is not closed on its line"),
        ("def p { /* return 1 weighted 1 }", "1:9: a comment is not closed"),
        ("def p { return 1 weighted 1; }", "1:28: unexpected character ';' \\(U\\+003B\\)"),
        ("def p { return 1 weighted 1 @}", "1:29: unexpected character '@'"),
        ("def pü { return 1 weighted 1 }", "1:6: unexpected character 'ü' \\(U\\+00FC\\)"),
        ("def p { salt: 'a\0b' return 1 weighted 1 }", "1:15: a text holds NUL"),
        ("def p { salt: 'a\ud800' return 1 weighted 1 }", "1:15: a text holds .* half of a surrogate pair"),
        (f"def p {{ return 1 weighted {'9' * 1001} }}", "1:27: the number is too long.*at most 1000 digits"),
        (f"def p {{ return 1 weighted {'9' * 400}.0 }}", "1:27: the number is too large"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, where="p.pyab")
    assert re.search(message.replace("^", "\\^"), str(caught.value)), str(caught.value)
    assert str(caught.value).startswith("p.pyab:")


def test_an_error_shows_its_line_with_a_caret() -> None:
    with pytest.raises(SpecError) as caught:
        parse('def p {\n    if age => 18 { return "a" weighted 1 }\n}')
    assert caught.value.__notes__ == ['    if age => 18 { return "a" weighted 1 }\n           ^']


def test_a_byte_order_mark_and_any_white_space_are_no_matter() -> None:
    assert parse("\ufeffdef p{return 'a'weighted 1}") == parse("\r\n\t def\fp {\v return 'a' weighted 1 }\n\n")


def is_answered(text: str) -> None:
    """Fails unless the text is a program, or an error that points into it."""
    try:
        tree = parse(text)
    except SpecError as caught:
        error, note = str(caught), caught.__notes__[0]
    else:
        assert parse(unparse(tree)) == tree
        return
    found = re.match(r"program:(\d+):(\d+): ", error)
    assert found
    line, column = map(int, found.groups())
    assert 1 <= line <= text.count("\n") + 1
    assert 1 <= column <= len(text.split("\n")[line - 1]) + 1
    assert "^" in error
    assert note.split("\n")[1] == " " * (column - 1) + "^"


pieces = st.lists(st.sampled_from(FRAGMENTS))


@given(st.text() | pieces.map(" ".join) | pieces.map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_answered(text: str) -> None:
    is_answered(text)


@given(programs.trees, st.data())
@settings(max_examples=100, deadline=None)
def test_a_program_with_one_piece_changed_is_answered(tree: ExperimentAST, data: st.DataObject) -> None:
    text = unparse(tree)
    at = data.draw(st.integers(0, len(text)))
    until = data.draw(st.integers(at, min(len(text), at + 5)))
    is_answered(text[:at] + data.draw(st.sampled_from(["", *FRAGMENTS])) + text[until:])


@pytest.mark.parametrize("levels", [1_000, 5_000])
def test_nesting_costs_no_recursion(levels: int) -> None:
    nested = "if x == 1 {" * levels + "return 1 weighted 1" + "}" * levels
    tree = parse(f"def p {{ {nested} }}")
    assert tree == parse(unparse(tree))
    assert hash(tree) == hash(parse(unparse(tree)))
    assert len(repr(tree)) < 400
    assert condition("(" * levels + "x == 1" + ")" * levels) == comparison("x")
    assert condition("not " * levels + "x == 1") != comparison("x")
    with pytest.raises(SpecError, match="ends too early"):
        parse("def p {" + "if x == 1 {" * levels)
