"""What a plan knows of each metric: numbers typed in the spec, or else the project's own history."""

from __future__ import annotations

import math
from dataclasses import replace

from xp_pipeline.design.baseline import Baseline, normal_density, quantile_variance
from xp_pipeline.design.history import History
from xp_pipeline.design.traffic import Traffic
from xp_pipeline.errors import EvidenceError
from xp_pipeline.lifecycle.planning.history import Past, kind_of
from xp_pipeline.lifecycle.planning.span import DAY
from xp_pipeline.spec.experiment import Baseline as Typed
from xp_pipeline.spec.experiment import MetricUse
from xp_pipeline.spec.metric import Metric

Known = History | Baseline | None


def known(use: MetricUse, metric: Metric, past: Past, traffic: Traffic | None) -> tuple[Known, str]:
    """What the metric is planned with, and where that comes from; None with the reason.

    Args:
        past: The history, which numbers typed in the spec come before.
        traffic: Distinct units that come, typed or of the past.
    """
    found = past.metrics.get(metric.name, past.reason)
    if use.baseline:
        return _typed(use.baseline, metric, found, traffic)
    if isinstance(found, str):
        return None, f"no baseline typed; {found}"
    assert past.span and traffic
    return replace(found, traffic=traffic), f"{past.span.days} days of history"


def typed_baseline(typed: Typed, metric: Metric) -> Baseline:
    """A baseline of typed numbers; a quantile's density is that of a normal with the typed deviation.

    Raises:
        EvidenceError: A standard deviation is missing, or the numbers cannot be.
    """
    kind = kind_of(metric)
    if kind == "proportion":
        return Baseline(typed.mean, typed.mean * (1 - typed.mean), kind, typed.variance_explained)
    if typed.sd is None:
        raise EvidenceError("typed without a standard deviation")
    variance = typed.sd**2
    if kind == "quantile" and metric.quantile:
        variance = quantile_variance(metric.quantile, density=normal_density(metric.quantile, sd=typed.sd))
    return Baseline(typed.mean, variance, kind, typed.variance_explained)


def traffic_of(units_per_day: float | None, past: Past) -> tuple[Traffic | None, str]:
    """Distinct units by day, typed or as they came before the start, and that as a sentence."""
    if units_per_day:
        return Traffic.steady(units_per_day), f"{units_per_day:,.0f} new units a day (typed)."
    if past.traffic is None or past.span is None:
        return None, f"Traffic is unknown ({past.reason}): set planning.units_per_day to plan run times."
    first, last = past.span.begin, past.span.until
    days = past.span.days
    said = f"{past.traffic.units[-1]:,.0f} units had a first row in {past.span.source} in the {days} days "
    said += f"from {first:%-d %B %Y}"
    growth = past.traffic.exponent
    if growth > 0.95:
        return past.traffic, f"{said}; new ones come at a steady rate."
    return past.traffic, f"{said}, fewer of them new each day (beyond {last:%-d %B} as days^{growth:.2f})."


def _typed(typed: Typed, metric: Metric, found: History | str, traffic: Traffic | None) -> tuple[Known, str]:
    origin = "typed"
    if isinstance(found, History):
        origin += f"; history has {found.baseline(math.inf).mean:.4g}"
    try:
        baseline = typed_baseline(typed, metric)
    except EvidenceError as problem:
        return None, str(problem)
    if traffic is None:
        return baseline, origin
    return History.constant(baseline, traffic, delay=metric.maturity / DAY), origin
