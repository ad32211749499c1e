"""The probability of being the best arm: against closed forms, exact fractions and SciPy."""

from __future__ import annotations

import math
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from xp_pipeline.delivery.algorithms.best import LogOdds, StudentT, probabilities_best, top_two

Polynomial = list[Fraction]

parameters = st.tuples(st.integers(1, 12), st.integers(1, 12))


def _times(p: Polynomial, q: Polynomial) -> Polynomial:
    product = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, x in enumerate(p):
        for j, y in enumerate(q):
            product[i + j] += x * y
    return product


def _integral(p: Polynomial) -> Polynomial:
    return [Fraction(0), *(x / (i + 1) for i, x in enumerate(p))]


def _density(a: int, b: int) -> Polynomial:
    """x^(a - 1) (1 - x)^(b - 1) / B(a, b), a polynomial for whole a and b."""
    scale = Fraction(math.factorial(a + b - 1), math.factorial(a - 1) * math.factorial(b - 1))
    return [Fraction(0)] * (a - 1) + [scale * comb(b - 1, i) * (-1) ** i for i in range(b)]


def _exactly(arms: list[tuple[int, int]]) -> list[float]:
    """Integrals of f_i times the other distribution functions, in rational numbers."""
    found = []
    for i, arm in enumerate(arms):
        product = _density(*arm)
        for j, other in enumerate(arms):
            product = _times(product, _integral(_density(*other))) if j != i else product
        found.append(float(sum(_integral(product), Fraction(0))))
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(parameters, min_size=2, max_size=4))
def test_whole_beta_parameters_give_rational_probabilities(arms) -> None:
    found = probabilities_best(tuple(LogOdds(*arm) for arm in arms))
    assert found == pytest.approx(_exactly(arms), abs=1e-8)


def test_two_betas_by_the_finite_sum() -> None:
    """P(p_2 > p_1) = sum over i < a_2 of B(a_1 + i, b_1 + b_2) / ((b_2 + i) B(1 + i, b_2) B(a_1, b_1)), at n of 10,000.

    Cook 2005, Exact calculation of beta inequalities, MD Anderson technical report.
    """
    a1, b1, a2, b2 = 5000, 5000, 5100, 4900

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    terms = (
        math.exp(log_beta(a1 + i, b1 + b2) - math.log(b2 + i) - log_beta(1 + i, b2) - log_beta(a1, b1))
        for i in range(a2)
    )
    found = probabilities_best((LogOdds(a1, b1), LogOdds(a2, b2)))
    assert found[1] == pytest.approx(math.fsum(terms), abs=1e-9)


def test_cauchy_difference_has_a_closed_form() -> None:
    """Two t with one degree of freedom differ by a Cauchy of scale 2: P = 1/2 + atan(d / 2) / pi."""
    found = probabilities_best((StudentT(1, 0.0, 1.0), StudentT(1, 1.0, 1.0)))
    assert found[1] == pytest.approx(0.5 + math.atan(0.5) / math.pi, abs=1e-8)


def test_many_degrees_of_freedom_are_the_normal() -> None:
    found = probabilities_best((StudentT(1e9, 3.0, 1.0), StudentT(1e9, 3.4, 2.0)))
    assert found[1] == pytest.approx(stats.norm.cdf(0.4 / math.sqrt(5)), abs=1e-7)


@pytest.mark.parametrize("ratio", [1e-4, 1.0, 1e4])
def test_student_arms_of_very_different_width_agree_with_scipy(ratio) -> None:
    wide, narrow = stats.t(3, 0, 1), stats.t(50, 0.5 * ratio, ratio)
    # E F_wide(narrow), over the narrow one's quantiles, which the midpoint rule resolves
    u = (np.arange(400_000) + 0.5) / 400_000
    wanted = wide.cdf(narrow.ppf(u)).mean() if ratio <= 1 else narrow.sf(wide.ppf(u)).mean()
    found = probabilities_best((StudentT(3, 0.0, 1.0), StudentT(50, 0.5 * ratio, ratio)))
    assert found[1] == pytest.approx(wanted, abs=1e-6)


def test_small_probabilities_keep_their_digits() -> None:
    """Beta(1, 10^6) above Beta(200, 1): the integral of 200 x^199 (1 - x)^(10^6)."""
    found = probabilities_best((LogOdds(200, 1), LogOdds(1, 40)))
    exact = math.exp(math.log(200) + math.lgamma(200) + math.lgamma(41) - math.lgamma(241))
    assert found[1] == pytest.approx(exact, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.5, 1e5), st.floats(0.5, 1e5)), min_size=2, max_size=5), st.randoms())
def test_probabilities_sum_to_one_and_follow_their_arms(arms, random) -> None:
    found = probabilities_best(tuple(LogOdds(*arm) for arm in arms))
    order = random.sample(range(len(arms)), len(arms))
    again = probabilities_best(tuple(LogOdds(*arms[i]) for i in order))
    assert math.fsum(found) == pytest.approx(1, abs=1e-12)
    assert again == pytest.approx([found[i] for i in order], abs=1e-9)


def test_equal_arms_are_equally_likely() -> None:
    assert probabilities_best((LogOdds(7, 30),) * 6) == pytest.approx([1 / 6] * 6, abs=1e-12)


def test_top_two_of_three_by_hand() -> None:
    p = (0.6, 0.3, 0.1)
    first = 0.5 * 0.6 + 0.5 * (0.3 * 0.6 / 0.7 + 0.1 * 0.6 / 0.9)
    found = top_two(p, 0.5)
    assert found[0] == pytest.approx(first)
    assert sum(found) == pytest.approx(1)


def test_top_two_without_a_contender_is_thompson() -> None:
    assert top_two((0.6, 0.3, 0.1), 1.0) == pytest.approx((0.6, 0.3, 0.1))


def test_top_two_when_the_leader_is_certain() -> None:
    assert top_two((1.0, 0.0, 0.0), 0.5) == (0.5, 0.25, 0.25)


@given(st.lists(st.floats(1e-12, 1), min_size=2, max_size=6), st.floats(0, 1))
def test_top_two_shares_are_shares(weights, leader) -> None:
    whole = sum(weights)
    shares = top_two([w / whole for w in weights], leader)
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0


def test_top_two_by_simulation() -> None:
    """Draws of the leader, and where a coin says so, of the next draw's leader until it differs; 4 standard errors."""
    arms = (LogOdds(5, 20), LogOdds(8, 20), LogOdds(7, 20))
    rng = np.random.default_rng(20_200_101)
    leaders = np.argmax(rng.beta([5, 8, 7], 20, size=(400_000, 3)), axis=1)
    half = len(leaders) // 2
    best = np.bincount(leaders, minlength=3) / len(leaders)
    second = sum(best[j] * np.where(np.arange(3) == j, 0, best) / (1 - best[j]) for j in range(3))
    error = math.sqrt(0.25 / half)
    assert top_two(probabilities_best(arms), 0.5) == pytest.approx(0.5 * best + 0.5 * second, abs=4 * error)
