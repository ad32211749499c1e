"""Tests against a declared margin: harm beyond it ruled out, or any change beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from xp_pipeline.decision.counterfactual import harmful_effect, smallest_margin
from xp_pipeline.lifecycle.planning.plan import absolute
from xp_pipeline.spec.experiment import MetricUse
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.equivalence import equivalence
from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.means import t_sf
from xp_pipeline.stats.noninferiority import non_inferiority

Row = dict[str, Any]


class MarginTest(NamedTuple):
    """What the data say of a margin.

    Attributes:
        status: Whether the numbers may be read.
        p_value: One-sided; of equivalence the larger of two.
        holds: Whether it is at most alpha; None where undefined.
        bound: How bad the effect (or lift) may be; of equivalence the end of its interval that is farther from 0.
    """

    status: Status
    p_value: float
    holds: bool | None
    bound: float


def margin_test(use: MetricUse, metric: Metric, estimate: Estimate, *, alpha: float) -> MarginTest:
    """The test that a use declares: of non-inferiority, or of equivalence.

    Args:
        alpha: One-sided level.
    """
    amount = use.tolerated
    assert amount is not None
    if use.equivalence:
        same = equivalence(estimate, margin=amount.value, relative=amount.relative, alpha=alpha)
        return MarginTest(same.status, same.p_value, same.holds, max(same.low, same.high, key=abs))
    rises = metric.direction == "increase"
    safe = non_inferiority(estimate, margin=amount.value, relative=amount.relative, increase_is_good=rises, alpha=alpha)
    return MarginTest(safe.status, safe.p_value, safe.holds, safe.bound)


def harm_p(use: MetricUse, metric: Metric, estimate: Estimate) -> float:
    """One-sided p-value of harm: of any, or where changes within a margin count as none, of harm beyond it.

    NaN where the margin's test is undefined.
    """
    rises = metric.direction == "increase"
    if use.equivalence is None:
        return t_sf(estimate.effect / estimate.se * (-1 if rises else 1), estimate.df)
    within = non_inferiority(
        estimate, margin=use.equivalence.value, relative=use.equivalence.relative, increase_is_good=rises
    )
    return 1 - within.p_value


def harm_threshold(use: MetricUse, estimate: Estimate, *, level: float) -> float | None:
    """The smallest harm, as a positive number in the metric's unit, that would have counted one-sided at ``level``."""
    least = harmful_effect(estimate, level=level)
    room = absolute(use.equivalence, estimate.mean_control) or 0.0
    return None if least is None else least + room


def stands(test: Mapping[str, Any], use: MetricUse) -> bool:
    """Whether what an earlier look has shown covers the margin of today: one of the same kind, and no wider."""
    if use.tolerated is None:
        return True
    then, now = test.get("margin") or {}, declared(use)
    same = all(then.get(name) == now[name] for name in ("margin_kind", "margin_relative"))
    return same and float(then["margin"]) <= use.tolerated.value


def harm_stands(test: Mapping[str, Any], use: MetricUse) -> bool:
    """Whether the harm that an earlier look has shown is one today: beyond a margin no narrower than today's."""
    if use.equivalence is None:
        return True
    then = test.get("margin") or {}
    return then.get("margin_relative") == use.equivalence.relative and float(then["margin"]) >= use.equivalence.value


def beyond(use: MetricUse) -> Row:
    """The margin that harm is beyond, for the ledger; empty where any harm is one."""
    return declared(use) if use.equivalence else {}


def declared(use: MetricUse) -> Row:
    """The margin itself, as columns of a row; nothing for a metric without one."""
    if use.tolerated is None:
        return {}
    return {
        "margin": use.tolerated.value,
        "margin_relative": use.tolerated.relative,
        "margin_kind": "equivalence" if use.equivalence else "non_inferiority",
    }


def tested(use: MetricUse, metric: Metric, estimate: Estimate, *, alpha: float, final: bool) -> Row:
    """The margin and its test as columns; between looks no bound is shown."""
    if use.tolerated is None:
        return {}
    test = margin_test(use, metric, estimate, alpha=alpha)
    bound = test.bound if final else NAN
    return declared(use) | {"margin_bound": bound, "margin_p_value": test.p_value, "margin_holds": test.holds}


def needed(use: MetricUse, metric: Metric, estimate: Estimate, *, alpha: float) -> Row:
    """The smallest margin that would have held."""
    if use.tolerated is None:
        return {}
    goods = (True, False) if use.equivalence else (metric.direction == "increase",)
    least = [
        smallest_margin(estimate, relative=use.tolerated.relative, increase_is_good=good, alpha=alpha) for good in goods
    ]
    known = [margin for margin in least if margin is not None]
    return {"margin_needed": max(known) if len(known) == len(least) else None}
