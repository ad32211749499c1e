"""The registry: experiments that are served together, and what each user picks from them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self, TypeVar, overload

from xp_pipeline.delivery.concurrency import Owner, Scoped
from xp_pipeline.delivery.errors import EmptyPickError, StoreError, UnknownNameError, UnknownSymbolError
from xp_pipeline.delivery.picked_types import check_type
from xp_pipeline.delivery.registration import check_registration
from xp_pipeline.delivery.served import Fields, ServedExperiment
from xp_pipeline.delivery.symbols import Symbol
from xp_pipeline.delivery.variants import Choice, User
from xp_pipeline.errors import nearest

T = TypeVar("T")
OnStoreError = Literal["control", "raise"]

logger = logging.getLogger(__name__)


class _Served(NamedTuple):
    """A symbol's experiment, with the symbol's value in each of its variants."""

    experiment: ServedExperiment
    values: tuple[Any, ...]
    control: int


@dataclass(frozen=True, slots=True)
class _Draws:
    """What was chosen for one user; ``unmet`` are the experiments whose variant they have not met yet."""

    user: User | None
    choices: Mapping[str, Choice]
    unmet: dict[str, Choice] = field(compare=False)


_DRAWS: Scoped[_Draws] = Scoped("xp_pipeline_draws")


class Pyrosper:
    """Experiments served together; one object for the whole service, shared by threads and tasks.

    What is chosen for a user lives in the thread or task that called ``set_for_user`` (and the tasks it starts),
    never on this object or on an experiment. Without a user, and from a disabled experiment, everybody picks control.

    Args:
        on_store_error: What a user gets when the store of an experiment fails: ``control`` (logged as an error; no
            assignment, no exposure), or ``raise`` for the StoreError.
    """

    def __init__(self, *, on_store_error: OnStoreError = "control") -> None:
        self._on_store_error = on_store_error
        self._experiments: tuple[ServedExperiment, ...] = ()
        self._symbols: Mapping[Hashable, _Served] = {}
        self._registering = threading.Lock()
        self._owner = Owner(self)

    @property
    def experiments(self) -> tuple[ServedExperiment, ...]:
        """What is registered, in order."""
        return self._experiments

    def with_experiment(self, experiment: ServedExperiment) -> Self:
        """Register an experiment; one that is refused leaves no trace.

        Raises:
            RegistrationError: its name, a variant's name or a symbol is taken, its variants have different symbols,
                or it has no variants.
        """
        with self._registering:
            check_registration(experiment, self._experiments)
            served = {
                symbol: _Served(
                    experiment, tuple(v.picks[symbol] for v in experiment.variants), experiment.control_index
                )
                for symbol in experiment.variants[0].picks
            }
            self._symbols = {**self._symbols, **served}
            self._experiments = (*self._experiments, experiment)
        return self

    def get_experiment(self, name: str) -> ServedExperiment:
        """A registered experiment.

        Raises:
            UnknownNameError: there is none of that name.
        """
        for experiment in self._experiments:
            if experiment.name == name:
                return experiment
        known = [experiment.name for experiment in self._experiments]
        raise UnknownNameError("no experiment of that name", found=repr(name), allowed=nearest(name, known))

    def experiment_exists(self, name: str) -> bool:
        """Whether an experiment of that name is registered."""
        return any(experiment.name == name for experiment in self._experiments)

    def check_experiment_has_variant(self, name: str, variant: str) -> None:
        """Refuse a variant that the experiment does not have.

        Raises:
            UnknownNameError: there is no such experiment, or no such variant in it.
        """
        self.get_experiment(name).index_of(variant)

    def serving(self, symbol: Hashable) -> str:
        """Name of the experiment that serves a symbol.

        Raises:
            UnknownSymbolError: none does.
        """
        return self._served(symbol).experiment.name

    def has_pick(self, symbol: Hashable) -> bool:
        """Whether any experiment serves the symbol."""
        return symbol in self._symbols

    @overload
    def pick(self, symbol: Symbol[T]) -> T: ...
    @overload
    def pick(self, symbol: Hashable, pick_type: type[T]) -> T: ...
    @overload
    def pick(self, symbol: Hashable) -> Any: ...
    def pick(self, symbol: Hashable, pick_type: type[Any] | None = None) -> Any:
        """The value of a symbol for the current user; control without one.

        Raises:
            UnknownSymbolError: no experiment serves the symbol.
            PickTypeError: the value is not of the type that is asked for.
            EmptyPickError: the value is None.
        """
        value = self._value(symbol, _DRAWS.get(self._owner))
        if pick_type is not None:
            check_type(symbol, value, pick_type)
        return value

    async def set_for_user(self, user: User | None, fields: Fields | None = None) -> UserPicks:
        """Choose a user's variants, and serve them to this thread or task from now on.

        Args:
            user: Their id; None for nobody, whose choice is not stored.
            fields: What assignment rules may look at besides the id.

        Raises:
            StoreError: a store fails, with ``on_store_error="raise"``; then what was served before still is.
        """
        return self._set(await self.for_user(user, fields))

    def set_for_user_sync(self, user: User | None, fields: Fields | None = None) -> UserPicks:
        """As ``set_for_user``, for callers without an event loop."""
        return self._set(self.for_user_sync(user, fields))

    async def for_user(self, user: User | None, fields: Fields | None = None) -> UserPicks:
        """Choose a user's variants and return them, without making the user the current one."""
        choices = {}
        for experiment in self._experiments:
            try:
                choices[experiment.name] = await experiment.choose(user, fields)
            except StoreError as problem:
                choices[experiment.name] = self._without_store(experiment, problem)
        return UserPicks(self, _drawn(user, choices))

    def for_user_sync(self, user: User | None, fields: Fields | None = None) -> UserPicks:
        """As ``for_user``, for callers without an event loop."""
        choices = {}
        for experiment in self._experiments:
            try:
                choices[experiment.name] = experiment.choose_sync(user, fields)
            except StoreError as problem:
                choices[experiment.name] = self._without_store(experiment, problem)
        return UserPicks(self, _drawn(user, choices))

    def clear_user(self) -> None:
        """Go back to nobody in this thread or task."""
        _DRAWS.put(self._owner, None)

    def _set(self, picks: UserPicks) -> UserPicks:
        _DRAWS.put(self._owner, picks._draws)
        return picks

    def _without_store(self, experiment: ServedExperiment, problem: StoreError) -> Choice:
        if self._on_store_error == "raise":
            raise problem
        logger.error("experiment %s serves control: %s", experiment.name, problem, exc_info=problem)
        return experiment.control_choice("store_error")

    def _served(self, symbol: Hashable) -> _Served:
        if symbol in self._symbols:
            return self._symbols[symbol]
        raise UnknownSymbolError(
            "Unable to find the symbol: no experiment serves it",
            found=symbol,
            allowed=nearest(str(symbol), map(str, self._symbols)),
        )

    def _value(self, symbol: Hashable, draws: _Draws | None) -> Any:
        served = self._symbols.get(symbol) or self._served(symbol)
        value = served.values[_position(served, draws)]
        if value is None:
            raise EmptyPickError("the value of the chosen variant is None", where=served.experiment.name, found=symbol)
        return value


