"""What can be served: an experiment as the registry and its picks see it, however it stores and chooses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from xp_pipeline.delivery.concurrency import Owner, Scoped, blocking
from xp_pipeline.delivery.errors import CorruptStateError, RegistrationError, UnknownNameError, VariantIndexError
from xp_pipeline.delivery.exposures import Exposure, ExposureLog
from xp_pipeline.delivery.variants import Choice, Reason, User, Variant, unit_text
from xp_pipeline.errors import nearest

Fields = Mapping[str, Any]
"""What an assignment rule may look at besides the user's id: country, platform, …"""

_PREVIEWS: Scoped[int] = Scoped("xp_pipeline_previews")


class ServedExperiment(ABC):
    """An experiment with variants, one of them the control, and a master switch.

    No user's choice is ever kept on the object: it is shared by all of them.

    Args:
        name: Unique among the experiments served together.
        variants: What it may serve, all with the same symbols.
        control: Name of the variant that everybody gets while the experiment is disabled; by default the first.
        log: Where exposures are logged; None logs none.

    Attributes:
        id: Id of the stored experiment, None while there is none.
        is_enabled: The master switch as last seen.
    """

    def __init__(
        self, name: str, variants: Iterable[Variant], *, control: str | None = None, log: ExposureLog | None = None
    ) -> None:
        self.name = name
        self.variants: tuple[Variant, ...] = tuple(variants)
        self.id: Any = None
        self.is_enabled = False
        self.log = log
        self._control = control
        self._owner = Owner(self)

    @property
    def control_index(self) -> int:
        """Position of the control."""
        return 0 if self._control is None else self.index_of(self._control)

    @abstractmethod
    async def choose(self, user: User | None, fields: Fields | None = None) -> Choice:
        """The variant of a user, stored if it is their first.

        Raises:
            StoreError: where assignments are kept cannot be reached.
            VariantIndexError: the algorithm chose what does not exist; nothing was stored.
        """

    def choose_sync(self, user: User | None, fields: Fields | None = None) -> Choice:
        """As ``choose``, for callers without an event loop."""
        return blocking(self.choose(user, fields))

    async def get_variant(self, user: User | None) -> Variant | None:
        """The variant of a user, who counts as exposed; None while the experiment is disabled.

        Raises:
            RegistrationError: there are no variants.
        """
        self.require_variants()
        return self._met(user, await self.choose(user))

    def get_variant_sync(self, user: User | None) -> Variant | None:
        """As ``get_variant``, for callers without an event loop."""
        self.require_variants()
        return self._met(user, self.choose_sync(user))

    def expose(self, user: User, choice: Choice) -> bool:
        """Log that a user met their variant; False when the log has no room, so that it is tried again."""
        if self.log is None or choice.reason != "assigned":
            return True
        unit = unit_text(user)
        if self.log.knows(self.name, unit):
            return True
        variant = self.variants[choice.index].name
        exposure = Exposure(unit, self.name, variant, choice.propensity, choice.version, self._exposed_at())
        return self.log.offer(exposure)

    def use_variant(self, name: str) -> None:
        """Preview a variant in the current thread or task, whatever was chosen; nothing is stored or logged.

        Raises:
            UnknownNameError: no variant has that name.
        """
        _PREVIEWS.put(self._owner, self.index_of(name))

    @property
    def preview(self) -> int | None:
        """Position of the variant that is previewed here, if any."""
        return _PREVIEWS.get(self._owner)

    def reset(self) -> None:
        """Forget the stored experiment and the preview: disabled, control for everybody."""
        self._forget()
        _PREVIEWS.put(self._owner, None)

    def safe_enable(self) -> None:
        """Set the switch of this object only."""
        self.is_enabled = True

    def safe_disable(self) -> None:
        """Clear the switch of this object only."""
        self.is_enabled = False

    def index_of(self, name: str) -> int:
        """Position of a variant.

        Raises:
            UnknownNameError: no variant has that name.
        """
        names = [variant.name for variant in self.variants]
        if name not in names:
            raise UnknownNameError(
                "no variant of that name", where=self.name, found=repr(name), allowed=nearest(name, names)
            )
        return names.index(name)

    def require_variants(self) -> None:
        """Refuse an experiment without variants."""
        if not self.variants:
            raise RegistrationError("Empty variants: an experiment has at least one", where=self.name)

    def checked(self, index: object) -> int:
        """A position that an algorithm chose, if there is a variant there."""
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(self.variants):
            return index
        raise VariantIndexError(
            "the algorithm chose a variant that does not exist",
            where=self.name,
            found=repr(index),
            allowed=f"0 to {len(self.variants) - 1}",
        )

    def stored_index(self, row: Any) -> int:
        """The position in a stored assignment.

        Raises:
            CorruptStateError: there is no variant there (any more).
        """
        try:
            return self.checked(row.index)
        except VariantIndexError as problem:
            raise CorruptStateError(
                "a stored assignment names a variant that does not exist", where=self.name, found=repr(row.index)
            ) from problem

    def control_choice(self, reason: Reason) -> Choice:
        """Control, for a reason other than an assignment."""
        return Choice(self.control_index, reason)

    def _exposed_at(self) -> str:
        """The time of an exposure for the log; empty for the log's own clock."""
        return ""

    def _met(self, user: User | None, choice: Choice) -> Variant | None:
        if choice.reason == "disabled":
            return None
        if user is not None:
            self.expose(user, choice)
        return self.variants[choice.index]

    def _forget(self) -> None:
        self.is_enabled = False
        self.id = None
