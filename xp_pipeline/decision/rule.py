"""The decision engine: time and trust first, then the rules, by default the risk-aware one.

After Schultzberg, Ankargren, Fraanberg 2024 (arXiv 2402.11609): success metrics have several chances to win and
share alpha; guardrails must all be non-inferior and each keeps its own alpha; deterioration has a budget of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xp_pipeline.decision.counterfactual import nearest
from xp_pipeline.decision.finding import Finding
from xp_pipeline.decision.reasons import about_harm, about_margin, about_primary
from xp_pipeline.decision.rules import RISK_AWARE, TESTED, RuleList, State
from xp_pipeline.decision.verdict import Decision, Reason, Verdict

__all__ = ["Finding", "decide"]


@dataclass(frozen=True)
class _Look:
    """Where in its plan an experiment is, and the rules it is judged by.

    Attributes:
        final: Whether no look follows.
        harm_alpha: One-sided level of each test of harm that has no boundary of its own.
    """

    rules: RuleList
    final: bool
    harm_alpha: float

    def judge(self, finding: Finding, state: State) -> bool:
        """Whether a finding is in a state; between looks only what crossed its boundary is."""
        if state == "wins":
            return finding.wins and (self.final or finding.tested)
        if state == "harmed":
            return finding.harmed(self.harm_alpha) and (self.final or finding.deteriorated is not None)
        if state == "settled":
            return finding.futile or (self.final and (finding.precise or not finding.defined))
        return finding.safe if state == "safe" else not finding.defined

    def harmed(self, findings: Sequence[Finding]) -> list[Finding]:
        """Findings of a significant harm."""
        return [f for f in findings if f.role in TESTED and self.judge(f, "harmed")]

    def verdict(self, findings: Sequence[Finding]) -> Verdict:
        """What the rules say of one arm."""
        known = any(f.defined for f in findings if f.role == "primary")
        if not known and not self.harmed(findings):
            return Verdict.NOT_DECIDABLE if self.final else Verdict.RUNNING
        outcome = self.rules.outcome(findings, self.judge)
        if outcome != "extend":
            return Verdict(outcome)
        return Verdict.RERUN if self.final else Verdict.RUNNING


def decide(
    arm: str,
    findings: Sequence[Finding],
    *,
    final: bool,
    blocked: Sequence[str],
    warnings: Sequence[str],
    days_run: int | None,
    minimum_days: int,
    days_to_end: int | None,
    deterioration_alpha: float = 0.01,
    looks_left: int = 0,
    moved: bool = False,
    extended: str = "",
    rules: RuleList = RISK_AWARE,
) -> Decision:
    """The verdict about one arm; every combination of findings has one.

    A fixed-horizon design is decided at its end. A sequential one may ship or stop at any look where a boundary
    was crossed, and runs on otherwise. A planned end moves only where a blinded re-estimate has moved it; for what is
    not settled at the end, the advice is to rerun.

    Args:
        findings: The deciding row of each metric.
        final: Whether this look is the last: the planned end, or an early conclusion.
        blocked: Sentences of blocking checks that failed and were not overridden.
        warnings: Sentences of checks that warn.
        days_run, minimum_days, days_to_end: The calendar, where there is one.
        deterioration_alpha: One-sided budget of an arm's tests of harm, in equal shares.
        looks_left: Planned looks after this one; 0 before the end is a fixed-horizon design.
        moved: Whether a re-estimate has moved the end.
        extended: Past the planned end of a design that a re-estimate has extended: why it was; else empty.
        rules: What to do with which findings.
    """
    early = _early(final, looks_left, blocked, days_run, minimum_days, days_to_end, moved, extended)
    if early:
        return Decision(arm, early[0], rules.name, early[1])
    tested = sum(f.role in TESTED for f in findings)
    look = _Look(rules, final, deterioration_alpha / max(tested, 1))
    verdict = look.verdict(findings)
    other = nearest(findings, look.verdict)
    reasons = [
        *(about_primary(f, wins=look.judge(f, "wins"), final=final) for f in findings if f.role == "primary"),
        *(about_margin(f, final=final) for f in findings if f.role == "guardrail"),
        *about_harm(look.harmed(findings)),
        Reason(True, "No blocking quality check failed."),
        *(Reason(True, f"Caution: {sentence}") for sentence in warnings),
        *_next(verdict, looks_left, findings),
        *([Reason(None, other.sentence)] if other else []),
    ]
    return Decision(arm, verdict, rules.name, tuple(reasons), other)


def _early(
    final: bool,
    looks_left: int,
    blocked: Sequence[str],
    days_run: int | None,
    minimum_days: int,
    days_to_end: int | None,
    moved: bool,
    extended: str,
) -> tuple[Verdict, tuple[Reason, ...]] | None:
    """Verdicts that need no estimate: the data is not to be trusted, or it is not time."""
    if blocked:
        return Verdict.NOT_DECIDABLE, tuple(Reason(False, sentence) for sentence in blocked)
    if not final and looks_left < 1:
        left = f", {days_to_end} days from now" if days_to_end else ""
        waits = Reason(False, f"A fixed-horizon design is decided at its {'new' if moved else 'planned'} end{left}.")
        return (Verdict.EXTEND, (waits, Reason(None, extended))) if extended else (Verdict.NOT_DUE, (waits,))
    if days_run is not None and days_run < minimum_days:
        return Verdict.NOT_DUE, (Reason(False, f"It ran {days_run} of at least {minimum_days} days."),)
    return None


def _next(verdict: Verdict, looks_left: int, findings: Sequence[Finding]) -> list[Reason]:
    """What an unsettled verdict asks for."""
    if verdict == Verdict.RUNNING:
        left = "one planned look remains" if looks_left == 1 else f"{looks_left} planned looks remain"
        return [Reason(None, f"No boundary that decides was crossed; {left}.")]
    if verdict != Verdict.RERUN:
        return []
    open_ones = [f for f in findings if (f.role == "guardrail" and not f.safe) or (f.role == "primary" and not f.wins)]
    times = max((f.units_needed for f in open_ones if f.units_needed), default=1.0)
    size = f" with about {times:.1f} times the units" if times > 1.05 else ""
    return [Reason(None, f"No look is planned after this one: to settle it, rerun{size}.")]
