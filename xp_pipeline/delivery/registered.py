"""Registered experiments, served as they were designed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from xp_pipeline.delivery.adaptive import published_assigner
from xp_pipeline.delivery.concurrency import off_loop
from xp_pipeline.delivery.designs import UNIT, Design, read_design
from xp_pipeline.delivery.errors import RegistrationError, StoreError
from xp_pipeline.delivery.exposures import ExposureLog
from xp_pipeline.delivery.protocols import Assigner, Store
from xp_pipeline.delivery.rules import assigner
from xp_pipeline.delivery.served import Fields, ServedExperiment
from xp_pipeline.delivery.symbols import Symbol
from xp_pipeline.delivery.variants import Choice, ExperimentRecord, User, UserVariant, Variant, unit_text
from xp_pipeline.errors import nearest

logger = logging.getLogger(__name__)

Picks = Mapping[str, Mapping[Any, Any]]
"""Arm to value by symbol."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RegisteredExperiment(ServedExperiment):
    """A registered experiment: the sealed design decides who gets what from when to when.

    Before the start, after the end and while it is disabled, everybody gets control, and so do units that the rule
    leaves out; nothing of that is stored or logged. An assignment holds for good, also after an amended split,
    wherever the store is shared.

    Args:
        design: The sealed design.
        picks: Arm to value by symbol; by default the symbol of the experiment's id picks the arm's name.
        store: Where assignments are kept; None for the rule alone, which is the same everywhere as long as the
            design is.
        log: Where exposures are logged; None logs none.
        assign: The rule; by default the design's.
        clock: Where the time comes from, an aware datetime; exposures are logged with it.
        refresh: Seconds for which the stored master switch is believed.
        remember: Users whose assignment is kept in memory.

    Raises:
        RegistrationError: ``picks`` names other arms than the design.
        SpecError: the design cannot be served.
    """

    def __init__(
        self,
        design: Design,
        picks: Picks | None = None,
        *,
        store: Store | None = None,
        log: ExposureLog | None = None,
        assign: Assigner | None = None,
        clock: Callable[[], datetime] = _utc_now,
        refresh: float = 1.0,
        remember: int = 100_000,
    ) -> None:
        super().__init__(design.experiment, _variants(design, picks), control=design.control, log=log)
        self.design = design
        self.store = store
        self.id = design.experiment
        self.is_enabled = True
        self._assign = assign or assigner(design, clock=clock)
        self._clock = clock
        self._refresh = refresh
        self._looked = float("-inf")
        self._remember = remember
        self._known: dict[str, Choice] = {}
        self._positions = {variant.name: i for i, variant in enumerate(self.variants)}
        self._remembering = threading.Lock()

    @classmethod
    def open(cls, root: Path | str, experiment: str, picks: Picks | None = None, **options: Any) -> Self:
        """The experiment of a project folder, as sealed there; an adaptive one follows the published weights.

        Raises:
            RegistrationError: it is adaptive, and there is no store to keep users in their arms.
            PhaseOrderError: it is not designed, or adaptive and its weights are not published.
        """
        design = read_design(root, experiment)
        if design.adaptive and options.get("assign") is None:
            if options.get("store") is None:
                step = "hand over a store: without it users change arms when weights do"
                raise RegistrationError("an adaptive experiment needs a store", where=experiment, next_step=step)
            options["assign"] = published_assigner(root, design, clock=options.get("clock", _utc_now))
        return cls(design, picks, **options)

    def choose_sync(self, user: User | None, fields: Fields | None = None) -> Choice:
        """The user's arm; control outside the experiment's time, while it is disabled, and for nobody."""
        if not self.design.is_open(self._clock()):
            return self.control_choice("outside")
        self._follow_switch()
        if not self.is_enabled:
            return self.control_choice("disabled")
        if user is None:
            return self.control_choice("anonymous")
        unit = unit_text(user)
        return self._known.get(unit) or self._first(unit, user, fields)

    async def choose(self, user: User | None, fields: Fields | None = None) -> Choice:
        """As ``choose_sync``, without standing in the loop's way."""
        if self.store is None or not self.store.blocks or self._is_at_hand(user):
            return self.choose_sync(user, fields)
        return await off_loop(self.choose_sync, user, fields)

    def enable_sync(self) -> None:
        """Serve everybody their arm, in all processes that share the store."""
        self._switch(True)

    def disable_sync(self) -> None:
        """Serve everybody control, in all processes that share the store; assignments are kept."""
        self._switch(False)

    async def enable(self) -> None:
        """As ``enable_sync``, without standing in the loop's way."""
        await off_loop(self.enable_sync)

    async def disable(self) -> None:
        """As ``disable_sync``, without standing in the loop's way."""
        await off_loop(self.disable_sync)

    def _exposed_at(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="microseconds")

    def _switch(self, is_enabled: bool) -> None:
        if self.store is not None:
            self._stored(self.store)
            self.store.switch(self.name, is_enabled=is_enabled)
            self._looked = time.monotonic()
        self.is_enabled = is_enabled

    def _follow_switch(self) -> None:
        """Look at the stored switch now and then; while the store fails, believe what was seen last."""
        if self.store is None or time.monotonic() - self._looked < self._refresh:
            return
        never = self._looked == float("-inf")
        try:
            self.is_enabled = self._stored(self.store).is_enabled
        except StoreError as problem:
            if never:
                raise
            logger.error("experiment %s: the stored switch cannot be read: %s", self.name, problem)
        self._looked = time.monotonic()

    def _stored(self, store: Store) -> ExperimentRecord:
        record = store.experiment(self.name) or store.enable(self.name, None, experiment_id=self.id)
        if record.id != self.id:
            raise StoreError(
                "the store has an experiment of that name that is not this registered one",
                where=self.name,
                found=record.id,
                next_step="give the registered experiment a store of its own, or disable the other",
            )
        return record

    def _is_at_hand(self, user: User | None) -> bool:
        fresh = time.monotonic() - self._looked < self._refresh
        return fresh and user is not None and unit_text(user) in self._known

    def _first(self, unit: str, user: User, fields: Fields | None) -> Choice:
        """Assign a user, or find out how they were assigned before, and remember it."""
        assigned = self._assign({**(fields or {}), UNIT: user})
        if assigned is None:
            return self.control_choice("outside")
        first = UserVariant(self.id, self._positions[assigned.arm], unit, None, assigned.propensity, assigned.version)
        held = first if self.store is None else self.store.assignment(self.id, unit) or self.store.assign(first)
        if held is None:
            return self.control_choice("disabled")
        choice = Choice(self.stored_index(held), "assigned", held.propensity, held.version)
        with self._remembering:
            while len(self._known) >= self._remember:
                del self._known[next(iter(self._known))]
            self._known[unit] = choice
        return choice


def _variants(design: Design, picks: Picks | None) -> list[Variant]:
    given: Picks = {arm: {Symbol(design.experiment): arm} for arm in design.arms} if picks is None else picks
    strange = [arm for arm in given if arm not in design.arms]
    missing = [arm for arm in design.arms if arm not in given]
    if strange or missing:
        raise RegistrationError(
            "the picks are not of the arms of the design",
            where=design.experiment,
            found=", ".join([*strange, *(f"nothing for {arm}" for arm in missing)]),
            allowed=nearest(strange[0] if strange else missing[0], design.arms),
        )
    return [Variant(arm, given[arm]) for arm in design.arms]
