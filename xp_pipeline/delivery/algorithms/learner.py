"""What the learning algorithms share: the state, the floor, the discount, and being choosable by a service."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from xp_pipeline.delivery.algorithms.fixed import draw
from xp_pipeline.delivery.algorithms.rewards import Rewards, checked
from xp_pipeline.delivery.algorithms.shares import Shares, floored
from xp_pipeline.delivery.algorithms.state import Learned
from xp_pipeline.delivery.protocols import Drawn
from xp_pipeline.errors import DataError

FLOOR = 0.05


class Learner(ABC):
    """An algorithm whose shares follow the rewards.

    Its shares are a function of the state: the same in a service and in a batch, today and in a replay. Nothing is
    drawn at random but the arm of a user, with the number that the user's id gives.

    Args:
        floor: Least share of every arm. What it costs is what makes the effect estimable afterwards: an arm that
            nobody gets has no estimate, and propensities near 0 have wide ones.
        discount: What a batch counts beside the next one, above 0 and at most 1. Below 1 the algorithm forgets: about
            1 / (1 - discount) batches are remembered, which follows a drift and never settles. A reward
            given alone is a batch of its own.
    """

    name: ClassVar[str]

    def __init__(self, *, floor: float = FLOOR, discount: float = 1.0) -> None:
        self.floor = between("floor", floor, 0, 1, "0 to 1 / number of arms")
        self.discount = between("discount", discount, 0, 1, "above 0, at most 1", above=True)

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        return {"floor": self.floor, "discount": self.discount}

    def initial(self, arms: int) -> Learned:
        """Nothing learned yet.

        Raises:
            DataError: there are fewer than two arms, or too many for the floor.
        """
        if arms < 2:
            raise DataError("there is nothing to learn", found=f"{arms} arms", allowed="two or more")
        floored([1.0] * arms, self.floor)
        return Learned((Rewards(),) * arms)

    def propensities(self, state: Learned) -> Shares:
        """Share of each arm, at least the floor; they sum to exactly 1."""
        return floored(self.wanted(state.totals(self.discount)), self.floor)

    def choose(self, state: Learned, u: float) -> Drawn:
        """The arm in whose part of [0, 1) the number lies."""
        return draw(self.propensities(state), u)

    def reward(self, state: Learned, index: int, score: float) -> Learned:
        """The state after one more reward of an arm."""
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise DataError("a reward is a finite number", found=score)
        self.check(Rewards(1, float(score), 0.0))
        return state.rewarded(index, float(score), self.discount)

    def consume(self, state: Learned, batch_id: str, rewards: Sequence[Rewards | Sequence[float]]) -> Learned:
        """The state with the rewards of a batch, by arm; the latest rewards of a batch replace its former ones.

        A replay changes nothing, and the order in which batches come does not matter. Late rewards come as their
        batch once more, complete: so a batch is the units assigned on a day, not the rewards that came on it.

        Args:
            batch_id: Such as an ISO date; ids in the order of their text are in the order of time.
            rewards: n, mean and central sum of squares by arm, in the order of the arms.
        """
        learned = state.consumed(batch_id, rewards)
        if learned is not state:
            for reward in next(batch for batch in learned.batches if batch.id == batch_id).rewards:
                self.check(reward)
        return learned

    def dump(self, state: Learned) -> Mapping[str, Any]:
        """The state as JSON, with the algorithm and the settings that it was learned with."""
        return {"algorithm": self.name, "settings": self.settings, **state.dump()}

    def load(self, document: Mapping[str, Any]) -> Learned:
        """The state from its JSON; settings may have changed since."""
        if document.get("algorithm") != self.name:
            raise DataError("the state is of another algorithm", found=document.get("algorithm"), allowed=self.name)
        state = Learned.load(document)
        for arm in state.totals(self.discount):
            self.check(arm)
        return state

    def check(self, rewards: Rewards) -> None:
        """Refuse rewards that the algorithm cannot learn from; by default it takes any finite numbers.

        Raises:
            DataError: these are such.
        """
        checked(rewards)

    @abstractmethod
    def wanted(self, totals: Sequence[Rewards]) -> Sequence[float]:
        """Proportions of the arms before the floor, from their rewards."""


def between(what: str, value: Any, low: float, high: float, allowed: str, *, above: bool = False) -> float:
    """A setting in [low, high], or in (low, high] where it is to be above ``low``.

    Raises:
        DataError: it is not a number there.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or (above and value == low):
        raise DataError(f"the {what} of the algorithm is out of range", found=value, allowed=allowed)
    return float(value)
