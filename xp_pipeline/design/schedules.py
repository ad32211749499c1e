"""What a look schedule costs a test: the level it has at its last look, and the units that its looks take."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from xp_pipeline.design.aims import Rates
from xp_pipeline.design.levels import always_valid_level
from xp_pipeline.design.looks import equal_fractions, plan_looks
from xp_pipeline.spec.looks import Looks
from xp_pipeline.stats.spending import Spending

_MOST_LOOKS = 56
"""More looks cost what these do, to a third of a percent (120 instead of 56: inflation 1.0551 and 1.0529)."""

_UNPLANNED = 28


def scheduled(looks: Looks, *, alpha: float, power: float, days: float | None, two_sided: bool = True) -> Rates:
    """The rates of a test that is looked at on a schedule.

    Group-sequential looks keep alpha and take more units; an always-valid test has, at the units it is tuned to,
    a stricter level (an mSPRT tuned to the planned effect about the same one).

    Args:
        alpha: Error rate over all looks, one-sided unless ``two_sided``.
        days: Planned run time, which sets how many looks there are; four weeks without one.
    """
    if looks.schedule == "group_sequential":
        count = max(1, int((days or _UNPLANNED) * timedelta(days=1) / looks.every))
        return Rates(alpha, power, _inflation(min(count, _MOST_LOOKS), looks, alpha, power, two_sided))
    if looks.schedule == "always_valid":
        return Rates(always_valid_level(alpha) if two_sided else always_valid_level(2 * alpha) / 2, power)
    return Rates(alpha, power)


@lru_cache
def _inflation(count: int, looks: Looks, alpha: float, power: float, two_sided: bool) -> float:
    spending = Spending(looks.spending, looks.parameter)
    futility = spending if looks.futility else None
    planned = plan_looks(
        equal_fractions(count), spending=spending, alpha=alpha, power=power, two_sided=two_sided, futility=futility
    )
    return max(planned.inflation, 1.0)
