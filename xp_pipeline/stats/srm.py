"""Sample ratio mismatch: whether the arms received the shares they were designed to."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scipy import special

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import NAN, Status
from xp_pipeline.stats.means import SMALLEST_P

FEWEST_EXPECTED = 5
"""Expected units per arm below which the chi-square law is not used."""

Phase = tuple[Mapping[str, int], Mapping[str, float]]
"""Observed units by arm, and the weights in force when they were assigned."""


@dataclass(frozen=True)
class SRM:
    """A test of the sample ratio.

    Attributes:
        status: ``ok`` or ``not_testable``.
        reason: Why it is not testable, or which phases were left out; empty otherwise.
        statistic: Pearson's chi-square, summed over phases; NaN where not testable.
        df: Arms of positive weight less one, summed over phases.
        p_value: Of the chi-square test; of a sequential test min(1, 1/e_value) at this look, which may be
            read at every look.
        expected: Units by arm of positive weight under the design.
        observed: Units by arm of positive weight.
        e_value: Bayes factor against the design; NaN for chi-square, inf where it exceeds a float.
        log_e_value: Its natural logarithm; NaN for chi-square.
        max_share_deviation: Largest |observed share - designed share| over arms, 0 to 1.
    """

    status: Status
    reason: str
    statistic: float
    df: int
    p_value: float
    expected: dict[str, float] = field(default_factory=dict)
    observed: dict[str, int] = field(default_factory=dict)
    e_value: float = NAN
    log_e_value: float = NAN
    max_share_deviation: float = NAN


def chi_square(observed: Mapping[str, int], weights: Mapping[str, float]) -> SRM:
    """Pearson's chi-square of units by arm against the designed shares; for a one-off analysis.

    Only arms of positive weight count, in total and degrees of freedom: units elsewhere are a leak or an
    undeclared arm, which the caller reports as such. Not testable with fewer than two such arms, or fewer
    than 5 units expected in one.

    Args:
        observed: Units by arm; an arm that is missing has none.
        weights: Designed weight by arm, of any positive sum.
    """
    return chi_square_phases([(observed, weights)])


def chi_square_phases(phases: Iterable[Phase]) -> SRM:
    """Chi-square against the weights in force: statistics and df are summed over allocation phases.

    Phases that are not testable alone are left out of the test and counted in ``reason``.
    """
    tables = [_Table.of(*phase) for phase in phases]
    usable = [table for table in tables if not table.too_small]
    if not usable:
        several = f"none of {len(tables)} phases is large enough to test"
        reason = tables[0].too_small if len(tables) == 1 else several
        return _result(tables, Status.NOT_TESTABLE, reason)
    statistic, df = sum(table.statistic for table in usable), sum(table.df for table in usable)
    left_out = len(tables) - len(usable)
    reason = f"{left_out} of {len(tables)} phases left out: too few units" if left_out else ""
    p_value = max(float(special.chdtrc(df, statistic)), SMALLEST_P)
    return _result(usable, Status.OK, reason, statistic, df, p_value)


def sequential(observed: Mapping[str, int], weights: Mapping[str, float], *, concentration: float = 1000) -> SRM:
    """Bayes factor that may be read at every look (Lindon and Malek 2022); for a scheduled check.

    log e = log B(a + n) - log B(a) - sum n_i log w_i, with B the multivariate beta function, a =
    concentration times the designed shares w: a Dirichlet alternative around the design. Under the design,
    the probability that e ever exceeds 1/alpha, at any look, is at most alpha.

    Args:
        observed: Units by arm so far.
        weights: Designed weight by arm.
        concentration: Prior units behind the design; larger looks for smaller deviations.
    """
    return sequential_phases([(observed, weights)], concentration=concentration)


def sequential_phases(phases: Iterable[Phase], *, concentration: float = 1000) -> SRM:
    """The sequential test over allocation phases: the e-values of successive phases multiply."""
    if not concentration > 0:
        raise EvidenceError("the prior's concentration is positive", found=concentration)
    tables = [_Table.of(*phase) for phase in phases]
    usable = [table for table in tables if len(table.shares) > 1 and table.total]
    if not usable:
        few_arms = all(len(table.shares) < 2 for table in tables)
        reason = "fewer than two arms have a positive weight" if few_arms else "no unit was assigned"
        return _result(tables, Status.NOT_TESTABLE, reason)
    log_e = sum(table.log_bayes_factor(concentration) for table in usable)
    statistic, df = sum(table.statistic for table in usable), sum(table.df for table in usable)
    p_value = max(math.exp(-max(log_e, 0.0)), SMALLEST_P)
    return _result(usable, Status.OK, "", statistic, df, p_value, log_e)


@dataclass(frozen=True)
class _Table:
    """Units and designed shares of the arms of positive weight in one phase."""

    units: dict[str, int]
    shares: dict[str, float]

    @classmethod
    def of(cls, observed: Mapping[str, int], weights: Mapping[str, float]) -> _Table:
        if any(not 0 <= weight < math.inf for weight in weights.values()):
            raise EvidenceError("weights are finite and not negative", found=dict(weights))
        if any(units < 0 for units in observed.values()):
            raise EvidenceError("units are not negative", found=dict(observed))
        whole = sum(weights.values())
        shares = {arm: weight / whole for arm, weight in weights.items() if weight > 0}
        return cls({arm: int(observed.get(arm, 0)) for arm in shares}, shares)

    @property
    def total(self) -> int:
        return sum(self.units.values())

    @property
    def df(self) -> int:
        return len(self.shares) - 1

    @property
    def expected(self) -> dict[str, float]:
        return {arm: self.total * share for arm, share in self.shares.items()}

    @property
    def statistic(self) -> float:
        return math.fsum((self.units[arm] - e) ** 2 / e for arm, e in self.expected.items())

    @property
    def too_small(self) -> str:
        """Why the chi-square law does not apply; empty when it does."""
        if len(self.shares) < 2:
            return "fewer than two arms have a positive weight"
        fewest = min(self.expected.values())
        if fewest >= FEWEST_EXPECTED:
            return ""
        return f"{fewest:.3g} units expected in the smallest arm; {FEWEST_EXPECTED} are needed"

    def log_bayes_factor(self, concentration: float) -> float:
        prior = {arm: concentration * share for arm, share in self.shares.items()}
        gains = [
            float(special.gammaln(prior[arm] + n) - special.gammaln(prior[arm])) - n * math.log(self.shares[arm])
            for arm, n in self.units.items()
        ]
        return math.fsum(gains) - float(special.gammaln(concentration + self.total) - special.gammaln(concentration))


def _result(
    tables: list[_Table],
    status: Status,
    reason: str,
    statistic: float = NAN,
    df: int = 0,
    p_value: float = NAN,
    log_e: float = NAN,
) -> SRM:
    expected: dict[str, float] = {}
    observed: dict[str, int] = {}
    for table in tables:
        for arm, units in table.units.items():
            observed[arm] = observed.get(arm, 0) + units
            expected[arm] = expected.get(arm, 0.0) + table.expected[arm]
    total = sum(observed.values())
    deviation = max(abs(observed[arm] - expected[arm]) / total for arm in observed) if total else NAN
    e_value = math.inf if log_e > math.log(sys.float_info.max) else math.exp(log_e)
    return SRM(status, reason, statistic, df, p_value, expected, observed, e_value, log_e, deviation)
