"""Trees: what they refuse, and their ways to text and JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from xp_pipeline.errors import SpecError
from xp_pipeline.language import (
    BooleanOperatorEnum,
    ConditionalType,
    ExperimentAST,
    ExperimentConditional,
    ExperimentGroup,
    Identifier,
    LogicalOperatorEnum,
    RecursivePredicate,
    TerminalPredicate,
    from_json,
    parse,
    to_json,
    unparse,
)
from xp_pipeline_tests.language import programs

ARM = (ExperimentGroup("a", 1),)
TEST = TerminalPredicate(Identifier("x"), LogicalOperatorEnum.EQ, 1)
TREE = ExperimentAST("p", ("u",), None, ExperimentConditional(ConditionalType.IF, TEST, ARM, None))


@given(programs.trees)
@settings(max_examples=100, deadline=None)
def test_text_is_the_tree_again(tree: ExperimentAST) -> None:
    text = unparse(tree)
    assert parse(text) == tree
    assert unparse(parse(text)) == text


@given(programs.trees)
@settings(max_examples=100, deadline=None)
def test_json_is_the_tree_again(tree: ExperimentAST) -> None:
    text = to_json(tree)
    assert from_json(text) == tree
    assert from_json(json.dumps(json.loads(text), indent=2)) == tree


def test_json_has_the_names_of_the_tree() -> None:
    assert json.loads(to_json(parse('def p { splitters: u if not x in (1, "a") { return "b" weighted 2 } }'))) == {
        "id": "p",
        "splitting_fields": ["u"],
        "salt": None,
        "conditions": {
            "conditional_type": "IF",
            "predicate": {
                "left_predicate": {"left_term": {"name": "x"}, "logical_operator": "IN", "right_term": [1, "a"]},
                "boolean_operator": "NOT",
                "right_predicate": None,
            },
            "true_branch": [{"group_definition": "b", "group_weight": 2}],
            "false_branch": None,
        },
    }


def test_json_of_any_depth() -> None:
    levels = 5_000
    tree = parse("def p {" + "if x == 1 {" * levels + "return 1 weighted 1" + "}" * levels + "}")
    assert from_json(to_json(tree)) == tree


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"p"', '"if"', "not a name of the language; found 'if'"),
        ('"p"', '"p q"', "not a name of the language"),
        ('"p"', "7", "ExperimentAST.id cannot be int '7'"),
        ('"EQ"', '"IS"', "logical_operator is one of EQ, NE, GT, GE, LT, LE, IN, NOT_IN; found 'IS'"),
        ('"EQ"', "1", "logical_operator is one of"),
        ('"IF"', '"ELSE"', "'else' has none"),
        ('"name"', '"nome"', "no node has the members nome"),
        ('"group_weight": 1', '"group_weight": -1', "not negative"),
        ('"group_weight": 1', '"group_weight": 1e999', "finite numbers"),
        ('"group_weight": 1', '"group_weight": "1"', "cannot be str"),
        ('"group_weight": 1', '"group_weight": true', "not JSON"),
        ('"group_weight": 1', '"group_weight": 1, "group_weight": 1', "no node has the members"),
        ('"a"', '"a\\nb"', "no line break"),
        ('"a"', '"a\\q"', "Invalid"),
        ('[{"group_definition": "a", "group_weight": 1}]', "[]", "true_branch cannot be tuple"),
        ('["u"]', "[]", "splitting_fields cannot be tuple"),
        ('["u"]', '[["u"]]', "splitting_fields cannot be tuple"),
        ('{"name": "x"}', '[{"group_definition": "a", "group_weight": 1}]', "left_term cannot be tuple"),
        ("1}]", "1" * 5000 + "}]", "tree: "),
    ],
)
def test_json_that_is_not_a_tree_is_refused_in_one_line(old: str, new: str, message: str) -> None:
    text = to_json(TREE).replace(old, new, 1)
    with pytest.raises(SpecError) as caught:
        from_json(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "1", '"x"', '{"name": "x"}', "{}", "[1,]", "nul", '{"id[": ', "\ud800"]
)
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        from_json(text, where="tree.json")


def test_literals_differ_by_type() -> None:
    trees = [ExperimentAST("p", None, None, (ExperimentGroup(label, 1),)) for label in (1, 1.0, "1", -0.0, 0.0, 0)]
    assert len(set(trees)) == 6
    assert [from_json(to_json(tree)) for tree in trees] == trees


def test_lists_are_taken_and_frozen() -> None:
    chain = ExperimentConditional(ConditionalType.IF, TEST, list(ARM), None)  # type: ignore[arg-type]
    tree = ExperimentAST("p", ["u"], None, chain)  # type: ignore[arg-type]
    assert tree == TREE
    with pytest.raises(AttributeError):
        tree.id = "q"  # type: ignore[misc]


@pytest.mark.parametrize("weight", [-1, -0.5, float("nan"), True])
def test_a_weight_is_a_number_that_is_not_negative(weight: Any) -> None:
    with pytest.raises(ValueError, match="weight"):
        ExperimentGroup("a", weight)


def test_nodes_that_mean_nothing_are_refused() -> None:
    otherwise = ExperimentConditional(ConditionalType.ELSE, None, ARM, None)
    with pytest.raises(ValueError, match="'else' has none"):
        ExperimentConditional(ConditionalType.ELSE, TEST, ARM, None)
    with pytest.raises(ValueError, match="nothing after it"):
        ExperimentConditional(ConditionalType.ELSE, None, ARM, otherwise)
    with pytest.raises(ValueError, match="'if' and 'else if' have a predicate"):
        ExperimentConditional(ConditionalType.IF, None, ARM, None)
    with pytest.raises(ValueError, match="an 'else if' or an 'else'"):
        ExperimentConditional(ConditionalType.IF, TEST, ARM, ExperimentConditional(ConditionalType.IF, TEST, ARM, None))
    with pytest.raises(ValueError, match="'not' takes one"):
        RecursivePredicate(TEST, BooleanOperatorEnum.NOT, TEST)
    with pytest.raises(ValueError, match="take two"):
        RecursivePredicate(TEST, BooleanOperatorEnum.AND, None)


@pytest.mark.parametrize(
    "tree",
    [
        ExperimentAST("p q", None, None, ARM),
        ExperimentAST("p", ("in",), None, ARM),
        ExperimentAST("p", None, "a\nb", ARM),
        ExperimentAST("p", None, "'\"", ARM),
        ExperimentAST("p", None, None, (ExperimentGroup(float("inf"), 1),)),
        ExperimentAST("p", None, None, (ExperimentGroup(True, 1),)),
        ExperimentAST("p", None, None, ExperimentConditional(ConditionalType.IF, TEST, ARM, ARM)),
    ],
)
def test_what_the_language_cannot_write_is_refused(tree: ExperimentAST) -> None:
    with pytest.raises(SpecError):
        unparse(tree)
    with pytest.raises(SpecError):
        to_json(tree)
