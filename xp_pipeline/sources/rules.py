"""Why a row is refused, in the order in which reasons are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Rule(NamedTuple):
    """One way for a row to break its source's declaration.

    Attributes:
        column: The column at fault.
        why: What is wrong with its value, such as ``not an integer``.
        broken: SQL over typed rows that is true where a row is at fault.
        whole: Whether ``broken`` looks at all rows (a window), not at one at a time.
    """

    column: str
    why: str
    broken: str
    whole: bool = False

    @property
    def reason(self) -> str:
        """How the quarantine and the counts name it."""
        return f"{self.column}: {self.why}"


def first_broken(rules: Sequence[Rule], *, start: int = 0) -> str:
    """SQL for the position, counted from ``start``, of the first row-wise rule that a row breaks, or null."""
    return first_true([rule.broken if not rule.whole else "FALSE" for rule in rules], start=start)


def first_true(conditions: Sequence[str], *, start: int = 0) -> str:
    """SQL for the position of the first condition that holds, or null."""
    cases = " ".join(f"WHEN {condition} THEN {i}" for i, condition in enumerate(conditions, start))
    return f"CAST(CASE {cases} END AS SMALLINT)" if cases else "CAST(NULL AS SMALLINT)"
