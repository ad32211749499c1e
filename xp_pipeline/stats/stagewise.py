"""Inference after a group-sequential test has stopped: p-value, median-unbiased estimate and interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.boundaries import Look, joint_variances, paths, z_of_p
from xp_pipeline.stats.brownian import Exits
from xp_pipeline.stats.estimates import NAN, UNDEFINED, Estimate, Relative, Status, without_lift
from xp_pipeline.stats.means import checked_level, t_quantile, t_sf
from xp_pipeline.stats.relative import fieller

_EXPANSIONS = 60


@dataclass(frozen=True)
class Stagewise:
    """What may be said after stopping.

    Attributes:
        status, reason: Whether the numbers may be read, and if not, why.
        p_value: Of the ordering: two-sided for a two-sided test, of an increase for a one-sided one.
        estimate: Median-unbiased effect, in the metric's unit.
        low, high: Interval of the effect at ``level``.
        level: Confidence level; 1 - 2 alpha for a one-sided test, whose decision ``low`` is dual to.
        relative: Median-unbiased lift and its interval.
        naive: The effect as if the looks had not been taken: biased away from the null after stopping early.
        looks: Looks taken.
    """

    status: Status
    reason: str
    p_value: float = NAN
    estimate: float = NAN
    low: float = NAN
    high: float = NAN
    level: float = NAN
    relative: Relative = UNDEFINED
    naive: float = NAN
    looks: int = 0


def stagewise(looks: Sequence[Look], estimate: Estimate, *, alpha: float = 0.05) -> Stagewise:
    """Inference by the stage-wise ordering of outcomes, at the look that stopped the test.

    Crossing the upper boundary is more extreme the earlier it happens and, at one look, the larger z is;
    crossing the lower one mirrors it. p(d) is the probability, at a true effect d, of an outcome at least
    as high as the one observed; the estimate solves p(d) = 1/2, the interval p(low) = a and p(high) = 1 - a,
    a the error rate of one side. It leaves out the null exactly when a boundary was crossed (Fairbanks, Madsen
    1982, Biometrika 69; Tsiatis, Rosner, Mehta 1984, Biometrics 40).

    With few degrees of freedom z is the normal quantile of the t statistic against d, so that one look gives
    Welch's interval. The lift r uses the contrast m_t - (1 + r) m_c of Fieller at the drift of r |m_c|.

    Args:
        looks: Looks of the test in order. The last is where it stopped: by crossing, or as its final look.
        estimate: The comparison at the last look.
        alpha: Error rate of the test; a two-sided test has half of it on either side.
    """
    if not looks:
        raise EvidenceError("stage-wise inference needs the looks that were taken")
    if estimate.status != Status.OK:
        undefined = without_lift(estimate.status, estimate.reason)
        return Stagewise(estimate.status, estimate.reason, relative=undefined, naive=estimate.effect, looks=len(looks))
    two_sided = looks[-1].lower is not None
    side = alpha / 2 if two_sided else alpha
    order = _Ordering(looks, estimate)
    up, down = order.above(estimate.null), order.below(estimate.null)
    point, low, high = (order.effect_at(share) for share in (0.5, side, 1 - side))
    return Stagewise(
        Status.OK,
        "the naive estimate is biased by the looks before it" if len(looks) > 1 else "",
        p_value=min(1.0, 2 * min(up, down)) if two_sided else up,
        estimate=point,
        low=low,
        high=high,
        level=checked_level(2 * side),
        relative=order.lift(side),
        naive=estimate.effect,
        looks=len(looks),
    )


class _Ordering:
    """Probabilities, at any true effect, of outcomes above and below the observed one."""

    def __init__(self, looks: Sequence[Look], estimate: Estimate) -> None:
        self.estimate, self.variances = estimate, joint_variances(estimate)
        *earlier, (self.path, self.look) = zip(paths(looks), looks, strict=True)
        self.over = Exits.of((path, look.information, look.upper) for path, look in earlier)
        self.under = Exits.of(
            (path.mirrored(), look.information, -look.lower) for path, look in earlier if look.lower is not None
        )

    def above(self, effect: float, statistic: float | None = None) -> float:
        """P(an outcome at least as high) where the true effect and the statistic against it are given."""
        drift, z = self._observed(effect, statistic)
        return self.over.probability(drift) + self.path.above(self.look.information, z, drift)

    def below(self, effect: float, statistic: float | None = None) -> float:
        """P(an outcome at most as high)."""
        drift, z = self._observed(effect, statistic)
        return self.under.probability(-drift) + self.path.below(self.look.information, z, drift)

    def effect_at(self, share: float) -> float:
        """The effect at which an outcome at least as high has a probability."""
        se, null = self.estimate.se, self.estimate.null
        start = (self.estimate.effect - null) / se
        return null + se * _crossed(lambda shift: self._share(null + shift * se), share, start)

    def lift(self, side: float) -> Relative:
        """The lifts at which an outcome at least as high has probability 1/2, a and 1 - a."""
        e = self.estimate
        if e.mean_control == 0:
            return UNDEFINED
        q, size = -t_quantile(side, e.df), abs(e.mean_control)
        plain = fieller(e.mean_control, e.mean_treatment, *self.variances, q=q)
        if plain.status == Status.DEGENERATE:
            return plain
        unit = e.se / size
        point = e.effect / size
        if not size > q * math.sqrt(self.variances[0]):
            reason = "the control mean is not distinguishable from 0"
            return Relative(Status.UNBOUNDED, reason, point, -math.inf, math.inf)

        def share_at(shift: float) -> float:
            return self._share(shift * unit * size, self._contrast(shift * unit))

        lift, low, high = (unit * _crossed(share_at, share, point / unit) for share in (0.5, side, 1 - side))
        return Relative(Status.OK, "", lift, low, high)

    def _share(self, effect: float, statistic: float | None = None) -> float:
        above = self.above(effect, statistic)
        return above if above < 0.5 else 1 - self.below(effect, statistic)

    def _observed(self, effect: float, statistic: float | None) -> tuple[float, float]:
        """Drift of a true effect, and the observed z: its mean under that effect plus the statistic against it."""
        e = self.estimate
        mean = (effect - e.null) / e.se
        against = (e.effect - effect) / e.se if statistic is None else statistic
        return mean / math.sqrt(self.look.information), mean + math.copysign(z_of_p(t_sf(abs(against), e.df)), against)

    def _contrast(self, lift: float) -> float:
        """Fieller's statistic against a lift."""
        e = self.estimate
        k = 1 + math.copysign(lift, lift * e.mean_control)
        v_c, v_t, cov = self.variances
        distance, se = e.mean_treatment - k * e.mean_control, math.sqrt(max(v_t + k**2 * v_c - 2 * k * cov, 0.0))
        return distance / se if se > 0 else math.copysign(math.inf, distance)


def _crossed(share_at: Callable[[float], float], share: float, start: float) -> float:
    """Where an increasing share passes a value, from a start; infinite where it does not."""
    from scipy import optimize

    sign = 1.0 if share_at(start) < share else -1.0
    near, step = start, 1.0
    for _ in range(_EXPANSIONS):
        far = near + sign * step
        if sign * (share_at(far) - share) >= 0:
            return float(optimize.brentq(lambda x: share_at(x) - share, *sorted((near, far)), xtol=1e-11))
        near, step = far, 2 * step
    return sign * math.inf
