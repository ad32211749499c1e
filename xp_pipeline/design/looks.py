"""The plan of looks: what interim looks cost in information, and what they save."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.boundaries import Look, boundary, crossing
from xp_pipeline.stats.futility import advised_power, futility_bounds
from xp_pipeline.stats.spending import OBRIEN_FLEMING, Spending

_LARGEST_DRIFT = 60.0


@dataclass(frozen=True)
class LookPlan:
    """A group-sequential design.

    Attributes:
        looks: The planned looks.
        alpha: Error rate of the test over all looks.
        power: Probability to cross the upper boundary at the planned effect.
        drift: Mean of the statistic at the planned information under the planned effect: with it, the planned
            information is (drift / effect)^2 and the standard error at the end is effect / drift.
        inflation: Planned information over that of a fixed horizon of the same alpha and power, at least 1;
            multiply the fixed sample size by it.
        expected_null, expected_planned: Mean information at the stop, as a share of the planned, without an
            effect and at the planned one.
        futility: The z at each look below which stopping is advised, not binding; None without such bounds.
    """

    looks: tuple[Look, ...]
    alpha: float
    power: float
    drift: float
    inflation: float
    expected_null: float
    expected_planned: float
    futility: tuple[float, ...] | None = None


def equal_fractions(looks: int) -> tuple[float, ...]:
    """The information fractions of equally spaced looks."""
    if looks < 1:
        raise EvidenceError("a plan has at least one look", found=looks)
    return tuple(k / looks for k in range(1, looks + 1))


def plan_looks(
    fractions: Sequence[float],
    *,
    spending: Spending = OBRIEN_FLEMING,
    alpha: float = 0.05,
    power: float = 0.8,
    two_sided: bool = True,
    futility: Spending | None = None,
) -> LookPlan:
    """The design with looks at given shares of the planned information.

    The drift solves P(cross an upper boundary) = power; the inflation factor is (drift / (z_a + z_b))^2
    (Jennison, Turnbull 2000, ch. 2). With futility bounds, the power is that of following their advice, and
    they are planned to spend 1 - power.

    Args:
        fractions: Increasing, the last 1.
        spending: How alpha is spent.
        alpha: Error rate over all looks; half on either side of a two-sided test.
        power: Probability to detect the planned effect at some look.
        two_sided: Whether a decrease is tested for too.
        futility: How the probability to miss is spent; None for no futility bounds.
    """
    looks = boundary(fractions, spending=spending, alpha=alpha, two_sided=two_sided)
    if looks[-1].information != 1:
        raise EvidenceError("a plan ends at its planned information", found=list(fractions), allowed="a last 1.0")
    drift = drift_of(looks, power=power, futility=futility)
    fixed = NormalDist().inv_cdf(1 - looks[-1].alpha_spent) + NormalDist().inv_cdf(power)
    return LookPlan(
        looks,
        alpha,
        power,
        drift,
        inflation=(drift / fixed) ** 2,
        expected_null=expected_information(looks),
        expected_planned=expected_information(looks, drift=drift),
        futility=_advice(looks, drift, power, futility),
    )


def drift_of(looks: Sequence[Look], *, power: float, futility: Spending | None = None) -> float:
    """The drift at which the looks have a power."""
    from scipy import optimize

    if not looks[-1].alpha_spent < power < 1:
        raise EvidenceError("power is a probability above alpha", found=power, allowed="such as 0.8")

    def excess(drift: float) -> float:
        bounds = _advice(looks, drift, power, futility)
        found = crossing(looks, drift=drift).power if bounds is None else advised_power(looks, bounds, drift=drift)
        return found - power

    return float(optimize.brentq(excess, 0.0, _LARGEST_DRIFT, xtol=1e-12))


def expected_information(looks: Sequence[Look], *, drift: float = 0.0) -> float:
    """Mean information at the stop, as a share of the planned: sum t_k P(stop at k), the last in any case."""
    stops = crossing(looks, drift=drift)
    saved = (
        (looks[-1].information - look.information) * (up + down) for look, up, down in zip(looks, *stops, strict=True)
    )
    return looks[-1].information - math.fsum(saved)


def _advice(looks: Sequence[Look], drift: float, power: float, futility: Spending | None) -> tuple[float, ...] | None:
    return None if futility is None else futility_bounds(looks, drift=drift, beta=1 - power, spending=futility)
