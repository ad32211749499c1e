"""A second reading that lets units of a cluster be alike, arms sharing clusters included."""

from __future__ import annotations

import math

import numpy as np

from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import t_quantile, t_sf
from xp_pipeline.stats.moments import Vector
from xp_pipeline.stats.relative import fieller

FEW_CLUSTERS = 40


def clustered(control: Vector, treatment: Vector, *, alpha: float = 0.05, null: float = 0.0) -> Estimate:
    """Difference of two ratios of sums with cluster-robust errors.

    Each cluster's pull on an arm's ratio is (y_g - R d_g) / sum d; variances and the covariance of the arms
    are sums of products of the pulls times G / (G - 1), with G - 1 degrees of freedom (Liang, Zeger 1986,
    Biometrika 73).

    Args:
        control, treatment: Sums of outcome and units (or denominator) by cluster, shape (G, 2), in the same
            order of clusters; a cluster without units in an arm has zeros there.
    """
    g = len(control)
    totals = control.sum(axis=0), treatment.sum(axis=0)
    if g < 2 or totals[0][1] == 0 or totals[1][1] == 0:
        return Estimate(Status.INSUFFICIENT_DATA, "fewer than two clusters, or an arm without units", "clustered", g, g)
    ratios = [float(total[0] / total[1]) for total in totals]
    pulls = [
        (sums[:, 0] - ratio * sums[:, 1]) / total[1]
        for sums, ratio, total in zip((control, treatment), ratios, totals, strict=True)
    ]
    factor = g / (g - 1)
    v_c, v_t = (float(np.sum(pull**2)) * factor for pull in pulls)
    cov = float(np.sum(pulls[0] * pulls[1])) * factor
    effect, variance = ratios[1] - ratios[0], v_c + v_t - 2 * cov
    if not variance > 0:
        return Estimate(Status.DEGENERATE, "no variance between clusters", "clustered", g, g, effect=effect)
    se, df = math.sqrt(variance), g - 1
    q = t_quantile(1 - alpha / 2, df)
    return Estimate(
        Status.OK,
        f"only {g} clusters: the interval is approximate" if g < FEW_CLUSTERS else "",
        "clustered",
        int(np.count_nonzero(control[:, 1])),
        int(np.count_nonzero(treatment[:, 1])),
        mean_control=ratios[0],
        mean_treatment=ratios[1],
        var_mean_control=v_c,
        var_mean_treatment=v_t,
        cov_means=cov,
        effect=effect,
        se=se,
        df=df,
        null=null,
        p_value=2 * t_sf(abs(effect - null) / se, df),
        low=effect - q * se,
        high=effect + q * se,
        level=1 - alpha,
        relative=fieller(ratios[0], ratios[1], var_mean_c=v_c, var_mean_t=v_t, cov=cov, q=q),
        unadjusted_effect=effect,
    )
