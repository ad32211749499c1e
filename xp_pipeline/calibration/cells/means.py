"""Cells of means and capped means: C1, C2, C3 and C13."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.draws import Law, lognormal, normal, zero_heavy
from xp_pipeline.calibration.measures import absolute, collect
from xp_pipeline.calibration.model import Cell, Claim, Measures, Study, at_least, between, shown, within
from xp_pipeline.stats.capping import pooled_percentile
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.skew import tails_unreliable

SPENDING = zero_heavy(0.05, 1.2)
TAILS = (shown("below", 0.025), shown("above", 0.025))


def _welch(law: Law, sizes: tuple[int, int], lift: float = 0.0) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        arms = zip(law.moments(rng, count, sizes[0]), law.moments(rng, count, sizes[1], lift), strict=True)
        return collect(absolute(welch(*pair), law.effect(lift)) for pair in arms)

    hard = law.name == "lognormal 1" and sizes[0] == 20
    claim = within("covered", 0.95, 0.02 if hard else 0.005)
    return Study(f"{law.name}, n={sizes[0]}", simulate, (claim, *TAILS), 20_000)


def _unequal_spread() -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        arms = zip(rng.normal(0, 1, (count, 900)), rng.normal(0, 4, (count, 60)), strict=True)
        return collect(absolute(welch(Moments.of(c), Moments.of(t)), 0.0) for c, t in arms)

    return Study("normal, sd 1:4, n=900/60", simulate, (within("covered", 0.95, 0.005), *TAILS), 20_000)


def _spending(n: int, lift: float) -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        arms = zip(SPENDING.moments(rng, count, n), SPENDING.moments(rng, count, n, lift), strict=True)
        return collect(absolute(welch(*pair), SPENDING.effect(lift)) for pair in arms)

    claim: Claim = at_least("covered", 0.95, 0.935) if lift else between("covered", 0.95, 0.94, 0.965)
    return Study(f"{SPENDING.name}, n={n}, lift {lift:g}", simulate, (claim, *TAILS), 10_000)


def _unequal_allocation() -> Study:
    def simulate(rng: Generator, count: int) -> Measures:
        rows = []
        arms = SPENDING.moments(rng, count, 9000), SPENDING.moments(rng, count, 1000)
        for control, treatment in zip(*arms, strict=True):
            row = absolute(welch(control, treatment), 0.0)
            rows.append(row | {"guarded": float(bool(tails_unreliable(control, treatment)))})
        return collect(rows)

    claims = (at_least("guarded", 0.95), shown("covered", 0.95), *TAILS)
    return Study(f"{SPENDING.name}, n=9000/1000", simulate, claims, 6_000)


def _capped(percentile: float) -> Study:
    n, lift, law = 2000, 0.3, SPENDING
    truth = _capped_effect(0.05, 1.2, lift, percentile)

    def simulate(rng: Generator, count: int) -> Measures:
        rows = []
        for c, t in zip(*law.arms(rng, count, (n, n), lift), strict=True):
            cap = pooled_percentile(np.concatenate([c, t]), percentile)
            arms = [Moments.of(np.minimum(values, cap)) for values in (c, t)]
            rows.append(absolute(welch(*arms), truth))
        return collect(rows)

    claims = (between("covered", 0.95, 0.94, 0.965), *TAILS)
    return Study(f"{law.name}, n={n}, lift {lift:g}, cap at {percentile:.1%}", simulate, claims, 4_000)


def _capped_effect(p: float, sigma: float, lift: float, percentile: float) -> float:
    """Effect on the mean of min(Y, cap), the cap being the percentile of both arms' positive values together."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def below(cap: float) -> float:
        return float(ndtr(math.log(cap) / sigma) + ndtr(math.log(cap / (1 + lift)) / sigma)) / 2 - percentile

    def mean(cap: float) -> float:
        z = math.log(cap) / sigma
        return p * float(math.exp(sigma**2 / 2) * ndtr(z - sigma) + cap * ndtr(-z))

    cap = brentq(below, 1e-3, 1e6, xtol=1e-12)
    return (1 + lift) * mean(cap / (1 + lift)) - mean(cap)


C1 = Cell(
    "C1",
    "Mean, Welch",
    "The 95 % interval of a difference of means covers it 95 % of the time, from 20 units an arm on.",
    "stats.means.welch",
    (*(_welch(law, (n, n)) for law in (normal(), lognormal(1)) for n in (20, 200, 2000)), _unequal_spread()),
)
C2 = Cell(
    "C2",
    "Mean of zero-heavy spending, Welch",
    "With equal arms the skewness of both cancels, and Welch holds although 95 % of the values are 0.",
    "stats.means.welch",
    tuple(_spending(n, lift) for lift in (0.0, 0.5) for n in (500, 2000, 10_000)),
)
C3 = Cell(
    "C3",
    "Zero-heavy spending split 90/10",
    "Unequal arms break every interval of means on such data; the skewness guard says so.",
    "stats.skew.tails_unreliable",
    (_unequal_allocation(),),
)
C13 = Cell(
    "C13",
    "Capped mean",
    "An interval of a capped mean covers the effect on the capped mean, cap estimated from both arms together.",
    "stats.capping.pooled_percentile, stats.means.welch",
    tuple(_capped(percentile) for percentile in (0.99, 0.999)),
)
CELLS = (C1, C2, C3, C13)
