"""Findings before use: where, how grave, and the nearest right name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from xp_pipeline.language import Finding, Program, check, parse
from xp_pipeline_tests.language import programs


def findings(body: str, **known: Any) -> list[str]:
    return [str(finding) for finding in check(parse(f"def p {{ splitters: u\n{body} }}"), **known)]


def test_a_good_program_has_no_findings() -> None:
    body = 'if age >= 18 { return "a" weighted 1, "b" weighted 1 } else { return "a" weighted 1, "b" weighted 0 }'
    assert findings(body, arms=["a", "b"], columns={"u": "text", "age": "integer"}) == []


def test_weights_that_give_nobody_anything() -> None:
    assert findings("return 'a' weighted 0, 'b' weighted 0.0") == [
        "2:21: error: the weights of a split add up to a positive finite number; found a total of 0"
    ]


def test_an_arm_twice_in_one_split_but_not_in_two() -> None:
    assert findings("return 1 weighted 1, '1' weighted 2, 2 weighted 1") == [
        "2:35: error: the arm '1' stands twice in one split"
    ]
    assert findings("if x == 1 { return 'a' weighted 1 } else { return 'a' weighted 1 }") == []


def test_arms_that_the_experiment_does_not_declare_and_the_other_way_round() -> None:
    assert findings("return 'treatmnt' weighted 1, 'b' weighted 1", arms=["treatment", "b"]) == [
        "1:5: warning: the program gives nobody the arm 'treatment', which the experiment declares",
        "2:28: error: the experiment declares no arm 'treatmnt'; allowed: b, treatment (did you mean 'treatment'?)",
    ]


def test_fields_that_the_unit_table_lacks() -> None:
    body = "if contry == 'US' { return 'a' weighted 1 } else { return 'a' weighted 1 }"
    assert findings(body, columns={"user": "text", "country": "text"}) == [
        "1:5: error: the unit table has no column 'u' to split by; allowed: country, user",
        "2:4: error: the unit table has no column 'contry'; allowed: country, user (did you mean 'country'?)",
    ]
    assert findings("return 'a' weighted 1", columns={"u": "number"}) == [
        "1:5: error: 'u' holds decimals and cannot split; allowed: text, integers, booleans"
    ]


def test_comparisons_across_kinds() -> None:
    body = "if n == 'a' { return 1 weighted 1 } else if t < 1 { return 2 weighted 1 } else { return 3 weighted 1 }"
    assert findings(body, columns={"u": "text", "n": "integer", "t": "text"}) == [
        '2:4: warning: n == "a" holds for no unit (n is integer)',
        "2:45: warning: t < 1 holds for no unit (t is text)",
    ]


def test_lists_in_order_and_searched_numbers() -> None:
    assert findings("if x < (1) { return 1 weighted 1 } else { return 1 weighted 1 }")[0].startswith(
        "2:4: error: a list has no order; allowed: =="
    )


CHAIN = "if {} {{ return 'a' weighted 1 }} else if {} {{ return 'b' weighted 1 }} else {{ return 'c' weighted 1 }}"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x >= 18", "x > 20"),
        ("x == 1", "x == 1"),
        ("x in (1, 2, 3)", "x == 2"),
        ("x == 1 or y == 1", "y == 1 and x > 5"),
        ("x == 'a'", "'a' == x"),
        ("1 == 1", "x == 1"),
        ("x == 1", "1 == 2"),
        ("x == 1", "x > 5 and x < 3"),
        ("x == 1", "x > 9007199254740993 and x <= 9007199254740993"),
        ("x == 1", "x == y and x != y"),
        ("x == 1", "x < y and y < x"),
        ("x == 1", "x == 'a' and x > 5"),
        ("not (x != 'a' and x != 'b')", "x in ('b', 'a')"),
    ],
)
def test_branches_that_nobody_reaches(first: str, second: str) -> None:
    errors = [f for f in findings(CHAIN.format(first, second)) if "no unit can reach" in f]
    assert any("this split of b" in f for f in errors)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x >= 18", "x < 18"),
        ("x > 1", "x == 1"),
        ("x > 9007199254740992", "x < 9007199254740994"),
        ("x != 1", "x == 1"),
        ("x >= 1", "not x < 1 or y == 2"),
        ("x < y", "y < z and z < x"),
        ("x < y", "y < z and z < w and w < x"),
        ("x > 0.5", "x > 0.1 and x < 0.2"),
        ("x < 'a'", "x > 'a' and x < 'b'"),
        ("x in 'abc'", "x in 'abcd'"),
        ("'a' in x", "x == 'b'"),
        ("(x, y) == (1, 2)", "x == 1 and y == 3"),
    ],
)
def test_branches_that_somebody_reaches(first: str, second: str) -> None:
    assert not any("no unit can reach this split of b" in f for f in findings(CHAIN.format(first, second)))


def test_who_falls_through_a_chain_without_else() -> None:
    assert findings("if x == 1 { return 'a' weighted 1 } else if y > 2 { return 'a' weighted 1 }") == [
        "2:1: warning: a chain without 'else': units get no arm for whom none holds of: x == 1; y > 2"
    ]
    inner = "if x == 1 { if y > 2 { return 'a' weighted 1 } } else { return 'a' weighted 1 }"
    assert findings(inner) == [
        "2:13: warning: a chain without 'else': of those with x == 1, units get no arm for whom none holds of: y > 2"
    ]


def test_a_chain_that_misses_nobody_needs_no_else() -> None:
    assert findings("if x == 1 { return 'a' weighted 1 } else if x != 1 { return 'a' weighted 1 }") == []
    missing = findings("if x <= 1 { return 'a' weighted 1 } else if x > 1 { return 'a' weighted 1 }")
    assert len(missing) == 1, "those without an x fall through"


@given(programs.trees, programs.rows)
@settings(max_examples=100, deadline=None)
def test_no_unit_is_ever_where_none_can_be(tree: Any, rows: list[dict[str, Any]]) -> None:
    program = Program.parse(programs.written(tree))
    found = check(program.tree)
    dead = {(f.line, f.column) for f in found if "no unit can reach" in f.message}
    closed = not any("without 'else'" in f.message for f in found)
    places = {route.branch: route.groups[0].at for route in program.routes if route.groups}
    for row in rows:
        branch = program.assign(row).branch
        assert not (branch is None and closed)
        assert branch is None or places[branch] not in dead


def test_a_search_that_would_take_too_long_is_given_up() -> None:
    condition = " and ".join(f"f{i} < f{i + 1}" for i in range(40))
    assert not any("no unit can reach" in f for f in findings(CHAIN.format("x == 1", condition)))


def test_findings_of_a_tree_without_text_have_no_position() -> None:
    tree = parse("def p { splitters: u, u return 1 weighted 1 }")
    bare = type(tree)(tree.id, tree.splitting_fields, tree.salt, tree.conditions)
    assert check(bare) == [Finding("warning", None, None, "the splitter 'u' is listed twice and counts once")]
    assert str(check(bare)[0]).startswith("warning: ")


def test_routes_say_what_leads_where() -> None:
    program = Program.parse("""def p { splitters: u
        if a == 1 { if b > 2 { return 'x' weighted 1 } else { return 'y' weighted 1 } }
        else if a == 2 or b == 3 { return 'z' weighted 1 } }""")
    assert [(route.branch, route.when()) for route in program.routes] == [
        (0, "a == 1, b > 2"),
        (1, "a == 1, otherwise"),
        (2, "a == 2 or b == 3"),
        (None, "otherwise"),
    ]
    assert [route.when() for route in Program.parse("def p { splitters: u return 1 weighted 1 }").routes] == ["always"]
