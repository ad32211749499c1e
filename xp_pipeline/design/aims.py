"""What an experiment is to show about a metric: an effect, or that harm, or any change, stays within a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypedDict

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detectable import minimum_detectable_effect, smallest_margin
from xp_pipeline.design.detection import non_inferiority_power, power_of
from xp_pipeline.design.sample_size import SampleSize, fewest, non_inferiority_sample_size, sample_size
from xp_pipeline.design.search import smallest

Shares = tuple[float, float]


class _Test(TypedDict):
    alpha: float
    inflation: float


@dataclass(frozen=True)
class Rates:
    """The error rates of one test.

    Attributes:
        alpha: Its level, after all that shares alpha with it; one-sided for a margin.
        power: Probability to succeed that is asked for.
        inflation: Units that looks cost, as in :func:`~xp_pipeline.design.detection.power_of`.
    """

    alpha: float = 0.05
    power: float = 0.8
    inflation: float = 1.0

    @property
    def test(self) -> _Test:
        """What a test at these rates is called with."""
        return {"alpha": self.alpha, "inflation": self.inflation}


@dataclass(frozen=True)
class Detect:
    """To detect an effect, two-sided.

    Attributes:
        effect: Smallest change worth detecting, positive; None where none is named.
        relative: Whether it is a share of |mean|.
        increase_is_good: Whether the change hoped for is an increase.
        rates: Of the test.
    """

    effect: float | None = None
    relative: bool = False
    increase_is_good: bool = True
    rates: Rates = Rates()

    def wanted(self, baseline: Baseline) -> float:
        """Size of the change in the metric's unit; NaN without one."""
        return _absolute(self.effect, baseline, relative=self.relative)

    def power(self, baseline: Baseline, n_control: float, n_treatment: float) -> float:
        """Power at the change asked for; NaN without one."""
        effect = self._signed(baseline)
        if math.isnan(effect):
            return math.nan
        return power_of(baseline, effect=effect, n_control=n_control, n_treatment=n_treatment, **self.rates.test)

    def least(self, baseline: Baseline, n_control: float, n_treatment: float) -> float:
        """Smallest change in the direction hoped for that is detected with the power asked for; NaN if none is."""
        return minimum_detectable_effect(
            baseline, n_control=n_control, n_treatment=n_treatment, power=self.rates.power,
            increase=self.increase_is_good, **self.rates.test,
        )  # fmt: skip

    def size(self, baseline: Baseline, shares: Shares) -> SampleSize:
        """Fewest units that detect the change asked for."""
        effect = self._signed(baseline)
        return sample_size(baseline, effect=effect, power=self.rates.power, shares=shares, **self.rates.test)

    def _signed(self, baseline: Baseline) -> float:
        return self.wanted(baseline) * (1 if self.increase_is_good else -1)


@dataclass(frozen=True)
class RuleOut:
    """To rule out harm as large as a margin, one-sided, where there is no effect.

    Attributes:
        margin: Harm tolerated, positive.
        relative: Whether it is a share of |mean|.
        increase_is_good: Whether harm is a decrease.
        rates: Of the test.
    """

    margin: float
    relative: bool = False
    increase_is_good: bool = True
    rates: Rates = Rates()

    def wanted(self, baseline: Baseline) -> float:
        """The margin in the metric's unit."""
        return _absolute(self.margin, baseline, relative=self.relative)

    def power(self, baseline: Baseline, n_control: float, n_treatment: float) -> float:
        """Probability to rule out the margin."""
        return non_inferiority_power(
            baseline, margin=self.margin, n_control=n_control, n_treatment=n_treatment, relative=self.relative,
            increase_is_good=self.increase_is_good, **self.rates.test,
        )  # fmt: skip

    def least(self, baseline: Baseline, n_control: float, n_treatment: float) -> float:
        """Smallest margin, in the metric's unit, that is ruled out with the power asked for; NaN if none is."""
        found = smallest_margin(
            baseline, n_control=n_control, n_treatment=n_treatment, relative=self.relative, power=self.rates.power,
            increase_is_good=self.increase_is_good, **self.rates.test,
        )  # fmt: skip
        return _absolute(found, baseline, relative=self.relative)

    def size(self, baseline: Baseline, shares: Shares) -> SampleSize:
        """Fewest units that rule out the margin."""
        return non_inferiority_sample_size(
            baseline, margin=self.margin, relative=self.relative, increase_is_good=self.increase_is_good,
            power=self.rates.power, shares=shares, **self.rates.test,
        )  # fmt: skip


@dataclass(frozen=True)
class Equate:
    """To show that a change, either way, is smaller than a margin, where there is none.

    Two one-sided tests must both succeed. With a power worth having they as good as never both fail, so it is the sum
    of theirs less 1.

    Attributes:
        margin: Change that counts as none, positive.
        relative: Whether it is a share of |mean|.
        rates: Of either test.
    """

    margin: float
    relative: bool = False
    rates: Rates = Rates()

    def wanted(self, baseline: Baseline) -> float:
        """The margin in the metric's unit."""
        return _absolute(self.margin, baseline, relative=self.relative)

    def power(self, baseline: Baseline, n_control: float, n_treatment: float) -> float:
        """Probability to show equivalence."""
        sides = [
            non_inferiority_power(
                baseline, margin=self.margin, n_control=n_control, n_treatment=n_treatment, relative=self.relative,
                increase_is_good=good, **self.rates.test,
            )
            for good in (True, False)
        ]  # fmt: skip
        return max(0.0, math.fsum(sides) - 1) if not any(map(math.isnan, sides)) else math.nan

    def least(self, baseline: Baseline, n_control: float, n_treatment: float) -> float:
        """Smallest margin, in the metric's unit, that is held with the power asked for; NaN if none is."""
        one_side = smallest_margin(
            baseline, n_control=n_control, n_treatment=n_treatment, relative=self.relative, power=self.rates.power,
            **self.rates.test,
        )  # fmt: skip
        if math.isnan(one_side):
            return math.nan

        def held(margin: float) -> bool:
            return replace(self, margin=margin).power(baseline, n_control, n_treatment) >= self.rates.power

        found = smallest(held, low=0.0, start=one_side, largest=1e3 * one_side)
        return _absolute(found, baseline, relative=self.relative)

    def size(self, baseline: Baseline, shares: Shares) -> SampleSize:
        """Fewest units that hold the margin."""
        return fewest(lambda *units: self.power(baseline, *units), baseline.variances(0.0), self.rates.power, shares)


Aim = Detect | RuleOut | Equate


def _absolute(size: float | None, baseline: Baseline, *, relative: bool) -> float:
    if size is None:
        return math.nan
    return baseline.absolute(size) if relative else size
