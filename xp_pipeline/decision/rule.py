"""The risk-aware rule: ship on proven benefit, tolerable harm, and data that can be trusted.

After Schultzberg, Ankargren, Fraanberg 2024 (arXiv 2402.11609): success metrics have several chances to win and
share alpha; guardrails must all be non-inferior and each keeps its own alpha; deterioration has a budget of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xp_pipeline.decision.verdict import Decision, Reason, Verdict

RULE = "risk_aware"


@dataclass(frozen=True)
class Finding:
    """What is known about one metric in one arm.

    Attributes:
        effect, low, high: Absolute effect and its interval; lift is a fraction, NaN where undefined.
        p_adjusted, alpha: The adjusted two-sided p-value and the level it is held against.
        margin, margin_relative, ni_holds, ni_bound: Of a guardrail.
        deterioration_p: One-sided p-value of harm.
        power: At the planned effect, with the observed n and variance.
        mde, planned_mde: Smallest absolute effect detectable now, and the one planned for.
        extend_days: Days of planned looks that remain.
    """

    metric: str
    role: str
    direction: str
    status: str
    reason: str
    effect: float
    low: float
    high: float
    lift: float
    p_adjusted: float | None
    alpha: float
    margin: float | None
    margin_relative: bool
    ni_holds: bool | None
    ni_bound: float | None
    deterioration_p: float | None
    power: float | None
    mde: float | None
    planned_mde: float | None
    extend_days: int | None

    @property
    def good(self) -> float:
        """The effect in the good direction."""
        return self.effect if self.direction == "increase" else -self.effect

    @property
    def defined(self) -> bool:
        return self.status == "ok"

    @property
    def wins(self) -> bool:
        """Significantly better."""
        return self.defined and self.p_adjusted is not None and self.p_adjusted <= self.alpha and self.good > 0

    def moved(self) -> str:
        """What happened, in words: ``conversion rose by 0.42 % (adjusted p = 0.003)``."""
        verb = "rose" if self.effect > 0 else "fell" if self.effect < 0 else "did not move"
        size = f" by {abs(self.lift):.2%}" if math.isfinite(self.lift) else f" by {abs(self.effect):.4g}"
        p = f" (adjusted p = {_p(self.p_adjusted)})" if self.p_adjusted is not None else ""
        return f"{self.metric} {verb}{size if self.effect else ''}{p}"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


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
) -> Decision:
    """The verdict about one arm; every combination of findings has one.

    Args:
        findings: The deciding row of each metric.
        blocked: Sentences of blocking checks that failed and were not overridden.
        warnings: Sentences of checks that warn.
        days_run, minimum_days, days_to_end: The calendar, where there is one.
    """
    early = _early(final, blocked, days_run, minimum_days, days_to_end)
    if early:
        return Decision(arm, early[0], RULE, early[1])
    primary = [f for f in findings if f.role == "primary"]
    guardrails = [f for f in findings if f.role == "guardrail"]
    harmed = [f for f in findings if f.role != "exploratory" and _harmed(f, deterioration_alpha)]
    reasons = [
        *_about_primary(primary),
        *(_about_guardrail(f) for f in guardrails),
        *_about_harm(harmed),
        Reason(True, "No blocking quality check failed."),
        *(Reason(True, f"Caution: {sentence}") for sentence in warnings),
    ]
    return Decision(arm, _verdict(primary, guardrails, harmed), RULE, tuple(reasons))


def _early(
    final: bool, blocked: Sequence[str], days_run: int | None, minimum_days: int, days_to_end: int | None
) -> tuple[Verdict, tuple[Reason, ...]] | None:
    """Verdicts that need no estimate: the data is not to be trusted, or it is not time."""
    if blocked:
        return Verdict.NOT_DECIDABLE, tuple(Reason(False, sentence) for sentence in blocked)
    if not final:
        left = f", {days_to_end} days from now" if days_to_end else ""
        return Verdict.NOT_DUE, (Reason(False, f"A fixed-horizon design is decided at its planned end{left}."),)
    if days_run is not None and days_run < minimum_days:
        return Verdict.NOT_DUE, (Reason(False, f"It ran {days_run} of at least {minimum_days} days."),)
    return None


def _harmed(finding: Finding, alpha: float) -> bool:
    return finding.defined and finding.deterioration_p is not None and finding.deterioration_p <= alpha


def _verdict(primary: Sequence[Finding], guardrails: Sequence[Finding], harmed: Sequence[Finding]) -> Verdict:
    if not any(f.defined for f in primary):
        return Verdict.NOT_DECIDABLE
    if harmed:
        return Verdict.DO_NOT_SHIP
    won = any(f.wins for f in primary)
    safe = all(f.ni_holds for f in guardrails)
    if won and safe:
        return Verdict.SHIP
    if won:
        return Verdict.EXTEND
    return Verdict.DO_NOT_SHIP if all(_enough(f) for f in primary if f.defined) else Verdict.EXTEND


def _enough(finding: Finding) -> bool:
    """Whether an effect of the planned size would have been seen; with no size planned, the end decides."""
    if finding.planned_mde is None or finding.mde is None:
        return True
    return finding.mde <= finding.planned_mde


def _about_primary(primary: Sequence[Finding]) -> list[Reason]:
    reasons = []
    for f in primary:
        if not f.defined:
            reasons.append(Reason(False, f"Primary {f.metric} has no estimate: {f.reason or f.status}."))
        elif f.wins:
            reasons.append(Reason(True, f"Primary {f.moved()}: a significant improvement."))
        else:
            enough = "" if _enough(f) else f"; {_more_units(f)}"
            reasons.append(Reason(False, f"Primary {f.moved()}: no significant improvement{enough}."))
    return reasons


def _more_units(finding: Finding) -> str:
    if finding.extend_days:
        return f"{finding.extend_days} days of planned looks remain"
    return "an effect of the planned size could have been missed, so rerun with more units"


def _about_guardrail(finding: Finding) -> Reason:
    if not finding.defined or finding.ni_holds is None or finding.margin is None:
        why = finding.reason or "no test was possible"
        return Reason(False, f"Guardrail {finding.metric} is not shown to be safe: {why}.")
    margin = f"{finding.margin:.2%}" if finding.margin_relative else f"{finding.margin:g}"
    bound = finding.ni_bound if finding.ni_bound is not None else math.nan
    shown = f"{bound:+.2%}" if finding.margin_relative else f"{bound:+.4g}"
    if finding.ni_holds:
        return Reason(True, f"Guardrail {finding.metric}: harm above {margin} is excluded (bound {shown}).")
    return Reason(
        False,
        f"Guardrail {finding.metric}: harm above {margin} cannot be excluded (bound {shown}); "
        f"a margin of {_margin_needed(finding, bound)} would have held.",
    )


def _margin_needed(finding: Finding, bound: float) -> str:
    needed = abs(bound)
    return f"{needed:.2%}" if finding.margin_relative else f"{needed:.4g}"


def _about_harm(harmed: Sequence[Finding]) -> list[Reason]:
    if not harmed:
        return [Reason(True, "No metric got significantly worse.")]
    return [Reason(False, f"{f.role.capitalize()} {f.moved()}: a significant harm.") for f in harmed]
