"""What an estimate owes to its looks: the kind of its interval, its boundary, and what stopping did to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from xp_pipeline.report.format import BLANK, PERCENT, Figure, figure, finite, percent_level, share
from xp_pipeline.report.inputs import Row

INTERVALS = {
    "confidence": ("confidence interval", ""),
    "sequence": ("confidence sequence", "holds at all looks, whatever is tested at them"),
    "repeated": ("repeated confidence interval", "holds at all looks together"),
    "stagewise": ("stage-wise confidence interval", "after stopping, by the stage-wise ordering"),
    "always_valid": ("always-valid confidence interval", "holds at any number of looks"),
}
"""What each kind of interval is called, and what it promises."""

P_VALUES = {"stagewise": "stage-wise", "always_valid": "always-valid"}
_BEFORE_STOP = ("repeated", "stagewise", "always_valid")
_NEVER = 20.0


class Sequential(NamedTuple):
    """The tests of an estimate along the looks.

    Attributes:
        interval_name: Its interval in words, with its level.
        p_name: What kind of p-value it has; empty for that of a single look.
        stopped: Number of the look that crossed, among those that claim; 0 while none has.
        information: Share of the planned time at this look.
        alpha_spent: Error rate spent up to this look.
        statistic, boundary: z, and the z at which this look stops.
        unbiased_effect, unbiased_lift: Median-unbiased estimates after a stop.
        sentences: What a reader must know of the stop.
    """

    interval_name: str
    p_name: str
    stopped: int
    information: Figure
    alpha_spent: Figure
    statistic: Figure
    boundary: Figure
    unbiased_effect: Figure
    unbiased_lift: Figure
    sentences: tuple[str, ...]

    @property
    def crossed_now(self) -> bool:
        """Whether the statistic of this look lies beyond its boundary."""
        z, bound = self.statistic.value, self.boundary.value
        return z is not None and bound is not None and abs(z) >= bound


def is_claimed(row: Row) -> bool:
    """Whether a row was tested along the looks, so that what it claims may be shown before the end."""
    stopped = finite(row["stopped_look"]) is not None
    return stopped or finite(row["information"]) is not None or row["interval_kind"] in _BEFORE_STOP


def sequential_of(row: Row, *, effect: dict[str, Any], lift_decimals: int | None) -> Sequential | None:
    """What the looks did to a row; None for a row of a single look.

    Args:
        row: A row of the results.
        effect: Decimals and unit of effects.
        lift_decimals: Decimals of lifts.
    """
    if not is_claimed(row):
        return None
    boundary = finite(row["boundary"])
    stopped = int(finite(row["stopped_look"]) or 0)
    plain = figure(row["unbiased_effect"], signed=True, **effect)
    lift = figure(row["unbiased_lift"], signed=True, decimals=lift_decimals, unit=PERCENT)
    return Sequential(
        interval_name=interval_words([row]),
        p_name=p_words(row),
        stopped=stopped,
        information=share(row["information"]),
        alpha_spent=share(row["alpha_spent"]),
        statistic=figure(row["statistic"], decimals=2, signed=True),
        boundary=BLANK if boundary is None or boundary >= _NEVER else figure(boundary, decimals=2),
        unbiased_effect=plain,
        unbiased_lift=lift,
        sentences=tuple(_said(row, stopped, lift if lift.value is not None else plain, effect, lift_decimals)),
    )


def interval_words(rows: Sequence[Row]) -> str:
    """What the intervals of some rows are: level and kind, as far as they agree."""
    levels = {percent_level(row["ci_level"]) for row in rows} - {""}
    kinds = {str(row["interval_kind"]) for row in rows if row["interval_kind"]}
    kind = INTERVALS.get(kinds.pop(), INTERVALS["confidence"])[0] if len(kinds) == 1 else INTERVALS["confidence"][0]
    return f"{levels.pop()} {kind}" if len(levels) == 1 else kind


def telling(rows: Sequence[Row]) -> list[Row]:
    """The rows that say what kind of intervals a table has: those tested along the looks, else those that decide."""
    deciding = [row for row in rows if row["decisive"]]
    return [row for row in deciding if is_claimed(row)] or deciding or list(rows)


def promise_of(rows: Sequence[Row]) -> str:
    """What the intervals of some rows promise, where they are of one kind."""
    kinds = {str(row["interval_kind"]) for row in rows if row["interval_kind"]}
    return INTERVALS.get(kinds.pop(), INTERVALS["confidence"])[1] if len(kinds) == 1 else ""


def p_words(row: Row) -> str:
    """What kind of p-value a row has."""
    if row["p_value"] is None and row["margin_p_value"] is None:
        return ""
    return P_VALUES["stagewise"] if row["unbiased_effect"] is not None else P_VALUES.get(str(row["interval_kind"]), "")


def _said(row: Row, stopped: int, unbiased: Figure, effect: dict[str, Any], lift_decimals: int | None) -> list[str]:
    if stopped == 1 and row["final"]:
        return []
    if stopped and row["margin_kind"] is not None:
        what = "A change" if row["margin_kind"] == "equivalence" else "Harm"
        return [f"{what} beyond the margin was excluded at look {stopped}; that stands."]
    if stopped and row["interval_kind"] == "always_valid":
        return [f"Significant since look {stopped}."]
    if unbiased.value is None:
        return [f"Stopped at look {stopped}."] if stopped else []
    relative = finite(row["unbiased_lift"]) is not None
    naive = (
        figure(row["lift"], signed=True, decimals=lift_decimals, unit=PERCENT)
        if relative
        else figure(row["effect"], signed=True, **effect)
    )
    if not stopped:
        if unbiased.text == naive.text:
            return []
        return [f"Ended at its last look. Median-unbiased: {unbiased.text} (as observed {naive.text})."]
    later = " The interval is of what the data say now." if row["interval_kind"] == "sequence" else ""
    shown = "as observed now" if later else "as observed"
    return [
        f"Stopped at look {stopped}. Median-unbiased: {unbiased.text} ({shown} {naive.text}): an estimate that is "
        f"read where it crosses a boundary is too large on average.{later}"
    ]
