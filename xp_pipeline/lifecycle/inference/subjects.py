"""What tests between effects are about: the deciding reading of a metric, with one comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from xp_pipeline.lifecycle.comparisons import Comparison, comparisons
from xp_pipeline.lifecycle.inference.estimators import estimates
from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.lifecycle.measurement.measure import Reading, decisive_variant
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.experiment import DECIDING
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.heterogeneity import Difference


class Subject(NamedTuple):
    """The deciding reading of a metric, one comparison, and the setting they are read under."""

    setting: Setting
    metric: Metric
    reading: Reading
    comparison: Comparison

    def row(self, kind: str, *, status: str, reason: str = "", **values: object) -> Row:
        """A row about it."""
        return about(self.setting.bound, self.setting.deciding, self.metric, self.comparison) | {
            "kind": kind,
            "status": status,
            "reason": reason,
            "alpha": self.setting.level_alpha,
            **values,
        }

    def effect(self, segment: str, level: str, reading: Reading | None = None) -> Estimate:
        """The deciding estimate in a level of a segment, as the results have it."""
        alpha, shares = self.setting.level_alpha, self.setting.strata
        read = reading or self.reading
        return estimates(self.metric, read, self.comparison, segment, level, alpha=alpha, shares=shares)[-1]

    def compared(self, kind: str, one: Estimate, other: Estimate, found: Difference, **values: Any) -> Row:
        """A row about the difference of two effects; ``found`` is the first less the second."""
        return self.row(
            kind,
            status=str(found.status),
            reason=found.reason,
            estimator=one.estimator,
            n_arm=one.n_treatment,
            n_baseline=one.n_control,
            effect=one.effect,
            effect_against=other.effect,
            **tested(found),
            **values,
        )


def tested(found: Difference) -> Row:
    """The columns of a difference and its test."""
    return {
        "difference": found.difference,
        "se": found.se,
        "df": found.df,
        "ci_level": found.level,
        "ci_low": found.low,
        "ci_high": found.high,
        "p_value": found.p_value if found.status == Status.OK else None,
    }


def about(bound: Bound, population: str, metric: Metric, comparison: Comparison) -> Row:
    """The columns that say which metric and comparison a row is about."""
    roles = {use.metric: role for role, use, _ in bound.uses}
    return {
        "population": population,
        "metric": metric.name,
        "role": roles[metric.name],
        "direction": metric.direction,
        "arm": comparison.name,
        "baseline": comparison.baseline,
    }


def subjects(setting: Setting, readings: Mapping[str, Sequence[Reading]]) -> Iterator[Subject]:
    """Every deciding reading with every comparison."""
    order = {use.metric: place for place, (_, use, _) in enumerate(setting.bound.uses)}
    for reading in sorted(readings.get(setting.deciding, ()), key=lambda reading: order[reading.metric]):
        metric = setting.metrics[reading.metric]
        role, _ = setting.roles[metric.name]
        if role in DECIDING and reading.variant == decisive_variant(metric):
            for comparison in comparisons(setting.bound):
                yield Subject(setting, metric, reading, comparison)
