"""The level of a single test, given what shares alpha with it: comparisons, arms, or looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from scipy import special

from xp_pipeline.errors import EvidenceError, nearest
from xp_pipeline.stats.dunnett import dunnett_level
from xp_pipeline.stats.sequences import boundary

Correction = Literal["holm", "bonferroni", "hochberg", "hommel", "dunnett", "none"]


def bonferroni_level(alpha: float, comparisons: int) -> float:
    """Alpha of one test of a family."""
    if not 0 < alpha < 1 or comparisons < 1:
        raise EvidenceError("a test has an alpha in (0, 1) and a family of at least 1", found=(alpha, comparisons))
    return alpha / comparisons


def many_arms_level(alpha: float, *, shares: Sequence[float], metrics: int = 1) -> float:
    """Level of each comparison with control: Dunnett's over arms, at a Bonferroni share for each metric.

    Args:
        shares: Relative sizes of the arms, control first.
        metrics: Primary metrics that share alpha.
    """
    return dunnett_level(bonferroni_level(alpha, metrics), shares=shares)


def family_level(alpha: float, *, correction: Correction, shares: Sequence[float], metrics: int = 1) -> float:
    """Level of one primary metric and arm, of a family that keeps alpha.

    The step which one true effect has to pass alone is Bonferroni's, alpha / (metrics x treatment arms), of Holm's,
    Hochberg's and Hommel's procedures too.

    Args:
        correction: How the analysis shares alpha.
        shares: Relative sizes of the arms, control first.
        metrics: Primary metrics.
    """
    if correction not in get_args(Correction):
        raise EvidenceError("unknown correction", found=correction, allowed=nearest(correction, get_args(Correction)))
    if correction == "none":
        return bonferroni_level(alpha, 1)
    if correction == "dunnett":
        return many_arms_level(alpha, shares=shares, metrics=metrics)
    return bonferroni_level(alpha, metrics * (len(shares) - 1))


def joint_power(power: float, tests: int) -> float:
    """Power of each of some tests with which all of them succeed with the power asked for, 1 - (1 - power) / tests.

    By Bonferroni's inequality, whatever their dependence: a change ships when a success metric has improved and
    every guardrail holds (Schultzberg, Ankargren, Frånberg 2024, arXiv 2402.11609).
    """
    check_power(power)
    if tests < 1:
        raise EvidenceError("a plan has at least one test", found=tests)
    return 1 - (1 - power) / tests


def always_valid_level(alpha: float) -> float:
    """Two-sided level that a confidence sequence has at the units it is tuned to.

    A test there at this level has the power of the sequence to exclude 0 at that look, which is less than its
    power over all looks (alpha 0.05: the sequence is 1.55 times as wide as the interval of one look).
    """
    bonferroni_level(alpha, 1)
    return float(2 * special.ndtr(-boundary(1.0, 1.0, alpha)))


def check_power(power: float) -> None:
    """Refuse what is not a probability strictly between 0 and 1."""
    if not 0 < power < 1:
        raise EvidenceError("power is a probability", found=power, allowed="between 0 and 1, such as 0.8")
