"""The factorial section: built from the sealed plan, escaped, and absent where there are no factors."""

from __future__ import annotations

from typing import Any

import pytest

from xp_pipeline.report.aliases import build_factorial, card_of

SEALED: dict[str, Any] = {
    "notation": "2^(3-1) III",
    "factors": [{"factor": f, "levels": ["low", "high"]} for f in "abc"],
    "generators": ["c=a:b"],
    "defining_relation": "I = a:b:c",
    "runs": [{"arm": f"run {i}", "levels": {}} for i in range(4)],
    "effects": [{"effect": "a"}, {"effect": "b=high:c=high"}],
    "aliases": [
        {"effect": "a", "order": 1, "aliased_with": ["b:c"], "estimable": True},
        {"effect": "b:c", "order": 2, "aliased_with": ["a"], "estimable": False},
    ],
}


@pytest.mark.parametrize("plan", [None, {"metrics": []}])
def test_other_experiments_have_no_section(plan: dict[str, Any] | None) -> None:
    assert build_factorial(plan) is None
    assert card_of(build_factorial(plan)) is None


def test_the_section_says_what_was_asked_for_and_what_can_be() -> None:
    design = build_factorial({"metrics": [], "factorial": SEALED})
    assert design
    assert (design.notation, design.arms, design.defining_relation) == ("2^(3-1) III", 4, "I = a:b:c")
    assert [(row.effect, row.aliased_with, row.estimable, row.asked) for row in design.aliases] == [
        ("a", "b:c", True, True),
        ("b:c", "a", False, True),
    ]
    assert "includes those it is aliased with" in design.lead
    card = card_of(design)
    assert card
    assert card["factors"] == {f: ["low", "high"] for f in "abc"}


def test_a_full_factorial_warns_of_no_alias() -> None:
    full = SEALED | {"generators": [], "defining_relation": "", "notation": "2^3"}
    design = build_factorial({"factorial": full})
    assert design
    assert "aliased" not in design.lead
