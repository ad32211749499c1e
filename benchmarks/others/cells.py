"""The situations of against_others.py with one analysis at the end: how they are drawn, and what each method covers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from others.formulas import Answers, Arms, Interval, Kind, Scale, Vector, answers
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.skew import tails_unreliable

CHECKED = 10
"""Data sets of a cell that the packages themselves analyse."""

_BATCH_VALUES = 4_000_000


class Law(NamedTuple):
    """A distribution of values of mean ``mean``; a lift scales values, or shifts them where ``shifts``."""

    name: str
    draw: Callable[[Generator, tuple[int, int], float], Vector]
    mean: float
    variance: float


def normal(cv: float = 0.3) -> Law:
    """Mean 1; a lift shifts."""
    return Law(f"normal, cv {cv:g}", lambda rng, shape, lift: 1 + lift + cv * rng.standard_normal(shape), 1.0, cv**2)


def lognormal(s: float) -> Law:
    """Mean 1, standard deviation s of the logarithm."""
    return Law(f"lognormal {s:g}", lambda rng, shape, lift: (1 + lift) * _lognormal(rng, shape, s), 1.0, np.expm1(s**2))


def zero_heavy(share: float, s: float) -> Law:
    """Lognormal spending of mean 1 by a share of units, 0 by the others."""

    def draw(rng: Generator, shape: tuple[int, int], lift: float) -> Vector:
        values = np.zeros(shape)
        spent = rng.random(shape) < share
        values[spent] = (1 + lift) * _lognormal(rng, (int(spent.sum()),), s)
        return values

    return Law(f"spending of {share:.0%}, lognormal {s:g}", draw, share, share * np.exp(s**2) - share**2)


def bernoulli(p: float) -> Law:
    """1 with probability p (1 + lift), else 0."""
    return Law(f"{p:g} of units", lambda rng, shape, lift: (rng.random(shape) < p * (1 + lift)) * 1.0, p, p * (1 - p))


def _lognormal(rng: Generator, shape: tuple[int, ...], s: float) -> Vector:
    return np.exp(s * rng.standard_normal(shape) - s**2 / 2)


@dataclass(frozen=True)
class Cell:
    """A situation: its name, what is analysed, the arms' sizes, how one arm is drawn, and the truth on both scales."""

    table: str
    name: str
    kind: Kind
    sizes: tuple[int, int]
    draw: Callable[[Generator, tuple[int, int], bool], Vector]
    effect: float
    lift: float

    def batches(self, replicates: int) -> Iterator[tuple[Vector, Vector]]:
        """Values of control and treatment, shapes (B, n, k), as often as needed."""
        rng = stream(f"{self.table}/{self.name}")
        most = max(1, _BATCH_VALUES // max(self.sizes))
        for start in range(0, replicates, most):
            count = min(most, replicates - start)
            c, t = (self.draw(rng, (count, n), treated) for treated, n in enumerate(self.sizes))
            yield (c, t) if c.ndim == 3 else (c[:, :, None], t[:, :, None])


class Coverage(NamedTuple):
    """Shares of replicates: interval covers the truth, lies below it, lies above it, is none, or has no bounds."""

    covers: float
    below: float
    above: float
    none: float
    unbounded: float = 0.0


class Found(NamedTuple):
    """A cell's coverage by scale and method, the share flagged by our guard, and the first data sets with answers."""

    cell: Cell
    coverage: dict[Scale, dict[str, Coverage]]
    flagged: float
    first: list[tuple[Vector, Vector]]
    replicated: dict[Scale, dict[str, Interval]]

    @property
    def replicates(self) -> int:
        """Experiments drawn."""
        return len(self.replicated["absolute"]["gbstats"][0])


def stream(name: str) -> Generator:
    """Random numbers that follow from a name: nobody chooses a seed."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"against others/{name}/v1".encode()).digest()))


def simulate(cell: Cell, replicates: int) -> Found:
    """Every method on the same draws."""
    rows: list[tuple[float, ...]] = []
    parts: list[Answers] = []
    first: list[tuple[Vector, Vector]] = []
    for control, treatment in cell.batches(replicates):
        kept = _with_denominators(control, treatment) if cell.kind == "ratio" else None
        parts.append(answers(cell.kind, Arms.of(control, treatment), filtered=kept))
        rows += [_ours(cell, c, t) for c, t in zip(control, treatment, strict=True)]
        first += list(zip(control, treatment, strict=True))[: CHECKED - len(first)]
    theirs = {scale: {tool: _joined(parts, scale, tool) for tool in parts[0][scale]} for scale in parts[0]}
    ours = np.array(rows).T
    coverage: dict[Scale, dict[str, Coverage]] = {
        "absolute": {"ours": _covered(ours[0], ours[1], cell.effect)},
        "relative": {"ours": _lifts(ours, cell.lift)},
    }
    for scale, truth in (("absolute", cell.effect), ("relative", cell.lift)):
        coverage[scale] |= {tool: _covered(low, high, truth) for tool, (low, high) in theirs[scale].items()}
    return Found(cell, coverage, float(ours[6].mean()), first, theirs)


def _ours(cell: Cell, control: Vector, treatment: Vector) -> tuple[float, ...]:
    """Ends of both intervals; whether the set of lifts contains the truth, has no bounds; whether tails are flagged."""
    if cell.kind == "proportion":
        e, flag = _counted(int(control.sum()), len(control), int(treatment.sum()), len(treatment)), None
    else:
        arms = Moments.of(control), Moments.of(treatment)
        e = {"mean": welch, "ratio": ratio, "cuped": cuped}[cell.kind](*arms)
        flag = tails_unreliable(*arms) if cell.kind == "mean" else None
    r = e.relative
    return e.low, e.high, r.low, r.high, r.contains(cell.lift), r.status == Status.UNBOUNDED, bool(flag)


@lru_cache(maxsize=100_000)
def _counted(x_c: int, n_c: int, x_t: int, n_t: int) -> Estimate:
    """Proportions depend on counts alone."""
    return proportion(*(Moments.of([1.0] * x + [0.0] * (n - x)) for x, n in ((x_c, n_c), (x_t, n_t))))


def _lifts(ours: Vector, lift: float) -> Coverage:
    """As ``_covered``, of sets that may have no bounds: one that does not contain the lift counts to neither side."""
    low, high, contains, unbounded = ours[2], ours[3], ours[4], ours[5]
    given = np.isfinite(low) | (unbounded > 0)
    bounded = given & (unbounded == 0)
    return Coverage(
        float(contains[given].mean()),
        float((high < lift)[bounded].sum() / given.sum()),
        float((low > lift)[bounded].sum() / given.sum()),
        float(1 - given.mean()),
        float(unbounded.mean()),
    )


def _covered(low: Vector, high: Vector, truth: float) -> Coverage:
    """Among the replicates with an interval; ends in the wrong order cover nothing."""
    given = np.isfinite(low) & np.isfinite(high)
    low, high = low[given], high[given]
    covers = (low <= truth) & (truth <= high)
    return Coverage(
        float(covers.mean()),
        float(((high < truth) & ~covers).mean()),
        float(((low > truth) & ~covers & ~(high < truth)).mean()),
        float(1 - given.mean()),
    )


def _joined(parts: list[Answers], scale: Scale, tool: str) -> Interval:
    low, high = (np.concatenate([part[scale][tool][end] for part in parts]) for end in (0, 1))
    return low, high


def _with_denominators(control: Vector, treatment: Vector) -> Arms:
    """Moments of the units with a positive denominator, whose number differs from experiment to experiment."""
    arms = []
    for values in (control, treatment):
        kept = (values[:, :, 1] > 0).astype(float)
        n = kept.sum(axis=1)
        mean = np.einsum("rn,rnk->rk", kept, values) / n[:, None]
        centred = (values - mean[:, None, :]) * kept[:, :, None]
        arms.append((n, mean, np.einsum("rni,rnj->rij", centred, centred) / (n - 1)[:, None, None]))
    return Arms(*(np.stack(part, axis=1) for part in zip(*arms, strict=True)))


def _plain(table: str, law: Law, n: int, lift: float = 0.0, *, treated: int | None = None) -> Cell:
    sizes = (n, treated or n)
    kind: Kind = "proportion" if law.name.endswith("of units") else "mean"
    name = f"{law.name}, {sizes[0]:,}" + ("" if treated is None else f" against {treated:,}")
    return Cell(
        table, f"{name}, lift {lift:.0%}", kind, sizes,
        lambda rng, shape, arm: law.draw(rng, shape, lift * arm), law.mean * lift, lift,
    )  # fmt: skip


def _correlated(lift: float, n: int) -> Cell:
    """Outcome 1 + lift with cv 0.5, covariate correlated by 0.9."""

    def draw(rng: Generator, shape: tuple[int, int], arm: bool) -> Vector:
        x, e = rng.standard_normal(shape), rng.standard_normal(shape)
        return np.stack([1 + lift * arm + 0.5 * (0.9 * x + np.sqrt(1 - 0.81) * e), x], axis=2)

    return Cell("CUPED", f"cv 0.5, rho 0.9, {n:,}, lift {lift:.0%}", "cuped", (n, n), draw, lift, lift)


def _clicks(n: int, spread: float) -> Cell:
    """Views by unit: none for 40 %, else skewed; clicks by the unit's own rate, Beta(1, 9)."""

    def draw(rng: Generator, shape: tuple[int, int], arm: bool) -> Vector:
        views = np.ceil(5 * _lognormal(rng, shape, spread)) * (rng.random(shape) < 0.6)
        return np.stack([rng.binomial(views.astype(int), rng.beta(1, 9, shape)) * 1.0, views], axis=2)

    return Cell("Ratio", f"clicks a view, 40 % without views, sigma {spread:g}, {n:,}", "ratio", (n, n), draw, 0.0, 0.0)


def _orders(n: int, lift: float) -> Cell:
    """Searches by unit: none for 40 %, who order as much as others; a lift of orders is one of the ratio."""

    def draw(rng: Generator, shape: tuple[int, int], arm: bool) -> Vector:
        searches = rng.poisson(4, shape) * (rng.random(shape) < 0.6)
        return np.stack([rng.poisson(0.5 * (1 + lift * arm), shape) * 1.0, searches * 1.0], axis=2)

    rate = 0.5 / (4 * 0.6)
    name = f"orders a search, 40 % order without searching, {n:,}, lift {lift:.0%}"
    return Cell("Ratio", name, "ratio", (n, n), draw, rate * lift, lift)


SPENDING = zero_heavy(0.05, 1.2)

CELLS: tuple[Cell, ...] = (
    *(_plain("Relative lift", SPENDING, n, lift) for n in (100, 500, 2000) for lift in (0.0, 0.5)),
    _plain("Relative lift", zero_heavy(0.02, 1.5), 5000),
    _plain("Relative lift", lognormal(1.0), 100, 0.5),
    _plain("Relative lift", normal(), 200, 0.5),
    *(_correlated(lift, n) for n in (50, 200) for lift in (0.0, 0.5, 1.0)),
    _plain("Small counts", bernoulli(0.01), 200),
    _plain("Small counts", bernoulli(0.01), 1000),
    _plain("Small counts", bernoulli(0.05), 150),
    _plain("Small counts", bernoulli(0.01), 1000, 0.5),
    _plain("Small counts", bernoulli(0.10), 500, 0.5),
    _clicks(200, 0.8),
    _clicks(1000, 0.8),
    _clicks(1000, 1.5),
    _orders(1000, 0.0),
    _orders(5000, 0.5),
    _plain("90/10", SPENDING, 9000, treated=1000),
    _plain("90/10", lognormal(1.5), 9000, treated=1000),
    _plain("90/10", normal(), 9000, treated=1000),
    _plain("90/10", SPENDING, 5000),
)
