"""Adaptive assignment: shares of traffic that follow the rewards, from one publication of weights to the next."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from xp_pipeline.spec.values import Model

Learning = Literal[
    "thompson_beta", "thompson_gaussian", "top_two_beta", "top_two_gaussian", "epsilon_greedy", "ucb1", "fixed"
]
LEARNING: tuple[str, ...] = get_args(Learning)
BINARY = frozenset({"thompson_beta", "top_two_beta"})
"""Algorithms that learn from rewards 0 and 1 only."""


class Adaptive(Model):
    """Who decides the shares after the first batch, and by which metric.

    The assignment's weights are those of the first batch, until the first rewards are in.
    """

    algorithm: Learning
    reward: str = Field(description="The metric that is learned from: one of the experiment's, a mean or a proportion.")
    version: str = Field("version", description="Column of the population's source with the version of the weights.")
    floor: float = Field(0.05, ge=0, lt=1, description="Least share of every arm.")
    discount: float = Field(1.0, gt=0, le=1, description="What a day's rewards count beside the next day's.")
    settings: dict[str, Any] = Field({}, description="Further settings of the algorithm, such as epsilon.")

    @model_validator(mode="after")
    def _coherent(self) -> Adaptive:
        given = {"floor", "discount", "settings"} & self.model_fields_set
        if self.algorithm == "fixed" and given:
            raise ValueError(f"fixed weights have no {', '.join(sorted(given))}")
        if twice := sorted({"floor", "discount"} & set(self.settings)):
            raise ValueError(f"{', '.join(twice)} stands beside settings, not in them")
        return self
