"""The nearest counterfactual: the least change of margins or effects that would have led to another verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from xp_pipeline.decision.finding import Finding
from xp_pipeline.decision.rules import TESTED
from xp_pipeline.decision.verdict import Change, Counterfactual, Verdict
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import t_quantile
from xp_pipeline.stats.noninferiority import non_inferiority

Decide = Callable[[Sequence[Finding]], Verdict]

_WIDEST = 60
"""Doublings of the margin tried before a guardrail is given up."""
_NO_MARGIN = -1.0
"""The margin needed where any positive one would hold."""
_DIGITS = 3
_UNSETTLED = (Verdict.NOT_DUE, Verdict.NOT_DECIDABLE)


@dataclass(frozen=True)
class _Step:
    """A change of the finding at a place, with the finding it makes."""

    place: int
    change: Change
    finding: Finding


Flips = Callable[[Sequence[_Step]], bool]
"""Whether changes turn the verdict."""


def nearest(findings: Sequence[Finding], verdict_of: Decide) -> Counterfactual | None:
    """The nearest change that would have shipped, or of a verdict to ship, that would not.

    Of the single changes that suffice and the irredundant set left when all are made and the farthest are taken
    back one by one, the one with the smallest sum of distances in standard errors. Effects are changed at the
    standard error they have, and the bound of a guardrail is not counted on to move with its effect. The adjusted
    p-value of one primary metric moves with that of another, so where several must win each does at its
    Bonferroni share, and where several must not, the changes may be more than enough.

    Args:
        findings: Of one arm.
        verdict_of: The rule, as a function of the findings.
    """
    now = verdict_of(findings)
    if now in _UNSETTLED:
        return None
    better = now != Verdict.SHIP

    def flips(chosen: Sequence[_Step]) -> bool:
        return (verdict_of(_made(findings, chosen)) == Verdict.SHIP) == better

    sets = _improving(findings, flips) if better else _sufficient(_steps(findings, _worsenings), flips)
    chosen = min(sets, key=_distance, default=None)
    if not chosen:
        return None
    verdict = verdict_of(_made(findings, chosen))
    changes = tuple(step.change for step in chosen)
    return Counterfactual(verdict, changes, _sentence(verdict, changes))


def apply(findings: Sequence[Finding], counterfactual: Counterfactual) -> list[Finding]:
    """The findings with the changes made, as the counterfactual read them."""
    found = list(findings)
    for change in counterfactual.changes:
        for place, finding in enumerate(found):
            if finding.metric == change.metric:
                found[place] = _changed(finding, change)
    return found


def smallest_margin(estimate: Estimate, *, relative: bool, increase_is_good: bool, alpha: float = 0.05) -> float | None:
    """The margin at which non-inferiority just holds; -1 where any positive one does, None where none does.

    The bound of the effect for absolute margins. For relative ones the degrees of freedom depend on the margin, so
    it is found by bisection of the test itself, which wider margins only make easier.
    """

    def holds(margin: float) -> bool:
        found = non_inferiority(
            estimate, margin=margin, relative=relative, increase_is_good=increase_is_good, alpha=alpha
        )
        return bool(found.holds)

    scale = abs(estimate.mean_control) if relative else 1.0
    if not (math.isfinite(estimate.effect) and scale > 0):
        return None
    high = max(abs(estimate.effect), estimate.se if math.isfinite(estimate.se) else 0.0, 1e-9) / scale
    low = high * 1e-9
    if holds(low):
        return _NO_MARGIN
    if not (high := next((high * 2**k for k in range(_WIDEST) if holds(high * 2**k)), 0.0)):
        return None
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def winning_effect(estimate: Estimate, *, level: float) -> float | None:
    """The smallest effect that is significant, two-sided at ``level``, with the standard error it has.

    Args:
        level: Largest raw p-value that wins: ``multiplicity.critical_p``, or the tails beyond a look's boundary.
    """
    if estimate.status != Status.OK or estimate.estimator.endswith("score"):
        return None
    return t_quantile(1 - level / 2, estimate.df) * estimate.se


def harmful_effect(estimate: Estimate, *, level: float) -> float | None:
    """The smallest harm, as a positive number, that is significant one-sided at ``level``."""
    return winning_effect(estimate, level=2 * level)


def _improving(findings: Sequence[Finding], flips: Flips) -> list[list[_Step]]:
    """Sets of changes that lead to shipping: one metric to win with the others as they are, or any at sure effects."""
    alone = _sufficient(_steps(findings, lambda place, f: _improvements(place, f, f.winning_effect)), flips)
    sure = _sufficient(_steps(findings, lambda place, f: _improvements(place, f, f.sure_effect)), flips)
    return [*(steps for steps in alone if sum(bool(step.finding.significant) for step in steps) < 2), *sure]


def _steps(findings: Sequence[Finding], changes: Callable[[int, Finding], list[_Step]]) -> list[_Step]:
    """The changes of all findings, the nearest first, so that of two effects the farther is made last."""
    found = [step for place, finding in enumerate(findings) if finding.defined for step in changes(place, finding)]
    return sorted(found, key=lambda step: step.change.distance)


def _improvements(place: int, finding: Finding, winning: float | None) -> list[_Step]:
    """What would make a finding better: to win, to be safe, not to be a harm."""
    steps = []
    if finding.role == "primary" and winning is not None:
        steps += _effect(place, finding, winning, up=True)
    if finding.role in TESTED and finding.harmful_effect is not None:
        steps += _effect(place, finding, -finding.harmful_effect, up=True)
    if finding.margin and finding.margin_holds is False:
        steps += _margin(place, finding, up=True)
    return steps


def _worsenings(place: int, finding: Finding) -> list[_Step]:
    """What would make a finding worse: not to win, not to be safe, to be a harm."""
    steps = []
    if finding.role == "primary" and finding.winning_effect is not None:
        steps += _effect(place, finding, finding.winning_effect, up=False)
    elif finding.role in TESTED and finding.harmful_effect is not None:
        steps += _effect(place, finding, -finding.harmful_effect, up=False)
    if finding.margin and finding.margin_holds:
        steps += _margin(place, finding, up=False)
    return steps


def _effect(place: int, finding: Finding, good: float, *, up: bool) -> list[_Step]:
    """The effect brought just past a threshold in the good direction, unless it is past it."""
    if not math.isfinite(good) or (finding.good < good) != up:
        return []
    needed = finding.sign * _rounded(good, up=up)
    change = Change(
        finding.metric, "effect", finding.effect, needed, False, _units(abs(needed - finding.effect), finding.se)
    )
    return [_Step(place, change, _changed(finding, change))]


def _margin(place: int, finding: Finding, *, up: bool) -> list[_Step]:
    """The margin brought just past the least that holds, unless it is past it."""
    least = finding.least_margin
    if least is None or not 0 < least < math.inf or (finding.margin is not None and (finding.margin < least) != up):
        return []
    margin, needed = finding.margin or 0.0, _rounded(least, up=up)
    se = finding.se
    if finding.margin_relative:
        se = finding.se * abs(finding.lift / finding.effect) if finding.effect else math.nan
    change = Change(finding.metric, "margin", margin, needed, finding.margin_relative, _units(abs(needed - margin), se))
    return [_Step(place, change, _changed(finding, change))]


def _units(size: float, se: float) -> float:
    return size / se if se > 0 else math.inf


def _rounded(value: float, *, up: bool) -> float:
    """Three digits, away from where it came from, and always past the value."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
    steps = value / step
    near = math.floor(steps + 1e-9) + 1 if up else math.ceil(steps - 1e-9) - 1
    return round(near * step, _DIGITS - 1 - math.floor(math.log10(abs(value))))


