"""What gbstats, tea-tasting, spotify-confidence and xpyrment answer, for many experiments at once.

Each function gives, by tool, the ends of the 95 % interval of the difference and of the lift as the tool has them: NaN
where it has no answer (gbstats' "(0, 0), p = 1" counts as none). ``installed.py`` holds these to the packages.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Vector = NDArray[np.float64]
Interval = tuple[Vector, Vector]
Scale = Literal["absolute", "relative"]
Kind = Literal["mean", "proportion", "ratio", "cuped"]
Answers = dict[Scale, dict[str, Interval]]

Z = float(special.ndtri(0.975))


class Arms(NamedTuple):
    """Two arms of R experiments over k variables: outcome, then denominator or covariate.

    Attributes:
        n: Units, shape (R, 2), control first.
        mean: Shape (R, 2, k).
        cov: Sample covariances (divisor n - 1), shape (R, 2, k, k).
    """

    n: Vector
    mean: Vector
    cov: Vector

    @classmethod
    def of(cls, control: Vector, treatment: Vector) -> Arms:
        """From values of shapes (R, n, k)."""
        found = [_moments(control), _moments(treatment)]
        return cls(*(np.stack(parts, axis=1) for parts in zip(*found, strict=True)))


def answers(kind: Kind, arms: Arms, *, filtered: Arms | None = None) -> Answers:
    """By scale and tool; ``filtered`` are the units with a positive denominator, which xpyrment keeps."""
    with np.errstate(all="ignore"):
        if kind == "mean":
            return _means(arms)
        if kind == "proportion":
            return _proportions(arms)
        if kind == "cuped":
            return _adjusted(arms)
        return _ratios(arms, filtered or arms)


def sequence_multiplier(n: Vector, planned: float, alpha: float = 0.05) -> Vector:
    """gbstats' confidence sequence over the standard error, n units of both arms, tuned to ``planned``."""
    rho2 = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / planned
    t = n * rho2
    return np.asarray(np.sqrt(2 * (t + 1) / t * np.log(np.sqrt(t + 1) / alpha)))


def documented_msprt(n: Vector, difference: Vector, variance: Vector, tau: float) -> Vector:
    """Logarithm of xpyrment's likelihood ratio: n units an arm, the metric's variance for that of the difference."""
    total = variance + n * tau**2
    return np.asarray(n**2 * difference**2 * tau**2 / (2 * variance * total) + 0.5 * np.log(variance / total))


def _moments(values: Vector) -> tuple[Vector, Vector, Vector]:
    count, n, _ = values.shape
    mean = values.mean(axis=1)
    centred = values - mean[:, None, :]
    return np.full(count, float(n)), mean, np.einsum("rni,rnj->rij", centred, centred) / (n - 1)


def _means(arms: Arms) -> Answers:
    m, v = arms.mean[:, :, 0], arms.cov[:, :, 0, 0]
    return _named(gbstats=_gbstats(m, v, arms.n, m), tea=_tea(m, v, arms.n), spotify=_naive(m, v, arms.n))


def _proportions(arms: Arms) -> Answers:
    """gbstats and spotify take p (1 - p); tea-tasting's ``Proportion`` by the normal law corrects for continuity."""
    p, n = arms.mean[:, :, 0], arms.n
    v = p * (1 - p)
    found = _named(gbstats=_gbstats(p, v, n, p), tea=_continuity(p, n), spotify=_naive(p, v, n, q=Z))
    xpyrment = _naive(p, arms.cov[:, :, 0, 0], n)
    return {scale: {**found[scale], "xpyrment": interval} for scale, interval in xpyrment.items()}


def _adjusted(arms: Arms) -> Answers:
    """One slope over all units, arms not apart; spotify has divisor n in the slope's terms and the normal law."""
    n, total = arms.n, arms.n.sum(axis=1)
    centre = (n[:, :, None] * arms.mean).sum(axis=1) / total[:, None]
    apart = arms.mean - centre[:, None, :]
    products = (arms.cov * (n - 1)[:, :, None, None]).sum(axis=1) + np.einsum("ra,rai,raj->rij", n, apart, apart)
    theta = (products[:, 0, 1] / products[:, 1, 1])[:, None]
    shift = -2 * theta * arms.cov[:, :, 0, 1] + theta**2 * arms.cov[:, :, 1, 1]
    v = arms.cov[:, :, 0, 0] + shift
    m, plain = arms.mean[:, :, 0] - theta * apart[:, :, 1], arms.mean[:, :, 0]
    spotify = _naive(m, arms.cov[:, :, 0, 0] + shift * (n - 1) / n, n, q=Z)
    found = _named(gbstats=_gbstats(m, v, n, plain), tea=_tea(m, v, n), spotify=spotify)
    xpyrment = _naive(m, v, n)
    return {scale: {**found[scale], "xpyrment": interval} for scale, interval in xpyrment.items()}


