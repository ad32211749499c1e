"""The situations of against_others.py with many looks: read after every unit, group-sequential plans, and overruns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from others.cells import Law, bernoulli, lognormal, normal, stream, zero_heavy
from others.formulas import Vector, Z, documented_msprt, sequence_multiplier
from xp_pipeline.stats.boundaries import Look, boundary, next_look
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.msprt import msprt
from xp_pipeline.stats.sequences import FEWEST_NONZERO, FEWEST_UNITS, confidence_sequence
from xp_pipeline.stats.sequences import boundary as sequence_boundary
from xp_pipeline.stats.spending import OBRIEN_FLEMING, POCOCK, Spending

UNITS = 5000
"""Units of an arm at the end; the sequences are tuned to twice as many, gbstats' to its default of 5,000."""

FIRST = 100
"""Units of an arm at the first look of every method."""

LAWS: tuple[Law, ...] = (normal(), bernoulli(0.2), bernoulli(0.02), lognormal(1.5), zero_heavy(0.05, 1.2))

KIM_DEMETS = Spending("kim_demets", 2.0)
"""spotify-confidence's spending function."""

EXTRA = (0, 1, 5, 20)
LATE = (1.1, 1.5)
PLANNED = 10
POWER_DRIFT = 3.2415155
"""z_0.975 + z_0.9: the drift at which a fixed horizon has a power of 90 %."""

_TOGETHER = 50


class Peeked(NamedTuple):
    """Share of experiments in which a method is wrong at any look, by method, and looks that the packages check."""

    law: Law
    lift: float
    wrong: Mapping[str, float]
    watched: list[tuple[int, list[float], list[float], float]]


def peeked(law: Law, lift: float, replicates: int) -> Peeked:
    """Every method after every unit, from 100 to 5,000 units an arm."""
    rng, totals = stream(f"peeking/{law.name}/{lift:g}"), dict[str, float]()
    watched: list[tuple[int, list[float], list[float], float]] = []
    for start in range(0, replicates, _TOGETHER):
        shape = (min(_TOGETHER, replicates - start), UNITS)
        values = np.stack([law.draw(rng, shape, 0.0), law.draw(rng, shape, lift)], axis=1)
        for method, wrong in _wrong(law, lift, _Grown.of(values)).items():
            totals[method] = totals.get(method, 0.0) + float(wrong.any(axis=1).sum()) / replicates
        if not start:
            watched = _looks(values[0], _tau(law))
    return Peeked(law, lift, totals, watched)


class _Grown(NamedTuple):
    """At 100, 101 ... 5,000 units an arm: means, sample variances of units, both (B, 2, L), and who has 25 not 0."""

    mean: Vector
    variance: Vector
    ready: NDArray[np.bool_]

    @classmethod
    def of(cls, values: Vector) -> _Grown:
        origin = values[:, :, :FIRST].mean(axis=2, keepdims=True)
        apart = values - origin
        seen = slice(FIRST - 1, None)
        n = np.arange(FIRST, UNITS + 1)
        sums, squares = (np.cumsum(part, axis=2)[:, :, seen] for part in (apart, apart**2))
        nonzero = np.cumsum(values != 0, axis=2)[:, :, seen]
        variance = np.maximum(squares - sums**2 / n, 0.0) / (n - 1)
        return cls(origin + sums / n, variance, (nonzero >= FEWEST_NONZERO).all(axis=1))


def _wrong(law: Law, lift: float, grown: _Grown) -> dict[str, NDArray[np.bool_]]:
    """By method, the looks at which it excludes the truth."""
    n = np.arange(FIRST, UNITS + 1)
    (m_c, m_t), (v_c, v_t) = (np.moveaxis(part, 1, 0) for part in (grown.mean, grown.variance / n))
    away = m_t - m_c - law.mean * lift
    ours, theirs = _ours_multiplier(), sequence_multiplier(2 * n, 5000)
    with np.errstate(all="ignore"):
        se = np.sqrt(v_c + v_t)
        lift_se = np.sqrt(v_t / m_c**2 + v_c * m_t**2 / m_c**4)
        off = np.abs(m_t / m_c - 1 - lift)
        answered = (v_c > 0) & (v_t > 0) & (m_c != 0)
        contrast_se = np.sqrt(v_t + (1 + lift) ** 2 * v_c)
        found = {
            "ours, difference": (np.abs(away) > ours * se) & grown.ready,
            "ours, lift": (np.abs(m_t - (1 + lift) * m_c) > ours * contrast_se) & grown.ready,
            "gbstats sequential, lift (default)": (off > theirs * lift_se) & answered,
            "gbstats sequential, difference": (np.abs(away) > theirs * se) & answered,
        }
        if lift:
            return found
        tau = _tau(law)
        evidence = documented_msprt(n.astype(float), m_t - m_c, v_c * n, tau)
        return found | {
            "ours, mSPRT": (_log_ratio(away, v_c + v_t, tau) > np.log(20)) & grown.ready,
            "xpyrment mSPRT": (evidence > np.log(20)) & (v_c > 0),
            "gbstats chance to win > 97.5 %": (off > Z * lift_se) & answered,
            "fixed horizon (any tool)": (np.abs(away) > Z * se) & answered,
        }


