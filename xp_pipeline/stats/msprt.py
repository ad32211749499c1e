"""The mixture sequential probability ratio test: p-values and intervals that may be read at every look."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Relative, Status, without_lift
from xp_pipeline.stats.means import SMALLEST_P, checked_level
from xp_pipeline.stats.relative import fieller
from xp_pipeline.stats.sequences import burn_in


@dataclass(frozen=True)
class Running:
    """What all looks so far say together; the ledger keeps it for the next look.

    Attributes:
        p_value: The smallest min(1, 1 / likelihood ratio) of a look.
        low, high: Effects that no look rules out; low > high where every effect is ruled out by some look.
        tau: Standard deviation of the effects mixed over, the same at every look.
    """

    p_value: float
    low: float
    high: float
    tau: float


@dataclass(frozen=True)
class MixtureTest:
    """The test after a look.

    Attributes:
        status, reason: Whether the numbers may be read; ``insufficient_data`` during the burn-in,
            ``degenerate`` where the intervals of the looks have no value in common.
        p_value: The smallest of all looks so far; NaN before the first.
        low, high: Interval of the effect over all looks so far; leaves out the null exactly when p_value < alpha.
        log_ratio: Logarithm of this look's likelihood ratio of the mixture to the null; NaN without a look.
        relative: The lift at this look alone: Fieller's set at its critical value.
        running: For the next look; None before the first that counts.
    """

    status: Status
    reason: str
    p_value: float
    low: float
    high: float
    log_ratio: float
    relative: Relative
    running: Running | None


def msprt(
    estimate: Estimate,
    *,
    tau: float,
    alpha: float = 0.05,
    previous: Running | None = None,
    nonzero: tuple[float, float] | None = None,
) -> MixtureTest:
    """The test with a normal mixture N(null, tau^2) of effects, after one more look.

        ratio = sqrt(V / (V + tau^2)) exp(tau^2 (d - null)^2 / (2 V (V + tau^2)))

    V is the variance of the difference d. The ratio exceeds 1 / alpha at any look with probability at most
    alpha under the null; the effects whose ratio does not are the interval, |d - effect| <= sqrt(2 V (V +
    tau^2) / tau^2 (log(1 / alpha) + log((V + tau^2) / V) / 2)). Johari, Koomen, Pekelis, Walsh 2022, Oper.
    Res. 70. The guarantee is asymptotic: no look of the burn-in counts.

    Args:
        estimate: The comparison at this look.
        tau: Size of the effects looked for, in the metric's unit; the minimum detectable effect as a rule.
        alpha: Error rate over all looks, of the interval.
        previous: What the looks before this one said.
        nonzero: As for ``sequences.burn_in``.
    """
    checked_level(alpha)
    if not 0 < tau < math.inf:
        raise EvidenceError("the mixture needs the size of effects", found=tau, allowed="a positive number")
    if previous and previous.tau != tau:
        raise EvidenceError("the mixture is the same at every look", found=tau, allowed=previous.tau)
    status, reason = estimate.status, estimate.reason
    if status == Status.OK and (missing := burn_in(estimate, nonzero=nonzero)):
        status, reason = Status.INSUFFICIENT_DATA, missing
    if status != Status.OK:
        return _result(status, reason, NAN, without_lift(status, reason), previous)
    return _looked(estimate, previous or Running(1.0, -math.inf, math.inf, tau), alpha)


def _looked(estimate: Estimate, before: Running, alpha: float) -> MixtureTest:
    v_c, v_t, cov = estimate.var_mean_control, estimate.var_mean_treatment, estimate.cov_means
    variance = v_c + v_t - 2 * cov
    growth = 0.5 * math.log1p(before.tau**2 / variance)
    weight = before.tau**2 / (variance + before.tau**2)
    log_ratio = weight * (estimate.effect - estimate.null) ** 2 / variance / 2 - growth
    q = math.sqrt(2 / weight * (growth - math.log(alpha)))
    half = q * math.sqrt(variance)
    running = Running(
        min(before.p_value, max(math.exp(-max(log_ratio, 0.0)), SMALLEST_P)),
        max(before.low, estimate.effect - half),
        min(before.high, estimate.effect + half),
        before.tau,
    )
    lift = fieller(estimate.mean_control, estimate.mean_treatment, v_c, v_t, cov, q)
    return _result(Status.OK, estimate.reason, log_ratio, lift, running)


def _result(status: Status, reason: str, log_ratio: float, lift: Relative, running: Running | None) -> MixtureTest:
    if running is None:
        return MixtureTest(status, reason, NAN, NAN, NAN, log_ratio, lift, None)
    if running.low <= running.high:
        return MixtureTest(status, reason, running.p_value, running.low, running.high, log_ratio, lift, running)
    apart = "the intervals of the looks have no value in common: the effect changed with time"
    return MixtureTest(Status.DEGENERATE, apart, running.p_value, NAN, NAN, log_ratio, lift, running)
