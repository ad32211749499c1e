"""What an estimator answers: an estimate with its status, never a number standing for ignorance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

NAN = float("nan")

Shape = Literal["interval", "exclusive", "half_line", "line", "undefined"]
"""An interval; everything outside a gap; everything on one side; everything; nothing that can be said."""


class Status(StrEnum):
    """Whether a number may be read, and if not, why."""

    OK = "ok"
    DEGENERATE = "degenerate"
    INSUFFICIENT_DATA = "insufficient_data"
    UNDEFINED_RELATIVE = "undefined_relative"
    UNBOUNDED = "unbounded"
    INVALID_DATA = "invalid_data"
    IMMATURE = "immature"
    BLOCKED = "blocked"
    FAILED = "failed"
    NOT_TESTABLE = "not_testable"


@dataclass(frozen=True)
class Relative:
    """A lift over the control mean, as fractions.

    Attributes:
        status: ``ok``, ``unbounded`` (the control mean is not distinguishable from 0),
            ``undefined_relative``, ``degenerate`` (the quotient does not vary), or that of the absolute effect.
        reason: Why it is not ok; empty when it is.
        lift: (mean_treatment - mean_control) / |mean_control|.
        low, high: Ends of the interval, -inf and inf where unbounded, NaN where undefined.
        excluded: The open gap that an unbounded set leaves out, None where it leaves out nothing.
    """

    status: Status
    reason: str
    lift: float
    low: float
    high: float
    excluded: tuple[float, float] | None = None

    @property
    def shape(self) -> Shape:
        """Which kind of set is compatible with the data."""
        if math.isnan(self.low) or math.isnan(self.high):
            return "undefined"
        if self.excluded is not None:
            return "exclusive"
        ends = math.isfinite(self.low) + math.isfinite(self.high)
        return ("line", "half_line", "interval")[ends]  # type: ignore[return-value]

    def contains(self, lift: float) -> bool:
        """Whether the data are compatible with a lift; False where the set is undefined."""
        outside = self.excluded is not None and self.excluded[0] < lift < self.excluded[1]
        return self.low <= lift <= self.high and not outside


def without_lift(status: Status, reason: str, lift: float = NAN) -> Relative:
    """A lift without an interval."""
    return Relative(status, reason, lift, NAN, NAN)


UNDEFINED = without_lift(Status.UNDEFINED_RELATIVE, "the control mean is 0")


@dataclass(frozen=True)
class Estimate:
    """The effect of treatment against control.

    Attributes:
        status, reason: Whether the numbers may be read; a reason beside ``ok`` is a caution.
        estimator: welch, ratio, cuped, ratio_cuped, lin, ratio_lin, score, clustered, quantile, clustered_quantile,
            stratified (with the former's name where it adjusts), factorial (likewise), bootstrap,
            jackknife, adaptively_weighted or batched.
        n_control, n_treatment: Units (clusters for ``clustered``).
        mean_control, mean_treatment: Means, adjusted where the estimator adjusts.
        var_control, var_treatment: Per-unit variances the standard error is made of.
        var_mean_control, var_mean_treatment, cov_means: Variances and covariance of the two means.
        effect: mean_treatment - mean_control, in the metric's unit.
        se: Its standard error; for a score interval, under the null.
        df: Welch-Satterthwaite degrees of freedom; inf for a score interval.
        null: The effect under the null hypothesis.
        p_value: Two-sided; the null lies outside [low, high] exactly when it is below 1 - level.
        low, high: Interval of the effect at ``level``.
        level: Confidence level.
        relative: The lift.
        unadjusted_effect: The effect without covariates.
        variance_reduction: Share of variance removed by covariates, 0 without any.
        theta: Slopes of the covariates, in their order.
    """

    status: Status
    reason: str
    estimator: str
    n_control: int
    n_treatment: int
    mean_control: float = NAN
    mean_treatment: float = NAN
    var_control: float = NAN
    var_treatment: float = NAN
    var_mean_control: float = NAN
    var_mean_treatment: float = NAN
    cov_means: float = 0.0
    effect: float = NAN
    se: float = NAN
    df: float = NAN
    null: float = 0.0
    p_value: float = NAN
    low: float = NAN
    high: float = NAN
    level: float = NAN
    relative: Relative = Relative(Status.UNDEFINED_RELATIVE, "no estimate", NAN, NAN, NAN)
    unadjusted_effect: float = NAN
    variance_reduction: float = 0.0
    theta: tuple[float, ...] = ()

    def cautioned(self, caution: str | None) -> Estimate:
        """The same estimate with a caution added to its reason."""
        if not caution:
            return self
        return replace(self, reason=f"{self.reason}; {caution}" if self.reason else caution)
