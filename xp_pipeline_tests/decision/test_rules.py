"""Rule lists: order, matches over roles, and the rules that are refused."""

from __future__ import annotations

import dataclasses

import pytest

from xp_pipeline.decision.rules import NAMED, RISK_AWARE, Condition, Rule, RuleList
from xp_pipeline.errors import EvidenceError
from xp_pipeline_tests.decision.test_rule import NOTHING, SAFE, WIN

LOSE = dataclasses.replace(NOTHING, metric="n")


def _judge(finding, state) -> bool:
    return {"wins": finding.wins, "safe": finding.safe}[state]


@pytest.mark.parametrize(
    ("match", "expected"), [("all", (True, False, False, True)), ("any", (True, True, False, False)),
                            ("none", (False, False, True, True))],
)  # fmt: skip
def test_matches_over_the_metrics_of_a_role(match, expected) -> None:
    condition = Condition(match, ("primary",), "wins")
    findings = ([WIN, WIN], [WIN, LOSE], [LOSE, LOSE], [SAFE])
    assert tuple(condition.holds(found, _judge) for found in findings) == expected


def test_the_first_rule_that_holds_decides() -> None:
    wins = (Condition("any", ("primary",), "wins"),)
    ship, stop = Rule(wins, "ship"), Rule(wins, "do_not_ship")
    assert RuleList("r", (ship, stop)).outcome([WIN], _judge) == "ship"
    assert RuleList("r", (stop, ship)).outcome([WIN], _judge) == "do_not_ship"
    assert RuleList("r", (stop, ship), otherwise="do_not_ship").outcome([LOSE], _judge) == "do_not_ship"
    assert RuleList("r", (ship,)).outcome([LOSE], _judge) == "extend"


@pytest.mark.parametrize(
    "rules",
    [
        (Rule((Condition("none", ("primary", "guardrail"), "harmed"),), "ship"),),
        (Rule((Condition("all", ("guardrail",), "safe"),), "ship"),),
        (Rule((), "ship"),),
    ],
)
def test_a_rule_that_ships_ignorance_is_refused(rules) -> None:
    """That nothing got worse, or that all of no guardrails are safe, is true of an experiment without data."""
    with pytest.raises(EvidenceError, match="nothing is known"):
        RuleList("do_no_harm", rules)
    with pytest.raises(EvidenceError, match="nothing is known"):
        RuleList("yes", (), otherwise="ship")


def test_a_non_inferiority_decision_can_be_written() -> None:
    rules = RuleList("non_inferior", (Rule((Condition("all", ("primary",), "safe"),), "ship"),))
    held = dataclasses.replace(SAFE, role="primary")
    assert rules.outcome([held], _judge) == "ship"


def test_unknown_words_are_refused_with_the_nearest() -> None:
    with pytest.raises(EvidenceError, match="did you mean 'wins'"):
        Condition("any", ("primary",), "win")  # type: ignore[arg-type]
    with pytest.raises(EvidenceError, match="did you mean 'guardrail'"):
        Condition("any", ("guardrails",), "safe")  # type: ignore[arg-type]
    with pytest.raises(EvidenceError, match="did you mean 'ship'"):
        RuleList("r", (Rule((), "shipp"),))  # type: ignore[arg-type]


def test_named_lists_are_found_by_their_name() -> None:
    assert NAMED["risk_aware"] is RISK_AWARE
    assert all(name == rules.name for name, rules in NAMED.items())
