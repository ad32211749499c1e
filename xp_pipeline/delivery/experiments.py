"""Experiments as code: a base class whose subclasses say where things are stored and how a variant is chosen."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from xp_pipeline.delivery.concurrency import Stripes, awaited, blocking, exclusively
from xp_pipeline.delivery.errors import StoreError, UnknownNameError
from xp_pipeline.delivery.exposures import ExposureLog
from xp_pipeline.delivery.served import Fields, ServedExperiment
from xp_pipeline.delivery.variants import Choice, ExperimentRecord, User, UserVariant, Variant
from xp_pipeline.errors import XpError

Maybe = Awaitable[Any] | Any
"""What a duty returns: duties may be coroutines or plain functions."""


class BaseExperiment(ServedExperiment):
    """An experiment whose subclass keeps its state: the twelve duties below, each atomic for itself.

    A user's assignment is stored when it is first chosen and holds from then on. Within this process two tasks or
    threads never choose for one user, or reward, at the same time; among processes the subclass's storage decides,
    and is read again after each write.
    """

    def __init__(
        self, name: str, variants: Iterable[Variant], *, control: str | None = None, log: ExposureLog | None = None
    ) -> None:
        super().__init__(name, variants, control=control, log=log)
        self._learning = threading.Lock()
        self._choosing = Stripes()

    @abstractmethod
    def get_experiment(self) -> Maybe:
        """What is stored, with ``is_enabled`` and ``id``; None when nothing is."""

    @abstractmethod
    def upsert_experiment(self, experiment: ExperimentRecord) -> Maybe:
        """Store it, and return what is stored then, with its ``id``."""

    @abstractmethod
    def delete_experiment(self, experiment: Any) -> Maybe:
        """Remove what ``get_experiment`` gave."""

    @abstractmethod
    def get_user_variant(self, user_id: User, experiment_id: Any) -> Maybe:
        """The stored assignment of a user, or None."""

    @abstractmethod
    def upsert_user_variant(self, user_variant: Any) -> Maybe:
        """Store an assignment."""

    @abstractmethod
    def delete_user_variant(self, user_variant: Any) -> Maybe:
        """Remove an assignment."""

    @abstractmethod
    def delete_user_variants(self) -> Maybe:
        """Remove all assignments of the experiment."""

    @abstractmethod
    def get_algorithm(self) -> Maybe:
        """The algorithm in its present state, or in its first one."""

    @abstractmethod
    def get_variant_index(self, algorithm: Any) -> Maybe:
        """The position of a variant, from 0."""

    @abstractmethod
    def reward_algorithm(self, algorithm: Any, user_variant_index: int, score: float) -> Maybe:
        """The algorithm after one more reward."""

    @abstractmethod
    def upsert_algorithm(self, algorithm: Any) -> Maybe:
        """Store the algorithm."""

    @abstractmethod
    def delete_algorithm(self) -> Maybe:
        """Remove the algorithm."""

    async def choose(self, user: User | None, fields: Fields | None = None) -> Choice:
        """As stored, or else as the algorithm says; control while the stored experiment is missing or disabled."""
        self.require_variants()
        stored = await self._stored(self.get_experiment)
        if stored is None:
            self._forget()
            return self.control_choice("disabled")
        self._take(stored)
        return await self._drawn(user)

    async def get_variant(self, user: User | None) -> Variant | None:
        """The variant of a user, who counts as exposed; None while the experiment is disabled."""
        self.require_variants()
        return self._met(user, await self._drawn(user))

    def get_variant_sync(self, user: User | None) -> Variant | None:
        """As ``get_variant``, for callers without an event loop."""
        return blocking(self.get_variant(user))

    async def enable(self) -> None:
        """Store the algorithm, then the experiment as enabled; if that fails, nothing is stored that was not."""
        async with exclusively(self._learning):
            found = await awaited(self.get_experiment())
            draft = ExperimentRecord(self.name, is_enabled=False, id=self.id)
            stored = found if found is not None else await awaited(self.upsert_experiment(draft)) or draft
            try:
                await awaited(self.upsert_algorithm(await awaited(self.get_algorithm())))
                enabled = ExperimentRecord(self.name, is_enabled=True, id=stored.id)
                self._take(await awaited(self.upsert_experiment(enabled)) or enabled)
            except BaseException:
                if found is None:
                    await awaited(self.delete_experiment(stored))
                    self._forget()
                raise

    async def disable(self) -> None:
        """Switch off for everybody, then remove assignments, experiment and algorithm.

        Raises:
            UnknownNameError: nothing is stored.
        """
        async with exclusively(self._learning):
            stored = await awaited(self.get_experiment())
            if stored is None:
                raise UnknownNameError("there is no stored experiment to disable", where=self.name)
            self.is_enabled = False
            await awaited(self.upsert_experiment(ExperimentRecord(self.name, is_enabled=False, id=stored.id)))
            await awaited(self.delete_user_variants())
            await awaited(self.delete_experiment(stored))
            await awaited(self.delete_algorithm())
            self.reset()

    async def complete_for_user(self, user: User | None, score: float) -> bool:
        """Reward the variant of a user and end their assignment; whether there was anything to reward.

        The assignment is what pays for the reward: it is taken first, and put back if rewarding fails.
        """
        if not self.is_enabled or user is None:
            return False
        async with exclusively(self._choosing.of(user)), exclusively(self._learning):
            row = await awaited(self.get_user_variant(user, self.id))
            if row is None:
                return False
            async with self._taken(row):
                algorithm = await awaited(self.get_algorithm())
                learned = await awaited(self.reward_algorithm(algorithm, row.index, score))
                await awaited(self.upsert_algorithm(learned))
        return True

    def enable_sync(self) -> None:
        """As ``enable``, for callers without an event loop."""
        blocking(self.enable())

    def disable_sync(self) -> None:
        """As ``disable``, for callers without an event loop."""
        blocking(self.disable())

    def complete_for_user_sync(self, user: User | None, score: float) -> bool:
        """As ``complete_for_user``, for callers without an event loop."""
        return blocking(self.complete_for_user(user, score))

    def _take(self, stored: Any) -> None:
        self.is_enabled, self.id = bool(stored.is_enabled), stored.id

    async def _drawn(self, user: User | None) -> Choice:
        if not self.is_enabled:
            return self.control_choice("disabled")
        if user is None:
            return Choice(await self._asked(), "anonymous")
        row = await self._row(user)
        if row is None:
            row = await self._first_row(user)
        return Choice(self.stored_index(row), "assigned", getattr(row, "propensity", None), getattr(row, "version", ""))

    async def _row(self, user: User) -> Any:
        return await self._stored(self.get_user_variant, user, self.id)

    async def _first_row(self, user: User) -> Any:
        async with exclusively(self._choosing.of(user)):
            found = await self._row(user)
            if found is not None:
                return found
            row = UserVariant(self.id, await self._asked(), user)
            await self._stored(self.upsert_user_variant, row)
            held = await self._row(user)
            return row if held is None else held

    async def _asked(self) -> int:
        algorithm = await self._stored(self.get_algorithm)
        return self.checked(await awaited(self.get_variant_index(algorithm)))

    async def _stored(self, duty: Callable[..., Maybe], *args: Any) -> Any:
        """What a storage duty gives; whatever it raises becomes a StoreError, for serving goes on without it."""
        try:
            return await awaited(duty(*args))
        except XpError:
            raise
        except Exception as problem:
            raise StoreError(f"{duty.__name__} failed: {problem!r}", where=self.name) from problem

    @asynccontextmanager
    async def _taken(self, row: Any) -> AsyncIterator[None]:
        """Without an assignment, which comes back if the body fails."""
        await awaited(self.delete_user_variant(row))
        try:
            yield
        except BaseException:
            await awaited(self.upsert_user_variant(row))
            raise
