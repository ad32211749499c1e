"""A second reading that lets units of a cluster be alike, arms sharing clusters included."""

from __future__ import annotations

import numpy as np

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Estimate, Status, without_lift
from xp_pipeline.stats.means import contrast, satterthwaite
from xp_pipeline.stats.moments import Vector

FEW_CLUSTERS = 40


def few_clusters(clusters: int) -> str | None:
    """A caution below 40 clusters, where intervals were measured to cover less than their level."""
    return f"only {clusters} clusters: the interval is approximate" if clusters < FEW_CLUSTERS else None


def clustered(control: Vector, treatment: Vector, *, alpha: float = 0.05, null: float = 0.0) -> Estimate:
    """Difference of two ratios of sums with cluster-robust errors.

    Each cluster's pull on an arm's ratio is (y_g - R d_g) / sum d; variances and the covariance of the arms
    are sums of products of the pulls. Where a cluster has units of both arms, they are times G / (G - 1), with
    G - 1 degrees of freedom (Liang, Zeger 1986, Biometrika 73). Where every cluster is of one arm, each arm has
    its own G_a / (G_a - 1), with Welch's degrees of freedom: the delta method on cluster sums.

    Args:
        control, treatment: Sums of outcome and units (or denominator) by cluster, shape (G, 2), in the same
            order of clusters; a cluster without units in an arm has zeros there.
    """
    if control.shape != treatment.shape:
        raise EvidenceError("arms have the same clusters in the same order", found=(len(control), len(treatment)))
    present = [arm.any(axis=1) for arm in (control, treatment)]
    shared = bool((present[0] & present[1]).any())
    g = int((present[0] | present[1]).sum())
    held = int(present[0].sum()), int(present[1].sum())
    refused = _unusable(control, treatment, held)
    if refused:
        return refused
    ratios = [float(arm[:, 0].sum() / arm[:, 1].sum()) for arm in (control, treatment)]
    c, t = (
        (arm[:, 0] - ratio * arm[:, 1]) / arm[:, 1].sum()
        for arm, ratio in zip((control, treatment), ratios, strict=True)
    )
    of = (g, g) if shared else held
    v_c, v_t = (float(np.sum(pull**2)) * n / (n - 1) for pull, n in zip((c, t), of, strict=True))
    cov = float(np.sum(c * t)) * g / (g - 1)
    df = satterthwaite(v_c, held[0], v_t, held[1]) if not shared and v_c + v_t > 0 else g - 1
    joint = (v_c, v_t, cov)
    found = contrast("clustered", held, (ratios[0], ratios[1]), joint, df=df, alpha=alpha, null=null)
    return found.cautioned(few_clusters(g) if found.status == Status.OK else None)


def _unusable(control: Vector, treatment: Vector, held: tuple[int, int]) -> Estimate | None:
    """The answer where there can be no estimate: one cluster alone has no pull on its arm's ratio, so no error."""
    if not (np.isfinite(control).all() and np.isfinite(treatment).all()):
        status, reason = Status.INVALID_DATA, "a sum is infinite or not a number"
    elif control[:, 1].sum() == 0 or treatment[:, 1].sum() == 0:
        status, reason = Status.INSUFFICIENT_DATA, "an arm has no units"
    elif min(held) < 2:
        status, reason = Status.INSUFFICIENT_DATA, "an arm has fewer than two clusters"
    else:
        return None
    return Estimate(status, reason, "clustered", *held, relative=without_lift(status, reason))
