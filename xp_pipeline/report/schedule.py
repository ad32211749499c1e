"""The look schedule in words: when claims are made, and how the error rate is kept over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from xp_pipeline.report.format import percent_level
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.values import format_duration

DAY = timedelta(days=1)
SPENDING = {
    "obrien_fleming": "the O'Brien-Fleming-type spending function of Lan and DeMets, which spends little early",
    "pocock": "the Pocock-type spending function of Lan and DeMets, which spends about evenly",
    "kim_demets": "the power spending function of Kim and DeMets (rho = {:g})",
    "hwang_shih_decani": "the spending function of Hwang, Shih and DeCani (gamma = {:g})",
}
METHODS = {
    "confidence_sequence": "an asymptotic confidence sequence",
    "msprt": "the mixture sequential probability ratio test",
}


def schedule_of(bound: Bound) -> tuple[str, ...]:
    """When claims are made."""
    return {"fixed": _fixed, "group_sequential": _group_sequential, "always_valid": _always_valid}[
        bound.looks.schedule
    ](bound)


def reading_of(bound: Bound, taken: int, planned: int | None, *, claims: bool, final: bool) -> str:
    """What a reading is: a numbered look, or one between looks."""
    if bound.looks.schedule == "fixed":
        return ""
    of = f" of {planned} planned" if planned and planned > taken else ""
    if final:
        return f"This is the final look, number {taken}." if claims else "This is the final look."
    if claims:
        return f"This is look {taken}{of}: every claim holds over all looks together."
    after = f"after look {taken}{of}" if taken else "before the first look"
    return f"This is a reading {after}: it spends no alpha and makes no new claim."


def method_of(bound: Bound, *, tests: int) -> list[str]:
    """How the error rate is kept over the looks of a sequential design, for the section on method.

    Args:
        bound: The spec in force.
        tests: Primary tests that share alpha.
    """
    looks = bound.looks
    sentences = [_alpha(bound, max(tests, 1)), *_guardrails(bound)]
    sentences.append(
        "Deterioration has a one-sided budget of its own, 1% an arm shared by the metrics tested, along the same looks."
    )
    sentences.append("No claim is made before each arm has 100 units, 25 of them with a value other than zero.")
    if any(metric.growing for role, _, metric in bound.uses if role != "exploratory"):
        sentences.append("Before the end, claims rest on mature units only: those whose window has passed.")
    if any(metric.cap and metric.cap.percentile is not None for _, _, metric in bound.uses):
        sentences.append("Percentile caps are frozen at the first reading.")
    if looks.schedule == "group_sequential":
        sentences.append(
            "Before its test has ended, an estimate has the repeated interval, which holds at all looks together; "
            "after it, the stage-wise p-value and interval. The estimate as observed at a crossing is too large on "
            "average, so the median-unbiased one stands beside it."
        )
        sentences.append("A day that is computed again is the look it was; overruns never change past looks.")
    else:
        sentences.append("Intervals and p-values may be read at any look, and stopping at any of them is allowed.")
    return sentences


def planned_days(bound: Bound, as_of: Sequence[str]) -> tuple[list[int], int]:
    """Days since the start of some as-ofs, from 1, and the last day planned, or of them where none is planned."""
    found = [date.fromisoformat(day) for day in as_of if day]
    if len(found) != len(as_of) or not found:
        return list(range(1, len(as_of) + 1)), max(len(as_of), 1)
    begin = bound.start.astimezone(bound.zone).date() if bound.start else found[0]
    days = [(day - begin) // DAY + 1 for day in found]
    total = (bound.end + bound.follow_up - bound.start) // DAY if bound.start and bound.end else 0
    return days, max(total, days[-1])


def _fixed(bound: Bound) -> tuple[str, ...]:
    end = f", {bound.end.astimezone(bound.zone).date()}" if bound.end else ""
    one = f"One look is planned, at the end{end}: readings before it show estimates without significance."
    return (one, *_extension(bound))


def _extension(bound: Bound) -> list[str]:
    """Whether the end may move, or has."""
    extension = bound.experiment.analysis.extension
    if extension is None:
        return []
    if bound.extended:
        return [f"The variance of all units, arms unknown, was read on {bound.extended.as_of}. {bound.extended.why}"]
    most = format_duration(extension.most)
    return [f"On {bound.reestimated_on} the variance of all units is read, arms unknown: the end may move by {most}."]


def _every(bound: Bound) -> str:
    days = bound.looks.every // DAY
    return "every day" if days == 1 else f"every {days} days"


def _group_sequential(bound: Bound) -> tuple[str, ...]:
    looks = bound.looks
    first = bound.experiment.analysis.minimum_days
    from_day = f", from day {first} on" if first > looks.every // DAY else ""
    futility = " Futility is advised and does not bind." if looks.futility else ""
    function = SPENDING[looks.spending].format(looks.parameter)
    wait = format_duration(bound.follow_up)
    last = f"{wait} after the planned end, when the last window has passed" if bound.follow_up else "at the planned end"
    return (
        f"Looks are taken {_every(bound)}{from_day}; the last one is {last}.",
        f"Alpha is spent by {function}.{futility}",
    )


def _always_valid(bound: Bound) -> tuple[str, ...]:
    return (f"Looks are taken {_every(bound)}, as often as one likes: claims rest on {METHODS[bound.looks.method]}.",)


def _alpha(bound: Bound, tests: int) -> str:
    looks, alpha = bound.looks, bound.experiment.analysis.alpha
    spent = f"is kept at any number of looks by {METHODS[looks.method]}"
    if looks.schedule == "group_sequential":
        spent = f"is spent along the looks by {SPENDING[looks.spending].format(looks.parameter)}"
    divided = f"; each of the {tests} primary tests has its share of {percent_level(alpha / tests)}"
    return (
        f"The two-sided significance level of {percent_level(alpha)} {spent}{divided if tests > 1 else ''}; "
        f"looks are taken {_every(bound)}."
    )


def _guardrails(bound: Bound) -> list[str]:
    if not bound.experiment.metrics.guardrail:
        return []
    how = "spent along the same looks" if bound.looks.schedule == "group_sequential" else "kept at any number of looks"
    return [f"Each guardrail is tested one-sided at {percent_level(bound.experiment.analysis.guardrail_alpha)}, {how}."]
