"""Novelty: generalised least squares by definition, exactness under normal data, fading effects, undefined days."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.novelty import novelty


def _cohort(rng, n: int, days: int, effects=0.0, person: float = 1.0, noise: float = 1.0) -> np.ndarray:
    """Daily outcomes of people who differ from each other more than from day to day."""
    level = rng.normal(0, person, (n, 1))
    drift = rng.normal(0, 0.05, (n, 1)) * np.arange(days)
    return 10 + level + drift + rng.normal(0, noise, (n, days)) + np.asarray(effects)


def test_the_slope_is_generalised_least_squares() -> None:
    from statsmodels.regression.linear_model import GLS

    rng = np.random.default_rng(1)
    control, treatment = _cohort(rng, 400, 7), _cohort(rng, 500, 7, 0.3 * 0.7 ** np.arange(7))
    found = novelty(Moments.of(control), Moments.of(treatment))
    s = np.cov(control.T) / 400 + np.cov(treatment.T) / 500
    effect, x = treatment.mean(axis=0) - control.mean(axis=0), np.arange(7.0)
    fit = GLS(effect, np.column_stack([np.ones(7), x]), sigma=s).fit()
    assert found.slope.difference == pytest.approx(fit.params[1], rel=1e-9)
    assert found.start == pytest.approx(fit.params[0], rel=1e-9)
    assert [day.effect for day in found.daily] == pytest.approx(list(effect))
    assert found.slope.df < 900 - 7


def test_of_a_contrast_between_halves_it_is_welchs_test() -> None:
    rng = np.random.default_rng(2)
    control, treatment = _cohort(rng, 90, 5), _cohort(rng, 80, 5, 0.1 * np.arange(5))
    found = novelty(Moments.of(control), Moments.of(treatment)).early_late
    late_less_early = [(rows[:, 3:].mean(axis=1) - rows[:, :2].mean(axis=1)) for rows in (control, treatment)]
    wanted = stats.ttest_ind(late_less_early[1], late_less_early[0], equal_var=False)
    assert found.difference == pytest.approx(late_less_early[1].mean() - late_less_early[0].mean(), rel=1e-9)
    assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-8)


def test_people_are_compared_with_themselves() -> None:
    """The error of the trend ignores what people have in common over days: far below that of independent days."""
    rng = np.random.default_rng(3)
    control, treatment = _cohort(rng, 300, 6, person=5.0), _cohort(rng, 300, 6, person=5.0)
    found = novelty(Moments.of(control), Moments.of(treatment))
    x = np.arange(6) - 2.5
    independent = math.sqrt(sum((w * day.se) ** 2 for w, day in zip(x / (x**2).sum(), found.daily, strict=True)))
    assert found.slope.se < independent / 3


def test_units_of_the_outcome_and_of_the_days_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    control, treatment = _cohort(rng, 100, 5), _cohort(rng, 100, 5, 0.1)
    one = novelty(Moments.of(control), Moments.of(treatment))
    other = novelty(Moments.of(7 * control + 1e6), Moments.of(7 * treatment + 1e6), days=10 + 2 * np.arange(5))
    assert other.slope.p_value == pytest.approx(one.slope.p_value, rel=1e-6)
    assert other.slope.difference == pytest.approx(3.5 * one.slope.difference, rel=1e-6)
    assert other.start == pytest.approx(7 * one.start, rel=1e-6)


@pytest.mark.parametrize(("sizes", "effects"), [((60, 60), 0.0), ((60, 200), 0.3), ((60, 60), 1.0)])
def test_a_lasting_effect_has_no_trend(sizes, effects) -> None:
    """2500 cohorts of six days with few units a day: slope, halves and curvature at 5 % +- 3 x 0.44 points."""
    rng = np.random.default_rng(5)
    rejected = []
    for _ in range(2500):
        found = novelty(*(Moments.of(_cohort(rng, n, 6, e)) for n, e in zip(sizes, (0.0, effects), strict=True)))
        rejected.append((found.slope.p_value <= 0.05, found.early_late.p_value <= 0.05, found.curved_p <= 0.05))
    assert np.mean(rejected, axis=0) == pytest.approx([0.05] * 3, abs=3 * 0.0044)


def test_a_fading_effect_is_found() -> None:
    rng = np.random.default_rng(7)
    found = novelty(Moments.of(_cohort(rng, 2000, 14)), Moments.of(_cohort(rng, 2000, 14, 0.5 * 0.7 ** np.arange(14))))
    assert found.slope.difference < 0
    assert found.slope.p_value < 1e-4
    assert found.early_late.high < 0
    assert found.curved_p < 0.01


@pytest.mark.parametrize(
    ("change", "status"),
    [("few", Status.INSUFFICIENT_DATA), ("constant", Status.DEGENERATE), ("repeated", Status.DEGENERATE),
     ("infinite", Status.INVALID_DATA), ("empty", Status.INSUFFICIENT_DATA)],
)  # fmt: skip
def test_undefined_trends_are_statuses(change: str, status: Status) -> None:
    rng = np.random.default_rng(8)
    control, treatment = _cohort(rng, 100, 4), _cohort(rng, 100, 4)
    if change == "few":
        control = control[:39]
    if change == "empty":
        control = control[:0]
    if change == "constant":
        control[:, 1], treatment[:, 1] = 3.0, 3.0
    if change == "repeated":
        control[:, 1], treatment[:, 1] = control[:, 0], treatment[:, 0]
    if change == "infinite":
        control[0, 0] = math.inf
    found = novelty(Moments.of(control), Moments.of(treatment))
    assert (found.status, found.slope.status) == (status, status)
    assert found.reason
    assert math.isnan(found.slope.p_value)
    assert len(found.daily) == 4
    if change == "few":
        wanted = welch(Moments.of(control[:, 0]), Moments.of(treatment[:, 0]))
        assert found.daily[0].effect == pytest.approx(wanted.effect)
        assert found.early_late.status == Status.OK


@pytest.mark.parametrize(("k", "days"), [(2, None), (3, [0, 1]), (3, [0, 2, 1])])
def test_days_must_be_three_and_increase(k, days) -> None:
    rows = Moments.of(np.random.default_rng(9).normal(size=(50, k)))
    with pytest.raises(EvidenceError, match="three or more increasing days"):
        novelty(rows, rows, days=days)
