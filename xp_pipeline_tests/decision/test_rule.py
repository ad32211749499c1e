"""The risk-aware rule: every combination has a verdict, ignorance never ships, harm never ships."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.decision.rule import Finding, decide
from xp_pipeline.decision.verdict import Decision, Verdict

NOTHING = Finding(
    metric="m", role="primary", direction="increase", status="ok", reason="", effect=0.1, low=-0.1, high=0.3, lift=0.05,
    p_adjusted=0.2, alpha=0.05, margin=None, margin_relative=False, ni_holds=None, ni_bound=None, deterioration_p=0.8,
    power=None, mde=None, planned_mde=None, extend_days=None,
)  # fmt: skip
WIN = dataclasses.replace(NOTHING, p_adjusted=0.001)
HARM = dataclasses.replace(NOTHING, effect=-0.1, lift=-0.05, p_adjusted=0.001, deterioration_p=0.0005)
SAFE = dataclasses.replace(
    NOTHING, metric="g", role="guardrail", margin=0.02, margin_relative=True, ni_holds=True, ni_bound=-0.01
)
UNSAFE = dataclasses.replace(SAFE, ni_holds=False, ni_bound=-0.024)
UNKNOWN = dataclasses.replace(SAFE, status="insufficient_data", reason="an arm has no unit", ni_holds=None)


def _decided(*findings: Finding, **changed: Any) -> Decision:
    usual: dict[str, Any] = {
        "final": True, "blocked": [], "warnings": [], "days_run": 28, "minimum_days": 7, "days_to_end": 0,
    }  # fmt: skip
    return decide("treatment", findings, **{**usual, **changed})


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([WIN], Verdict.SHIP),
        ([WIN, SAFE], Verdict.SHIP),
        ([WIN, UNSAFE], Verdict.EXTEND),
        ([WIN, UNKNOWN], Verdict.EXTEND),
        ([NOTHING], Verdict.DO_NOT_SHIP),
        ([HARM], Verdict.DO_NOT_SHIP),
        ([WIN, dataclasses.replace(HARM, role="secondary", metric="s")], Verdict.DO_NOT_SHIP),
        ([dataclasses.replace(NOTHING, mde=0.4, planned_mde=0.2)], Verdict.EXTEND),
        ([dataclasses.replace(NOTHING, mde=0.1, planned_mde=0.2)], Verdict.DO_NOT_SHIP),
        ([dataclasses.replace(NOTHING, status="degenerate", reason="no variance")], Verdict.NOT_DECIDABLE),
        ([], Verdict.NOT_DECIDABLE),
    ],
)
def test_verdicts(findings: list[Finding], verdict: Verdict) -> None:
    assert _decided(*findings).verdict == verdict


def test_a_block_comes_before_everything() -> None:
    decision = _decided(WIN, SAFE, blocked=["The sample ratio is off."])
    assert decision.verdict == Verdict.NOT_DECIDABLE
    assert decision.reasons[0].sentence == "The sample ratio is off."


@pytest.mark.parametrize("changed", [{"final": False, "days_to_end": 3}, {"days_run": 3}])
def test_nothing_is_due_before_its_time(changed: dict[str, Any]) -> None:
    assert _decided(WIN, **changed).verdict == Verdict.NOT_DUE


def test_the_nearest_margin_that_would_have_held_is_named() -> None:
    sentences = " ".join(reason.sentence for reason in _decided(WIN, UNSAFE).reasons)
    assert "harm above 2.00% cannot be excluded" in sentences
    assert "a margin of 2.40% would have held" in sentences


numbers = st.floats(-1, 1)
shares = st.one_of(st.none(), st.floats(0, 1))
findings = st.builds(
    Finding,
    metric=st.just("m"),
    role=st.sampled_from(["primary", "secondary", "guardrail", "exploratory"]),
    direction=st.sampled_from(["increase", "decrease"]),
    status=st.sampled_from(["ok", "degenerate", "insufficient_data", "blocked"]),
    reason=st.just("why"),
    effect=numbers,
    low=numbers,
    high=numbers,
    lift=st.one_of(numbers, st.just(math.nan)),
    p_adjusted=shares,
    alpha=st.just(0.05),
    margin=st.one_of(st.none(), st.floats(0.01, 0.5)),
    margin_relative=st.booleans(),
    ni_holds=st.one_of(st.none(), st.booleans()),
    ni_bound=st.one_of(st.none(), numbers),
    deterioration_p=shares,
    power=shares,
    mde=shares,
    planned_mde=shares,
    extend_days=st.none(),
)


@given(st.lists(findings, max_size=5), st.booleans())
def test_every_combination_has_a_verdict_and_reasons(found: list[Finding], final: bool) -> None:
    decision = _decided(*found, final=final)
    assert decision.verdict in Verdict
    assert decision.reasons
    if decision.verdict == Verdict.SHIP:
        assert any(f.wins for f in found if f.role == "primary")
        assert all(f.ni_holds for f in found if f.role == "guardrail")


@given(findings)
def test_mirroring_the_direction_mirrors_the_verdict(finding: Finding) -> None:
    other = "decrease" if finding.direction == "increase" else "increase"
    mirrored = dataclasses.replace(finding, direction=other, effect=-finding.effect, lift=-finding.lift)
    assert _decided(finding).verdict == _decided(mirrored).verdict
