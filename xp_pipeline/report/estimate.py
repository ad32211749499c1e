"""One estimate, ready to print: the numbers of a results row with their digits, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from xp_pipeline.report import words
from xp_pipeline.report.format import (
    PERCENT,
    PLAIN,
    POINTS,
    Figure,
    Interval,
    Unit,
    count,
    figure,
    finite,
    interval,
    p_value,
    sentence,
    share,
    shared_decimals,
)
from xp_pipeline.report.inputs import Row, text_of
from xp_pipeline.report.read_out import ReadOut, read_out_of
from xp_pipeline.report.sequence import Sequential, sequential_of
from xp_pipeline.report.words import Tone


class Reading(NamedTuple):
    """What a decisive estimate says, as a tone and a few words; both empty where it says nothing."""

    tone: Tone
    text: str


class Guard(NamedTuple):
    """The test of a margin: of a guardrail, or of equivalence.

    Attributes:
        margin: Tolerated harm with the sign of harm (of equivalence, the change either way), in percent of the
            baseline or in the metric's unit.
        bound: One-sided confidence bound on the harmful side (of equivalence, on the worse one), on the same scale.
        relative: Whether that scale is the lift's.
        p: One-sided p-value.
        holds: Whether harm, or change, beyond the margin is excluded; None while undecided.
        both: Whether the margin is that of equivalence.
    """

    margin: Figure
    bound: Figure
    relative: bool
    p: Figure
    holds: bool | None
    both: bool

    @property
    def sentence(self) -> str:
        """The margin of a test of equivalence, with the bound held against it where there is one."""
        bound = f", bound {self.bound.text}" if self.bound.value is not None else ""
        return f"Margin of the same: {self.margin.text}{bound}."


class FinePrint(NamedTuple):
    """The rest of an estimate, for those who check.

    Attributes:
        se: Standard error of the effect.
        df: Degrees of freedom.
        simultaneous: Interval of the effect that holds for the whole family at once.
        family: The family of the adjusted p-value, with its size.
        variance_reduction: Share of variance removed by covariates.
        cap: Value that per-unit values were capped at.
        capped_share: Share of units above the cap.
        mature_share: Share of the population whose window has passed.
        power: Power at the planned effect with the observed n and variance.
        mde: Smallest absolute effect detectable at planned power with the observed n and variance.
    """

    se: Figure
    df: Figure
    simultaneous: Interval
    family: str
    variance_reduction: Figure
    cap: Figure
    capped_share: Figure
    mature_share: Figure
    power: Figure
    mde: Figure


@dataclass(frozen=True)
class Estimate:
    """One row of the results, ready to print.

    Attributes:
        estimator: Its code in the results table.
        name: What it is called on the page, with its population where that differs.
        decisive: Whether the decision reads this estimate.
        status: ``ok``, or why there is nothing to conclude.
        notes: Reasons and cautions, as sentences.
        n_arm, n_baseline: Units that count for the metric.
        mean_arm, mean_baseline: Means on the metric's scale.
        lift, lift_interval: Effect relative to the baseline mean.
        effect, effect_interval: Absolute effect; proportions in percentage points.
        p, p_adjusted: p-value of a difference, or of equivalence where that is its test; raw, and adjusted within its
            family.
        significant: Whether a difference was shown; None where none was tested.
        guard: The test of its margin, where it has one.
        reading: What it says.
        fine_print: The rest.
        sequential: What its looks did to it; None where there is a single look.
        read_out: The Bayesian read-out; None where nothing may be read, or there is no estimate.
        interval_kind: Its interval in words, where it is not of the kind that its scorecard names.
    """

    estimator: str
    name: str
    decisive: bool
    status: str
    notes: tuple[str, ...]
    n_arm: Figure
    n_baseline: Figure
    mean_arm: Figure
    mean_baseline: Figure
    lift: Figure
    lift_interval: Interval
    lift_status: str
    effect: Figure
    effect_interval: Interval
    p: Figure
    p_adjusted: Figure
    significant: bool | None
    guard: Guard | None
    reading: Reading
    fine_print: FinePrint
    sequential: Sequential | None = None
    read_out: ReadOut | None = None
    interval_kind: str = ""


@dataclass(frozen=True)
class Precision:
    """How the numbers of one metric are printed, so that they align below each other.

    Attributes:
        level: Unit of means.
        change: Unit of effects.
        decimals: Decimals of both.
        lift: Decimals of lifts, which are percentages.
    """

    level: Unit
    change: Unit
    decimals: int | None
    lift: int | None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Precision:
        """From the narrowest interval among the rows of a metric."""
        binary = rows[0]["metric_type"] in ("proportion", "retention")
        level, change = (PERCENT, POINTS) if binary else (PLAIN, PLAIN)
        return cls(
            level,
            change,
            shared_decimals([(r["ci_low"], r["ci_high"]) for r in rows], unit=change),
            shared_decimals([(r["lift_low"], r["lift_high"]) for r in rows], unit=PERCENT),
        )


def estimate(row: Row, precision: Precision, *, population: str = "") -> Estimate:
    """A row of the results, ready to print."""
    unbounded = row["lift_status"] == "unbounded"
    decimals, scale = precision.decimals, precision.change
    return Estimate(
        estimator=text_of(row["estimator"]),
        name=words.estimator_name(text_of(row["estimator"])) + (f", {population}" if population else ""),
        decisive=bool(row["decisive"]),
        status=row["status"],
        notes=_notes(row),
        n_arm=count(row["n_arm"]),
        n_baseline=count(row["n_baseline"]),
        mean_arm=figure(row["mean_arm"], decimals=decimals, unit=precision.level),
        mean_baseline=figure(row["mean_baseline"], decimals=decimals, unit=precision.level),
        lift=figure(row["lift"], decimals=precision.lift, unit=PERCENT, signed=True),
        lift_interval=interval(
            row["lift_low"], row["lift_high"], decimals=precision.lift, unit=PERCENT, unbounded=unbounded
        ),
        lift_status=text_of(row["lift_status"]),
        effect=figure(row["effect"], decimals=decimals, unit=scale, signed=True),
        effect_interval=interval(row["ci_low"], row["ci_high"], decimals=decimals, unit=scale),
        p=p_value(row["margin_p_value"] if _is_equivalence(row) else row["p_value"]),
        p_adjusted=p_value(row["p_adjusted"]),
        significant=row["significant"],
        guard=_guard(row, precision),
        reading=_reading(row),
        fine_print=_fine_print(row, precision),
        read_out=read_out_of(row, effect={"decimals": decimals, "unit": scale}),
        sequential=sequential_of(row, effect={"decimals": decimals, "unit": scale}, lift_decimals=precision.lift),
    )


def on_log_scale(row: Row) -> bool:
    """Whether an estimate is of log(1 + value), which is a scale of its own."""
    return words.estimator_parts(text_of(row["estimator"]))[0] == "log"


def _notes(row: Row) -> tuple[str, ...]:
    reason = text_of(row["reason"])
    if not reason and row["status"] not in ("ok", "not_due"):
        reason = words.named(words.STATUSES, row["status"])
    lift = ""
    if row["status"] in ("ok", "not_due") and row["lift_status"] != "ok" and not on_log_scale(row):
        lift = text_of(row["lift_reason"]) or words.STATUSES.get(text_of(row["lift_status"]), "")
    return tuple(sentence(note) for note in (reason, lift) if note)


def _is_equivalence(row: Row) -> bool:
    return bool(row["margin_kind"] == "equivalence")


def _guard(row: Row, precision: Precision) -> Guard | None:
    if row["role"] != "guardrail" and not _is_equivalence(row):
        return None
    relative = bool(row["margin_relative"])
    scale: dict[str, Any] = {"decimals": precision.decimals, "unit": precision.change}
    if relative:
        scale = {"decimals": precision.lift, "unit": PERCENT}
    margin, both = finite(row["margin"]), _is_equivalence(row)
    harm = None if margin is None else (margin if row["direction"] == "decrease" or both else -margin)
    shown = figure(harm, signed=True, **(scale | {"decimals": _decimals(margin, scale)}))
    return Guard(
        margin=shown._replace(text=shown.text.replace("+", "±")) if both else shown,
        bound=figure(row["margin_bound"], signed=True, **scale),
        relative=relative,
        p=p_value(row["margin_p_value"]),
        holds=row["margin_holds"],
        both=both,
    )


def _decimals(margin: float | None, scale: dict[str, Any]) -> int | None:
    """Those of the metric, or more where the margin was declared with more."""
    usual: int | None = scale["decimals"]
    if margin is None or usual is None:
        return usual
    shown = margin * 100 if scale["unit"] in (PERCENT, POINTS) else margin
    return max(usual, len(f"{shown:.10g}".partition(".")[2]))


def _reading(row: Row) -> Reading:
    if row["status"] not in ("ok", "not_due"):
        return Reading(Tone.CAUTION, words.named(words.STATUS_NAMES, row["status"]).lower())
    if not row["decisive"]:
        return Reading(Tone.NEUTRAL, "")
    wrong_way = (finite(row["effect"]) or 0.0) * (1 if row["direction"] == "increase" else -1) < 0
    worse = row["harmed"] or (row["significant"] and wrong_way)
    if _is_equivalence(row) and not worse and row["margin_holds"] is not None:
        return Reading(Tone.GOOD, "the same") if row["margin_holds"] else Reading(Tone.CAUTION, "not shown the same")
    if row["role"] == "guardrail" and not worse and row["margin_holds"] is not None:
        holds = row["margin_holds"]
        return Reading(Tone.GOOD, "margin held") if holds else Reading(Tone.CAUTION, "harm not excluded")
    if row["significant"] is None and not worse:
        return Reading(Tone.NEUTRAL, "")
    if not worse and not row["significant"]:
        running = row["interval_kind"] == "repeated"
        return Reading(Tone.NEUTRAL, "boundary not crossed" if running else "no clear difference")
    return Reading(Tone.BAD, "worse") if worse else Reading(Tone.GOOD, "better")


def _fine_print(row: Row, precision: Precision) -> FinePrint:
    decimals, scale = precision.decimals, precision.change
    size = finite(row["family_size"])
    return FinePrint(
        se=figure(row["se"], decimals=None if decimals is None else decimals + 1, unit=scale),
        df=count(row["df"]),
        simultaneous=interval(row["ci_adjusted_low"], row["ci_adjusted_high"], decimals=decimals, unit=scale),
        family=_family(text_of(row["family"]), None if size is None else int(size)),
        variance_reduction=share(row["variance_reduction"]) if row["cuped_applied"] else share(None),
        cap=figure(row["cap_value"], decimals=decimals),
        capped_share=share(row["capped_share"]),
        mature_share=share(row["mature_share"]),
        power=share(row["power"]),
        mde=figure(row["mde"], decimals=decimals, unit=scale),
    )


def _family(code: str, size: int | None) -> str:
    if not code:
        return ""
    name, _, method = code.partition(":")
    inside = [words.named(words.CORRECTIONS, method) if method else "", str(size) if size else ""]
    return f"{name} ({', '.join(part for part in inside if part)})" if any(inside) else name
