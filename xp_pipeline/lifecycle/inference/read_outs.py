"""Bayesian read-outs beside the promised tests: only at looks, and never part of a verdict."""

from __future__ import annotations

import math
from typing import Any

from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.spec.effects import EffectPrior
from xp_pipeline.spec.experiment import DECIDING
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.bayes import CAUTION, Posterior, Prior, gaussian_effect
from xp_pipeline.stats.beta_binomial import beta_binomial
from xp_pipeline.stats.estimates import Estimate, Status

FLAT = "flat"
_RAW = ("welch", "score")


def read_out(setting: Setting, row: Row) -> Row:
    """The read-out columns of a row; nothing where the row may not be read yet, or holds no estimate."""
    estimate: Estimate | None = row.get("estimate")
    if estimate is None or row["status"] != str(Status.OK) or not _is_read(setting, row):
        return {}
    metric, declared = setting.metrics[row["metric"]], setting.bound.experiment.analysis.prior
    refused = _refused(row, estimate, declared)
    if refused:
        return {"bayes_method": "", "bayes_reason": refused}
    method, posterior = _posterior(metric, estimate, declared, setting.level_alpha)
    if posterior.status != Status.OK:
        return {"bayes_method": "", "bayes_reason": posterior.reason}
    return {
        "bayes_method": method,
        "bayes_prior": _named(declared, method),
        "posterior_mean": posterior.mean,
        "posterior_low": posterior.low,
        "posterior_high": posterior.high,
        "chance_to_win": posterior.chance_to_win,
        "expected_loss": posterior.loss_ship,
        "bayes_reason": CAUTION,
    }


def _is_read(setting: Setting, row: Row) -> bool:
    """At the final look every row about everybody; at a look before it those that the look tests.

    Levels of segments have none: a chance to win a level would be read as a verdict on it.
    """
    if row["segment"]:
        return False
    return setting.final or ("tests" in row and row["role"] in DECIDING)


def _refused(row: Row, estimate: Estimate, declared: EffectPrior | None) -> str:
    if not (math.isfinite(estimate.effect) and math.isfinite(estimate.se) and estimate.se > 0):
        return "the estimate has no standard error"
    if declared and str(row["estimator"]).startswith("log_"):
        return "the prior is of the metric, not of its logarithm"
    return ""


def _posterior(metric: Metric, estimate: Estimate, declared: EffectPrior | None, alpha: float) -> tuple[str, Posterior]:
    """Proportions by Beta distributions where nothing is adjusted and no prior of the effect is declared."""
    settings: dict[str, Any] = {"increase_is_good": metric.direction == "increase", "alpha": alpha}
    if metric.binary and declared is None and estimate.estimator in _RAW:
        counts = (estimate.mean_control, estimate.n_control), (estimate.mean_treatment, estimate.n_treatment)
        (events_c, n_c), (events_t, n_t) = ((round(share * n), n) for share, n in counts)
        return "beta_binomial", beta_binomial(events_c, n_c, events_t, n_t, **settings)
    prior = Prior(declared.mean, declared.sd, declared.scale) if declared else None
    return "gaussian", gaussian_effect(estimate, prior=prior, **settings)


def _named(declared: EffectPrior | None, method: str) -> str:
    if declared is None:
        return f"{FLAT} (Beta(1, 1) in both arms)" if method == "beta_binomial" else FLAT
    unit = "of the lift" if declared.scale == "relative" else "in the metric's unit"
    return f"normal, mean {declared.mean:g} and sd {declared.sd:g} {unit}"
