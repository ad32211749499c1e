"""Epsilon-greedy and UCB1: the arm that looks best, by its mean or by an upper bound of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xp_pipeline.delivery.algorithms.learner import FLOOR, Learner, between
from xp_pipeline.delivery.algorithms.rewards import Rewards
from xp_pipeline.delivery.algorithms.shares import Shares, split_among_best
from xp_pipeline.errors import DataError

_ROUNDING = 1e-9


class EpsilonGreedy(Learner):
    """The best mean gets 1 - epsilon, and epsilon is divided among all arms; arms without rewards come first.

    Args:
        epsilon: Share of traffic that is given out whatever was learned.
    """

    name = "epsilon_greedy"

    def __init__(self, *, epsilon: float = 0.1, floor: float = FLOOR, discount: float = 1.0) -> None:
        super().__init__(floor=floor, discount=discount)
        self.epsilon = between("epsilon", epsilon, 0, 1, "0 to 1")

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        return {**super().settings, "epsilon": self.epsilon}

    def wanted(self, totals: Sequence[Rewards]) -> Shares:
        """epsilon / K + (1 - epsilon) [arm has the best mean]."""
        best = split_among_best([arm.mean if arm.n > 0 else math.inf for arm in totals])
        return tuple(self.epsilon / len(totals) + (1 - self.epsilon) * share / sum(best) for share in best)


class UCB1(Learner):
    """The best upper bound mean + (high - low) sqrt(2 log N / n) gets all but the floors.

    Auer, Cesa-Bianchi, Fischer 2002, Mach. Learn. 47; with discounted counts, Garivier and Moulines 2011, ALT. Given
    a batch at a time, all of the batch goes to one arm but for the floors; arms without rewards come first.

    Args:
        low, high: What rewards lie between.
    """

    name = "ucb1"

    def __init__(self, *, low: float = 0.0, high: float = 1.0, floor: float = FLOOR, discount: float = 1.0) -> None:
        super().__init__(floor=floor, discount=discount)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise DataError("rewards lie between two bounds", found=(low, high), allowed="finite, low below high")
        self.low, self.high = float(low), float(high)

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        return {**super().settings, "low": self.low, "high": self.high}

    def check(self, rewards: Rewards) -> None:
        """Refuse rewards outside the bounds: a mean there, or more spread than they leave room for."""
        n, mean, central = rewards
        width = self.high - self.low
        room = n * max(mean - self.low, 0.0) * max(self.high - mean, 0.0)
        slack = _ROUNDING * width
        inside = self.low - slack <= mean <= self.high + slack and central <= room + n * slack * width
        if n > 0 and not inside:
            allowed = f"{self.low:g} to {self.high:g}"
            raise DataError("rewards lie outside the bounds of UCB1", found=tuple(rewards), allowed=allowed)

    def wanted(self, totals: Sequence[Rewards]) -> Shares:
        """1 for the arm with the highest bound."""
        log_all = math.log(max(math.fsum(arm.n for arm in totals), 1.0))
        width = self.high - self.low
        return split_among_best(
            [arm.mean + width * math.sqrt(2 * log_all / arm.n) if arm.n > 0 else math.inf for arm in totals]
        )
