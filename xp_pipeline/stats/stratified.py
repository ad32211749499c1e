"""Post-stratification: effects within strata or phases of allocation, averaged at the strata's shares of units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from xp_pipeline.stats.cuped import joint_variances, residual, slope_factor, slopes
from xp_pipeline.stats.estimates import Estimate, Status, without_lift
from xp_pipeline.stats.means import Joint, contrast, unusable
from xp_pipeline.stats.moments import Moments, Vector
from xp_pipeline.stats.ratios import few_denominators, linearise

FEWEST = 2
"""Units that an arm needs in a stratum for a variance."""


class Stratum(NamedTuple):
    """The two arms' moments of one stratum, or one phase of allocation."""

    control: Moments
    treatment: Moments

    @property
    def n(self) -> int:
        """Units of both arms."""
        return self.control.n + self.treatment.n

    @property
    def fewest(self) -> int:
        """Units of the smaller arm."""
        return min(self.control.n, self.treatment.n)


class _Part(NamedTuple):
    """A stratum's contribution: its weight, adjusted means, per-unit variances, and joint variances of the means."""

    weight: float
    means: tuple[float, float]
    variances: tuple[float, float]
    units: tuple[int, int]
    joint: Joint


def stratified(
    strata: Mapping[str, Stratum] | Sequence[Stratum], *, alpha: float = 0.05, null: float = 0.0, ratio: bool = False
) -> Estimate:
    """sum_h w_h (m_th - m_ch), w_h the stratum's share of units; Var sum w_h^2 (v_th + v_ch).

    For a mean without covariates this is the saturated regression with HC2 (Miratrix, Sekhon, Yu 2013, J. R.
    Stat. Soc. B 75), with Satterthwaite's degrees of freedom over all cells. With phases of allocation as
    strata it is free of the bias that a changed split and a drifting mean make together. Covariates adjust with
    slopes pooled within arms and strata. A ratio is that of the stratified mean of y over that of d, through
    its linearised residual. Given the strata's shares, like HC2; in the lift those shares, which both arms
    have in common, move both means by their covariance over strata, sum w_h (m_ch - m_c)(m_th - m_t) / N.

    Strata with fewer than two units in an arm are merged, and the answer says so; units of a stratum that
    one arm lacks are thus never dropped.

    Args:
        strata: Moments by stratum of outcome (and denominator, if ``ratio``), then covariates, if any.
        ratio: Whether variable 1 is a denominator.
    """
    given = list(strata.values() if isinstance(strata, Mapping) else strata)
    merged = merge_thin(given)
    whole = _whole(merged)
    size = whole.control.mean.size
    estimator = "stratified" + ("_ratio" if ratio else "") + ("_cuped" if size > 1 + ratio else "")
    refused = unusable(*whole, estimator)
    if refused:
        return refused
    scored = [_linearised(merged, stratum) for stratum in merged] if ratio else merged
    if scored is None or any(stratum is None for stratum in scored):
        return _refused(whole, estimator, Status.DEGENERATE, "an arm's denominators sum to 0")
    found = _pooled([s for s in scored if s is not None], estimator, alpha=alpha, null=null)
    found = _against_plain(found, Stratum(*(linearise(arm) for arm in whole)) if ratio else whole)
    found = found.cautioned(few_denominators(*whole) if ratio else None)
    lost = len([s for s in given if s.n]) - len(merged)
    return found.cautioned(f"strata with fewer than two units in an arm were merged, {lost} fewer" if lost else None)


def merge_thin(strata: Sequence[Stratum]) -> list[Stratum]:
    """Strata of which each arm has two units: thin ones pooled, with the smallest other where that is not enough."""
    kept = [stratum for stratum in strata if stratum.fewest >= FEWEST]
    thin = [stratum for stratum in strata if stratum.n > 0 and stratum.fewest < FEWEST]
    if not thin:
        return kept
    rest = _whole(thin)
    if rest.fewest < FEWEST and kept:
        smallest = min(kept, key=lambda stratum: stratum.n)
        kept.remove(smallest)
        rest = _whole([smallest, rest])
    return [*kept, rest]


def _whole(strata: Sequence[Stratum]) -> Stratum:
    if not strata:
        return Stratum(Moments.empty(1), Moments.empty(1))
    return Stratum(Moments.merge(*(s.control for s in strata)), Moments.merge(*(s.treatment for s in strata)))


