"""Experiments on a store: atomic across processes, with an algorithm that learns from rewards."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from xp_pipeline.delivery.algorithms.fixed import FixedWeights
from xp_pipeline.delivery.concurrency import off_loop
from xp_pipeline.delivery.errors import CorruptStateError, UnknownNameError
from xp_pipeline.delivery.exposures import ExposureLog
from xp_pipeline.delivery.protocols import Algorithm, Store
from xp_pipeline.delivery.served import Fields, ServedExperiment
from xp_pipeline.delivery.variants import Choice, User, UserVariant, Variant, unit_text
from xp_pipeline.errors import DataError
from xp_pipeline.language.buckets import bucket

T = TypeVar("T")


class StoredExperiment(ServedExperiment):
    """An experiment whose state is in a store.

    A first assignment is drawn with the number in [0, 1) that the bucket rule gives the user's id and the version of
    the algorithm's state, so a replay draws the same.

    Args:
        name: Unique in its store.
        variants: What it may serve.
        store: Where it, its assignments and the state of its algorithm are kept.
        algorithm: How a variant is chosen; by default equal shares.
        control: Name of the control; by default the first variant.
        log: Where exposures are logged; None logs none.
    """

    def __init__(
        self,
        name: str,
        variants: Iterable[Variant],
        *,
        store: Store,
        algorithm: Algorithm[Any] | None = None,
        control: str | None = None,
        log: ExposureLog | None = None,
    ) -> None:
        super().__init__(name, variants, control=control, log=log)
        self.store = store
        self.algorithm: Algorithm[Any] = algorithm or FixedWeights()

    def choose_sync(self, user: User | None, fields: Fields | None = None) -> Choice:
        """As stored, or else as the algorithm says; control while the stored experiment is missing or disabled."""
        self.require_variants()
        if not self._refreshed():
            return self.control_choice("disabled")
        if user is None:
            return self._anonymous()
        unit = unit_text(user)
        row = self.store.assignment(self.id, unit) or self._first_row(unit)
        return self._of(row) if row else self.control_choice("disabled")

    async def choose(self, user: User | None, fields: Fields | None = None) -> Choice:
        """As ``choose_sync``, without standing in the loop's way."""
        return await self._off_loop(self.choose_sync, user, fields)

    def enable_sync(self) -> None:
        """Store the experiment as enabled, together with the first state of its algorithm."""
        self.require_variants()
        self._take(self.store.enable(self.name, self._dumped(self.algorithm.initial(len(self.variants)))))

    async def enable(self) -> None:
        """As ``enable_sync``, without standing in the loop's way."""
        await self._off_loop(self.enable_sync)

    def disable_sync(self) -> None:
        """Remove the experiment, its assignments and its algorithm, at once.

        Raises:
            UnknownNameError: nothing is stored.
        """
        if not self.store.remove(self.name):
            raise UnknownNameError("there is no stored experiment to disable", where=self.name)
        self.reset()

    async def disable(self) -> None:
        """As ``disable_sync``, without standing in the loop's way."""
        await self._off_loop(self.disable_sync)
        self.reset()

    def complete_for_user_sync(self, user: User | None, score: float) -> bool:
        """Reward the variant of a user and end their assignment, both or neither; whether there was one."""
        if user is None or not self._refreshed():
            return False

        def learn(row: UserVariant, state: str) -> str:
            return self._dumped(self.algorithm.reward(self._loaded(state), self.stored_index(row), score))

        return self.store.reward(self.id, unit_text(user), learn)

    async def complete_for_user(self, user: User | None, score: float) -> bool:
        """As ``complete_for_user_sync``, without standing in the loop's way."""
        return await self._off_loop(self.complete_for_user_sync, user, score)

    async def _off_loop(self, call: Callable[..., T], *args: Any) -> T:
        return await off_loop(call, *args) if self.store.blocks else call(*args)

    def _refreshed(self) -> bool:
        """Whether the stored experiment is enabled; this object follows it."""
        stored = self.store.experiment(self.name)
        if stored is None:
            self._forget()
        else:
            self._take(stored)
        return self.is_enabled

    def _take(self, stored: Any) -> None:
        self.is_enabled, self.id = stored.is_enabled, stored.id

    def _first_row(self, unit: str) -> UserVariant | None:
        state, number = self._state()
        drawn = self.algorithm.choose(state, bucket(self.name, unit, number))
        row = UserVariant(self.id, self.checked(drawn.index), unit, None, drawn.propensity, self._version(number))
        return self.store.assign(row)

    def _anonymous(self) -> Choice:
        state, number = self._state()
        drawn = self.algorithm.choose(state, random.random())
        return Choice(self.checked(drawn.index), "anonymous", drawn.propensity, self._version(number))

    def _state(self) -> tuple[Any, int]:
        """The present state of the algorithm, and how often it was stored."""
        stored = self.store.algorithm(self.id)
        if stored is None:
            raise CorruptStateError("the enabled experiment has no algorithm", where=self.name)
        return self._loaded(stored.state), stored.version

    def _version(self, number: int) -> str:
        return f"{self.algorithm.name}@{number}"

    def _of(self, row: UserVariant) -> Choice:
        return Choice(self.stored_index(row), "assigned", row.propensity, row.version)

    def _dumped(self, state: Any) -> str:
        return json.dumps(self.algorithm.dump(state), allow_nan=False)

    def _loaded(self, text: str) -> Any:
        try:
            document = json.loads(text)
            if not isinstance(document, dict):
                raise DataError("the state is no JSON object", found=text[:60])
            return self.algorithm.load(document)
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise CorruptStateError(
                f"the stored state of the algorithm {self.algorithm.name} cannot be read: {problem}",
                where=self.name,
                next_step="disable and enable the experiment to start anew, or restore the store from its backup",
            ) from problem
