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
    p = f" (adjusted p = {_p(finding.p_adjusted)})" if finding.p_adjusted is not None else ""
    return f"{finding.metric} {verb}{size if finding.effect else ''}{p}"


def about_primary(finding: Finding, *, wins: bool, final: bool) -> Reason:
    """Whether a primary metric won, and if not, whether it could have."""
    if not finding.defined:
        return Reason(False, f"Primary {finding.metric} has no estimate: {finding.reason or finding.status}.")
    if wins:
        return Reason(True, f"Primary {moved(finding)}: a significant improvement.")
    if finding.futile:
        return Reason(False, f"Primary {moved(finding)}: it crossed the futility boundary.")
    if not final:
        return Reason(False, f"Primary {moved(finding)}: no significant improvement at this look.")
    missed = "" if finding.precise else "; an effect of the planned size could have been missed"
    return Reason(False, f"Primary {moved(finding)}: no significant improvement{missed}.")


def about_guardrail(finding: Finding, *, final: bool) -> Reason:
    """Whether harm above the margin is excluded, and if not, the margin at which it would be."""
    if not finding.defined or finding.ni_holds is None or finding.margin is None:
        why = finding.reason or ("no test was possible" if final else "it was not tested at this reading")
        return Reason(False, f"Guardrail {finding.metric} is not shown to be safe: {why}.")
    bound = math.nan if finding.ni_bound is None else finding.ni_bound
    margin = f"{finding.margin:.2%}" if finding.margin_relative else f"{finding.margin:g}"
    shown = f"{bound:+.2%}" if finding.margin_relative else f"{bound:+.4g}"
    if finding.ni_holds:
        how = f"is excluded (bound {shown})" if math.isfinite(bound) else "was excluded at an earlier look"
        return Reason(True, f"Guardrail {finding.metric}: harm above {margin} {how}.")
    needed = abs(bound)
    wider = f"{needed:.2%}" if finding.margin_relative else f"{needed:.4g}"
    return Reason(
        False,
        f"Guardrail {finding.metric}: harm above {margin} cannot be excluded (bound {shown}); "
        f"a margin of {wider} would have held.",
    )


def about_harm(harmed: Sequence[Finding]) -> list[Reason]:
    """The metrics that got significantly worse, or that none did."""
    if not harmed:
        return [Reason(True, "No metric got significantly worse.")]
    return [Reason(False, f"{f.role.capitalize()} {moved(f)}: a significant harm.") for f in harmed]


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
