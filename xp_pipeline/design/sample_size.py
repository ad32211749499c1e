"""Sample size: the fewest units that detect an effect, or rule out a harm, with the power asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detection import non_inferiority_power, power_of
from xp_pipeline.design.levels import check_power
from xp_pipeline.design.search import smallest
from xp_pipeline.errors import EvidenceError


@dataclass(frozen=True)
class SampleSize:
    """Units needed in each of the two arms."""

    control: int
    treatment: int

    @property
    def total(self) -> int:
        """Units of both arms."""
        return self.control + self.treatment


def sample_size(
    baseline: Baseline,
    *,
    effect: float,
    alpha: float = 0.05,
    power: float = 0.8,
    shares: tuple[float, float] = (0.5, 0.5),
    comparisons: int = 1,
    two_sided: bool = True,
    inflation: float = 1.0,
    pooled: bool = False,
) -> SampleSize:
    """Fewest units with at least the power asked for.

    About N = (z_a + z_b)^2 (v_c / f_c + v_t / f_t) / d^2, searched for with the noncentral t.

    Args:
        effect: Absolute effect to detect, not 0.
        shares: Relative sizes of control and treatment.
        comparisons, two_sided, inflation, pooled: As in :func:`~xp_pipeline.design.detection.power_of`.

    Raises:
        EvidenceError: There is no effect, no variance, or no share to plan with.
    """
    if effect == 0 or not math.isfinite(effect):
        raise EvidenceError("a sample size needs an effect other than 0", found=effect)

    def reached(n_control: float, n_treatment: float) -> float:
        return power_of(
            baseline, effect=effect, n_control=n_control, n_treatment=n_treatment, alpha=alpha,
            comparisons=comparisons, two_sided=two_sided, inflation=inflation, pooled=pooled,
        )  # fmt: skip

    return fewest(reached, baseline.variances(effect), power, shares)


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
    inflation: float = 1.0,
) -> SampleSize:
    """Fewest units that rule out harm as large as the margin with the power asked for.

    Raises:
        EvidenceError: The true effect is itself as harmful as the margin, so that no sample suffices.
    """

    def reached(n_control: float, n_treatment: float) -> float:
        return non_inferiority_power(
            baseline, margin=margin, n_control=n_control, n_treatment=n_treatment, relative=relative,
            increase_is_good=increase_is_good, effect=effect, alpha=alpha, comparisons=comparisons,
            inflation=inflation,
        )  # fmt: skip

    return fewest(reached, baseline.variances(effect), power, shares)


def fewest(
    power_at: Callable[[float, float], float],
    variances: tuple[float, float],
    power: float,
    shares: tuple[float, float],
) -> SampleSize:
    """Smallest arms in the given proportion whose power suffices, each rounded up."""
    check_power(power)
    if not sum(variances) > 0:
        raise EvidenceError("a sample size needs a baseline with variance", found=variances)
    if not min(shares) > 0:
        raise EvidenceError("both arms need a share of the units", found=shares)
    f_c, f_t = shares[0] / sum(shares), shares[1] / sum(shares)
    start = 2.0 / min(f_c, f_t)
    total = smallest(lambda n: power_at(n * f_c, n * f_t) >= power, low=start, start=start, largest=1e15)
    if math.isnan(total):
        raise EvidenceError("no affordable sample has this power", found=f"power {power:g} at 1e15 units")
    return SampleSize(math.ceil(total * f_c - 1e-6), math.ceil(total * f_t - 1e-6))
