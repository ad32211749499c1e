"""What learning is for: less reward is missed than under fixed weights, and the best arm is found."""

from __future__ import annotations

import random
from functools import cache

import pytest

from xp_pipeline.delivery.algorithms import Rewards, algorithm_named

PROPORTIONS = (0.1, 0.2, 0.4)
BATCHES, UNITS, TIMES = 12, 60, 25


def _one(name: str, number: int) -> tuple[float, int]:
    """The share of the possible reward that an experiment missed, and the arm with the largest share at its end."""
    draw = random.Random(f"regret/{name}/{number}")
    algorithm = algorithm_named(name)
    state, missed = algorithm.initial(3), 0.0
    for batch in range(BATCHES):
        shares = algorithm.propensities(state)
        chosen = draw.choices(range(3), shares, k=UNITS)
        scores: list[Rewards] = [Rewards()] * 3
        for arm in chosen:
            scores[arm] = scores[arm].added(float(draw.random() < PROPORTIONS[arm]))
            missed += max(PROPORTIONS) - PROPORTIONS[arm]
        state = algorithm.consume(state, f"{batch:02d}", scores)
    shares = algorithm.propensities(state)
    return missed / (BATCHES * UNITS), shares.index(max(shares))


@cache
def _regret(name: str) -> tuple[float, float]:
    """Mean regret of a unit, and how often the best arm has the largest share."""
    found = [_one(name, number) for number in range(TIMES)]
    return sum(missed for missed, _ in found) / TIMES, sum(arm == 2 for _, arm in found) / TIMES


def test_fixed_weights_miss_the_mean_distance() -> None:
    """0.3, 0.2 and 0 in thirds; 18,000 draws, five standard errors."""
    assert _regret("fixed")[0] == pytest.approx(0.5 / 3, abs=0.0047)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("epsilon_greedy", 0.5),
        ("ucb1", 0.85),
        ("thompson_beta", 0.5),
        ("thompson_gaussian", 0.5),
        ("top_two_beta", 0.9),
        ("top_two_gaussian", 0.9),
    ],
)
def test_learning_misses_less(name, share) -> None:
    missed, finds = _regret(name)
    assert missed < share * _regret("fixed")[0]
    assert finds > 0.5


def test_top_two_pays_for_telling_the_best_two_apart() -> None:
    assert _regret("thompson_beta")[0] < _regret("top_two_beta")[0]