def _linearised(strata: Sequence[Stratum], stratum: Stratum) -> Stratum | None:
    """R + (y - R d)/D of each arm and the covariates, with R = Y/D of stratified means; None where D is 0."""
    arms = []
    weights = _shares(strata)
    for i, arm in enumerate(stratum):
        y, d = weights @ np.array([s[i].mean[:2] for s in strata])
        if d == 0:
            return None
        k = arm.mean.size
        combination, constant = np.zeros((k - 1, k)), np.zeros(k - 1)
        combination[0, :2], constant[0] = (1 / d, -y / d**2), y / d
        combination[np.arange(1, k - 1), np.arange(2, k)] = 1.0
        arms.append(arm.linear(combination, constant))
    return Stratum(*arms)


def _shares(strata: Sequence[Stratum]) -> Vector:
    units = np.array([float(stratum.n) for stratum in strata])
    return np.asarray(units / units.sum(), dtype=np.float64)


def _pooled(strata: Sequence[Stratum], estimator: str, *, alpha: float, null: float) -> Estimate:
    whole = _whole(strata)
    comoment = np.sum([s.control.comoment + s.treatment.comoment for s in strata], axis=0)
    theta, rank = slopes(comoment)
    left = whole.n - 2 * len(strata)
    if left <= rank:
        return _refused(
            whole, estimator, Status.INSUFFICIENT_DATA, f"{whole.n} units are too few for {rank} covariates"
        )
    weights = _shares(strata)
    gap = weights @ np.array([s.treatment.mean[1:] - s.control.mean[1:] for s in strata])
    spread = float(sum(w**2 * (1 / s.control.n + 1 / s.treatment.n) for s, w in zip(strata, weights, strict=True)))
    factor = left / (left - rank) * slope_factor(gap, comoment, spread)
    parts = [_part(s, float(w), theta, factor) for s, w in zip(strata, weights, strict=True)]
    means = _summed(parts, [part.means for part in parts])
    v_c, v_t, cov = (sum(p.weight**2 * p.joint[i] for p in parts) for i in range(3))
    common = max(sum(p.weight * (p.means[0] - means[0]) * (p.means[1] - means[1]) for p in parts), 0.0) / whole.n
    terms = [(p.weight**2 * v / n, n) for p in parts for v, n in zip(p.variances, p.units, strict=True)]
    variance = sum(term for term, _ in terms)
    found = contrast(
        estimator, (whole.control.n, whole.treatment.n), means, (v_c + common, v_t + common, cov + common),
        variance=variance, df=_satterthwaite(terms) if 0 < variance < math.inf else None, alpha=alpha, null=null,
    )  # fmt: skip
    return replace(
        found,
        var_control=sum(p.weight**2 * p.variances[0] / p.units[0] for p in parts) * whole.control.n,
        var_treatment=sum(p.weight**2 * p.variances[1] / p.units[1] for p in parts) * whole.treatment.n,
        theta=tuple(float(slope) for slope in theta),
    )


def _against_plain(found: Estimate, whole: Stratum) -> Estimate:
    """The estimate beside the difference of the arms as they are."""
    plain = sum(arm.variance() / arm.n for arm in whole)
    reduction = 1 - found.se**2 / plain if plain > 0 and found.status == Status.OK else 0.0
    effect = float(whole.treatment.mean[0] - whole.control.mean[0])
    return replace(found, unadjusted_effect=effect, variance_reduction=reduction)


def _part(stratum: Stratum, weight: float, theta: Vector, factor: float) -> _Part:
    c, t = stratum
    gap = float(theta @ (t.mean[1:] - c.mean[1:]))
    means = float(c.mean[0] + gap * t.n / stratum.n), float(t.mean[0] - gap * c.n / stratum.n)
    variances = residual(c, theta).variance() * factor, residual(t, theta).variance() * factor
    return _Part(weight, means, variances, (c.n, t.n), joint_variances(c, t, theta, variances))


def _summed(parts: Sequence[_Part], values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    c, t = np.array([part.weight for part in parts]) @ np.array(values)
    return float(c), float(t)


def _satterthwaite(terms: Sequence[tuple[float, int]]) -> float:
    """(sum a)^2 / sum a^2/(n - 1) of the variance's independent terms a."""
    total = sum(term for term, _ in terms)
    return 1 / sum((term / total) ** 2 / (n - 1) for term, n in terms)


def _refused(whole: Stratum, estimator: str, status: Status, reason: str) -> Estimate:
    no_lift = without_lift(status, reason)
    return Estimate(status, reason, estimator, whole.control.n, whole.treatment.n, relative=no_lift)
