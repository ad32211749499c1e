"""Factorial effects: textbook numbers, the saturated regression with HC2, and what two arms already say."""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Estimate, Status
from xp_pipeline.stats.factorial import factorial_effect
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.ratios import ratio
from xp_pipeline_tests.stats.strategies import arms as two_arms

Rows = NDArray[np.float64]
Arms = dict[str, Rows]

CATALYST = {"--": [28, 25, 27], "+-": [36, 32, 32], "-+": [18, 19, 23], "++": [31, 30, 29]}
"""Yields by reactant concentration and catalyst: Montgomery 2017, Design and Analysis of Experiments, section 6.2."""


def weights(arms: Arms | dict[str, list[int]], *factors: int) -> dict[str, float]:
    """The contrast of a product of factors, whose signs are the characters of an arm's name."""
    return {arm: math.prod(1 if arm[f] == "+" else -1 for f in factors) * 2 / len(arms) for arm in arms}


def moments(arms: Arms | dict[str, list[int]]) -> dict[str, Moments]:
    return {arm: Moments.of(np.asarray(values, dtype=float)) for arm, values in arms.items()}


def people(k: int, seed: int, *, covariates: int = 0) -> Arms:
    """Arms of a 2^k factorial that differ in size, mean and spread; covariates explain half of the variance."""
    rng = np.random.default_rng(seed)
    arms = {}
    for arm in map("".join, product("-+", repeat=k)):
        x = rng.normal(size=(int(rng.integers(5, 60)), covariates))
        noise = rng.normal(scale=rng.uniform(0.5, 4), size=len(x))
        arms[arm] = np.column_stack([10 + rng.normal() + 2 * x.sum(axis=1) + noise, x])
    return arms


def saturated(arms: Arms):
    """Least squares with HC2 on the signs of all products of factors, and covariates."""
    from statsmodels.regression.linear_model import OLS

    k = len(next(iter(arms)))
    effects = [tuple(f for f in range(k) if chosen[f]) for chosen in product([0, 1], repeat=k)]
    x = np.vstack([
        np.column_stack([np.full(len(rows), math.prod(1 if arm[f] == "+" else -1 for f in e)) for e in effects])
        for arm, rows in arms.items()
    ])  # fmt: skip
    rows = np.vstack(list(arms.values()))
    return effects, OLS(rows[:, 0], np.column_stack([x, rows[:, 1:]])).fit(cov_type="HC2")


def same(found: Estimate, wanted: Estimate) -> None:
    """Equal numbers and status, whatever the estimator's name."""
    left, right = ({k: v for k, v in asdict(e).items() if k not in ("estimator", "reason")} for e in (found, wanted))
    assert left.pop("status") == right.pop("status")
    for name, value in left.items():
        wanted_value = right[name]
        if name == "relative":
            value, wanted_value = ([d[key] for key in ("lift", "low", "high")] for d in (value, wanted_value))
        assert value == pytest.approx(wanted_value, rel=1e-8, abs=1e-9, nan_ok=True), name


def test_the_catalyst_experiment_of_the_textbook() -> None:
    """Effects 8.33, -5.00 and 1.67; equal n, so the squared t are the F ratios printed: 53.15, 19.13, 2.13."""
    found = [factorial_effect(moments(CATALYST), weights(CATALYST, *e)) for e in ((0,), (1,), (0, 1))]
    assert [round(f.effect, 2) for f in found] == [8.33, -5.00, 1.67]
    assert [(f.effect / f.se) ** 2 for f in found] == pytest.approx([53.15, 19.13, 2.13], rel=2e-3)
    assert (found[0].mean_control, found[0].mean_treatment) == pytest.approx((140 / 6, 190 / 6))
    assert (found[0].n_control, found[0].n_treatment) == (6, 6)
    assert found[0].relative.lift == pytest.approx(50 / 140)


def test_the_full_filtration_experiment_of_the_textbook() -> None:
    """Montgomery 2017, section 6.5, table 6.12: one run per arm, here two about it to have a variance."""
    rates = [45, 71, 48, 65, 68, 60, 80, 65, 43, 100, 45, 104, 75, 86, 70, 96]
    names = ["".join(signs)[::-1] for signs in product("-+", repeat=4)]
    arms = {name: [rate - 1, rate + 1] for name, rate in zip(names, rates, strict=True)}
    published = {
        (0,): 21.625, (1,): 3.125, (2,): 9.875, (3,): 14.625, (0, 1): 0.125, (0, 2): -18.125, (0, 3): 16.625,
        (1, 2): 2.375, (1, 3): -0.375, (2, 3): -1.125, (0, 1, 2): 1.875, (0, 1, 3): 4.125, (0, 1, 2, 3): 1.375,
    }  # fmt: skip
    for factors, effect in published.items():
        assert factorial_effect(moments(arms), weights(arms, *factors)).effect == pytest.approx(effect)


