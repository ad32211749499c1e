"""The designed split of a notebook experiment: its arms, which of them is control, and their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from xp_pipeline.errors import DataError, SpecError, nearest
from xp_pipeline.spec.values import ColumnType

MOST_ARMS = 50
Weights = Mapping[Any, float | str] | Literal["equal", "unknown"] | None


def split(
    found: Sequence[str], *, control: Any, weights: Weights, kind: ColumnType | None, column: str
) -> dict[str, Any]:
    """The ``assignment`` of the spec.

    Args:
        found: Arms that the data names, as text.
        control: Arm that the others are compared with; left out, the arm called control.
        weights: Designed share by arm; ``equal`` (also when left out), or ``unknown`` where nobody knows.
        kind: Type of the arm's column.
        column: Its name, for messages.

    Raises:
        DataError: the data names fewer than two arms, or so many that they are something else.
        SpecError: the control is not among the arms, or cannot be told.
    """
    given = _by_arm(weights, kind) if isinstance(weights, Mapping) else None
    arms = list(given or found)
    if given is None:
        _check_arms(arms, column)
    said = {"control": _control(arms, control, kind, column)}
    if given is not None:
        return said | {"weights": given}
    if weights == "unknown":
        return said | {"weights": "unknown", "arms": arms}
    if weights not in (None, "equal"):
        raise SpecError("weights are not a split", found=repr(weights), allowed="a dict by arm, 'equal' or 'unknown'")
    return said | {"weights": dict.fromkeys(arms, 1 / len(arms))}


def arm_text(value: Any, kind: ColumnType | None) -> str:
    """An arm as its column's text: ``True`` is ``true``; 1 in a column of fractions is ``1.0``."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(float(value)) if kind == "number" and isinstance(value, int) else str(value)


def _by_arm(weights: Mapping[Any, float | str], kind: ColumnType | None) -> dict[str, Any]:
    named = {arm_text(arm, kind): weight for arm, weight in weights.items()}
    if len(named) < len(weights):
        raise SpecError("two weights are of the same arm", found=", ".join(map(repr, weights)))
    return named


def _check_arms(arms: Sequence[str], column: str) -> None:
    where = f"column {column!r}"
    if len(arms) < 2:
        raise DataError("a comparison needs two arms", where=where, found=", ".join(arms) or "none")
    if len(arms) > MOST_ARMS:
        raise DataError("the column names too many arms to be an assignment", where=where, found=f"{len(arms):,}",
                        allowed=f"up to {MOST_ARMS}")  # fmt: skip


def _control(arms: Sequence[str], control: Any, kind: ColumnType | None, column: str) -> str:
    if control is not None:
        named = arm_text(control, kind)
        if named not in arms:
            raise SpecError("the control is not among the arms", where=f"column {column!r}", found=named,
                            allowed=nearest(named, arms))  # fmt: skip
        return named
    called = [arm for arm in arms if arm.casefold() == "control"]
    if len(called) != 1:
        raise SpecError("which arm is the control cannot be told", where=f"column {column!r}", found=", ".join(arms),
                        next_step=f"name it: control={arms[0]!r}")  # fmt: skip
    return called[0]
