"""An OpenFeature provider: flags are symbols, and their values what the served variants hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from xp_pipeline.delivery.pyrosper import Pyrosper, UserPicks
from xp_pipeline.delivery.symbols import Symbol
from xp_pipeline.delivery.variants import Reason as Why
from xp_pipeline.errors import XpError

try:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.exception import FlagNotFoundError, GeneralError, TargetingKeyMissingError, TypeMismatchError
    from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
    from openfeature.provider import AbstractProvider, Metadata
except ImportError as problem:
    raise XpError(
        "the OpenFeature SDK is not installed", found=problem, next_step="pip install 'xp_pipeline[openfeature]'"
    ) from None

T = TypeVar("T")
Json = Sequence[FlagValueType] | Mapping[str, FlagValueType]

_REASONS: Mapping[Why, Reason] = {
    "assigned": Reason.SPLIT,
    "anonymous": Reason.DEFAULT,
    "disabled": Reason.DISABLED,
    "outside": Reason.DEFAULT,
    "store_error": Reason.STALE,
}


class _Resolved(NamedTuple):
    """A flag's value for a user, before its type is looked at."""

    value: Any
    variant: str
    reason: Reason
    experiment: str


class XpProvider(AbstractProvider):  # type: ignore[misc]
    """Resolves flags from the experiments of a registry.

    The flag's key is the symbol's description, the targeting key is the user's id, and the other attributes are what
    assignment rules may look at. (``""`` is an id too, but the SDK's client hands it on as no key.)

    The reason is SPLIT for an assignment, DISABLED for a disabled experiment, STALE for control because the store
    fails, DEFAULT for any other control; the metadata name the experiment. An unknown flag, a missing targeting key
    and a value of another type are OpenFeature's own errors.

    Args:
        pyrosper: The registry.
    """

    def __init__(self, pyrosper: Pyrosper) -> None:
        super().__init__()
        self._pyrosper = pyrosper

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return Metadata(name="xp_pipeline")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return _details(flag_key, self._resolve(flag_key, evaluation_context), _boolean)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return _details(flag_key, self._resolve(flag_key, evaluation_context), _string)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return _details(flag_key, self._resolve(flag_key, evaluation_context), _integer)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return _details(flag_key, self._resolve(flag_key, evaluation_context), _float)

    def resolve_object_details(
        self, flag_key: str, default_value: Json, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Json]:
        return _details(flag_key, self._resolve(flag_key, evaluation_context), _object)

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return _details(flag_key, await self._resolve_async(flag_key, evaluation_context), _boolean)

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return _details(flag_key, await self._resolve_async(flag_key, evaluation_context), _string)

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return _details(flag_key, await self._resolve_async(flag_key, evaluation_context), _integer)

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return _details(flag_key, await self._resolve_async(flag_key, evaluation_context), _float)

    async def resolve_object_details_async(
        self, flag_key: str, default_value: Json, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Json]:
        return _details(flag_key, await self._resolve_async(flag_key, evaluation_context), _object)

    def _resolve(self, flag: str, context: EvaluationContext | None) -> _Resolved:
        user, fields = self._asked(flag, context)
        try:
            return self._found(flag, self._pyrosper.for_user_sync(user, fields))
        except XpError as problem:
            raise GeneralError(str(problem)) from problem

    async def _resolve_async(self, flag: str, context: EvaluationContext | None) -> _Resolved:
        user, fields = self._asked(flag, context)
        try:
            return self._found(flag, await self._pyrosper.for_user(user, fields))
        except XpError as problem:
            raise GeneralError(str(problem)) from problem

    def _asked(self, flag: str, context: EvaluationContext | None) -> tuple[str, Mapping[str, Any]]:
        if self._symbol(flag) is None:
            raise FlagNotFoundError(f"no experiment serves the flag {flag!r}")
        if context is None or context.targeting_key is None:
            raise TargetingKeyMissingError("the targeting key is the user's id")
        return context.targeting_key, context.attributes

    def _symbol(self, flag: str) -> Symbol[Any] | str | None:
        symbol: Symbol[Any] = Symbol(flag)
        candidates: tuple[Symbol[Any] | str, ...] = (symbol, flag)
        return next((c for c in candidates if self._pyrosper.has_pick(c)), None)

    def _found(self, flag: str, picks: UserPicks) -> _Resolved:
        symbol = self._symbol(flag)
        experiment = self._pyrosper.serving(symbol)
        reason = _REASONS[picks.choices[experiment].reason]
        return _Resolved(picks.pick(symbol), picks.variant(experiment), reason, experiment)


def _details(flag: str, resolved: _Resolved, accept: Callable[[Any], T | None]) -> FlagResolutionDetails[T]:
    value = accept(resolved.value)
    if value is None:
        raise TypeMismatchError(f"the flag {flag!r} holds {type(resolved.value).__name__}")
    metadata = {"experiment": resolved.experiment}
    return FlagResolutionDetails(value, reason=resolved.reason, variant=resolved.variant, flag_metadata=metadata)


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _object(value: Any) -> Json | None:
    return value if isinstance(value, list | tuple | Mapping) else None