def test_the_interaction_is_half_the_difference_of_differences() -> None:
    cells = {arm: float(np.mean(values)) for arm, values in CATALYST.items()}
    at_high, at_low = cells["++"] - cells["-+"], cells["+-"] - cells["--"]
    found = factorial_effect(moments(CATALYST), weights(CATALYST, 0, 1), interaction=True)
    assert found.effect == pytest.approx((at_high - at_low) / 2)
    assert (found.status, found.relative.status) == (Status.OK, Status.UNDEFINED_RELATIVE)
    assert found.relative.reason == "an interaction has no control mean"


@pytest.mark.parametrize("k", [2, 3, 4])
def test_every_effect_and_error_is_that_of_the_saturated_regression_with_hc2(k: int) -> None:
    arms = people(k, seed=k)
    effects, fit = saturated(arms)
    for factors, coefficient, error in zip(effects[1:], fit.params[1:], fit.bse[1:], strict=True):
        found = factorial_effect(moments(arms), weights(arms, *factors))
        assert found.effect == pytest.approx(2 * coefficient, rel=1e-9, abs=1e-9)
        assert found.se == pytest.approx(2 * error, rel=1e-9)


def test_a_half_fraction_gives_the_sum_of_an_effect_and_its_alias() -> None:
    arms = people(3, seed=9)
    half = {arm: rows for arm, rows in arms.items() if math.prod(1 if s == "+" else -1 for s in arm) == 1}
    found = factorial_effect(moments(half), weights(half, 0)).effect
    whole = [factorial_effect(moments(arms), weights(arms, *e)).effect for e in ((0,), (1, 2))]
    assert found == pytest.approx(sum(whole), rel=1e-9)


def test_covariates_adjust_as_in_the_regression_that_is_saturated_in_the_arms() -> None:
    arms = people(2, seed=4, covariates=2)
    effects, fit = saturated(arms)
    for factors, coefficient in zip(effects[1:], fit.params[1:4], strict=True):
        found = factorial_effect(moments(arms), weights(arms, *factors))
        assert found.effect == pytest.approx(2 * coefficient, rel=1e-9, abs=1e-9)
        assert found.theta == pytest.approx(fit.params[4:], rel=1e-9)
        assert found.estimator == "factorial_cuped"
    plain = factorial_effect({arm: m.take([0]) for arm, m in moments(arms).items()}, weights(arms, 0))
    found = factorial_effect(moments(arms), weights(arms, 0))
    assert found.unadjusted_effect == pytest.approx(plain.effect)
    assert found.variance_reduction == pytest.approx(1 - (found.se / plain.se) ** 2)
    assert found.variance_reduction > 0.2


@given(two_arms(1))
def test_two_arms_are_compared_as_by_welch(pair: tuple[Rows, Rows]) -> None:
    control, treatment = map(Moments.of, pair)
    same(factorial_effect({"c": control, "t": treatment}, {"c": -1, "t": 1}), welch(control, treatment))


def test_two_arms_with_covariates_or_denominators_are_compared_as_before() -> None:
    rng = np.random.default_rng(2)
    rows = [np.column_stack([rng.normal(9 + i, 2, n), 1 + rng.poisson(4, n), rng.normal(size=n)])
            for i, n in enumerate((70, 130))]  # fmt: skip
    arms, contrast = {"c": Moments.of(rows[0]), "t": Moments.of(rows[1])}, {"c": -1.0, "t": 1.0}
    same(factorial_effect(arms, contrast, ratio=True), cuped(arms["c"], arms["t"], ratio=True))
    no_denominator = {arm: m.take([0, 2]) for arm, m in arms.items()}
    same(factorial_effect(no_denominator, contrast), cuped(*no_denominator.values()))
    no_covariate = {arm: m.take([0, 1]) for arm, m in arms.items()}
    found = factorial_effect(no_covariate, contrast, ratio=True, alpha=0.2, null=0.1)
    same(found, ratio(*no_covariate.values(), alpha=0.2, null=0.1))
    assert found.estimator == "factorial_ratio"


@given(shift=st.integers(-1000, 1000), scale=st.integers(1, 50))
def test_shifts_leave_effects_alone_and_scales_scale_them(shift: int, scale: int) -> None:
    arms = people(2, seed=5)
    base = factorial_effect(moments(arms), weights(arms, 0, 1))
    moved = {arm: rows * scale + shift for arm, rows in arms.items()}
    found = factorial_effect(moments(moved), weights(arms, 0, 1))
    assert (found.effect, found.se) == pytest.approx((base.effect * scale, base.se * scale), rel=1e-7)
    assert (found.df, found.p_value) == pytest.approx((base.df, base.p_value), rel=1e-6)


def test_arms_of_weight_zero_are_not_read() -> None:
    arms = moments(people(1, seed=1)) | {"odd": Moments.of([math.inf, 1.0])}
    found = factorial_effect(arms, {"-": -1, "+": 1, "odd": 0.0})
    same(found, welch(arms["-"], arms["+"]))


