"""The risk budget: shares by hand, and a decision that keeps its alpha and its power in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.risk import RiskBudget, risk_budget


def test_shares_by_hand() -> None:
    """S = 2 and two arms share 0.05; (1 - 0.8 - 0.01) / (3 + 1) of type II error for each of four tests."""
    found = risk_budget(success=2, arms=2, guardrails=3, deterioration=5)
    assert found == RiskBudget(0.0125, 0.05, 0.002, pytest.approx(1 - 0.19 / 4))


def test_one_success_metric_alone_keeps_alpha_and_power() -> None:
    found = risk_budget(alpha=0.05, power=0.9)
    assert (found.success_alpha, found.power) == (0.05, pytest.approx(0.9))


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 8), st.integers(0, 12))
def test_errors_add_up_to_what_the_decision_may_spend(success, arms, guardrails, deterioration) -> None:
    found = risk_budget(success=success, arms=arms, guardrails=guardrails, deterioration=deterioration)
    spent = deterioration * found.deterioration_alpha
    assert found.success_alpha * success * arms == pytest.approx(0.05)
    assert spent <= 0.01 + 1e-12
    assert (guardrails + 1) * (1 - found.power) + spent == pytest.approx(0.2)


def test_the_decision_has_the_power_asked_for_and_keeps_alpha() -> None:
    """100 000 decisions on one success metric and three guardrails, all independent; MC error 0.13 points.

    The union bound is sharp to within the product of errors, so power lies between 80 % and 84 %. A false
    success (no effect on it, guardrails as planned) ships less often than half of the two-sided alpha.
    """
    rng = np.random.default_rng(11)
    budget = risk_budget(power=0.8, guardrails=3, deterioration=4)
    z_win, z_safe = -special.ndtri(budget.success_alpha / 2), -special.ndtri(budget.guardrail_alpha)
    z_harm = -special.ndtri(budget.deterioration_alpha)
    z_power = special.ndtri(budget.power)
    draws = rng.normal(size=(100_000, 4))

    def shipped(win_drift: float) -> float:
        win = draws[:, 0] + win_drift
        safe = draws[:, 1:] + z_safe + z_power
        harmed = (win < -z_harm) | (draws[:, 1:] < -z_harm).any(axis=1)
        return float(((win >= z_win) & (safe >= z_safe).all(axis=1) & ~harmed).mean())

    assert 0.8 <= shipped(z_win + z_power) <= 0.84
    assert shipped(0.0) <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / 100_000)


def test_what_cannot_be_shared() -> None:
    with pytest.raises(EvidenceError, match="no type II error"):
        risk_budget(power=0.99, deterioration=1)
    with pytest.raises(EvidenceError, match="success metric"):
        risk_budget(success=0)
