"""The quality findings of a population, as a list that a notebook shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xp_pipeline.experiment.tables import Kind, as_frame, html_table
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.quality.checks import Finding

SHOWN = ("check", "scope", "verdict", "blocking", "statistic", "p_value", "threshold", "message", "hint")


class Health(list[Finding]):
    """Every check with its verdict: sample ratio, arms, balance.

    Attributes:
        verdict: passed, warned or failed, over all checks.
    """

    def __init__(self, findings: Iterable[Finding], *, kind: Kind) -> None:
        super().__init__(findings)
        self._kind = kind
        self.verdict = checks.worst(self)

    def summary(self) -> Any:
        """One row a check, as a frame of the library that the data came in."""
        return as_frame((_shown(finding) for finding in self), SHOWN, kind=self._kind)

    def _repr_html_(self) -> str:
        return html_table((_shown(f) for f in self), ("verdict", "check", "scope", "message", "hint"))


def _shown(finding: Finding) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in vars(finding).items()}
