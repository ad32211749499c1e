"""Two experiments at once: whether one changes the other's effect, and whether their assignments are independent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.heterogeneity import Difference, effect_difference
from xp_pipeline.stats.means import SMALLEST_P, welch
from xp_pipeline.stats.moments import Moments

FEWEST_EXPECTED = 5
"""Expected units that every cell needs for the chi-square approximation."""


@dataclass(frozen=True)
class Interaction:
    """How the effect of one experiment depends on the arm of another.

    Attributes:
        within_control, within_treatment: The effect of the first experiment among units in the control and in the
            treatment of the second.
        interaction: The latter less the former: what both treatments do beyond the sum of each.
    """

    within_control: Estimate
    within_treatment: Estimate
    interaction: Difference


def interaction(
    cells: Mapping[tuple[str, str], Moments],
    *,
    first: tuple[str, str],
    second: tuple[str, str],
    estimator: Callable[[Moments, Moments], Estimate] = welch,
    alpha: float = 0.05,
) -> Interaction:
    """Difference in differences (m_11 - m_01) - (m_10 - m_00) on the moments of four cells.

    Its variance is the sum of the four cells' v = s^2/n, its degrees of freedom Satterthwaite's over them: the
    interaction of the saturated regression with HC2 errors. A ratio, a proportion or an adjusted mean is compared
    within the arms of the second experiment by its own estimator.

    Args:
        cells: Moments of units in both experiments, by their arms (first, second); a missing cell has no units.
        first, second: Control and treatment of each experiment.
        estimator: Of the effect, control first.
    """
    k = next(iter(cells.values())).mean.size if cells else 1
    within = [
        estimator(*(cells.get((arm, other), Moments.empty(k)) for arm in first)) for other in second
    ]  # control, then treatment of the second
    return Interaction(within[0], within[1], effect_difference(within[0], within[1], alpha=alpha))


@dataclass(frozen=True)
class Independence:
    """Whether the arm of one experiment tells anything about the arm of another.

    Attributes:
        status, reason: ``not_testable`` where a cell expects fewer than 5 units, or an arm is missing.
        statistic: Chi-square of the table of both experiments' arms; ``df`` its degrees of freedom.
        p_value: Its upper tail; below 0.001 the assignments depend on each other, as with a shared salt.
        expected: Units each cell would have, shape as the counts.
        cramers_v: Strength, 0 to 1.
    """

    status: Status
    reason: str
    statistic: float = NAN
    df: int = 0
    p_value: float = NAN
    expected: tuple[tuple[float, ...], ...] = ()
    cramers_v: float = NAN

    def independent(self, alpha: float = 0.001) -> bool | None:
        """Whether nothing speaks against independence; None where it was not testable."""
        return None if self.status != Status.OK else self.p_value >= alpha


def assignment_independence(counts: ArrayLike | Sequence[Sequence[int]]) -> Independence:
    """Pearson's chi-square test of independence of two assignments, without continuity correction.

    Args:
        counts: Units in both experiments, arms of the first by rows and of the second by columns, at least 2 x 2.

    Raises:
        EvidenceError: The counts are not a table of numbers of units.
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or np.any(~(table >= 0) | ~np.isfinite(table)):
        raise EvidenceError("units by the arms of two experiments", found=table.tolist(), allowed="2 x 2 or larger")
    total = table.sum()
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    expected = np.outer(rows, columns) / total if total else np.zeros_like(table)
    shown = tuple(tuple(float(value) for value in row) for row in expected)
    if expected.min() < FEWEST_EXPECTED:
        reason = f"a cell expects {expected.min():.1f} units; the test needs {FEWEST_EXPECTED}"
        return Independence(Status.NOT_TESTABLE, reason, expected=shown)
    statistic = float(((table - expected) ** 2 / expected).sum())
    df = (table.shape[0] - 1) * (table.shape[1] - 1)
    p_value = min(1.0, max(float(special.chdtrc(df, statistic)), SMALLEST_P))
    v = math.sqrt(statistic / (total * (min(table.shape) - 1)))
    return Independence(Status.OK, "", statistic, df, p_value, shown, min(v, 1.0))
