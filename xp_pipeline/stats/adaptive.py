"""The difference of two means in adaptively collected data: adaptively weighted scores, and batched least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xp_pipeline.stats.adaptive_batches import AdaptiveBatch
from xp_pipeline.stats.estimates import Estimate, Status, without_lift
from xp_pipeline.stats.means import Joint, contrast, unusable, welch
from xp_pipeline.stats.moments import Moments, Vector

Weighting = Literal["contrast", "constant"]
"""Evaluation weights that stabilise the variance of the difference, or of each arm's mean."""


@dataclass(frozen=True)
class AdaptiveEstimates:
    """The readings of one effect in adaptively collected data.

    Attributes:
        naive: Welch's, as if the data had not been collected adaptively: not to be decided on.
        weighted: By adaptively weighted scores.
        batched: By batched least squares.
    """

    naive: Estimate
    weighted: Estimate
    batched: Estimate


def adaptive_estimates(
    batches: Sequence[AdaptiveBatch],
    *,
    control: str = "control",
    treatment: str = "treatment",
    alpha: float = 0.05,
    null: float = 0.0,
) -> AdaptiveEstimates:
    """The effect of treatment against control in all three readings.

    Args:
        batches: In the order of time.
        control, treatment: Names of the two arms; the experiment may have others.
        alpha: One minus the level of the intervals.
        null: The effect tested against.
    """
    whole = _whole(batches, control, treatment)
    return AdaptiveEstimates(
        naive=welch(*whole, alpha=alpha, null=null),
        weighted=adaptively_weighted(batches, control=control, treatment=treatment, alpha=alpha, null=null),
        batched=batched(batches, control=control, treatment=treatment, alpha=alpha, null=null),
    )


def adaptively_weighted(
    batches: Sequence[AdaptiveBatch],
    *,
    control: str = "control",
    treatment: str = "treatment",
    alpha: float = 0.05,
    null: float = 0.0,
    weighting: Weighting = "contrast",
) -> Estimate:
    """Adaptively weighted inverse-propensity scores, augmented by the means of the past.

    A unit of batch t scores G_w = m_w + [its arm is w] (y - m_w) / e_w for each arm w, with e its logged propensity and
    m_w the mean of the arm's earlier batches; every unit of every arm scores, and E G_w is the arm's mean
    whatever led to e. The arm's mean is Q_w = sum h G_w / sum h, and with D = h_1 (G_1 - Q_1) / sum h_1 -
    h_0 (G_0 - Q_0) / sum h_0 the variance of Q_1 - Q_0 is sum D^2 (Hadad, Hirshberg, Zhan, Wager, Athey 2021, PNAS
    118). The evaluation weights h depend on propensities alone and keep the terms' variance constant, which is what
    makes the sum normal: h = (1/e_0 + 1/e_1)^(-1/2) for the difference, which is sqrt(e (1 - e)) of two arms, or
    h_w = sqrt(e_w) for each mean, the constant allocation rate. (Where propensities have a constant floor, their
    two-point allocation rate is the constant one.)

    In the first batch of an arm, which has no past, the score is the batch's own mean, with Welch's variance; so one
    batch alone is Welch's estimate. Degrees of freedom are Satterthwaite's over batches and arms. A mean that
    drifts costs precision, but no bias.

    Args:
        batches: In the order of time.
        control, treatment: Names of the two arms; the experiment may have others.
        alpha: One minus the level of the interval.
        null: The effect tested against.
        weighting: ``contrast`` for the difference; ``constant`` where the arms' means matter too.
    """
    whole = _whole(batches, control, treatment)
    refused = _refused("adaptively_weighted", batches, whole)
    if refused:
        return refused
    table = _Table.of(batches, (control, treatment))
    shares = _evaluation(table, weighting)
    if shares is None:
        return _insufficient("adaptively_weighted", whole, "fewer than two units of an arm in batches with a past")
    means, joint, df = _weighted(table, shares)
    found = contrast("adaptively_weighted", _units(whole), means, joint, df=df, alpha=alpha, null=null)
    return _with_arms(found, whole)


