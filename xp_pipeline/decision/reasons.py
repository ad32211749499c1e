"""The conditions of a verdict as sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xp_pipeline.decision.finding import Finding
from xp_pipeline.decision.verdict import Reason


def moved(finding: Finding) -> str:
    """What happened, in words: ``conversion rose by 0.42 % (adjusted p = 0.003)``."""
    verb = "rose" if finding.effect > 0 else "fell" if finding.effect < 0 else "did not move"
    known = math.isfinite(finding.lift)
    size = f" by {abs(finding.lift):.2%}" if known else f" by {abs(finding.effect):.4g}"
    told = finding.p_adjusted is not None and not finding.equivalence
    p = f" (adjusted p = {_p(finding.p_adjusted or 0.0)})" if told else ""
    return f"{finding.metric} {verb}{size if finding.effect else ''}{p}"


def about_primary(finding: Finding, *, wins: bool, final: bool) -> Reason:
    """Whether a primary metric won, and if not, whether it could have."""
    if not finding.defined:
        return Reason(False, f"Primary {finding.metric} has no estimate: {finding.reason or finding.status}.")
    if finding.equivalence:
        return about_margin(finding, final=final)
    if wins:
        return Reason(True, f"Primary {moved(finding)}: a significant improvement.")
    if finding.futile:
        return Reason(False, f"Primary {moved(finding)}: it crossed the futility boundary.")
    if not final:
        return Reason(False, f"Primary {moved(finding)}: no significant improvement at this look.")
    missed = "" if finding.precise else "; an effect of the planned size could have been missed"
    return Reason(False, f"Primary {moved(finding)}: no significant improvement{missed}.")


def about_margin(finding: Finding, *, final: bool) -> Reason:
    """Whether harm (of equivalence, any change) above the margin is excluded, and if not, where it would be."""
    who = f"{finding.role.capitalize()} {finding.metric}"
    if not finding.defined or finding.margin_holds is None or finding.margin is None:
        why = finding.reason or ("no test was possible" if final else "it was not tested at this reading")
        shown = "the same" if finding.equivalence else "safe"
        return Reason(False, f"{who} is not shown to be {shown}: {why}.")
    bound = math.nan if finding.margin_bound is None else finding.margin_bound
    above = f"{'a change' if finding.equivalence else 'harm'} above {_size(finding.margin, finding)}"
    if finding.held_since:
        return Reason(True, f"{who}: {above} was excluded at look {finding.held_since}, which stands.")
    if finding.margin_holds:
        return Reason(True, f"{who}: {above} is excluded (bound {_size(bound, finding, signed=True)}).")
    return Reason(
        False,
        f"{who}: {above} cannot be excluded (bound {_size(bound, finding, signed=True)}); "
        f"a margin of {_size(abs(bound), finding)} would have held.",
    )


def _size(value: float, finding: Finding, *, signed: bool = False) -> str:
    """A margin or bound on the margin's scale."""
    sign = "+" if signed else ""
    return f"{value:{sign}.2%}" if finding.margin_relative else f"{value:{sign}.4g}"


def about_harm(harmed: Sequence[Finding]) -> list[Reason]:
    """The metrics that got significantly worse, or that none did."""
    if not harmed:
        return [Reason(True, "No metric got significantly worse.")]
    return [Reason(False, f"{f.role.capitalize()} {moved(f)}: {_harm(f)}.") for f in harmed]


def _harm(finding: Finding) -> str:
    return "a significant harm, beyond its margin" if finding.equivalence else "a significant harm"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
