"""The risk-aware rule: every combination has a verdict, ignorance never ships, harm never ships."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.decision.finding import Finding
from xp_pipeline.decision.rule import decide
from xp_pipeline.decision.rules import ALL_PRIMARY, RISK_AWARE
from xp_pipeline.decision.verdict import Decision, Verdict

NOTHING = Finding(
    metric="m", role="primary", direction="increase", status="ok", reason="", effect=0.1, low=-0.1, high=0.3, lift=0.05,
    p_adjusted=0.2, alpha=0.05, margin=None, margin_relative=False, margin_holds=None, margin_bound=None,
    deterioration_p=0.8, power=None, mde=None, planned_mde=None,
)  # fmt: skip
WIN = dataclasses.replace(NOTHING, p_adjusted=0.001)
HARM = dataclasses.replace(NOTHING, effect=-0.1, lift=-0.05, p_adjusted=0.001, deterioration_p=0.0005)
SAFE = dataclasses.replace(
    NOTHING, metric="g", role="guardrail", margin=0.02, margin_relative=True, margin_holds=True, margin_bound=-0.01
)
UNSAFE = dataclasses.replace(SAFE, margin_holds=False, margin_bound=-0.024)
UNKNOWN = dataclasses.replace(SAFE, status="insufficient_data", reason="an arm has no unit", margin_holds=None)


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
        ([WIN, UNSAFE], Verdict.RERUN),
        ([WIN, UNKNOWN], Verdict.RERUN),
        ([NOTHING], Verdict.DO_NOT_SHIP),
        ([HARM], Verdict.DO_NOT_SHIP),
        ([WIN, dataclasses.replace(HARM, role="secondary", metric="s")], Verdict.DO_NOT_SHIP),
        ([dataclasses.replace(NOTHING, mde=0.4, planned_mde=0.2)], Verdict.RERUN),
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


CROSSED = dataclasses.replace(NOTHING, p_adjusted=None, significant=True, effect=0.3)
STOPPED = dataclasses.replace(NOTHING, p_adjusted=None, deteriorated=True, effect=-0.3)


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([CROSSED], Verdict.SHIP),
        ([CROSSED, SAFE], Verdict.SHIP),
        ([CROSSED, UNSAFE], Verdict.RUNNING),
        ([STOPPED], Verdict.DO_NOT_SHIP),
        ([CROSSED, dataclasses.replace(STOPPED, role="secondary", metric="s")], Verdict.DO_NOT_SHIP),
        ([dataclasses.replace(NOTHING, significant=False)], Verdict.RUNNING),
        ([dataclasses.replace(NOTHING, futile=True)], Verdict.DO_NOT_SHIP),
        ([dataclasses.replace(NOTHING, status="insufficient_data", reason="burn-in")], Verdict.RUNNING),
    ],
)
def test_an_interim_look_decides_only_what_crossed_its_boundary(findings: list[Finding], verdict: Verdict) -> None:
    assert _decided(*findings, final=False, looks_left=3).verdict == verdict


def test_a_running_experiment_says_what_remains_and_what_was_not_tested() -> None:
    untested = dataclasses.replace(SAFE, margin_holds=None)
    said = [reason.sentence for reason in _decided(CROSSED, untested, final=False, looks_left=1).reasons]
    assert "Guardrail g is not shown to be safe: it was not tested at this reading." in said
    assert "No boundary that decides was crossed; one planned look remains." in said


@pytest.mark.parametrize("finding", [WIN, HARM])
def test_a_p_value_decides_nothing_between_looks(finding: Finding) -> None:
    """Only a boundary can be crossed at an interim look; a fixed-horizon p-value is not held against one."""
    assert _decided(finding, final=False, looks_left=3).verdict == Verdict.RUNNING
    assert _decided(finding, final=True).verdict != Verdict.RUNNING


def test_the_last_look_needs_a_boundary_too_where_there_is_one() -> None:
    assert _decided(dataclasses.replace(WIN, significant=False)).verdict == Verdict.DO_NOT_SHIP
    assert _decided(dataclasses.replace(HARM, deteriorated=False)).verdict == Verdict.DO_NOT_SHIP
    assert _decided(CROSSED).verdict == Verdict.SHIP


SAME = dataclasses.replace(
    NOTHING, effect=-0.001, lift=-0.001, margin=0.02, margin_relative=True, margin_holds=True, margin_bound=-0.012,
    equivalence=True, se=0.006, margin_needed=0.012,
)  # fmt: skip


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (SAME, Verdict.SHIP),
        (dataclasses.replace(SAME, deteriorated=True, held_since=1), Verdict.DO_NOT_SHIP),
        (dataclasses.replace(SAME, p_adjusted=0.001, effect=0.1, margin_holds=False), Verdict.DO_NOT_SHIP),
        (dataclasses.replace(SAME, lift=-0.03, margin_holds=False, margin_bound=-0.041), Verdict.DO_NOT_SHIP),
        (dataclasses.replace(SAME, margin_holds=False, margin_bound=-0.05), Verdict.RERUN),
        (dataclasses.replace(SAME, margin_holds=False, deteriorated=True), Verdict.DO_NOT_SHIP),
        (dataclasses.replace(SAME, margin_holds=None, margin_bound=None, margin_needed=None), Verdict.RERUN),
    ],
)
def test_equivalence_wins_by_its_margin_alone(finding: Finding, verdict: Verdict) -> None:
    """Precise data outside the margins settle it, imprecise do not; harm beyond them counts whatever held before."""
    assert _decided(finding).verdict == verdict


def test_between_looks_equivalence_needs_a_test() -> None:
    assert _decided(SAME, final=False, looks_left=2).verdict == Verdict.SHIP
    assert _decided(dataclasses.replace(SAME, margin_holds=None), final=False, looks_left=2).verdict == Verdict.RUNNING


def test_the_nearest_margin_of_equivalence_is_named() -> None:
    missed = dataclasses.replace(SAME, lift=-0.03, margin_holds=False, margin_bound=-0.041, margin_needed=0.0412)
    decided = _decided(missed)
    assert decided.counterfactual is not None
    assert decided.counterfactual.changes[0].needed == pytest.approx(0.0413)
    assert "Would ship if the margin of m were 4.13 % instead of 2 %." in [r.sentence for r in decided.reasons]
    imprecise = dataclasses.replace(SAME, margin_holds=False, margin_bound=-0.039)
    assert imprecise.units_needed == pytest.approx(4.0)


def test_a_design_whose_end_has_moved_goes_on() -> None:
    decision = _decided(WIN, UNSAFE, final=False, days_to_end=5, moved=True, extended="The end moves by 7 days: why.")
    assert decision.verdict == Verdict.EXTEND
    said = [reason.sentence for reason in decision.reasons]
    assert said == [
        "A fixed-horizon design is decided at its new end, 5 days from now.",
        "The end moves by 7 days: why.",
    ]
    assert _decided(WIN, UNSAFE, extended="why").verdict == Verdict.RERUN


def test_a_rerun_is_advised_with_the_units_it_takes() -> None:
    """The bound is 1.5 points from the effect and must come within 1.1 of it: (1.5 / 1.1)^2 = 1.9 times the units."""
    guardrail = dataclasses.replace(UNSAFE, lift=-0.009, margin_bound=-0.024)
    said = " ".join(reason.sentence for reason in _decided(WIN, guardrail).reasons)
    assert "rerun with about 1.9 times the units" in said
    hopeless = dataclasses.replace(UNSAFE, lift=-0.03, margin_bound=-0.05)
    assert hopeless.units_needed is None
    assert "to settle it, rerun." in " ".join(reason.sentence for reason in _decided(WIN, hopeless).reasons)


def test_harm_shares_its_budget_over_the_metrics_tested() -> None:
    """One-sided 1 % over two metrics: p = 0.004 is a harm, 0.006 is not; exploratory metrics take no share."""
    for p, verdict in ((0.004, Verdict.DO_NOT_SHIP), (0.006, Verdict.SHIP)):
        worse = dataclasses.replace(HARM, role="secondary", metric="s", deterioration_p=p)
        exploratory = dataclasses.replace(HARM, role="exploratory", metric="e")
        assert _decided(WIN, worse, exploratory).verdict == verdict


def test_another_rule_list_decides_by_other_conditions() -> None:
    second = dataclasses.replace(NOTHING, metric="m2")
    assert _decided(WIN, second).verdict == Verdict.SHIP
    decision = _decided(WIN, second, rules=ALL_PRIMARY)
    assert decision.verdict == Verdict.DO_NOT_SHIP
    assert decision.rule == "all_primary"


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
    margin_holds=st.one_of(st.none(), st.booleans()),
    margin_bound=st.one_of(st.none(), numbers),
    deterioration_p=shares,
    power=shares,
    mde=shares,
    planned_mde=shares,
    se=st.one_of(st.just(math.nan), st.floats(0.01, 1)),
    significant=st.one_of(st.none(), st.booleans()),
    deteriorated=st.one_of(st.none(), st.booleans()),
    futile=st.booleans(),
    winning_effect=st.one_of(st.none(), st.floats(0.01, 1)),
    harmful_effect=st.one_of(st.none(), st.floats(0.01, 1)),
    margin_needed=st.one_of(st.none(), st.floats(-1, 1)),
)


@given(st.lists(findings, max_size=5), st.booleans(), st.integers(0, 3), st.sampled_from([RISK_AWARE, ALL_PRIMARY]))
def test_every_combination_has_a_verdict_and_reasons(found: list[Finding], final, looks_left, rules) -> None:
    decision = _decided(*found, final=final, looks_left=looks_left, rules=rules)
    assert (decision.verdict == Verdict.NOT_DUE) == (not final and not looks_left)
    assert decision.verdict in Verdict
    assert decision.reasons
    if decision.verdict == Verdict.SHIP:
        assert any(f.wins for f in found if f.role == "primary")
        assert all(f.margin_holds for f in found if f.role == "guardrail")


@given(findings)
def test_mirroring_the_direction_mirrors_the_verdict(finding: Finding) -> None:
    other = "decrease" if finding.direction == "increase" else "increase"
    mirrored = dataclasses.replace(finding, direction=other, effect=-finding.effect, lift=-finding.lift)
    assert _decided(finding).verdict == _decided(mirrored).verdict
