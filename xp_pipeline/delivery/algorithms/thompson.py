"""Thompson sampling, plain and top-two, of proportions and of means: an arm's share is its chance to be the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xp_pipeline.delivery.algorithms.best import LogOdds, StudentT, probabilities_best, top_two
from xp_pipeline.delivery.algorithms.learner import FLOOR, Learner, between
from xp_pipeline.delivery.algorithms.rewards import Rewards
from xp_pipeline.delivery.algorithms.shares import Shares, equal
from xp_pipeline.errors import DataError

_BINARY = 1e-6
FEWEST = 4
"""Rewards from which the posterior of a mean has a median and a scale under the uniform prior (df of 1)."""


class ThompsonBeta(Learner):
    """Rewards 0 and 1; the posterior of an arm is Beta(a + successes, b + failures).

    Args:
        prior: a and b of every arm; (1, 1) is flat.
    """

    name = "thompson_beta"

    def __init__(self, *, prior: tuple[float, float] = (1.0, 1.0), floor: float = FLOOR, discount: float = 1.0) -> None:
        super().__init__(floor=floor, discount=discount)
        if len(prior) != 2 or not all(isinstance(p, int | float) and 0 < p < math.inf for p in prior):
            raise DataError("the prior is two positive numbers", found=prior, allowed="such as (1, 1)")
        self.prior = (float(prior[0]), float(prior[1]))

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        return {**super().settings, "prior": list(self.prior)}

    def check(self, rewards: Rewards) -> None:
        """Refuse what no zeros and ones add up to: their central sum is n m (1 - m)."""
        n, mean, central = rewards
        binary = -_BINARY <= mean <= 1 + _BINARY and abs(central - n * mean * (1 - mean)) <= _BINARY * n
        if n > 0 and not binary:
            raise DataError(f"{self.name} learns from rewards 0 and 1", found=tuple(rewards))

    def wanted(self, totals: Sequence[Rewards]) -> Shares:
        """P(the arm's proportion is the largest)."""
        a, b = self.prior
        posteriors = (LogOdds(a + max(x.n * x.mean, 0.0), b + max(x.n * (1 - x.mean), 0.0)) for x in totals)
        return probabilities_best(tuple(posteriors))


class ThompsonGaussian(Learner):
    """Rewards of any scale, approximately normal, each arm with a mean and a variance of its own, both unknown.

    Under the uniform prior of mean and variance, the posterior of a mean is Student's t with n - 3 degrees of freedom,
    scaled by sqrt(C / (n (n - 3))), C the central sum. With this prior Thompson sampling attains the lower bound of
    regret, with Jeffreys' it does not (Honda and Takemura 2014, AISTATS). Shares are equal until every arm has four
    rewards; an arm that does not vary borrows the spread of all.
    """

    name = "thompson_gaussian"

    def wanted(self, totals: Sequence[Rewards]) -> Shares:
        """P(the arm's mean is the largest)."""
        n, spread = math.fsum(arm.n for arm in totals), math.fsum(arm.central for arm in totals)
        if min(arm.n for arm in totals) < FEWEST or not spread > _least_spread(totals):
            return equal(len(totals))
        return probabilities_best(tuple(_posterior(arm, spread / n) for arm in totals))


class TopTwoBeta(ThompsonBeta):
    """Thompson sampling that gives the contender its part, to find the best of three or more arms with few units.

    Russo 2020, Oper. Res. 68. Two arms are always the top two: with a ``leader`` of 1/2 they share equally.

    Args:
        leader: Probability of playing the leader of a draw; the rest goes to the best other arm.
    """

    name = "top_two_beta"

    def __init__(
        self,
        *,
        leader: float = 0.5,
        prior: tuple[float, float] = (1.0, 1.0),
        floor: float = FLOOR,
        discount: float = 1.0,
    ) -> None:
        super().__init__(prior=prior, floor=floor, discount=discount)
        self.leader = between("leader's probability", leader, 0, 1, "0 to 1")

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        return {**super().settings, "leader": self.leader}

    def wanted(self, totals: Sequence[Rewards]) -> Shares:
        """Shares of the leader and the best other arm."""
        return top_two(super().wanted(totals), self.leader)


class TopTwoGaussian(ThompsonGaussian):
    """As ``TopTwoBeta``, for rewards of any scale.

    Args:
        leader: Probability of playing the leader of a draw; the rest goes to the best other arm.
    """

    name = "top_two_gaussian"

    def __init__(self, *, leader: float = 0.5, floor: float = FLOOR, discount: float = 1.0) -> None:
        super().__init__(floor=floor, discount=discount)
        self.leader = between("leader's probability", leader, 0, 1, "0 to 1")

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        return {**super().settings, "leader": self.leader}

    def wanted(self, totals: Sequence[Rewards]) -> Shares:
        """Shares of the leader and the best other arm."""
        best = super().wanted(totals)
        whole = math.fsum(best)
        return top_two([p / whole for p in best], self.leader)


def _posterior(arm: Rewards, variance: float) -> StudentT:
    """The posterior of a mean; ``variance`` is that of all arms, for one that does not vary."""
    df = arm.n - 3
    varies = arm.central > _least_spread([arm])
    return StudentT(df, arm.mean, math.sqrt((arm.central / arm.n if varies else variance) / df))


def _least_spread(totals: Sequence[Rewards]) -> float:
    """The central sum that rounding alone may leave of constants."""
    return sum(arm.n * (1e-12 * arm.mean) ** 2 for arm in totals)
