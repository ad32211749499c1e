"""Algorithms by the names that specs, states and logs use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xp_pipeline.delivery.algorithms.allocation import BatchAlgorithm
from xp_pipeline.delivery.algorithms.fixed import FixedWeights
from xp_pipeline.delivery.algorithms.greedy import UCB1, EpsilonGreedy
from xp_pipeline.delivery.algorithms.thompson import ThompsonBeta, ThompsonGaussian, TopTwoBeta, TopTwoGaussian
from xp_pipeline.errors import DataError, nearest

ALGORITHMS: dict[str, Callable[..., BatchAlgorithm[Any]]] = {
    algorithm.name: algorithm
    for algorithm in (FixedWeights, EpsilonGreedy, UCB1, ThompsonBeta, ThompsonGaussian, TopTwoBeta, TopTwoGaussian)
}
"""Class by name."""


def algorithm_named(name: str, **settings: Any) -> BatchAlgorithm[Any]:
    """The algorithm of a name, with its settings; the others have their defaults.

    Raises:
        DataError: there is no such algorithm, or it has no such setting.
    """
    if name not in ALGORITHMS:
        raise DataError("there is no such algorithm", found=name, allowed=nearest(name, ALGORITHMS))
    known = ALGORITHMS[name]().settings
    strange = [setting for setting in settings if setting not in known]
    if strange:
        raise DataError("no such setting", where=name, found=strange[0], allowed=nearest(strange[0], known))
    return ALGORITHMS[name](**settings)
