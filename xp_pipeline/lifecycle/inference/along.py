"""Which tests a metric has along the looks: what its role and its margin ask for, and harm."""

from __future__ import annotations

from typing import Protocol

from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.spec.experiment import MetricUse


class Tests(Protocol):
    """The tests of one metric and comparison at one reading; each enters what the ledger keeps into ``tests``."""

    @property
    def setting(self) -> Setting:
        """What the inference is made under."""

    @property
    def use(self) -> MetricUse:
        """The metric in its role."""

    def benefit(self, tests: Row) -> Row:
        """Of a difference."""

    def equivalence(self, tests: Row) -> Row:
        """Of being the same."""

    def margin(self, purpose: str, alpha: float, tests: Row) -> Row:
        """Of a margin, one-sided."""

    def harm(self, tests: Row) -> Row:
        """Of deterioration."""


def tested_by_role(made: Tests, role: str) -> Row:
    """What the tests say; ``tests`` is for the ledger."""
    row: Row = {"tests": {}}
    if role == "guardrail":
        row |= made.margin("margin", made.setting.margin_alpha(role), row["tests"])
    elif role == "primary" and made.use.equivalence:
        row |= made.equivalence(row["tests"])
    elif role == "primary":
        row |= made.benefit(row["tests"])
    return row | made.harm(row["tests"])