def _log_ratio(difference: Vector, variance: Vector, tau: float) -> Vector:
    total = variance + tau**2
    return np.asarray(tau**2 * difference**2 / (2 * variance * total) + 0.5 * np.log(variance / total))


def _tau(law: Law) -> float:
    """The effect found with a power of 80 % at the end."""
    return float(2.8 * np.sqrt(2 * law.variance / UNITS))


@cache
def _ours_multiplier() -> Vector:
    return np.array([sequence_boundary(2 * n, 2 * UNITS, 0.05) for n in range(FIRST, UNITS + 1)])


def _looks(values: Vector, tau: float) -> list[tuple[int, list[float], list[float], float]]:
    """Four looks at one experiment, as sums and sums of squares."""
    return [
        (n, values[:, :n].sum(axis=1).tolist(), (values[:, :n] ** 2).sum(axis=1).tolist(), tau)
        for n in (200, 1000, 3000, UNITS)
    ]


def twins_apart(experiments: int = 20) -> float:
    """Largest difference between what was counted as wrong here and what the shipped functions answer; 0 if none."""
    apart = 0
    for law in LAWS:
        rng, tau = stream(f"twins/{law.name}"), _tau(law)
        values = np.stack([law.draw(rng, (experiments, UNITS), 0.0) for _ in range(2)], axis=1)
        wrong = _wrong(law, 0.0, _Grown.of(values))
        for i, pair in enumerate(values):
            for n in (150, 700, UNITS):
                e = welch(*(Moments.of(arm[:n]) for arm in pair))
                counted = tuple(float(np.count_nonzero(arm[:n])) for arm in pair)
                band = confidence_sequence(e, planned_n=2 * UNITS, nonzero=(counted[0], counted[1]))
                test = msprt(e, tau=tau, nonzero=(counted[0], counted[1]))
                excludes = (
                    band.status == "ok" and not band.low <= 0 <= band.high,
                    band.status == "ok" and not band.relative.contains(0.0),
                    test.p_value < 0.05,
                )
                named = ("ours, difference", "ours, lift", "ours, mSPRT")
                apart += sum(bool(wrong[m][i, n - FIRST]) != x for m, x in zip(named, excludes, strict=True))
    assert FIRST == FEWEST_UNITS
    return apart


def z_paths(name: str, replicates: int, times: Sequence[float]) -> Vector:
    """z statistics at shares of the planned information, shape (replicates, looks), without an effect."""
    steps = np.sqrt(np.diff(np.array([0.0, *times])))
    return np.cumsum(stream(name).standard_normal((replicates, len(times))) * steps, axis=1) / np.sqrt(np.array(times))


def crossed(z: Vector, uppers: Sequence[float]) -> float:
    """Share of paths beyond a symmetric boundary at any look."""
    return float((np.abs(z) >= np.array(uppers)).any(axis=1).mean())


def equal(looks: int, *, upto: int | None = None) -> list[float]:
    """Shares of the planned information at equal looks."""
    return [(k + 1) / looks for k in range(upto or looks)]


@cache
def planned_looks(kind: str, looks: int) -> tuple[Look, ...]:
    """Our boundary of a plan of equal looks."""
    spending = {"obrien_fleming": OBRIEN_FLEMING, "pocock": POCOCK, "kim_demets": KIM_DEMETS}[kind]
    return boundary(equal(looks), spending=spending)


def late_looks(end: float) -> list[Look]:
    """Nine looks of a plan of ten, then one beyond its end."""
    past = list(planned_looks("kim_demets", PLANNED)[:-1])
    return [*past, next_look(past, information=end, spending=KIM_DEMETS, final=True)]


def units_rescaled() -> list[list[float]]:
    """For each look that spotify-confidence takes here, the units so far and those planned, to be asked for a bound."""
    through = [[*map(float, range(1, k + 1)), float(PLANNED)] for k in range(1, PLANNED + max(EXTRA) + 1)]
    late = [[*map(float, range(1, PLANNED)), end * PLANNED, float(PLANNED)] for end in LATE]
    return through + late


def upper(looks: Sequence[Look]) -> list[float]:
    """Their upper boundaries."""
    return [look.upper for look in looks]