def batched(
    batches: Sequence[AdaptiveBatch],
    *,
    control: str = "control",
    treatment: str = "treatment",
    alpha: float = 0.05,
    null: float = 0.0,
) -> Estimate:
    """Batched least squares: the mean of the batches' z statistics, and the effects that it does not reject.

    Within batch t the difference d_t of means has variance v_t = s_0^2 / n_t0 + s_1^2 / n_t1, whatever earlier batches
    led to n_t. So (1 / sqrt T) sum (d_t - effect) / sqrt(v_t) is standard normal, hence the estimate
    sum d_t / sqrt(v_t) / sum 1 / sqrt(v_t) with standard error sqrt(T) / sum 1 / sqrt(v_t) (Zhang, Janson, Murphy 2020,
    NeurIPS, with a variance for each arm, pooled within batches; degrees of freedom are Satterthwaite's). It needs
    no propensities, and a mean that drifts from batch to batch does it no harm; a variance that drifts does. One
    batch alone is Welch's estimate. Batches that lack an arm say nothing, and are counted in the reason.

    Args:
        batches: In the order of time.
        control, treatment: Names of the two arms; the experiment may have others.
        alpha: One minus the level of the interval.
        null: The effect tested against.
    """
    whole = _whole(batches, control, treatment)
    refused = _refused("batched", batches, whole)
    if refused:
        return refused
    table = _Table.of(batches, (control, treatment))
    used = table.where(table.n.min(axis=1) > 0)
    free = (used.n - 1).sum(axis=0)
    if not len(used.n) or free.min() == 0:
        return _insufficient("batched", whole, "no batch has both arms, with two units in one of them")
    variances = used.central.sum(axis=0) / free / used.n
    shares = np.where(variances.sum(axis=1) > 0, variances.sum(axis=1), 1.0) ** -0.5
    shares /= shares.sum()
    means, arms = shares @ used.mean, shares**2 @ variances
    found = contrast(
        "batched",
        _units(whole),
        _pair(means),
        (*_pair(arms), 0.0),
        df=_satterthwaite(arms, free),
        alpha=alpha,
        null=null,
    )
    skipped = len(table.n) - len(used.n)
    caution = f"{skipped} of {len(table.n)} batches lack an arm and are left out" if skipped else None
    return _with_arms(found, whole).cautioned(caution)


@dataclass(frozen=True, eq=False)
class _Table:
    """Batches with units, T of them, and two arms as arrays.

    Attributes:
        n, mean, central: Units, means and central sums, shape (T, 2).
        e: Propensities, shape (T, 2).
        size: Units of all arms, shape (T, 1).
    """

    n: Vector
    mean: Vector
    central: Vector
    e: Vector
    size: Vector

    @classmethod
    def of(cls, batches: Sequence[AdaptiveBatch], names: tuple[str, str]) -> _Table:
        filled = [batch for batch in batches if batch.n]
        arms = [[batch.arm(name) for name in names] for batch in filled]
        return cls(
            n=np.array([[float(arm.n) for arm in pair] for pair in arms]),
            mean=np.array([[arm.mean[0] for arm in pair] for pair in arms]),
            central=np.array([[arm.comoment[0, 0] for arm in pair] for pair in arms]),
            e=np.array([[batch.propensity(name) for name in names] for batch in filled]),
            size=np.array([[float(batch.n)] for batch in filled]),
        )

    def where(self, chosen: NDArray[np.bool_]) -> _Table:
        """Some of the batches."""
        return _Table(self.n[chosen], self.mean[chosen], self.central[chosen], self.e[chosen], self.size[chosen])

    @property
    def past(self) -> tuple[Vector, Vector]:
        """Units and mean of the earlier batches, shape (T, 2); the mean is 0 where there are none."""
        before = np.cumsum(self.n, axis=0) - self.n
        origin = self.mean[np.argmax(self.n > 0, axis=0), (0, 1)]
        apart = self.n * (self.mean - origin)
        sums = np.cumsum(apart, axis=0) - apart
        return before, np.where(before > 0, origin + sums / np.maximum(before, 1.0), 0.0)


