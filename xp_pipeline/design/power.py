"""Sample size, power, and the smallest detectable effect of a difference of means, proportions or ratios."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy import special

from xp_pipeline.errors import EvidenceError

_NORMAL_FROM = 10_000.0
_SEARCH_STEPS = 200


@dataclass(frozen=True)
class Baseline:
    """What is known of a metric before the experiment.

    Attributes:
        mean: Its mean; for a ratio, sum over sum.
        variance: Per-unit variance; for a ratio that of the linearised residual, for a proportion p (1 - p).
        kind: A proportion's variance moves with its mean.
        variance_explained: Share of variance that covariates will remove.
    """

    mean: float
    variance: float
    kind: Literal["mean", "proportion", "ratio"] = "mean"
    variance_explained: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 <= self.variance < math.inf):
            raise EvidenceError("a baseline has a finite mean and variance", found=(self.mean, self.variance))
        if not 0 <= self.variance_explained < 1:
            raise EvidenceError(
                "covariates remove a share of the variance",
                found=self.variance_explained,
                allowed="0 to below 1",
            )
        if self.kind == "proportion" and not 0 <= self.mean <= 1:
            raise EvidenceError("a proportion's baseline is a share", found=self.mean, allowed="0 to 1")

    def variances(self, effect: float) -> tuple[float, float]:
        """Per-unit variance of control and treatment at an absolute effect."""
        kept = 1 - self.variance_explained
        if self.kind != "proportion":
            return self.variance * kept, self.variance * kept
        moved = self.mean + effect
        if not -1e-12 <= moved <= 1 + 1e-12:
            raise EvidenceError(
                "the effect takes the proportion out of its range",
                found=f"{self.mean:g} {effect:+g}",
                allowed="0 to 1",
            )
        return self.mean * (1 - self.mean) * kept, max(moved * (1 - moved), 0.0) * kept


@dataclass(frozen=True)
class SampleSize:
    """Units needed in each of the two arms."""

    control: int
    treatment: int

    @property
    def total(self) -> int:
        """Units of both arms."""
        return self.control + self.treatment


def power_of(
    baseline: Baseline,
    *,
    effect: float,
    n_control: float,
    n_treatment: float,
    alpha: float = 0.05,
    comparisons: int = 1,
    two_sided: bool = True,
) -> float:
    """Probability of a significant result at a true absolute effect, by the noncentral t distribution.

    Proportions keep the variance of either arm (unpooled), as their analysis does. NaN where an arm has fewer
    than two units or nothing varies.

    Args:
        effect: True difference; without ``two_sided`` the direction that is tested for.
        n_control, n_treatment: Units by arm.
        comparisons: Size of the family; each test runs at alpha / comparisons.
    """
    level = _level(alpha, comparisons)
    return _power(abs(effect), baseline.variances(effect), (n_control, n_treatment), level, two_sided=two_sided)


def non_inferiority_power(
    baseline: Baseline,
    *,
    margin: float,
    n_control: float,
    n_treatment: float,
    relative: bool = False,
    increase_is_good: bool = True,
    effect: float = 0.0,
    alpha: float = 0.05,
    comparisons: int = 1,
) -> float:
    """Probability that harm as large as the margin is ruled out, one-sided, at a true effect.

    The statistic is m_t - k m_c with k = 1 for an absolute margin, 1 - margin (1 + margin where an increase
    is bad) for a relative one, whose variance v_t + k^2 v_c counts the noise of the control mean.

    Args:
        margin: Harm tolerated, positive: in the metric's unit, or a share of |mean| when ``relative``.
        effect: True difference, 0 for a change that does nothing.
    """
    if not 0 < margin < math.inf:
        raise EvidenceError("a margin is the harm tolerated", found=margin, allowed="a positive number")
    good = 1 if increase_is_good else -1
    k = 1 - good * math.copysign(margin, baseline.mean) if relative else 1.0
    distance = (margin * abs(baseline.mean) if relative else margin) + good * effect
    v_c, v_t = baseline.variances(effect)
    level = _level(alpha, comparisons)
    return _power(distance, (k**2 * v_c, v_t), (n_control, n_treatment), level, two_sided=False)


def power_with(*, effect: float, var_mean_control: float, var_mean_treatment: float, df: float, alpha: float) -> float:
    """Power at an effect, given the variances of the two means an experiment ended with."""
    shift = abs(effect) / math.sqrt(var_mean_control + var_mean_treatment)
    return _tails(shift, df, alpha, two_sided=True)


def sample_size(
    baseline: Baseline,
    *,
    effect: float,
    alpha: float = 0.05,
    power: float = 0.8,
    shares: tuple[float, float] = (0.5, 0.5),
    comparisons: int = 1,
    two_sided: bool = True,
) -> SampleSize:
    """Fewest units with at least the power asked for.

    About N = (z_a + z_b)^2 (v_c / f_c + v_t / f_t) / d^2, searched for with the noncentral t.

    Args:
        effect: Absolute effect to detect, not 0.
        shares: Relative sizes of control and treatment.

    Raises:
        EvidenceError: There is no effect, no variance, or no share to plan with.
    """
    if effect == 0 or not math.isfinite(effect):
        raise EvidenceError("a sample size needs an effect other than 0", found=effect)

    def reached(n_control: float, n_treatment: float) -> float:
        return power_of(
            baseline, effect=effect, n_control=n_control, n_treatment=n_treatment, alpha=alpha,
            comparisons=comparisons, two_sided=two_sided,
        )  # fmt: skip

    return _fewest(reached, baseline.variances(effect), power, shares)


def non_inferiority_sample_size(
    baseline: Baseline,
    *,
    margin: float,
    relative: bool = False,
    increase_is_good: bool = True,
    effect: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
    shares: tuple[float, float] = (0.5, 0.5),
    comparisons: int = 1,
) -> SampleSize:
    """Fewest units that rule out harm as large as the margin with the power asked for.

    Raises:
        EvidenceError: The true effect is itself as harmful as the margin, so that no sample suffices.
    """

    def reached(n_control: float, n_treatment: float) -> float:
        return non_inferiority_power(
            baseline, margin=margin, n_control=n_control, n_treatment=n_treatment, relative=relative,
            increase_is_good=increase_is_good, effect=effect, alpha=alpha, comparisons=comparisons,
        )  # fmt: skip

    return _fewest(reached, baseline.variances(effect), power, shares)


def minimum_detectable_effect(
    baseline: Baseline,
    *,
    n_control: float,
    n_treatment: float,
    alpha: float = 0.05,
    power: float = 0.8,
    comparisons: int = 1,
    two_sided: bool = True,
) -> float:
    """Smallest absolute increase that is detected with the power asked for; NaN where none is."""
    _check_power(power)
    units = (n_control, n_treatment)
    if min(units) < 2 or not sum(baseline.variances(0.0)) > 0:
        return math.nan

    def reached(effect: float) -> bool:
        found = power_of(
            baseline, effect=effect, n_control=n_control, n_treatment=n_treatment, alpha=alpha,
            comparisons=comparisons, two_sided=two_sided,
        )  # fmt: skip
        return found >= power

    scale = math.sqrt(sum(v / n for v, n in zip(baseline.variances(0.0), units, strict=True)))
    largest = 1 - baseline.mean if baseline.kind == "proportion" else 1e9 * scale
    return _smallest(reached, low=0.0, start=min(scale, largest), largest=largest)


def run_days(units: float, *, per_day: float) -> int:
    """Whole days until a number of units has come."""
    if not per_day > 0:
        raise EvidenceError("a run time needs units arriving", found=f"{per_day} a day")
    return math.ceil(units / per_day)


def _level(alpha: float, comparisons: int) -> float:
    """Alpha of one test of a family (Bonferroni)."""
    if not 0 < alpha < 1 or comparisons < 1:
        raise EvidenceError("a test has an alpha in (0, 1) and a family of at least 1", found=(alpha, comparisons))
    return alpha / comparisons


def _check_power(power: float) -> None:
    if not 0 < power < 1:
        raise EvidenceError("power is a probability", found=power, allowed="between 0 and 1, such as 0.8")


def _power(
    distance: float,
    variances: tuple[float, float],
    units: tuple[float, float],
    alpha: float,
    *,
    two_sided: bool,
) -> float:
    """Power of Welch's test at a distance from the null, Satterthwaite's df at the true variances."""
    v_c, v_t = variances[0] / units[0], variances[1] / units[1]
    if min(units) < 2 or not v_c + v_t > 0:
        return math.nan
    share = v_c / (v_c + v_t)
    df = 1 / (share**2 / (units[0] - 1) + (1 - share) ** 2 / (units[1] - 1))
    return _tails(distance / math.sqrt(v_c + v_t), df, alpha, two_sided=two_sided)


def _tails(shift: float, df: float, alpha: float, *, two_sided: bool) -> float:
    """P(T > q) of the noncentral t, and P(T < -q) beside it when two-sided; normal beyond 10,000 df."""
    tail = alpha / 2 if two_sided else alpha
    if df > _NORMAL_FROM:
        q = -special.ndtri(tail)
        return float(special.ndtr(shift - q) + (special.ndtr(-shift - q) if two_sided else 0.0))
    q = -special.stdtrit(df, tail)
    return 1 - _below(q, shift, df) + (_below(-q, shift, df) if two_sided else 0.0)


def _below(value: float, shift: float, df: float) -> float:
    """P(T < value) of the noncentral t; SciPy gives NaN far out, where it is 0 or 1 to 18 digits."""
    probability = float(special.nctdtr(df, shift, value))
    return float(value > shift) if math.isnan(probability) else probability


def _fewest(
    power_at: Callable[[float, float], float],
    variances: tuple[float, float],
    power: float,
    shares: tuple[float, float],
) -> SampleSize:
    """Smallest arms in the given proportion whose power suffices, each rounded up."""
    _check_power(power)
    if not sum(variances) > 0:
        raise EvidenceError("a sample size needs a baseline with variance", found=variances)
    if not min(shares) > 0:
        raise EvidenceError("both arms need a share of the units", found=shares)
    f_c, f_t = shares[0] / sum(shares), shares[1] / sum(shares)
    start = 2.0 / min(f_c, f_t)
    total = _smallest(lambda n: power_at(n * f_c, n * f_t) >= power, low=start, start=start, largest=1e15)
    if math.isnan(total):
        raise EvidenceError("no affordable sample has this power", found=f"power {power:g} at 1e15 units")
    return SampleSize(math.ceil(total * f_c - 1e-6), math.ceil(total * f_t - 1e-6))


def _smallest(reached: Callable[[float], bool], *, low: float, start: float, largest: float) -> float:
    """Smallest number up to ``largest`` at which a monotone condition holds; NaN where it never does."""
    high = start
    while not reached(high):
        if high >= largest:
            return math.nan
        low, high = high, min(2 * high, largest)
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
