"""The cell of the planner: experiments of the planned size find the planned effect as often as planned, C21."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.cells.covariates import correlated
from xp_pipeline.calibration.cells.proportions import of_counts
from xp_pipeline.calibration.cells.ratios import pairs
from xp_pipeline.calibration.cells.stages import equal, sizes
from xp_pipeline.calibration.draws import Law, lognormal, normal
from xp_pipeline.calibration.looks import stops, watch, z_scores
from xp_pipeline.calibration.model import Cell, Measures, Study, within
from xp_pipeline.design.baseline import Baseline, ratio_variance
from xp_pipeline.design.detection import non_inferiority_power, power_of
from xp_pipeline.design.levels import always_valid_level, many_arms_level
from xp_pipeline.design.looks import plan_looks
from xp_pipeline.design.sample_size import SampleSize, non_inferiority_sample_size, sample_size
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.dunnett import dunnett_critical, loadings
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.noninferiority import non_inferiority
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.sequences import confidence_sequence

POWER = 0.8
REPLICATES = 5_000
Found = Callable[[Generator], bool]


def _study(name: str, planned: SampleSize, power: float, found: Found) -> Study:
    """A planned size and how often one experiment of it finds its effect."""

    def simulate(rng: Generator, count: int) -> Measures:
        return {"power": np.array([float(found(rng)) for _ in range(count)])}

    size = f"n={planned.control:,}" + ("" if planned.control == planned.treatment else f"/{planned.treatment:,}")
    return Study(f"{name}, {size}", simulate, (within("power", power, 0.02),), REPLICATES)


def _mean(law: Law, lift: float, shares: tuple[float, float] = (0.5, 0.5)) -> Study:
    baseline, effect = Baseline(law.mean, law.variance, scales=law.scales), law.effect(lift)
    planned = sample_size(baseline, effect=effect, power=POWER, shares=shares)

    def found(rng: Generator) -> bool:
        arms = law.arms(rng, 1, (planned.control, planned.treatment), lift)
        return welch(*(Moments.of(arm[0]) for arm in arms)).p_value <= 0.05

    power = power_of(baseline, effect=effect, n_control=planned.control, n_treatment=planned.treatment)
    split = "" if shares[0] == shares[1] else f", {shares[0]:.0%} control"
    return _study(f"mean, {law.name}, lift {lift:g}{split}", planned, power, found)


def _proportion(p: float, lift: float) -> Study:
    baseline = Baseline(p, p * (1 - p), "proportion")
    planned = sample_size(baseline, effect=p * lift, power=POWER)
    n = planned.control

    def found(rng: Generator) -> bool:
        events = rng.binomial(n, p), rng.binomial(n, p * (1 + lift))
        return of_counts(int(events[0]), n, int(events[1]), n).p_value <= 0.05

    power = power_of(baseline, effect=p * lift, n_control=n, n_treatment=n)
    return _study(f"proportion {p:g}, lift {lift:g}", planned, power, found)


def _ratio(lift: float) -> Study:
    """The pairs of C6: a denominator of mean 1, a numerator that is a noisy multiple of it."""
    sigma, rate, squared = 0.8, math.exp(0.125), math.exp(0.64)
    variance = ratio_variance(
        numerator=rate,
        denominator=1.0,
        var_numerator=squared * math.exp(0.5) - rate**2,
        var_denominator=squared - 1,
        covariance=(squared - 1) * rate,
    )
    baseline, effect = Baseline(rate, variance, "ratio", scales=True), rate * lift
    planned = sample_size(baseline, effect=effect, power=POWER)

    def found(rng: Generator) -> bool:
        arms = pairs(rng, (2, planned.control), sigma, correlated=True)
        arms[1, :, 0] *= 1 + lift
        return ratio(Moments.of(arms[0]), Moments.of(arms[1])).p_value <= 0.05

    power = power_of(baseline, effect=effect, n_control=planned.control, n_treatment=planned.treatment)
    return _study(f"ratio, lift {lift:g}", planned, power, found)


def _adjusted(rho: float, effect: float) -> Study:
    baseline = Baseline(0.0, 1.0, variance_explained=rho**2)
    planned = sample_size(baseline, effect=effect, power=POWER)

    def found(rng: Generator) -> bool:
        arms = correlated(rng, (2, planned.control), rho)
        arms[1, :, 0] += effect
        return cuped(Moments.of(arms[0]), Moments.of(arms[1])).p_value <= 0.05

    power = power_of(baseline, effect=effect, n_control=planned.control, n_treatment=planned.treatment)
    return _study(f"CUPED, rho {rho:g}, effect {effect:g} sd", planned, power, found)


def _three_arms(lift: float) -> Study:
    """Dunnett's comparison with control of two treatments, seen from the one that has the effect."""
    law, level = normal(), many_arms_level(0.05, shares=(1, 1, 1))
    baseline = Baseline(law.mean, law.variance)
    planned = sample_size(baseline, effect=law.effect(lift), power=POWER, alpha=level)
    n = planned.control
    critical = dunnett_critical(0.05, loadings=loadings(1 / n, [1 / n, 1 / n]))

    def found(rng: Generator) -> bool:
        estimate = welch(*(Moments.of(law.values(rng, (n,), r)) for r in (0.0, lift)))
        return abs(estimate.effect) >= critical * estimate.se

    power = power_of(baseline, effect=law.effect(lift), n_control=n, n_treatment=n, alpha=level)
    return _study(f"3 arms, Dunnett, {law.name}, lift {lift:g}", planned, power, found)


