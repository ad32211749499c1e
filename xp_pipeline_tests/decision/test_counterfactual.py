"""Counterfactuals: applied to the data, or to the margin, they flip the verdict; anything less does not."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xp_pipeline.decision.counterfactual import apply, harmful_effect, nearest, smallest_margin, winning_effect
from xp_pipeline.decision.finding import Finding
from xp_pipeline.decision.rule import decide
from xp_pipeline.decision.rules import ALL_PRIMARY, RISK_AWARE, RuleList
from xp_pipeline.decision.verdict import Change, Counterfactual, Decision, Verdict
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import t_sf, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.multiplicity import adjust, critical_p
from xp_pipeline.stats.noninferiority import non_inferiority
from xp_pipeline.stats.proportions import proportion
from xp_pipeline_tests.stats.strategies import arms, binary

ROLES = {"a": "primary", "b": "primary", "g": "guardrail", "h": "guardrail", "s": "secondary"}
DIRECTIONS = {"a": "increase", "b": "decrease", "g": "increase", "h": "decrease", "s": "increase"}
RELATIVE = {"g": True, "h": False}
HARM = 0.01 / len(ROLES)


@dataclasses.dataclass(frozen=True)
class World:
    """Two arms measured on five metrics, and the margins of two guardrails."""

    data: dict[str, tuple[np.ndarray, np.ndarray]]
    margins: dict[str, float]
    rules: RuleList = RISK_AWARE

    @classmethod
    def drawn(cls, seed: int, effects: list[float], margins: list[float], rules: RuleList) -> World:
        rng = np.random.default_rng(seed)
        data = {
            name: (rng.normal(10, 1, 80), rng.normal(10, 1.5, 60) + effect)
            for name, effect in zip(ROLES, effects, strict=True)
        }
        return cls(data, dict(zip(RELATIVE, margins, strict=True)), rules)

    def findings(self) -> list[Finding]:
        estimates = {name: welch(*map(Moments.of, arms)) for name, arms in self.data.items()}
        primary = [name for name, role in ROLES.items() if role == "primary"]
        ps = [estimates[name].p_value for name in primary]
        adjusted = dict(zip(primary, adjust(ps, method="holm"), strict=True))
        levels = {name: critical_p(ps, i, method="holm") for i, name in enumerate(primary)}
        return [self._finding(name, e, adjusted.get(name), levels.get(name)) for name, e in estimates.items()]

    def _finding(self, name, e, p_adjusted, level) -> Finding:
        up = DIRECTIONS[name] == "increase"
        margin, relative = self.margins.get(name), RELATIVE.get(name, False)
        ni = margin and non_inferiority(e, margin=margin, relative=relative, increase_is_good=up)
        return Finding(
            metric=name, role=ROLES[name], direction=DIRECTIONS[name], status=str(e.status), reason=e.reason,
            effect=e.effect, low=e.low, high=e.high, lift=e.relative.lift, p_adjusted=p_adjusted, alpha=0.05,
            margin=margin, margin_relative=relative,
            margin_holds=ni.holds if ni else None, margin_bound=ni.bound if ni else None,
            deterioration_p=t_sf((-1 if up else 1) * e.effect / e.se, e.df), power=None, mde=None, planned_mde=None,
            se=e.se,
            winning_effect=None if level is None else winning_effect(e, level=level),
            sure_effect=None if level is None else winning_effect(e, level=0.025),
            harmful_effect=harmful_effect(e, level=HARM),
            margin_needed=smallest_margin(e, relative=relative, increase_is_good=up) if margin else None,
        )  # fmt: skip

    def decided(self) -> Decision:
        return decide(
            "treatment", self.findings(), final=True, blocked=[], warnings=[], days_run=28, minimum_days=7,
            days_to_end=0, rules=self.rules,
        )  # fmt: skip

    def with_changes(self, changes: tuple[Change, ...], share: float = 1.0) -> World:
        """The world in which the changes, or a share of each, are true: other margins, shifted treatment values."""
        data, margins = dict(self.data), dict(self.margins)
        for change in changes:
            by = share * (change.needed - change.now)
            if change.quantity == "margin":
                margins[change.metric] += by
            else:
                control, treatment = data[change.metric]
                data[change.metric] = (control, treatment + by)
        return dataclasses.replace(self, data=data, margins=margins)


worlds = st.builds(
    World.drawn,
    st.integers(0, 10_000),
    st.lists(st.floats(-1.2, 1.2), min_size=5, max_size=5),
    st.lists(st.floats(0.005, 0.12), min_size=2, max_size=2),
    st.sampled_from([RISK_AWARE, ALL_PRIMARY]),
)


@settings(max_examples=60)
@given(worlds)
def test_applying_it_to_the_world_leads_to_the_verdict_it_names(world: World) -> None:
    """Margins are tested anew, effects by data shifted by as much; the verdict is that of the whole rule."""
    decision = world.decided()
    other = decision.counterfactual
    assert other is not None
    assert (other.verdict == Verdict.SHIP) != (decision.verdict == Verdict.SHIP)
    assert world.with_changes(other.changes).decided().verdict == other.verdict


def _apart(changes: tuple[Change, ...]) -> bool:
    """Whether no change has a part in another's: two primary metrics share Holm's family, and an effect of a guardrail
    that is no harm any more may be within its margin too."""
    primary = sum(ROLES[change.metric] == "primary" for change in changes)
    return primary < 2 and len({change.metric for change in changes}) == len(changes)


@settings(max_examples=60)
@given(worlds)
def test_nine_tenths_of_it_do_not_suffice(world: World) -> None:
    """Rounding to three digits may take less than a tenth of a change that is not minute."""
    decision = world.decided()
    other = decision.counterfactual
    assert other is not None
    assume(_apart(other.changes))
    if min(abs(c.needed - c.now) / max(abs(c.needed), 1e-12) for c in other.changes) > 0.1:
        nearly = world.with_changes(other.changes, share=0.9).decided()
        assert (nearly.verdict == Verdict.SHIP) == (decision.verdict == Verdict.SHIP)


@settings(max_examples=60)
@given(worlds)
def test_no_change_of_it_is_superfluous(world: World) -> None:
    decision = world.decided()
    other = decision.counterfactual
    assert other is not None
    assume(_apart(other.changes))
    for left_out in other.changes if len(other.changes) > 1 else ():
        rest = tuple(change for change in other.changes if change is not left_out)
        still = world.with_changes(rest).decided()
        assert (still.verdict == Verdict.SHIP) == (decision.verdict == Verdict.SHIP)


@given(worlds)
@settings(max_examples=30)
def test_findings_with_the_changes_applied_agree_with_the_world(world: World) -> None:
    other = world.decided().counterfactual
    assert other is not None
    changed = apply(world.findings(), other)
    assert nearest(changed, lambda found: Verdict.NOT_DUE) is None
    again = decide(
        "treatment", changed, final=True, blocked=[], warnings=[], days_run=28, minimum_days=7, days_to_end=0,
        rules=world.rules,
    )  # fmt: skip
    assert again.verdict == other.verdict


def _finding(**changed) -> Finding:
    usual = Finding(
        metric="conversion", role="primary", direction="increase", status="ok", reason="", effect=0.03, low=0.01,
        high=0.05, lift=0.03, p_adjusted=0.003, alpha=0.05, margin=None, margin_relative=False, margin_holds=None,
        margin_bound=None, deterioration_p=0.99, power=None, mde=None, planned_mde=None, se=0.01,
        winning_effect=0.0196, harmful_effect=0.0258,
    )  # fmt: skip
    return dataclasses.replace(usual, **changed)


LATENCY = _finding(
    metric="latency", role="guardrail", direction="decrease", effect=1.5, lift=0.015, p_adjusted=None, margin=0.02,
    margin_relative=True, margin_holds=False, margin_bound=0.02394, deterioration_p=0.02, se=0.54, winning_effect=None,
    harmful_effect=1.39 * 2,
)  # fmt: skip


AT_THE_END: dict[str, Any] = {"warnings": [], "days_run": 28, "minimum_days": 7, "days_to_end": 0}


def _told(*findings: Finding, **changed) -> Counterfactual:
    usual: dict[str, Any] = {**AT_THE_END, "final": True, "blocked": []}
    decision = decide("treatment", findings, **{**usual, **changed})
    assert decision.counterfactual is not None
    assert decision.reasons[-1].sentence == decision.counterfactual.sentence
    assert decision.reasons[-1].holds is None
    return decision.counterfactual


def test_the_margin_is_named_in_words() -> None:
    assert _told(_finding(), LATENCY).sentence == "Would ship if the margin of latency were 2.4 % instead of 2 %."


def test_a_verdict_to_ship_says_what_it_hangs_on() -> None:
    safe = dataclasses.replace(LATENCY, margin=0.05, margin_holds=True)
    assert _told(_finding(), safe).sentence == (
        "Would not ship (do not ship) if the effect on conversion were 0.0195 instead of 0.03."
    )
    close = dataclasses.replace(LATENCY, margin=0.025, margin_holds=True)
    assert _told(_finding(), close).sentence == (
        "Would not ship (rerun) if the margin of latency were 2.39 % instead of 2.5 %."
    )


def test_several_conditions_are_named_together() -> None:
    assert _told(_finding(effect=0.015, p_adjusted=0.13), LATENCY).sentence == (
        "Would ship if the effect on conversion were 0.0197 instead of 0.015 "
        "and the margin of latency were 2.4 % instead of 2 %."
    )


def test_between_looks_it_says_what_would_have_stopped_the_experiment() -> None:
    found = _told(_finding(effect=0.02, significant=False, winning_effect=0.0336), final=False, looks_left=4)
    assert found.sentence == "Would ship if the effect on conversion were 0.0337 instead of 0.02."


def test_without_a_judged_estimate_there_is_none() -> None:
    early = {**AT_THE_END, "days_run": 3}
    unknown = _finding(role="guardrail", metric="g", status="degenerate")
    decisions = [
        decide("t", [_finding()], final=True, blocked=[], **early),
        decide("t", [_finding()], final=True, blocked=["The sample ratio is off."], **AT_THE_END),
        decide("t", [_finding()], final=False, blocked=[], **AT_THE_END),
        decide("t", [_finding(), unknown], final=True, blocked=[], **AT_THE_END),
    ]
    assert [decision.counterfactual for decision in decisions] == [None] * 4


def test_large_numbers_are_written_out() -> None:
    found = _told(_finding(metric="revenue", effect=21_000.0, se=14_000.0, p_adjusted=0.13, winning_effect=27_432.1))
    assert found.sentence == "Would ship if the effect on revenue were 27,500 instead of 21,000."


@given(arms(), st.booleans(), st.booleans(), st.sampled_from([0.01, 0.05]))
def test_the_smallest_margin_is_where_the_test_turns(pair, relative, good, alpha) -> None:
    estimate = welch(*(Moments.of(arm) for arm in pair))
    margin = smallest_margin(estimate, relative=relative, increase_is_good=good, alpha=alpha)
    ask = {"relative": relative, "increase_is_good": good, "alpha": alpha}
    if margin is None:
        assert relative
    elif margin < 0:
        assert non_inferiority(estimate, margin=1e-6, **ask).holds
    else:
        assert non_inferiority(estimate, margin=margin * (1 + 1e-9), **ask).holds
        assert not non_inferiority(estimate, margin=margin * (1 - 1e-6), **ask).holds


def test_an_absolute_smallest_margin_is_the_bound() -> None:
    estimate = welch(Moments.of([1.0, 2.0, 3.0, 4.0]), Moments.of([1.0, 2.0, 2.5, 3.0]))
    bound = non_inferiority(estimate, margin=1.0, relative=False, increase_is_good=True).bound
    assert smallest_margin(estimate, relative=False, increase_is_good=True) == pytest.approx(-bound, rel=1e-9)


def test_small_counts_have_a_margin_but_no_winning_effect() -> None:
    estimate = proportion(binary(4, 90), binary(6, 100))
    assert estimate.estimator == "score"
    margin = smallest_margin(estimate, relative=False, increase_is_good=False)
    assert margin is not None
    assert non_inferiority(estimate, margin=margin + 1e-6, relative=False, increase_is_good=False).holds
    assert winning_effect(estimate, level=0.05) is None
    assert harmful_effect(estimate, level=0.05) is None


def test_without_an_estimate_there_is_no_margin() -> None:
    estimate = welch(Moments.of([1.0]), Moments.of([1.0, 2.0]))
    assert estimate.status == Status.INSUFFICIENT_DATA
    assert smallest_margin(estimate, relative=False, increase_is_good=True) is None
    assert winning_effect(estimate, level=0.05) is None


def test_thresholds_are_the_ends_of_the_interval() -> None:
    """An effect at the half-width of the 95 % interval is significant at 5 %, just."""
    estimate = welch(Moments.of([1.0, 2.0, 3.0, 4.0]), Moments.of([1.0, 2.0, 2.5, 3.0]))
    half = (estimate.high - estimate.low) / 2
    assert winning_effect(estimate, level=0.05) == pytest.approx(half, rel=1e-12)
    assert harmful_effect(estimate, level=0.025) == pytest.approx(half, rel=1e-12)
    assert math.isfinite(half)


def test_an_effect_that_nothing_finite_would_reach_is_not_offered() -> None:
    out_of_reach = _finding(effect=0.015, p_adjusted=0.13, winning_effect=math.inf, sure_effect=math.inf)
    decision = decide("t", [out_of_reach], final=True, blocked=[], **AT_THE_END)
    assert decision.counterfactual is None