def test_degrees_of_freedom_are_satterthwaites() -> None:
    arms = people(2, seed=6)
    found = factorial_effect(moments(arms), weights(arms, 1))
    v = np.array([rows[:, 0].var(ddof=1) / len(rows) / 4 for rows in arms.values()])
    n = np.array([len(rows) for rows in arms.values()])
    assert found.df == pytest.approx(v.sum() ** 2 / np.sum(v**2 / (n - 1)), rel=1e-12)
    assert found.se == pytest.approx(math.sqrt(v.sum()), rel=1e-12)


def test_intervals_of_an_interaction_cover_it_with_unequal_arms() -> None:
    """4,000 experiments of 6 to 40 units per arm, spreads 1 to 8: 0.95 within 3 Monte-Carlo errors of 0.0034."""
    rng = np.random.default_rng(11)
    sizes, spreads = {"--": 6, "+-": 12, "-+": 40, "++": 8}, {"--": 1.0, "+-": 8.0, "-+": 3.0, "++": 2.0}
    contrast = weights(CATALYST, 0, 1)
    covered = 0
    for _ in range(4000):
        arms = {arm: Moments.of(rng.normal(5, spreads[arm], n)) for arm, n in sizes.items()}
        found = factorial_effect(arms, contrast)
        covered += found.low <= 0 <= found.high
    assert covered / 4000 == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / 4000))


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        ([], Status.INSUFFICIENT_DATA, "arm ++ has no unit"),
        ([1.0], Status.INSUFFICIENT_DATA, "arm ++ has one unit"),
        ([1.0, math.inf], Status.INVALID_DATA, "a value of arm ++ is infinite or not a number"),
    ],
)
def test_an_arm_that_cannot_be_read_is_named(values: list[float], status: Status, reason: str) -> None:
    arms = moments(CATALYST) | {"++": Moments.of(values)}
    found = factorial_effect(arms, weights(CATALYST, 0))
    assert (found.status, found.reason) == (status, reason)
    assert math.isnan(found.effect) and math.isnan(found.p_value)
    assert found.relative.status == status


def test_without_any_variance_the_effect_is_said_and_not_tested() -> None:
    found = factorial_effect(
        moments({arm: [int(arm == "++"), int(arm == "++")] for arm in CATALYST}), weights(CATALYST, 0)
    )
    assert (found.status, found.reason, found.effect) == (Status.DEGENERATE, "no variance in any arm", 0.5)
    assert math.isnan(found.p_value) and math.isnan(found.low)


def test_variance_in_one_arm_is_enough() -> None:
    arms = {"--": [1, 1], "+-": [1, 1], "-+": [1, 1], "++": [0, 4]}
    found = factorial_effect(moments(arms), weights(arms, 0))
    assert (found.status, found.df) == (Status.OK, 1.0)


def test_denominators_of_zero_are_said() -> None:
    arms = {"c": Moments.of([[1.0, 1.0], [2.0, 1.0]]), "t": Moments.of([[1.0, 0.0], [2.0, 0.0]])}
    found = factorial_effect(arms, {"c": -1, "t": 1}, ratio=True)
    assert (found.status, found.reason) == (Status.DEGENERATE, "the denominators of arm t sum to 0")


def test_a_covariate_that_says_nothing_is_said() -> None:
    arms = {arm: Moments.of(np.column_stack([values, np.ones(3)])) for arm, values in CATALYST.items()}
    found = factorial_effect(arms, weights(CATALYST, 0))
    assert (found.status, found.reason) == (Status.OK, "1 covariate constant or collinear")
    plain = factorial_effect(moments(CATALYST), weights(CATALYST, 0))
    assert (found.effect, found.se, found.df) == pytest.approx((plain.effect, plain.se, plain.df))


def test_more_covariates_than_units_leave_no_estimate() -> None:
    rng = np.random.default_rng(1)
    arms = {arm: Moments.of(rng.normal(size=(2, 3))) for arm in "ct"}
    found = factorial_effect(arms, {"c": -1, "t": 1})
    assert (found.status, found.reason) == (
        Status.INSUFFICIENT_DATA,
        "4 units in 2 arms are too few for 2 covariates",
    )


@pytest.mark.parametrize(
    ("contrast", "message"),
    [
        ({"--": -1.0, "++": 0.5}, "sum to 1"),
        ({"--": -1.0}, "sum to 1"),
        ({}, "sum to 1"),
        ({"--": -1.0, "++": math.nan}, "sum to 1"),
        ({"--": -1.0, "odd": 1.0}, "unknown arm; found odd"),
    ],
)
def test_weights_that_make_no_contrast_are_refused(contrast: dict[str, float], message: str) -> None:
    with pytest.raises(EvidenceError, match=message):
        factorial_effect(moments(CATALYST), contrast)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_alpha_is_a_probability(alpha: float) -> None:
    with pytest.raises(EvidenceError, match="alpha is a probability"):
        factorial_effect(moments(CATALYST), weights(CATALYST, 0), alpha=alpha)
