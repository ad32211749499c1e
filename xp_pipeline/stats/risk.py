"""How a decision over several metrics shares out its alpha and its power."""

from __future__ import annotations

from dataclasses import dataclass

from xp_pipeline.errors import EvidenceError


@dataclass(frozen=True)
class RiskBudget:
    """Error rates of the single tests behind one decision about one arm.

    Attributes:
        success_alpha: Two-sided level of each primary test and arm; several chances to win share alpha.
        guardrail_alpha: One-sided level of each guardrail; all must hold, so nothing is shared.
        deterioration_alpha: One-sided level of each test of harm; they share a budget of their own.
        power: Power of each test that must succeed, so that together they do with the power asked for.
    """

    success_alpha: float
    guardrail_alpha: float
    deterioration_alpha: float
    power: float


def risk_budget(
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    success: int = 1,
    arms: int = 1,
    guardrails: int = 0,
    guardrail_alpha: float = 0.05,
    deterioration: int = 0,
    deterioration_alpha: float = 0.01,
    quality_alpha: float = 0.0,
) -> RiskBudget:
    """The level and the power of every test.

    Shipping needs one success and all guardrails, and no false alarm of harm or quality. By the union bound it
    fails to come about with probability at most (G + 1) b + d + q, where b is the type II error of each of the
    G + 1 tests that must succeed, and d and q the budgets of deterioration and quality tests; so b = (1 - power
    - d - q) / (G + 1). A false success has S x arms chances, each at alpha over their number. After Schultzberg,
    Ankargren, Fraanberg 2024, arXiv 2402.11609.

    Args:
        alpha, power: Of the decision.
        success, arms: Primary metrics, and treatment arms that can win.
        guardrails: Guardrails of an arm, each a non-inferiority test.
        deterioration: Metrics of an arm tested for harm; without any their budget is not spent.
        quality_alpha: Of all blocking quality tests together.

    Raises:
        EvidenceError: What is spent on harm and quality leaves no type II error to share.
    """
    if success < 1 or arms < 1 or min(guardrails, deterioration) < 0:
        raise EvidenceError("a decision has a success metric and an arm", found=(success, arms, guardrails))
    spent = (deterioration_alpha if deterioration else 0.0) + quality_alpha
    shared = 1 - power - spent
    if not 1e-9 < shared < 1:
        raise EvidenceError(
            "no type II error is left to share", found=f"1 - {power:g} - {spent:g}", next_step="plan with less power"
        )
    return RiskBudget(
        success_alpha=alpha / (success * arms),
        guardrail_alpha=guardrail_alpha,
        deterioration_alpha=deterioration_alpha / max(deterioration, 1),
        power=1 - shared / (guardrails + 1),
    )