def _evaluation(table: _Table, weighting: Weighting) -> Vector | None:
    """Each batch's share N h / sum N h of each arm's mean, shape (T, 2).

    None where the batches that count have less than two units of an arm: their scores would show no variance.
    """
    before, _ = table.past
    known = ((before > 0) | (table.n > 1)).astype(np.float64)
    with np.errstate(divide="ignore"):
        inverse = 1 / table.e
    if weighting == "contrast":
        known, inverse = known.min(axis=1, keepdims=True), inverse.sum(axis=1, keepdims=True)
    weights = np.broadcast_to(table.size * known * inverse**-0.5, table.n.shape)
    counted = (table.n * (weights > 0)).sum(axis=0)
    return weights / weights.sum(axis=0) if counted.min() > 1 else None


def _weighted(table: _Table, shares: Vector) -> tuple[tuple[float, float], Joint, float | None]:
    """Adaptively weighted means, their variances and covariance, and degrees of freedom of the difference."""
    before, m = table.past
    own, n, size = before == 0, table.n, table.size
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(n > 0, (table.mean - m) / table.e, 0.0)
        within = np.where(n > 0, table.central / table.e**2, 0.0)
        alone = np.where(n > 1, table.central / (n * (n - 1)), 0.0)
    q = (shares * np.where(own, table.mean, m + n / size * step)).sum(axis=0)
    apart = m - q
    squares = (n * (apart + step) ** 2 + within + (size - n) * apart**2) / size**2
    terms = shares**2 * np.where(own, alone, squares)
    crossed = n * (apart + step) * apart[:, ::-1]
    neither = (size[:, 0] - n.sum(axis=1)) * apart.prod(axis=1)
    products = np.where(own.any(axis=1), 0.0, crossed.sum(axis=1) + neither) / size[:, 0] ** 2
    v_c, v_t = _pair(terms.sum(axis=0))
    cov = float((shares.prod(axis=1) * products).sum())
    return _pair(q), (v_c, v_t, cov), _satterthwaite(terms, np.maximum(n - 1, 1.0))


def _satterthwaite(terms: Vector, free: Vector) -> float | None:
    """(sum a)^2 / sum a^2 / df of a variance's independent terms a; None where there is no variance."""
    total = float(terms.sum())
    return 1 / float(((terms / total) ** 2 / np.maximum(free, 1.0)).sum()) if total > 0 else None


def _whole(batches: Sequence[AdaptiveBatch], control: str, treatment: str) -> tuple[Moments, Moments]:
    """The arms over all batches, as if these did not matter."""
    c, t = (Moments.merge(Moments.empty(1), *(b.arm(name) for b in batches)) for name in (control, treatment))
    return c, t


def _refused(estimator: str, batches: Sequence[AdaptiveBatch], whole: tuple[Moments, Moments]) -> Estimate | None:
    """The answer where there can be no estimate: invalid propensities or values, or too few units."""
    problem = next((batch.problem for batch in batches if batch.problem), "")
    if not problem:
        return unusable(*whole, estimator)
    lift = without_lift(Status.INVALID_DATA, problem)
    return Estimate(Status.INVALID_DATA, problem, estimator, *_units(whole), relative=lift)


def _insufficient(estimator: str, whole: tuple[Moments, Moments], reason: str) -> Estimate:
    lift = without_lift(Status.INSUFFICIENT_DATA, reason)
    return Estimate(Status.INSUFFICIENT_DATA, reason, estimator, *_units(whole), relative=lift)


def _with_arms(found: Estimate, whole: tuple[Moments, Moments]) -> Estimate:
    """With per-unit variances that the variances of the means amount to, and the naive effect."""
    c, t = whole
    return replace(
        found,
        var_control=found.var_mean_control * c.n,
        var_treatment=found.var_mean_treatment * t.n,
        unadjusted_effect=float(t.mean[0] - c.mean[0]),
    )


def _units(whole: tuple[Moments, Moments]) -> tuple[int, int]:
    return whole[0].n, whole[1].n


def _pair(values: Vector) -> tuple[float, float]:
    return float(values[0]), float(values[1])
