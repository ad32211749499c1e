"""Variants: what an experiment may serve, which one was chosen for whom, and how likely that was."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from xp_pipeline.delivery.errors import UnknownSymbolError
from xp_pipeline.errors import DataError, nearest

User = str | int
"""A user's id. ``0`` and ``""`` are users; None is nobody. As in the bucket rule, ``7`` and ``"7"`` are one user."""

UNKNOWN = "\\N"
"""What stands for nothing in a published file; the only text without NUL and surrogates that is no id."""

Reason = Literal["assigned", "anonymous", "disabled", "outside", "store_error"]
"""Why somebody is served a variant; only ``assigned`` is an assignment, whoever chose it.

``outside`` is for units that the rule leaves out, and for times before the start or after the end.
"""


class Variant:
    """One of the things that an experiment may serve.

    Attributes:
        name: What it is called, unique in its experiment.
        picks: Value by symbol; read-only.
    """

    __slots__ = ("name", "picks")

    def __init__(self, name: str, picks: Mapping[Any, Any]) -> None:
        self.name = name
        self.picks: Mapping[Hashable, Any] = MappingProxyType(dict(picks))

    def get_pick(self, symbol: Hashable) -> Any:
        """The value of a symbol.

        Raises:
            UnknownSymbolError: the variant has none (also a KeyError).
        """
        try:
            return self.picks[symbol]
        except KeyError:
            known = nearest(str(symbol), map(str, self.picks))
            raise UnknownSymbolError("no value for this symbol", where=self.name, found=symbol, allowed=known) from None

    def __repr__(self) -> str:
        return f"Variant({self.name!r}, {dict(self.picks)!r})"


@dataclass
class UserVariant:
    """A stored assignment; experiments that keep their own rows may subclass it.

    Attributes:
        experiment_id: Id of the stored experiment.
        index: Position of the variant, from 0.
        user_id: Whose it is.
        id: Id of the row, where the store has one.
        propensity: Probability with which the variant was chosen; None when it is unknown.
        version: Version of the algorithm that chose it.
    """

    experiment_id: Any
    index: int
    user_id: Any
    id: Any = None
    propensity: float | None = None
    version: str = ""


class ExperimentRecord(NamedTuple):
    """What is stored of an experiment.

    Attributes:
        name: Its name.
        is_enabled: The master switch.
        id: Its id; None before it is stored for the first time. Any other value, 0 too, is an id.
    """

    name: str
    is_enabled: bool
    id: Any = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What an experiment decided for a user.

    Attributes:
        index: Position of the variant, from 0.
        reason: Why; only ``assigned`` is an exposure of the experiment.
        propensity: Probability with which it was chosen; None when it is unknown.
        version: Version of the algorithm that chose it.
    """

    index: int
    reason: Reason = "assigned"
    propensity: float | None = None
    version: str = ""


def unit_text(user: User) -> str:
    """The text under which a user is stored and logged, as the bucket rule writes it.

    Raises:
        DataError: the id is neither text nor an integer, or is text that UTF-8, a database or a log cannot hold.
    """
    if isinstance(user, bool):
        return "true" if user else "false"
    if isinstance(user, int):
        return str(user)
    if isinstance(user, str) and user != UNKNOWN and "\0" not in user and (user.isascii() or _is_encodable(user)):
        return user
    allowed = f"an integer, or text without NUL and surrogates, other than {UNKNOWN}"
    raise DataError("this is no id of a user", found=ascii(user)[:60], allowed=allowed)


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