def _changed(finding: Finding, change: Change) -> Finding:
    """The finding as it would have been; tests that a changed effect no longer passes are no longer passed."""
    if change.quantity == "margin":
        least = finding.least_margin
        holds = finding.margin_holds if least is None else change.needed > least
        return replace(finding, margin=change.needed, margin_holds=holds)
    good = finding.sign * change.needed
    wins = finding.winning_effect is not None and good >= finding.winning_effect
    harmed = finding.harmful_effect is not None and good <= -finding.harmful_effect
    return replace(finding, effect=change.needed, significant=wins, deteriorated=harmed, futile=False)


def _made(findings: Sequence[Finding], steps: Sequence[_Step]) -> list[Finding]:
    found = list(findings)
    for step in steps:
        found[step.place] = _changed(found[step.place], step.change)
    return found


def _sufficient(steps: Sequence[_Step], flips: Flips) -> list[list[_Step]]:
    """The nearest single step that suffices, and what is left of all steps without the superfluous."""
    single = next(([step] for step in steps if flips([step])), None)
    if not flips(steps):
        return [single] if single else []
    left = list(steps)
    for step in reversed(steps):
        without = [s for s in left if s is not step]
        left = without if flips(without) else left
    return [left, *([single] if single else [])]


def _distance(steps: Sequence[_Step]) -> float:
    return math.fsum(step.change.distance for step in steps)


def _sentence(verdict: Verdict, changes: Sequence[Change]) -> str:
    what = " and ".join(
        f"the {change.quantity} {'of' if change.quantity == 'margin' else 'on'} {change.metric} were "
        f"{_shown(change.needed, change)} instead of {_shown(change.now, change)}"
        for change in changes
    )
    would = "Would ship" if verdict == Verdict.SHIP else f"Would not ship ({verdict.replace('_', ' ')})"
    return f"{would} if {what}."


def _shown(value: float, change: Change) -> str:
    shown = 100 * value if change.relative else value
    text = f"{shown:,.0f}" if abs(shown) >= 10**_DIGITS else f"{shown:.{_DIGITS}g}"
    return f"{text} %" if change.relative else text
