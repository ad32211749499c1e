"""The difference of two means, by Welch."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Estimate, Status, without_lift
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.relative import Method, fieller, relative_lift

Joint = tuple[float, float, float]
"""Variances of the means of control and treatment, and their covariance."""

SMALLEST_P = sys.float_info.min
"""No p-value is 0: a tail that underflows is reported as 2.2e-308."""


def t_sf(t: float, df: float) -> float:
    """Upper tail of Student's t (normal at infinite df), exact far out; at least 2.2e-308."""
    tail = float(special.stdtr(df, -t)) if math.isfinite(df) else float(special.ndtr(-t))
    return max(tail, SMALLEST_P)


def t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t, normal at infinite df."""
    return float(special.stdtrit(df, p)) if math.isfinite(df) else float(special.ndtri(p))


def two_sided_p(t: float, df: float) -> float:
    """Both tails of Student's t beyond |t|."""
    return min(1.0, 2 * t_sf(abs(t), df))


def satterthwaite(variance_a: float, n_a: int, variance_b: float, n_b: int) -> float:
    """Degrees of freedom of a sum of two variance estimates, by shares so that no square underflows."""
    share = variance_a / (variance_a + variance_b)
    return 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))


def checked_level(alpha: float) -> float:
    """The confidence level of an alpha between 0 and 1."""
    if not 0 < alpha < 1:
        raise EvidenceError("alpha is a probability", found=alpha, allowed="between 0 and 1, such as 0.05")
    return 1 - alpha


def unusable(control: Moments, treatment: Moments, estimator: str) -> Estimate | None:
    """The answer where there can be no estimate: too few units, or numbers that are not finite."""
    if min(control.n, treatment.n) < 2:
        fewest = "no unit" if min(control.n, treatment.n) == 0 else "one unit"
        status, reason = Status.INSUFFICIENT_DATA, f"an arm has {fewest}"
    elif not (control.finite and treatment.finite):
        status, reason = Status.INVALID_DATA, "a value is infinite or not a number"
    else:
        return None
    return Estimate(status, reason, estimator, control.n, treatment.n, relative=without_lift(status, reason))


def welch(control: Moments, treatment: Moments, *, alpha: float = 0.05, null: float = 0.0) -> Estimate:
    """Difference of means with unequal variances.

    se = sqrt(v0 + v1), v = s^2 / n; df = (v0 + v1)^2 / (v0^2/(n0-1) + v1^2/(n1-1)). Welch 1947, Biometrika
    34. Zero variance in one arm is defined; in both it is ``degenerate``.

    Args:
        control, treatment: Moments whose variable 0 is the outcome; others are not read.
        alpha: One minus the level of the interval.
        null: The effect tested against.
    """
    control, treatment = control.take([0]), treatment.take([0])
    refused = unusable(control, treatment, "welch")
    if refused:
        return refused
    return difference(
        "welch",
        control,
        treatment,
        means=(float(control.mean[0]), float(treatment.mean[0])),
        variances=(control.variance(), treatment.variance()),
        alpha=alpha,
        null=null,
    )


def difference(
    estimator: str,
    control: Moments,
    treatment: Moments,
    *,
    means: tuple[float, float],
    variances: tuple[float, float],
    alpha: float,
    null: float,
    shared: Joint | None = None,
    df: float | None = None,
) -> Estimate:
    """An estimate from two means with per-unit variances (control first).

    Args:
        shared: Variances of the two means and their covariance where covariates make them correlated.
        df: Degrees of freedom; Welch and Satterthwaite's unless given.
    """
    v0, v1 = variances[0] / control.n, variances[1] / treatment.n
    varies = 0 < v0 + v1 < math.inf
    found = contrast(
        estimator,
        (control.n, treatment.n),
        means,
        shared or (v0, v1, 0.0),
        variance=v0 + v1,
        df=df if df or not varies else satterthwaite(v0, control.n, v1, treatment.n),
        alpha=alpha,
        null=null,
    )
    return replace(found, var_control=variances[0], var_treatment=variances[1])


def contrast(
    estimator: str,
    units: tuple[int, int],
    means: tuple[float, float],
    joint: Joint,
    *,
    df: float | None,
    alpha: float,
    null: float,
    variance: float | None = None,
) -> Estimate:
    """The difference of two location estimates, treatment minus control, with Fieller's lift.

    Args:
        units: Units of control and treatment.
        means: Their means, ratios or quantiles.
        joint: Variances of the two and their covariance; the lift is made of them.
        df: Degrees of freedom, inf for the normal; not read where nothing varies.
        variance: That of the difference; v_c + v_t - 2 cov unless given.
    """
    level = checked_level(alpha)
    v_c, v_t, cov = joint
    total = v_c + v_t - 2 * cov if variance is None else variance
    effect = means[1] - means[0]
    if df is None or not 0 < total < math.inf:
        status = Status.DEGENERATE if total <= 0 else Status.INVALID_DATA
        reason = "no variance in either arm" if total <= 0 else "a variance is not finite"
        lift = effect / abs(means[0]) if means[0] else NAN
        return Estimate(
            status, reason, estimator, *units, *means, effect=effect, null=null, level=level,
            relative=without_lift(status, reason, lift), unadjusted_effect=effect,
        )  # fmt: skip
    se, q = math.sqrt(total), t_quantile(1 - alpha / 2, df)
    return Estimate(
        Status.OK,
        "",
        estimator,
        *units,
        *means,
        var_mean_control=v_c,
        var_mean_treatment=v_t,
        cov_means=cov,
        effect=effect,
        se=se,
        df=df,
        null=null,
        p_value=two_sided_p((effect - null) / se, df),
        low=effect - q * se,
        high=effect + q * se,
        level=level,
        relative=fieller(*means, var_mean_c=v_c, var_mean_t=v_t, cov=cov, q=q),
        unadjusted_effect=effect,
    )


def at_level(estimate: Estimate, alpha: float, *, method: Method = "fieller") -> Estimate:
    """The same estimate with its intervals at another alpha, or its lift by another method.

    For simultaneous intervals (alpha / m), and for comparison with tools whose lifts are by the delta method
    or of the log ratio. A score estimate's limits are not multiples of its error: see ``score_interval``.
    """
    level = checked_level(alpha)
    if estimate.status != Status.OK or estimate.estimator == "score":
        return estimate
    q = t_quantile(1 - alpha / 2, estimate.df)
    lift = relative_lift(
        estimate.mean_control, estimate.mean_treatment,
        estimate.var_mean_control, estimate.var_mean_treatment, estimate.cov_means, q, method=method,
    )  # fmt: skip
    low, high = estimate.effect - q * estimate.se, estimate.effect + q * estimate.se
    return replace(estimate, low=low, high=high, level=level, relative=lift)
