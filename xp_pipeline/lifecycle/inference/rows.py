"""From an estimate to a row of results: what is said, under which setting, and what is withheld."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xp_pipeline.lifecycle.comparisons import Comparison, decided
from xp_pipeline.lifecycle.inference.margins import harm_p, harm_threshold, needed
from xp_pipeline.lifecycle.inference.strata import designed_strata
from xp_pipeline.lifecycle.measurement.measure import Reading
from xp_pipeline.lifecycle.schedule import Occasion, measured_metrics
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import MetricUse, RoleName
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.estimates import NAN, Estimate, Status, without_lift
from xp_pipeline.stats.sequences import confidence_band
from xp_pipeline.stats.spending import DETERIORATION_ALPHA

Row = dict[str, Any]
UNDEFINED_LIFT = without_lift(Status.UNDEFINED_RELATIVE, "")


@dataclass(frozen=True)
class Setting:
    """What an inference is made under.

    Attributes:
        bound: The spec.
        final: Whether p-values may be shown.
        planned_n: Units that interim bands are tuned to.
        deciding: The population that decisions read.
        alpha, correction: Replaced in a labelled re-analysis only.
        occasion: Which look this is; None where tests are made as if no other look had been taken.
    """

    bound: Bound
    final: bool
    planned_n: int
    deciding: str
    blocked_populations: Sequence[str] = ()
    alpha: float | None = None
    correction: str | None = None
    occasion: Occasion | None = None

    @property
    def level_alpha(self) -> float:
        return self.alpha if self.alpha is not None else self.bound.experiment.analysis.alpha

    def margin_alpha(self, role: str) -> float:
        """One-sided level of a test against a margin, before the family it is in."""
        return self.bound.experiment.analysis.guardrail_alpha if role == "guardrail" else self.level_alpha

    @property
    def primary_tests(self) -> int:
        """Hypotheses that share alpha: every primary metric of every treatment."""
        return len(self.bound.experiment.metrics.primary) * len(decided(self.bound))

    @property
    def harm_level(self) -> float:
        """One-sided level of each test of harm: an arm's budget, shared equally over what is tested."""
        return DETERIORATION_ALPHA / max(sum(role != "exploratory" for role, _, _ in self.bound.uses), 1)

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics as this reading measures them."""
        return measured_metrics(self.bound, final=self.final)

    @cached_property
    def strata(self) -> dict[str, dict[str, float]] | None:
        """Designed shares by phase or branch."""
        return designed_strata(self.bound)

    @cached_property
    def roles(self) -> dict[str, tuple[RoleName, MetricUse]]:
        """Role and use of every metric."""
        return {use.metric: (role, use) for role, use, _ in self.bound.uses}


def described(
    setting: Setting,
    metric: Metric,
    role: str,
    comparison: Comparison,
    segment: str,
    level: str,
    estimate: Estimate,
    reading: Reading,
) -> Row:
    """An estimate as columns: between looks with a band that holds at all of them."""
    return {
        "metric": metric.name,
        "metric_type": metric.type,
        "role": role,
        "direction": metric.direction,
        "segment": segment,
        "segment_value": level,
        "arm": comparison.name,
        "baseline": comparison.baseline,
        "status": str(estimate.status),
        "reason": estimate.reason,
        "n_arm": estimate.n_treatment,
        "n_baseline": estimate.n_control,
        "mean_arm": estimate.mean_treatment,
        "mean_baseline": estimate.mean_control,
        "variance_arm": estimate.var_treatment,
        "variance_baseline": estimate.var_control,
        "effect": estimate.effect,
        "se": estimate.se,
        "df": estimate.df,
        "cap_value": reading.cap,
        "capped_share": reading.capped_share,
        "alpha": setting.level_alpha,
        **_interval(setting, estimate, logarithmic=reading.variant == "log"),
        **_adjustment(estimate, reading),
    }


def _interval(setting: Setting, estimate: Estimate, *, logarithmic: bool) -> Row:
    """The interval of the effect and of the lift, which the logarithm has none of."""
    ok = estimate.status == Status.OK
    low, high, lift = estimate.low, estimate.high, estimate.relative
    if ok and not setting.final:
        low, high, lift = confidence_band(estimate, planned_n=setting.planned_n, alpha=setting.level_alpha)
    if logarithmic or not ok:
        lift = UNDEFINED_LIFT
    return {
        "ci_level": estimate.level,
        "ci_low": low,
        "ci_high": high,
        "interval_kind": "confidence" if setting.final else "sequence",
        "p_value": estimate.p_value if ok else None,
        "lift": lift.lift,
        "lift_low": lift.low,
        "lift_high": lift.high,
        "lift_status": str(lift.status),
        "lift_reason": lift.reason,
    }


def _adjustment(estimate: Estimate, reading: Reading) -> Row:
    """What covariates did."""
    slopes = dict(zip(reading.covariates, estimate.theta, strict=False))
    return {
        "cuped_applied": bool(estimate.theta),
        "variance_reduction": estimate.variance_reduction if estimate.status == Status.OK else NAN,
        "theta": json.dumps(slopes) if estimate.theta else "",
    }


def judged(setting: Setting, role: str, use: MetricUse, metric: Metric, estimate: Estimate) -> Row:
    """What a verdict at the end of a fixed-horizon design reads: harm, and what would have changed it."""
    if not setting.final or role == "exploratory" or estimate.status != Status.OK:
        return {}
    harm = harm_p(use, metric, estimate)
    row: Row = {
        "harmed": None if math.isnan(harm) else harm <= setting.harm_level,
        "harmful_effect": harm_threshold(use, estimate, level=setting.harm_level),
    }
    return row | needed(use, metric, estimate, alpha=setting.margin_alpha(role))


def withheld(row: Row, reason: str) -> Row:
    """The row of a blocked estimate: everything measured is gone, what it would have been about stays."""
    kept = (
        "metric", "metric_type", "role", "direction", "segment", "segment_value", "arm", "baseline", "population",
        "estimator", "main", "decisive", "interval_kind", "margin", "margin_relative", "margin_kind", "alpha",
    )  # fmt: skip
    return {key: row[key] for key in kept if key in row} | {"status": str(Status.BLOCKED), "reason": reason}
