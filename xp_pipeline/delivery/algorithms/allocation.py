"""Published weights: what a batch learned, as a document that a service follows."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from xp_pipeline.delivery.algorithms.rewards import Rewards
from xp_pipeline.delivery.designs import UNIT
from xp_pipeline.delivery.protocols import Algorithm, Assigned, Assigner
from xp_pipeline.errors import DataError, XpError
from xp_pipeline.language import buckets

logger = logging.getLogger(__name__)

FORMAT = 1
"""Version of the JSON below; another one is refused."""

_ROUNDING = 1e-9
S = TypeVar("S")


class BatchAlgorithm(Algorithm[S], Protocol[S]):
    """An algorithm that also learns from batches of rewards."""

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, as JSON."""
        ...

    def consume(self, state: S, batch_id: str, rewards: Sequence[Rewards | Sequence[float]]) -> S:
        """The state with the rewards of a batch, by arm, each counted once however often the batch comes.

        Raises:
            DataError: they are not rewards of these arms, or not such as the algorithm takes.
        """
        ...


@dataclass(frozen=True)
class Allocation:
    """The weights of an experiment from one batch to the next.

    Attributes:
        experiment: Whose weights they are.
        shares: Share of each arm, in the design's order of arms; they sum to 1.
        version: Algorithm and digest of settings, state and shares: the exposure log's ``version``, by which exposures
            under the same weights are told from others.
    """

    experiment: str
    shares: Mapping[str, float]
    version: str

    @classmethod
    def of(cls, experiment: str, arms: Sequence[str], algorithm: BatchAlgorithm[S], state: S) -> Allocation:
        """The weights that an algorithm gives the arms in a state.

        Raises:
            DataError: the state is of another number of arms.
        """
        shares = algorithm.propensities(state)
        if len(shares) != len(arms):
            raise DataError("the state is of other arms", where=experiment, found=len(shares), allowed=len(arms))
        content = [experiment, list(arms), list(shares), algorithm.settings, dict(algorithm.dump(state))]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
        return cls(experiment, dict(zip(arms, shares, strict=True)), f"{algorithm.name}@{digest[:12]}")

    def dump(self) -> dict[str, Any]:
        """The weights as JSON."""
        return {
            "format": FORMAT,
            "experiment": self.experiment,
            "shares": dict(self.shares),
            "version": self.version,
        }

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> Allocation:
        """The weights from their JSON.

        Raises:
            DataError: it is none, or the shares are no shares.
        """
        if document.get("format") != FORMAT:
            raise DataError("weights of another format", found=document.get("format"), allowed=FORMAT)
        experiment, shares, version = (document.get(key) for key in ("experiment", "shares", "version"))
        if not (isinstance(experiment, str) and isinstance(version, str) and isinstance(shares, dict)):
            raise DataError("these are no published weights", found=ascii(dict(document))[:80])
        numbers = all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares.values())
        if not numbers or abs(sum(shares.values()) - 1) > _ROUNDING:
            raise DataError("published weights are shares that sum to 1", where=experiment, found=shares)
        return cls(experiment, shares, version)

    def assigner(self, salt: str) -> Assigner:
        """The rule by which these weights assign a unit: bucket rule v2 with the design's salt.

        Units change arms when weights do, unless a store keeps their first assignment.
        """

        def assign(fields: Mapping[str, Any]) -> Assigned:
            arm = buckets.choose(buckets.bucket(salt, fields[UNIT]), self.shares)
            return Assigned(arm, self.shares[arm], self.version)

        return assign


def following(
    read: Callable[[], Allocation],
    salt: str,
    *,
    refresh: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
) -> Assigner:
    """An assigner by the weights that are in force, read anew now and then.

    While they cannot be read, those read last stay in force, and a line is logged; they must be readable at first.

    Args:
        read: Reads the published weights; it raises an error of the project, or OSError, where it cannot.
        salt: That of the design.
        refresh: Seconds for which weights are believed.
        clock: Where seconds come from.
    """
    assign, looked = read().assigner(salt), clock()

    def assign_by_latest(fields: Mapping[str, Any]) -> Assigned | None:
        nonlocal assign, looked
        if clock() - looked >= refresh:
            looked = clock()
            try:
                assign = read().assigner(salt)
            except (XpError, OSError) as problem:
                logger.error("new weights cannot be read, the last ones stay in force: %s", problem)
        return assign(fields)

    return assign_by_latest
