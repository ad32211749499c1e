"""Fixed weights: every arm keeps its share whatever is rewarded."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from xp_pipeline.delivery.algorithms.rewards import Rewards, checked
from xp_pipeline.delivery.algorithms.shares import Shares, floored
from xp_pipeline.delivery.protocols import Drawn
from xp_pipeline.errors import DataError


class FixedWeights:
    """Shares that never change.

    Args:
        weights: One finite number >= 0 for each arm, at least one above 0; None for equal shares.
    """

    name = "fixed"

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        self.weights = None if weights is None else _shares(weights)

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        return {"weights": None if self.weights is None else list(self.weights)}

    def initial(self, arms: int) -> Shares:
        """The shares.

        Raises:
            DataError: there are not as many weights as arms.
        """
        shares = self.weights or _shares([1.0] * arms)
        if len(shares) != arms:
            raise DataError("the weights are not as many as the arms", found=len(shares), allowed=arms)
        return shares

    def propensities(self, state: Shares) -> Shares:
        """The shares; they sum to exactly 1."""
        return state

    def choose(self, state: Shares, u: float) -> Drawn:
        """The arm in whose part of [0, 1) the number lies; an arm of share 0 is never chosen."""
        return draw(state, u)

    def reward(self, state: Shares, index: int, score: float) -> Shares:
        """The same shares."""
        if not math.isfinite(score):
            raise DataError("a reward is a finite number", found=score)
        return state

    def consume(self, state: Shares, batch_id: str, rewards: Sequence[Rewards | Sequence[float]]) -> Shares:
        """The same shares; nothing of a batch is kept."""
        if len(rewards) != len(state):
            raise DataError("rewards are not of as many arms", where=batch_id, found=len(rewards), allowed=len(state))
        for arm in rewards:
            checked(arm)
        return state

    def dump(self, state: Shares) -> Mapping[str, Any]:
        """The shares as JSON."""
        return {"shares": list(state)}

    def load(self, document: Mapping[str, Any]) -> Shares:
        """The shares from their JSON."""
        stored = document.get("shares")
        if not isinstance(stored, list):
            raise DataError("this is no state of fixed weights", found=ascii(dict(document))[:80], allowed="shares")
        return _shares(stored)


def draw(propensities: Sequence[float], u: float) -> Drawn:
    """The arm in whose part of [0, 1) a number lies, parts laid out in order."""
    positive = [i for i, p in enumerate(propensities) if p > 0]
    bounds = list(accumulate(propensities[i] for i in positive))
    index = positive[min(bisect_right(bounds, u * bounds[-1]), len(positive) - 1)]
    return Drawn(index, propensities[index])


def _shares(weights: Sequence[Any]) -> Shares:
    numbers = all(isinstance(w, int | float) and math.isfinite(w) and w >= 0 for w in weights)
    total = math.fsum(weights) if numbers else 0.0
    if total <= 0 or math.isinf(total):
        raise DataError("these weights do not split traffic", found=list(weights), allowed="numbers >= 0, one above 0")
    return floored(weights, 0.0)
