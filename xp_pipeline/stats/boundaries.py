"""Group-sequential boundaries: how extreme a statistic must be at each look, given the looks that were taken."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.brownian import NEVER, Path
from xp_pipeline.stats.estimates import Estimate, Relative, Status, without_lift
from xp_pipeline.stats.means import SMALLEST_P, t_quantile
from xp_pipeline.stats.relative import fieller
from xp_pipeline.stats.spending import Spending

CLOSEST = 1e-5
"""A look adds at least this share to the information of the look before it; less is not a new look."""


@dataclass(frozen=True)
class Look:
    """One look at the data as the ledger keeps it; never computed anew.

    Attributes:
        information: Share of the planned information it had, above 1 in an overrun.
        alpha_spent: Error rate of one side spent up to and including it.
        upper: The statistic z at or above which it stops; 20 stands for never.
        lower: The z at or below which it stops, -upper; None for a one-sided test.
    """

    information: float
    alpha_spent: float
    upper: float
    lower: float | None = None

    def crossed(self, z: float) -> int:
        """Which boundary a statistic crosses: 1 the upper, -1 the lower, 0 neither."""
        return 1 if z >= self.upper else -1 if self.lower is not None and z <= self.lower else 0


class Crossing(NamedTuple):
    """Probabilities to stop first at each look: at the upper and at the lower boundary."""

    upper: tuple[float, ...]
    lower: tuple[float, ...]

    @property
    def power(self) -> float:
        """Probability to cross the upper boundary at any look."""
        return math.fsum(self.upper)


def next_look(
    past: Sequence[Look],
    *,
    information: float,
    spending: Spending,
    alpha: float = 0.05,
    two_sided: bool = True,
    final: bool = False,
) -> Look:
    """The boundary of a new look, with the boundaries of the past looks as they were.

    Its z is the one crossed for the first time, under the null and at this look, with the probability
    a(information) less what was spent (Lan, DeMets 1983, Biometrika 70): looks need not be planned in
    number or time. A final look spends all that remains: the last one of an analysis that ends early
    (underrun), the one at the planned information, and the first beyond it (overrun), whose fraction above 1
    is used as it is while past fractions stay. A final look may repeat the information of the last one, which
    it then replaces.

    Args:
        past: Earlier looks of this test, in order.
        information: Share of the planned information at this look.
        spending: The spending function of the design.
        alpha: Error rate of the test over all looks; a two-sided test spends half on either side.
        two_sided: Whether a decrease is tested for too.
        final: Whether no look follows.

    Raises:
        EvidenceError: The information is not a positive number or has not grown since the last look, or the
            error rate is spent.
    """
    past, budget = list(past), _budget(alpha, two_sided)
    if final and past and past[-1].information == information:
        past.pop()
    if past and past[-1].alpha_spent >= budget:
        raise EvidenceError("the error rate was spent at an earlier look", found=past[-1], next_step="conclude")
    _check_information([*(look.information for look in past), information])
    total = budget if final else spending.spent(information, alpha=budget)
    *_, path = paths(past, then=information)
    return _look(path, information, past[-1].alpha_spent if past else 0.0, total, two_sided)


def boundary(
    fractions: Sequence[float], *, spending: Spending, alpha: float = 0.05, two_sided: bool = True
) -> tuple[Look, ...]:
    """The looks of a plan, at given shares of the planned information.

    Args:
        fractions: Increasing shares; only the last may lie beyond 1.
        spending, alpha, two_sided: As for ``next_look``.

    Raises:
        EvidenceError: Fractions are not positive, not increasing, or go on beyond the plan.
    """
    _check_information(fractions)
    looks: list[Look] = []
    for t in fractions:
        looks.append(next_look(looks, information=t, spending=spending, alpha=alpha, two_sided=two_sided))
    return tuple(looks)


def grown(before: float, after: float) -> bool:
    """Whether information after a look is enough for a new one; otherwise the day is not a look."""
    return after >= before * (1 + CLOSEST)


def paths(looks: Sequence[Look], *, then: float | None = None) -> Iterator[Path]:
    """The surviving path before each look, and before a further one at the information ``then``."""
    fractions = [look.information for look in looks] + ([] if then is None else [then])
    path = Path.start()
    for index in range(len(fractions)):
        yield path
        if index + 1 < len(fractions):
            path = _after(path, looks[index], fractions[index + 1])


def crossing(looks: Sequence[Look], *, drift: float = 0.0) -> Crossing:
    """Probabilities to stop at each look.

    Args:
        looks: Looks in order.
        drift: Mean of the statistic at the planned information; 0 under the null.
    """
    upper, lower = [], []
    for path, look in zip(paths(looks), looks, strict=True):
        upper.append(path.above(look.information, look.upper, drift))
        lower.append(0.0 if look.lower is None else path.below(look.information, look.lower, drift))
    return Crossing(tuple(upper), tuple(lower))


def z_of_p(p_value: float) -> float:
    """The z of a one-sided p-value: how a t, score or non-inferiority statistic meets a boundary."""
    if not 0 <= p_value <= 1:
        raise EvidenceError("a p-value is a probability", found=p_value)
    return -float(special.ndtri(min(max(p_value, SMALLEST_P), 1 - 2**-53)))


def z_of(estimate: Estimate) -> float:
    """The z with the two-sided p-value of an estimate and the sign of its effect.

    The degrees of freedom of a small sample are thus respected (Jennison, Turnbull 2000, section 3.8). NaN
    where the estimate is undefined.
    """
    if estimate.status != Status.OK:
        return math.nan
    return math.copysign(z_of_p(estimate.p_value / 2), estimate.effect - estimate.null)


def repeated_interval(estimate: Estimate, look: Look) -> tuple[float, float, Relative]:
    """Interval at one look of a two-sided test that holds at all its looks together.

    effect -+ c se with c the boundary of the look, as the quantile of the estimate's t distribution that has
    the same tail; the lift is Fieller's set at the same c, so that both scales and the boundary decide
    alike (repeated confidence intervals: Jennison, Turnbull 1989, J. R. Stat. Soc. B 51).

    Returns:
        Ends of the interval, NaN where the estimate is undefined, and the lift.
    """
    if estimate.status != Status.OK:
        return math.nan, math.nan, without_lift(estimate.status, estimate.reason)
    q = -t_quantile(float(special.ndtr(-look.upper)), estimate.df)
    lift = fieller(estimate.mean_control, estimate.mean_treatment, *joint_variances(estimate), q=q)
    return estimate.effect - q * estimate.se, estimate.effect + q * estimate.se, lift


def joint_variances(estimate: Estimate) -> tuple[float, float, float]:
    """Variances of the means of control and treatment and their covariance, such that the effect's error is ``se``.

    A score estimate's error is that under the null: the lift is held to it too, so that both scales decide alike.
    """
    v_c, v_t, cov = estimate.var_mean_control, estimate.var_mean_treatment, estimate.cov_means
    total = v_c + v_t - 2 * cov
    if total <= 0:
        return 0.0, estimate.se**2, 0.0
    scale = estimate.se**2 / total
    return v_c * scale, v_t * scale, cov * scale


@lru_cache(maxsize=256)
def _after(path: Path, look: Look, following: float) -> Path:
    """The path that survives a look, on a grid fine enough for the information of the one that follows.

    Kept, as tests of one schedule that spend alike share their paths, and every look begins with those before it.
    """
    finest = min(look.information - path.information, following - look.information)
    return path.advance(look.information, -NEVER if look.lower is None else look.lower, look.upper, finest=finest)


def _look(path: Path, information: float, spent: float, total: float, two_sided: bool) -> Look:
    """The look that spends what a total leaves; nothing is left where more was spent than the total."""
    upper = path.upper_bound(information, total - spent) if total > spent else NEVER
    return Look(information, max(total, spent), upper, -upper if two_sided else None)


def _budget(alpha: float, two_sided: bool) -> float:
    """Error rate of one side."""
    budget = alpha / 2 if two_sided else alpha
    if not 0 < budget < 0.5:
        raise EvidenceError("alpha is a small probability", found=alpha, allowed="such as 0.05")
    return budget


def _check_information(fractions: Sequence[float]) -> None:
    if not fractions:
        raise EvidenceError("a sequential test needs a look")
    if not all(0 < t < math.inf for t in fractions):
        raise EvidenceError("information fractions are positive", found=list(fractions))
    if not all(grown(before, after) for before, after in pairwise(fractions)):
        raise EvidenceError(
            "information grows from look to look",
            found=list(fractions),
            next_step="a look without new units is not a new look",
        )
    if any(t >= 1 for t in fractions[:-1]):
        raise EvidenceError("the look that reaches the planned information is the last", found=list(fractions))
