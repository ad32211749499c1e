"""The cell of Bayesian read-outs: beliefs that come true as often as they say, when effects follow the prior, C23."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.random import Generator
from scipy import special

from xp_pipeline.calibration.measures import Row, collect, covering
from xp_pipeline.calibration.model import (
    Agreement,
    Cell,
    Claim,
    Measures,
    Study,
    Vector,
    agreement,
    within,
)
from xp_pipeline.stats.bayes import Posterior, Prior, gaussian_effect
from xp_pipeline.stats.beta_binomial import beta_binomial
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments

UNITS, TAU = 1_000, 0.1
MEAN = 10.0
FEW_UNITS, BETA = 50, (4.0, 16.0)
TENTHS = tuple(f"{10 * k}-{10 * k + 10} %" for k in range(10))


def _wins(chance: Vector, won: Vector) -> dict[str, Vector]:
    """By tenth of the chance to win: whether it won, less the chance; NaN in the other tenths."""
    tenth = np.minimum((10 * chance).astype(int), 9)
    return {f"won less chance, {name}": np.where(tenth == k, won - chance, np.nan) for k, name in enumerate(TENTHS)}


def _claims(slack: float, covered: float) -> tuple[Claim, ...]:
    deciles = (within(f"won less chance, {name}", 0.0, slack, "mean") for name in TENTHS)
    return (within("covered", 0.95, covered), *deciles)


def _statistics(rng: Generator, count: int, effect: Vector) -> tuple[Vector, Vector]:
    """Means and variances of two arms of normal units with sd 1, as their distributions give them, shape (count, 2)."""
    mean = rng.normal(np.column_stack([np.zeros(count), effect]), 1 / np.sqrt(UNITS))
    return mean, rng.chisquare(UNITS - 1, (count, 2)) / (UNITS - 1)


def _posterior(mean: Vector, variance: Vector) -> tuple[Vector, Vector]:
    """Mean and sd of the posterior under N(0, tau^2)."""
    noise = variance.sum(axis=1) / UNITS
    share = TAU**2 / (TAU**2 + noise)
    return share * (mean[:, 1] - mean[:, 0]), np.sqrt(share * noise)


def _gaussian(rng: Generator, count: int) -> Measures:
    effect = rng.normal(0.0, TAU, count)
    centre, sd = _posterior(*_statistics(rng, count, effect))
    covered = np.abs(effect - centre) <= 1.959963984540054 * sd
    return {"covered": covered.astype(float)} | _wins(special.ndtr(centre / sd), (effect > 0).astype(float))


def _gaussian_twin(rng: Generator) -> Agreement:
    mean, variance = _statistics(rng, 200, rng.normal(0.0, TAU, 200))
    shipped = []
    for m, v in zip(mean, variance, strict=True):
        arms = [Moments(UNITS, m[i : i + 1], v[i : i + 1, None] * (UNITS - 1), 0.0) for i in (0, 1)]
        found = gaussian_effect(welch(*arms), prior=Prior(0.0, TAU, "absolute"))
        shipped.append((found.mean, found.sd, found.chance_to_win))
    centre, sd = _posterior(mean, variance)
    return agreement(np.array(shipped), np.column_stack([centre, sd, special.ndtr(centre / sd)]))


def _believed(found: Posterior, effect: float) -> Row:
    loss = {"loss less expected": max(-effect, 0.0) - found.loss_ship, "chance": found.chance_to_win}
    return covering(found.low, found.high, effect) | loss | {"won": float(effect > 0)}


def _decided(rows: list[Row]) -> Measures:
    measures = dict(collect(rows))
    return measures | _wins(measures.pop("chance"), measures.pop("won"))


def _relative(rng: Generator, count: int) -> Measures:
    """A prior of the lift, on units whose sd is their mean; the posterior is of the lift too."""
    rows = []
    for lift in rng.normal(0.0, TAU, count).tolist():
        control, treatment = rng.normal(MEAN, MEAN, UNITS), rng.normal(MEAN * (1 + lift), MEAN, UNITS)
        estimate = welch(Moments.of(control), Moments.of(treatment))
        rows.append(_believed(gaussian_effect(estimate, prior=Prior(0.0, TAU), scale="relative"), lift))
    return _decided(rows)


@cache
def _of_events(control: int, treatment: int) -> Posterior:
    """The shipped read-out; replicates with the same events have the same."""
    return beta_binomial(control, FEW_UNITS, treatment, FEW_UNITS, prior=BETA)


def _proportions(rng: Generator, count: int) -> Measures:
    rows = []
    for p_c, p_t in rng.beta(*BETA, (count, 2)).tolist():
        events = int(rng.binomial(FEW_UNITS, p_c)), int(rng.binomial(FEW_UNITS, p_t))
        rows.append(_believed(_of_events(*events), p_t - p_c))
    return _decided(rows)


FEWER = (*_claims(0.02, 0.006), within("loss less expected", 0.0, 0.0005, "mean"))
C23 = Cell(
    "C23",
    "Bayesian read-outs under their prior",
    "When effects are drawn from the prior, treatments with a chance to win of 30 % win 30 % of the time (by tenths of "
    "the chance), credible intervals cover, and choosing treatment loses what was expected.",
    "stats.bayes.gaussian_effect, stats.beta_binomial.beta_binomial",
    (
        Study(
            f"Gaussian, prior sd {TAU:g} of the outcome's, n={UNITS:,}",
            _gaussian,
            _claims(0.005, 0.001),
            1_000_000,
            batch=100_000,
            twin=_gaussian_twin,
        ),
        Study(f"Gaussian, prior sd {TAU:g} of the lift, n={UNITS:,}", _relative, FEWER, 40_000),
        Study(f"Beta-Binomial, prior Beta(4, 16), n={FEW_UNITS}", _proportions, FEWER, 50_000, batch=10_000),
    ),
)
CELLS = (C23,)
