"""Algorithms that choose a variant: pure functions of a state that a service and a batch share."""

from xp_pipeline.delivery.algorithms.allocation import Allocation, BatchAlgorithm, following
from xp_pipeline.delivery.algorithms.fixed import FixedWeights
from xp_pipeline.delivery.algorithms.greedy import UCB1, EpsilonGreedy
from xp_pipeline.delivery.algorithms.names import ALGORITHMS, algorithm_named
from xp_pipeline.delivery.algorithms.rewards import Rewards
from xp_pipeline.delivery.algorithms.state import Learned
from xp_pipeline.delivery.algorithms.thompson import ThompsonBeta, ThompsonGaussian, TopTwoBeta, TopTwoGaussian

__all__ = [
    "ALGORITHMS",
    "UCB1",
    "Allocation",
    "BatchAlgorithm",
    "EpsilonGreedy",
    "FixedWeights",
    "Learned",
    "Rewards",
    "ThompsonBeta",
    "ThompsonGaussian",
    "TopTwoBeta",
    "TopTwoGaussian",
    "algorithm_named",
    "following",
]
