"""Every public estimator as a function of the units of two arms, so that one law can be held against all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xp_pipeline.stats import resampling
from xp_pipeline.stats.adaptive import adaptively_weighted, batched
from xp_pipeline.stats.adaptive_batches import AdaptiveBatch
from xp_pipeline.stats.buckets import BucketedMoments
from xp_pipeline.stats.clusters import clustered
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.factorial import factorial_effect
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.order import OrderStatistics, ThresholdCounts
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.quantiles import quantile
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.resampling import bootstrap, jackknife
from xp_pipeline.stats.stratified import Stratum, stratified

Rows = NDArray[np.float64]
"""Units by row: outcome, denominator, covariate, label; shape (n, 4)."""

Y, D, X, LABEL = range(4)
CLUSTERS = 12
BUCKETS = 30

Gather = Callable[[Rows], Moments]
"""How the moments of some units come about: at once, or from parts."""


class Reader(Protocol):
    """An estimator; ``of`` makes moments, for those that read them."""

    def __call__(
        self, control: Rows, treatment: Rows, *, alpha: float = 0.05, null: float = 0.0, of: Gather = Moments.of
    ) -> Estimate: ...


def _on_moments(estimator: Callable[..., Estimate], columns: list[int], **options: object) -> Reader:
    def read(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
        arms = (of(rows[:, columns]) for rows in (control, treatment))
        return estimator(*arms, alpha=alpha, null=null, **options)

    return read


def _proportion(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
    """Outcomes above 1 are events; those that are not finite stay as they are."""
    arms = [np.where(np.isfinite(rows[:, Y]), rows[:, Y] > 1, rows[:, Y]) for rows in (control, treatment)]
    return proportion(*(of(arm[:, None]) for arm in arms), alpha=alpha, null=null)


def _rare(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
    """Few events: the score method."""
    arms = [np.where(np.isfinite(rows[:, Y]), rows[:, Y] > 2.3, rows[:, Y]) for rows in (control, treatment)]
    return proportion(*(of(arm[:, None]) for arm in arms), alpha=alpha, null=null)


def _stratified(columns: list[int], **options: object) -> Reader:
    def read(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
        strata = [
            Stratum(*(of(rows[rows[:, LABEL] % 3 == h][:, columns]) for rows in (control, treatment))) for h in range(3)
        ]
        return stratified(strata, alpha=alpha, null=null, **options)

    return read


def _clustered(apart: bool) -> Reader:
    """Clusters with units of both arms, or of one arm each."""

    def sums(rows: Rows, offset: int) -> Rows:
        table = np.zeros((2 * CLUSTERS, 2))
        for row in rows:
            place = int(row[LABEL]) % CLUSTERS + (offset if apart else 0)
            table[place] += row[Y], 1.0
        return table

    def read(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
        return clustered(sums(control, 0), sums(treatment, CLUSTERS), alpha=alpha, null=null)

    return read


def _quantile(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
    arms = (OrderStatistics.of(rows[:, Y]) for rows in (control, treatment))
    return quantile(*arms, p=0.5, alpha=alpha, null=null)


def _clustered_quantile(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
    arms, counts = [], []
    for rows in (control, treatment):
        arm = OrderStatistics.of(rows[:, Y])
        place = arm.quantile(0.5)
        labels = [rows[rows[:, LABEL] == label][:, Y] for label in np.unique(rows[:, LABEL])]
        below, held = [float((unit <= place).sum()) for unit in labels], [float(unit.size) for unit in labels]
        arms.append(arm)
        counts.append(ThresholdCounts.of(below, held, threshold=place))
    return quantile(*arms, p=0.5, alpha=alpha, null=null, clusters=(counts[0], counts[1]))


def _resampled(estimator: Callable[..., Estimate], columns: list[int], **options: object) -> Reader:
    def read(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
        arms = []
        for rows in (control, treatment):
            parts = {
                b: of(rows[rows[:, LABEL] % BUCKETS == b][:, columns])
                for b in np.unique(rows[:, LABEL] % BUCKETS).astype(int)
            }
            arms.append(BucketedMoments.from_parts(parts, len(columns)))
        return estimator(*arms, alpha=alpha, null=null, **options)

    return read


def _factorial(columns: list[int], **options: object) -> Reader:
    """The mean of two arms against the mean of two others."""

    def read(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
        arms = {
            f"{name}{half}": of(rows[rows[:, LABEL] % 2 == half][:, columns])
            for name, rows in (("control", control), ("treatment", treatment))
            for half in (0, 1)
        }
        weights = {name: 0.5 if name.startswith("treatment") else -0.5 for name in arms}
        return factorial_effect(arms, weights, alpha=alpha, null=null, **options)

    return read


def _adaptive(estimator: Callable[..., Estimate]) -> Reader:
    def read(control: Rows, treatment: Rows, *, alpha=0.05, null=0.0, of=Moments.of) -> Estimate:
        batches = [
            AdaptiveBatch(
                {
                    name: of(rows[rows[:, LABEL] % 3 == b][:, [Y]])
                    for name, rows in (("control", control), ("treatment", treatment))
                },
                {"control": 0.5, "treatment": 0.5},
            )
            for b in range(3)
        ]
        return estimator(batches, alpha=alpha, null=null)

    return read


MEANS: dict[str, Reader] = {
    "welch": _on_moments(welch, [Y]),
    "cuped": _on_moments(cuped, [Y, X]),
    "lin": _on_moments(cuped, [Y, X], method="lin"),
    "cuped, two covariates": _on_moments(cuped, [Y, X, D]),
    "lin, two covariates": _on_moments(cuped, [Y, X, D], method="lin"),
    "clusters across arms": _clustered(apart=False),
    "clusters of one arm": _clustered(apart=True),
    "stratified": _stratified([Y]),
    "stratified cuped": _stratified([Y, X]),
    "quantile": _quantile,
    "clustered quantile": _clustered_quantile,
    "jackknife": _resampled(jackknife, [Y]),
    "bootstrap": _resampled(bootstrap, [Y], replicates=200, seed=1),
    "jackknife cuped": _resampled(jackknife, [Y, X], pair=resampling.adjusted_means),
    "factorial": _factorial([Y]),
    "factorial cuped": _factorial([Y, X]),
    "adaptively weighted": _adaptive(adaptively_weighted),
    "batched": _adaptive(batched),
}
"""Of outcomes in the metric's unit, whose zero may move."""