def _looks(lift: float) -> Study:
    law, plan = normal(), plan_looks(equal(5), power=POWER)
    planned = sample_size(
        Baseline(law.mean, law.variance), effect=law.effect(lift), power=POWER, inflation=plan.inflation
    )

    def simulate(rng: Generator, count: int) -> Measures:
        z = z_scores(watch(law, rng, count, sizes(equal(5), planned.control), lift))
        return {"power": (stops(plan.looks, z).crossed == 1).astype(float)}

    name = f"O'Brien-Fleming, 5 looks, {law.name}, lift {lift:g}, n={planned.control:,}"
    return Study(name, simulate, (within("power", POWER, 0.02),), REPLICATES)


def _always_valid(lift: float) -> Study:
    """The confidence sequence at the planned units; that it may exclude 0 before is not counted."""
    law, level = normal(), always_valid_level(0.05)
    baseline = Baseline(law.mean, law.variance)
    planned = sample_size(baseline, effect=law.effect(lift), power=POWER, alpha=level)
    n = planned.control

    def found(rng: Generator) -> bool:
        control, treatment = (Moments.of(law.values(rng, (n,), r)) for r in (0.0, lift))
        return confidence_sequence(welch(control, treatment), planned_n=2 * n).low > 0

    power = power_of(baseline, effect=law.effect(lift), n_control=n, n_treatment=n, alpha=level)
    return _study(f"confidence sequence at its planned units, {law.name}, lift {lift:g}", planned, power, found)


def _harmless(margin: float) -> Study:
    law = normal()
    baseline = Baseline(law.mean, law.variance)
    planned = non_inferiority_sample_size(baseline, margin=margin, relative=True, power=POWER)

    def found(rng: Generator) -> bool:
        estimate = welch(*(Moments.of(law.values(rng, (planned.control,))) for _ in range(2)))
        return bool(non_inferiority(estimate, margin=margin, relative=True, increase_is_good=True).holds)

    power = non_inferiority_power(
        baseline, margin=margin, relative=True, n_control=planned.control, n_treatment=planned.treatment
    )
    return _study(f"non-inferiority, relative margin {margin:g}", planned, power, found)


C21 = Cell(
    "C21",
    "The planner against simulation",
    "Experiments of the planned size find the planned effect as often as the plan says, to two points.",
    "design.sample_size.sample_size, design.detection.power_of, design.looks.plan_looks",
    (
        _mean(normal(), 0.05),
        _mean(lognormal(1), 0.1),
        _mean(normal(), 0.05, (0.8, 0.2)),
        _proportion(0.1, 0.2),
        _ratio(0.1),
        _adjusted(0.7, 0.2),
        _three_arms(0.05),
        _looks(0.05),
        _always_valid(0.05),
        _harmless(0.05),
    ),
)
CELLS = (C21,)
