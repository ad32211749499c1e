"""How the figures of a calibration are written."""

from __future__ import annotations

import math

from xp_pipeline.calibration.findings import Finding, Verdict

MARKS = {Verdict.IN_BAND: "in", Verdict.OUT: "OUT", Verdict.SHOWN: ""}


def percents(finding: Finding) -> bool:
    """Whether a finding is a share; counts of units are not."""
    return abs(finding.nominal) <= 1


def figure(value: float, finding: Finding, *, more: int = 0) -> str:
    """A value as the finding's error allows, in percent where it is a share; ``more`` decimals beyond that."""
    scale = 100.0 if percents(finding) else 1.0
    if not math.isfinite(value):
        return "any"
    return f"{scale * value:,.{_decimals(scale * finding.error) + more}f}"


def found(finding: Finding) -> str:
    """The estimate with its Monte-Carlo error, such as ``94.93 ± 0.15 %``."""
    if math.isnan(finding.estimate):
        return "undefined"
    error = "" if math.isnan(finding.error) else f" ± {figure(finding.error, finding)}"
    return f"{figure(finding.estimate, finding)}{error}{' %' if percents(finding) else ''}"


def promised(finding: Finding) -> str:
    """What the claim promises, such as ``95 %``."""
    return f"{100 * finding.nominal:.4g} %" if percents(finding) else f"{finding.nominal:,.6g}"


def band(finding: Finding) -> str:
    """The band, such as ``94.0 to 96.0``, or the side that has an end; empty where nothing is claimed."""
    low, high = finding.band_low, finding.band_high
    if not math.isfinite(low) and not math.isfinite(high):
        return ""
    if not math.isfinite(low):
        return f"up to {figure(high, finding)}"
    if not math.isfinite(high):
        return f"from {figure(low, finding)}"
    return f"{figure(low, finding)} to {figure(high, finding)}"


def _decimals(error: float) -> int:
    """Decimals that show an error to one or two digits."""
    if not error > 0 or not math.isfinite(error):
        return 2
    return min(max(1 - math.floor(math.log10(error)), 1), 5)
