"""What an algorithm has learned: rewards by batch, each kept apart so that it counts once however often it comes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from xp_pipeline.delivery.algorithms.rewards import Rewards, checked, merged
from xp_pipeline.errors import DataError

FORMAT = 1
"""Version of the JSON below; another one is refused."""


class Batch(NamedTuple):
    """The rewards of one batch.

    Attributes:
        id: What it is called; ids in the order of their text are in the order of time, as ISO dates are.
        digest: SHA-256 of its id and rewards.
        rewards: By arm, in order.
    """

    id: str
    digest: str
    rewards: tuple[Rewards, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned about some arms: nothing, rewards one by one, or rewards by batch.

    By batch it is a function of the latest rewards of each batch alone, whatever came when and how often.

    Attributes:
        single: Rewards that came one at a time, by arm; already discounted.
        batches: In the order of their ids.
    """

    single: tuple[Rewards, ...]
    batches: tuple[Batch, ...] = ()

    @property
    def arms(self) -> int:
        """How many arms it is about."""
        return len(self.single)

    def consumed(self, batch_id: str, rewards: Sequence[Any]) -> Learned:
        """With the rewards of a batch: the same state if it has them, else in place of what it had of that batch.

        Raises:
            DataError: they are not rewards of these arms, or single rewards were learned, of which a batch
                would count some again.
        """
        if not isinstance(batch_id, str) or not batch_id:
            raise DataError("a batch has a name", found=repr(batch_id), allowed="text, such as 2026-03-01")
        if any(reward.n for reward in self.single):
            raise DataError(
                "a state that learned rewards one by one takes no batches: a reward could count twice",
                where=batch_id,
                next_step="begin with a new state",
            )
        batch = _batch(batch_id, rewards, self.arms)
        if any(known.digest == batch.digest for known in self.batches):
            return self
        others = [known for known in self.batches if known.id != batch_id]
        return replace(self, batches=tuple(sorted([*others, batch])))

    def rewarded(self, index: int, score: float, discount: float) -> Learned:
        """With one more reward of an arm, all earlier ones faded.

        Raises:
            DataError: there is no such arm, or batches were learned, which may contain the reward.
        """
        if not 0 <= index < self.arms:
            raise DataError("there is no such arm to reward", found=index, allowed=f"0 to {self.arms - 1}")
        if self.batches:
            raise DataError("a state that learned batches takes no single reward: it could count twice")
        faded = [arm.faded(discount) for arm in self.single]
        faded[index] = faded[index].added(score)
        return replace(self, single=tuple(faded))

    def totals(self, discount: float) -> tuple[Rewards, ...]:
        """Rewards by arm, a batch with j later ones counted at discount^j."""
        if not self.batches:
            return self.single
        weighted = [(batch, discount**age) for age, batch in enumerate(reversed(self.batches))]
        return tuple(merged(b.rewards[i].faded(keep) for b, keep in weighted) for i in range(self.arms))

    def dump(self) -> dict[str, Any]:
        """The state as JSON."""
        return {
            "format": FORMAT,
            "single": [list(reward) for reward in self.single],
            "batches": [
                {"id": b.id, "digest": b.digest, "rewards": [list(reward) for reward in b.rewards]}
                for b in self.batches
            ],
        }

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> Learned:
        """The state from its JSON.

        Raises:
            DataError: it is none, is of another format, or a batch is not what its digest says.
        """
        if document.get("format") != FORMAT:
            raise DataError("a state of another format", found=document.get("format"), allowed=FORMAT)
        single, batches = document.get("single"), document.get("batches")
        if not isinstance(single, list) or not single or not isinstance(batches, list):
            raise DataError("this is no state of an algorithm", found=ascii(dict(document))[:80])
        read = [_read(entry, len(single)) for entry in batches]
        if [b.id for b in read] != sorted({b.id for b in read}):
            raise DataError("the batches of the state are out of order, or come twice", found=[b.id for b in read][:5])
        return cls(tuple(map(checked, single)), tuple(read))


def _read(entry: Any, arms: int) -> Batch:
    if not isinstance(entry, dict) or not isinstance(entry.get("rewards"), list):
        raise DataError("this is no batch of a state", found=ascii(entry)[:80])
    batch = _batch(str(entry.get("id")), entry["rewards"], arms)
    if batch.digest != entry.get("digest"):
        raise DataError("a batch of the state is not what its digest says", where=batch.id, found=entry.get("digest"))
    return batch


def _batch(batch_id: str, rewards: Sequence[Any], arms: int) -> Batch:
    if len(rewards) != arms:
        raise DataError("rewards are not of as many arms", where=batch_id, found=len(rewards), allowed=arms)
    clean = tuple(map(checked, rewards))
    return Batch(batch_id, _sha256([batch_id, clean]), clean)


def _sha256(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, separators=(",", ":"), allow_nan=False).encode()).hexdigest()
