"""Novelty as rows: the effect on each day since exposure, its slope, early against late; exploratory, at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xp_pipeline.lifecycle.inference.rows import Row
from xp_pipeline.lifecycle.inference.subjects import Subject, tested
from xp_pipeline.lifecycle.measurement.daily import Daily
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.multiplicity import family
from xp_pipeline.stats.novelty import novelty

NOT_DUE = "the trend over days since exposure waits for the final look"


def novelties(subjects: Sequence[Subject], daily: Daily | None) -> list[Row]:
    """Rows of every deciding metric and comparison; the slopes are one family. Nothing where none was asked for."""
    rows = [row for subject in subjects for row in _of(subject, daily)]
    slopes = [row for row in rows if row["kind"] == "novelty_slope"]
    alpha = slopes[0]["alpha"] if slopes else 0.05
    found = family([row.get("p_value") for row in slopes], method="fdr_bh", alpha=alpha)
    for row, p, differs in zip(slopes, found.p_adjusted, found.significant, strict=True):
        row |= {"p_adjusted": p, "family": "novelty_slope:fdr_bh", "family_size": found.size, "differs": differs}
    return rows


def _of(subject: Subject, daily: Daily | None) -> Iterator[Row]:
    if not subject.setting.bound.experiment.analysis.novelty:
        return
    refused = _refused(subject, daily)
    if refused:
        yield subject.row("novelty_slope", status=refused[0], reason=refused[1])
        return
    assert daily
    arms = daily.arms[subject.metric.name]
    empty = Moments.empty(daily.days)
    control, treatment = (
        Moments.merge(*(arms.get(arm, empty) for arm in group))
        for group in (subject.comparison.against, subject.comparison.arms)
    )
    yield from _trend(subject, daily, control, treatment)


def _refused(subject: Subject, daily: Daily | None) -> tuple[str, str] | None:
    setting, name = subject.setting, subject.metric.name
    if setting.deciding in setting.blocked_populations:
        return str(Status.BLOCKED), "the sample ratio is not the designed one"
    if daily is None or not setting.final:
        return "not_due", NOT_DUE
    if name in daily.refused:
        return str(Status.NOT_TESTABLE), daily.refused[name]
    return None


def _trend(subject: Subject, daily: Daily, control: Moments, treatment: Moments) -> Iterator[Row]:
    found = novelty(control, treatment, alpha=subject.setting.level_alpha)
    units: dict[str, Any] = {"n_arm": treatment.n, "n_baseline": control.n, "estimator": "welch"}
    cohort = f"{daily.cohort:,} of {daily.units:,} units were seen on all of the first {daily.days} days"
    said = "; ".join(part for part in (found.slope.reason, cohort) if part)
    halves, slope = found.early_late, found.slope
    yield subject.row(
        "novelty_slope", status=str(slope.status), reason=said, effect=found.start, **tested(slope), **units
    )
    yield subject.row("novelty_early_late", status=str(halves.status), reason=halves.reason, **tested(halves), **units)
    yield subject.row(
        "novelty_curved",
        status=str(found.status),
        reason=found.reason,
        p_value=found.curved_p if found.status == Status.OK else None,
        **units,
    )
    for day, estimate in enumerate(found.daily):
        yield _day(subject, day, estimate)


def _day(subject: Subject, day: int, estimate: Estimate) -> Row:
    """One day's effect with its interval; without a p-value of its own."""
    return subject.row(
        "novelty_day",
        status=str(estimate.status),
        reason=estimate.reason,
        day=day,
        estimator=estimate.estimator,
        n_arm=estimate.n_treatment,
        n_baseline=estimate.n_control,
        effect=estimate.effect,
        se=estimate.se,
        df=estimate.df,
        ci_level=estimate.level,
        ci_low=estimate.low,
        ci_high=estimate.high,
    )