RATIOS: dict[str, Reader] = {
    "ratio": _on_moments(ratio, [Y, D]),
    "ratio cuped": _on_moments(cuped, [Y, D, X], ratio=True),
    "ratio lin": _on_moments(cuped, [Y, D, X], ratio=True, method="lin"),
    "stratified ratio": _stratified([Y, D], ratio=True),
    "stratified ratio cuped": _stratified([Y, D, X], ratio=True),
    "jackknife ratio": _resampled(jackknife, [Y, D], pair=resampling.ratios),
    "factorial ratio": _factorial([Y, D], ratio=True),
}

SHARES: dict[str, Reader] = {"proportion": _proportion, "score": _rare}

READERS = {**MEANS, **RATIOS, **SHARES}


def drawn(seed: int, sizes: tuple[int, int], effect: float, base: float) -> tuple[Rows, Rows]:
    """Two arms of units in random clusters: outcomes tied to a positive denominator and to a covariate."""
    rng = np.random.default_rng(seed)
    arms = []
    for n, shift in zip(sizes, (0.0, effect), strict=True):
        label = rng.integers(0, 4 * BUCKETS, n).astype(float)
        x, d = rng.standard_normal(n), 1.0 + rng.gamma(2.0, 1.0, n)
        y = base + shift + 0.6 * x + 0.2 * d + rng.standard_normal(n) * (1 + shift / 4)
        arms.append(np.column_stack([y, d, x, label]))
    return arms[0], arms[1]


def in_parts(seed: int) -> Gather:
    """Moments of five parts, merged in a random order, empty ones among them."""

    def gather(values: Rows) -> Moments:
        rng = np.random.default_rng(seed)
        parts = [values[rng.permutation(len(values))[:0]], *np.array_split(values, 5)]
        merged: Iterable[Moments] = (Moments.of(parts[i]) for i in rng.permutation(len(parts)))
        return Moments.merge(*merged)

    return gather