def _ratios(arms: Arms, filtered: Arms) -> Answers:
    """spotify-confidence has no delta method: events of the denominator are its units."""
    r, v = _delta(arms)
    events = arms.n * arms.mean[:, :, 1]
    found = _named(
        gbstats=_gbstats(r, v, arms.n, r), tea=_tea(r, v, arms.n), spotify=_naive(r, r * (1 - r), events, q=Z)
    )
    xpyrment = _naive(*_delta(filtered), filtered.n)
    return {scale: {**found[scale], "xpyrment": interval} for scale, interval in xpyrment.items()}


def _delta(arms: Arms) -> tuple[Vector, Vector]:
    """Ratios and their per-unit variances."""
    y, d = arms.mean[:, :, 0], arms.mean[:, :, 1]
    r = y / d
    return r, (arms.cov[:, :, 0, 0] - 2 * r * arms.cov[:, :, 0, 1] + r**2 * arms.cov[:, :, 1, 1]) / d**2


def _named(*, gbstats: dict[Scale, Interval], tea: dict[Scale, Interval], spotify: dict[Scale, Interval]) -> Answers:
    tools = {"gbstats": gbstats, "tea-tasting": tea, "spotify": spotify, "xpyrment": spotify}
    return {scale: {tool: found[scale] for tool, found in tools.items()} for scale in ("absolute", "relative")}


def _gbstats(m: Vector, v: Vector, n: Vector, plain: Vector) -> dict[Scale, Interval]:
    """The delta method over the unadjusted control mean, with the degrees of freedom of the difference."""
    of_mean = v / n
    q = special.stdtrit(_satterthwaite(of_mean, n), 0.975)
    undefined = (m[:, 0] == 0) | (plain[:, 0] == 0) | (v <= 0).any(axis=1)
    squared = of_mean[:, 1] / plain[:, 0] ** 2 + of_mean[:, 0] * plain[:, 1] ** 2 / plain[:, 0] ** 4
    d = m[:, 1] - m[:, 0]
    return {
        "absolute": _around(np.where(undefined, np.nan, d), q * np.sqrt(of_mean.sum(axis=1))),
        "relative": _around(np.where(undefined, np.nan, d / plain[:, 0]), q * np.sqrt(squared)),
    }


def _tea(m: Vector, v: Vector, n: Vector) -> dict[Scale, Interval]:
    """Welch; the log ratio with degrees of freedom on its own scale."""
    of_mean, of_log = v / n, v / m / m / n
    factor = np.exp(special.stdtrit(_satterthwaite(of_log, n), 0.975) * np.sqrt(of_log.sum(axis=1)))
    ratio = m[:, 1] / m[:, 0]
    half = special.stdtrit(_satterthwaite(of_mean, n), 0.975) * np.sqrt(of_mean.sum(axis=1))
    return {"absolute": _around(m[:, 1] - m[:, 0], half), "relative": (ratio / factor - 1, ratio * factor - 1)}


def _continuity(p: Vector, n: Vector) -> dict[Scale, Interval]:
    """The normal law with the pooled share's variance and Yates' correction; none without an event."""
    correction, pooled = 0.5 * (1 / n).sum(axis=1), (p * n).sum(axis=1) / n.sum(axis=1)
    se = np.sqrt(pooled * (1 - pooled) * (1 / n).sum(axis=1))
    half = np.where(se > 0, Z * se + correction, np.nan)
    d, ratio = p[:, 1] - p[:, 0], p[:, 1] / p[:, 0]
    factor = np.exp(Z * se / pooled + correction / p[:, 0])
    absolute = np.maximum(d - half, -1), np.minimum(d + half, 1)
    return {"absolute": absolute, "relative": (ratio / factor - 1, ratio * factor - 1)}


def _naive(m: Vector, v: Vector, n: Vector, *, q: float | None = None) -> dict[Scale, Interval]:
    """Welch's interval, or the normal law's; for the lift both ends are divided by the control mean."""
    of_mean = v / n
    half = (special.stdtrit(_satterthwaite(of_mean, n), 0.975) if q is None else q) * np.sqrt(of_mean.sum(axis=1))
    low, high = _around(m[:, 1] - m[:, 0], half)
    return {"absolute": (low, high), "relative": (low / m[:, 0], high / m[:, 0])}


def _satterthwaite(v: Vector, n: Vector) -> Vector:
    """Degrees of freedom from variances of means, shape (R, 2)."""
    return np.asarray(v.sum(axis=1) ** 2 / (v**2 / (n - 1)).sum(axis=1))


def _around(centre: Vector, half: Vector) -> Interval:
    return centre - half, centre + half
