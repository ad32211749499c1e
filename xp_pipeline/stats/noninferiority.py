"""Non-inferiority: whether harm beyond a margin, absolute or relative to control, can be ruled out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Status
from xp_pipeline.stats.means import satterthwaite, t_quantile, t_sf
from xp_pipeline.stats.relative import fieller
from xp_pipeline.stats.score import Counts, difference_limits, difference_se, ratio_limits, ratio_se


@dataclass(frozen=True)
class NonInferiority:
    """A one-sided test that treatment is not worse than control by a margin.

    Attributes:
        status, reason: Whether the numbers may be read; a reason beside ``ok`` is a caution.
        p_value: One-sided; small when harm as large as the margin is ruled out, NaN where undefined.
        holds: Whether p_value <= alpha, which is when the bound is on the good side of the margin; None where
            undefined.
        bound: One-sided confidence bound on the side of harm (lower when an increase is good): of the effect,
            or of the lift when the margin is relative.
        margin: Harm tolerated, positive: in the metric's unit, or as a share of |mean_control|.
    """

    status: Status
    reason: str
    p_value: float
    holds: bool | None
    bound: float
    margin: float


def non_inferiority(
    estimate: Estimate, *, margin: float, relative: bool, increase_is_good: bool, alpha: float = 0.05
) -> NonInferiority:
    """Test that harm is at least the margin, one-sided at ``alpha``.

    Absolute margin: t = (effect + margin) / se where an increase is good. Relative margin: the contrast
    m_t - k m_c, k = 1 - margin (1 + margin where an increase is bad), with its own variance v_t + k^2 v_c - 2
    k cov and degrees of freedom, so that the noise of the control mean counts; the bound of the lift is
    Fieller's at the same critical value. Small counts (estimator ``score``) use the score statistic at the
    margin (Farrington, Manning 1990, Stat. Med. 9).

    Args:
        estimate: Any comparison of two arms.
        margin: Harm tolerated, positive.
        relative: Whether the margin is a share of |mean_control|.
        increase_is_good: Direction of the metric.
        alpha: One-sided error rate, below 0.5.
    """
    if not 0 < margin < math.inf:
        raise EvidenceError("a margin is the harm tolerated", found=margin, allowed="a positive number")
    if not 0 < alpha < 0.5:
        raise EvidenceError("a one-sided alpha is small", found=alpha, allowed="between 0 and 0.5, such as 0.05")
    question = _Question(margin, 1 if increase_is_good else -1, alpha)
    if estimate.estimator == "score" and math.isfinite(estimate.effect):
        return (_score_ratio if relative else _score_difference)(_counts(estimate), question)
    if estimate.status != Status.OK:
        return question.unanswered(estimate.status, estimate.reason)
    return (_contrast if relative else _difference)(estimate, question)


class _Question(NamedTuple):
    """A margin, the sign of a good change, and the error rate; turns a statistic into an answer."""

    margin: float
    good: int
    alpha: float

    def answer(self, statistic: float, df: float, bound: float, reason: str = "") -> NonInferiority:
        p_value = t_sf(statistic, df)
        return NonInferiority(Status.OK, reason, p_value, p_value <= self.alpha, bound, self.margin)

    def unanswered(self, status: Status, reason: str) -> NonInferiority:
        return NonInferiority(status, reason, NAN, None, NAN, self.margin)


def _difference(estimate: Estimate, question: _Question) -> NonInferiority:
    statistic = (question.good * estimate.effect + question.margin) / estimate.se
    bound = estimate.effect - question.good * t_quantile(1 - question.alpha, estimate.df) * estimate.se
    return question.answer(statistic, estimate.df, bound, estimate.reason)


def _contrast(estimate: Estimate, question: _Question) -> NonInferiority:
    m_c, v_c, v_t = estimate.mean_control, estimate.var_mean_control, estimate.var_mean_treatment
    k = 1 - question.good * math.copysign(question.margin, m_c)
    variance = v_t + k**2 * v_c - 2 * k * estimate.cov_means
    if not variance > 0:
        return question.unanswered(Status.DEGENERATE, "no variance at the margin")
    df = _contrast_df(estimate, k)
    lift = fieller(m_c, estimate.mean_treatment, v_c, v_t, estimate.cov_means, t_quantile(1 - question.alpha, df))
    if lift.status not in (Status.OK, Status.DEGENERATE):
        return question.unanswered(lift.status, lift.reason)
    end = lift.low if question.good > 0 else lift.high
    bound = end if lift.status == Status.OK else lift.lift
    statistic = question.good * (estimate.mean_treatment - k * m_c) / math.sqrt(variance)
    return question.answer(statistic, df, bound, estimate.reason)


def _contrast_df(estimate: Estimate, k: float) -> float:
    """Degrees of freedom of m_t - k m_c; those of the estimate where it has no per-unit variances."""
    if not math.isfinite(estimate.var_control + estimate.var_treatment):
        return estimate.df
    shares = estimate.var_treatment / estimate.n_treatment, k**2 * estimate.var_control / estimate.n_control
    if not sum(shares) > 0:
        return estimate.df
    return satterthwaite(shares[0], estimate.n_treatment, shares[1], estimate.n_control)


def _counts(estimate: Estimate) -> Counts:
    events = (
        round(estimate.mean_control * estimate.n_control),
        round(estimate.mean_treatment * estimate.n_treatment),
    )
    return Counts(events[0], estimate.n_control, events[1], estimate.n_treatment)


def _score_difference(counts: Counts, question: _Question) -> NonInferiority:
    limit = -question.good * question.margin
    distance = question.good * (counts.difference - limit)
    return _score_answer(counts, question, distance, difference_se(counts, limit), difference_limits, 0.0)


def _score_ratio(counts: Counts, question: _Question) -> NonInferiority:
    if not counts.events_c:
        return question.unanswered(Status.UNDEFINED_RELATIVE, "no unit of the control arm has the event")
    phi = 1 - question.good * question.margin
    distance = question.good * (counts.events_t / counts.n_t - phi * counts.events_c / counts.n_c)
    return _score_answer(counts, question, distance, ratio_se(counts, phi), ratio_limits, 1.0)


def _score_answer(
    counts: Counts,
    question: _Question,
    distance: float,
    se: float,
    limits: Callable[[Counts, float], tuple[float, float]],
    origin: float,
) -> NonInferiority:
    low, high = limits(counts, t_quantile(1 - question.alpha, math.inf))
    bound = (low if question.good > 0 else high) - origin
    return question.answer(counts.z(distance, se), math.inf, bound)