class UserPicks:
    """What one user is served: pick from it anywhere, whoever the current user is.

    Attributes:
        user: Whose it is; None for nobody.
        choices: What each experiment decided, by its name.
    """

    __slots__ = ("_draws", "_pyrosper", "choices", "user")

    def __init__(self, pyrosper: Pyrosper, draws: _Draws) -> None:
        self._pyrosper = pyrosper
        self._draws = draws
        self.user = draws.user
        self.choices = draws.choices

    @overload
    def pick(self, symbol: Symbol[T]) -> T: ...
    @overload
    def pick(self, symbol: Hashable, pick_type: type[T]) -> T: ...
    @overload
    def pick(self, symbol: Hashable) -> Any: ...
    def pick(self, symbol: Hashable, pick_type: type[Any] | None = None) -> Any:
        """As ``Pyrosper.pick``, for this user."""
        value = self._pyrosper._value(symbol, self._draws)
        if pick_type is not None:
            check_type(symbol, value, pick_type)
        return value

    def variant(self, experiment: str) -> str:
        """Name of the variant of an experiment that this user is served now."""
        found = self._pyrosper.get_experiment(experiment)
        return found.variants[_index(found, found.control_index, self._draws)].name


@overload
def pick(pyrosper: Pyrosper | UserPicks, symbol: Symbol[T]) -> T: ...
@overload
def pick(pyrosper: Pyrosper | UserPicks, symbol: Hashable, pick_type: type[T]) -> T: ...
@overload
def pick(pyrosper: Pyrosper | UserPicks, symbol: Hashable) -> Any: ...
def pick(pyrosper: Pyrosper | UserPicks, symbol: Hashable, pick_type: type[Any] | None = None) -> Any:
    """As ``pyrosper.pick(symbol, pick_type)``."""
    return pyrosper.pick(symbol) if pick_type is None else pyrosper.pick(symbol, pick_type)


def _drawn(user: User | None, choices: dict[str, Choice]) -> _Draws:
    unmet = {} if user is None else {name: c for name, c in choices.items() if c.reason == "assigned"}
    return _Draws(user, MappingProxyType(choices), unmet)


def _position(served: _Served, draws: _Draws | None) -> int:
    experiment = served.experiment
    index = _index(experiment, served.control, draws)
    if draws is not None and draws.unmet and experiment.name in draws.unmet and experiment.is_enabled:
        _meet(experiment, draws)
    return index


def _index(experiment: ServedExperiment, control: int, draws: _Draws | None) -> int:
    """The preview, or else control while disabled or undecided, or else what was chosen."""
    preview = experiment.preview
    if preview is not None:
        return preview
    if draws is None or not experiment.is_enabled:
        return control
    choice = draws.choices.get(experiment.name)
    return control if choice is None else choice.index


def _meet(experiment: ServedExperiment, draws: _Draws) -> None:
    """Log the exposure at the first pick; picking goes on whatever happens to the log."""
    choice = draws.unmet.pop(experiment.name, None)
    if choice is None or draws.user is None or experiment.preview is not None:
        return
    try:
        logged = experiment.expose(draws.user, choice)
    except Exception:
        logger.exception("experiment %s: the exposure was not logged", experiment.name)
        return
    if not logged:
        draws.unmet[experiment.name] = choice
