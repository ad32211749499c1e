"""Beta-Binomial: chances and losses against exact sums of fractions, intervals, and the edges of no data."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.beta_binomial import beta_binomial


def _beta(a: int, b: int) -> Fraction:
    return Fraction(math.factorial(a - 1) * math.factorial(b - 1), math.factorial(a + b - 1))


def _chance(a_c: int, b_c: int, a_t: int, b_t: int) -> Fraction:
    """P(p_t > p_c) = sum_(i < a_t) B(a_c + i, b_c + b_t) / ((b_t + i) B(1 + i, b_t) B(a_c, b_c))."""
    whole = _beta(a_c, b_c)
    return sum(
        (_beta(a_c + i, b_c + b_t) / ((b_t + i) * _beta(1 + i, b_t) * whole) for i in range(a_t)), start=Fraction(0)
    )


def _loss(a_c: int, b_c: int, a_t: int, b_t: int) -> Fraction:
    """E max(p_c - p_t, 0) = E p_c P(p_c' > p_t) - E p_t P(p_c > p_t'), with one success more where primed."""
    kept = Fraction(a_c, a_c + b_c) * _chance(a_t, b_t, a_c + 1, b_c)
    return kept - Fraction(a_t, a_t + b_t) * _chance(a_t + 1, b_t, a_c, b_c)


CASES = [(0, 0, 0, 0), (0, 10, 0, 5), (2, 41, 8, 42), (49, 198, 29, 198), (0, 200, 0, 1), (99, 998, 149, 998),
         (3, 3, 0, 4), (19, 1998, 60, 2998), (199, 199, 2, 101)]  # fmt: skip


@pytest.mark.parametrize("counts", CASES)
def test_chance_and_losses_are_exact(counts: tuple[int, int, int, int]) -> None:
    """To 1e-12; the exact sums are of fractions."""
    events_c, n_c, events_t, n_t = counts
    arms = events_c + 1, n_c - events_c + 1, events_t + 1, n_t - events_t + 1
    found = beta_binomial(*counts)
    assert found.chance_to_win == pytest.approx(float(_chance(*arms)), rel=1e-12, abs=1e-14)
    assert found.loss_ship == pytest.approx(float(_loss(*arms)), rel=1e-11, abs=0)
    assert found.loss_keep == pytest.approx(float(_loss(*arms[2:], *arms[:2])), rel=1e-11, abs=0)


units = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=12)
@given(units, units, st.sampled_from([(1.0, 1.0), (0.5, 0.5), (3.0, 17.0), (0.1, 0.1)]))
def test_swapping_arms_or_events_mirrors(control, treatment, prior) -> None:
    one = beta_binomial(*control, *treatment, prior=prior)
    other = beta_binomial(*treatment, *control, prior=prior)
    missed = beta_binomial(
        control[1] - control[0], control[1], treatment[1] - treatment[0], treatment[1], prior=prior[::-1],
        increase_is_good=False,
    )  # fmt: skip
    assert one.chance_to_win == pytest.approx(1 - other.chance_to_win, abs=1e-12)
    assert one.chance_to_win == pytest.approx(missed.chance_to_win, abs=1e-12)
    assert one.loss_ship == pytest.approx(other.loss_keep, rel=1e-9, abs=1e-14)
    assert one.loss_keep - one.loss_ship == pytest.approx(one.mean, abs=1e-12)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-8)
    assert (one.low, one.high) == pytest.approx((-missed.high, -missed.low), abs=1e-8)


@pytest.mark.parametrize("n", [10_000, 1_000_000, 100_000_000])
def test_large_counts_keep_their_accuracy(n: int) -> None:
    """Chances of the two arms sum to 1, and losses differ by the means, to 1e-12."""
    events = n // 10, n // 10 + round(0.4 * math.sqrt(n))
    found, other = beta_binomial(events[0], n, events[1], n), beta_binomial(events[1], n, events[0], n)
    assert found.chance_to_win + other.chance_to_win == pytest.approx(1, abs=1e-12)
    assert found.loss_keep - found.loss_ship == pytest.approx(found.mean, abs=1e-12)
    assert 0.7 < found.chance_to_win < 0.9


def test_arms_of_very_different_size() -> None:
    """The large arm is as good as known: the chance is the small arm's tail beyond it."""
    from scipy.stats import beta

    found = beta_binomial(500_000, 5_000_000, 3, 12)
    assert found.chance_to_win == pytest.approx(beta.sf(0.1, 4, 10), abs=1e-6)


def test_against_a_large_simulation() -> None:
    """4 000 000 draws: standard errors 0.00025 of the chance, below 0.00002 of the loss, 0.0002 of the ends."""
    rng = np.random.default_rng(6)
    found = beta_binomial(12, 90, 21, 110)
    difference = rng.beta(22, 90, 4_000_000) - rng.beta(13, 79, 4_000_000)
    assert found.chance_to_win == pytest.approx((difference > 0).mean(), abs=0.00075)
    assert found.loss_ship == pytest.approx(np.maximum(-difference, 0).mean(), abs=0.00006)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(difference, [0.025, 0.975])), abs=0.0006)
    assert (found.mean, found.sd) == pytest.approx((difference.mean(), difference.std()), abs=0.0002)


def test_without_units_the_posterior_is_the_prior() -> None:
    """Two uniform proportions: chance 1/2, loss 1/6, and a triangular difference with its ends at 1 - sqrt(0.05)."""
    found = beta_binomial(0, 0, 0, 0)
    assert (found.chance_to_win, found.loss_ship) == pytest.approx((0.5, 1 / 6), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((math.sqrt(0.05) - 1, 1 - math.sqrt(0.05)), abs=1e-10)


def test_no_success_anywhere_is_defined() -> None:
    found = beta_binomial(0, 50, 0, 100)
    assert found.chance_to_win == pytest.approx(51 / 152, rel=1e-12)
    assert found.low < 0 < found.high


@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.5, 0.5), (0.1, 0.2)])
def test_intervals_of_few_and_many_events_agree_where_they_meet(prior) -> None:
    """Both ways of integrating give the probability of an end to within 1e-6 of a step in the counts."""
    from xp_pipeline.stats.beta_binomial import Beta, _difference_of_few, _difference_of_many

    arms = Beta(prior[0] + 90, prior[1] + 110), Beta(prior[0] + 100, prior[1] + 130)
    few, many = _difference_of_few(*arms), _difference_of_many(*arms)
    for d in (-0.2, -0.05, 0.0, 0.1):
        assert few(d) == pytest.approx(many(d), abs=1e-10)


@pytest.mark.parametrize(
    ("counts", "prior"), [((5, 4, 0, 1), (1, 1)), ((-1, 4, 0, 1), (1, 1)), ((1, 4, 0, 1), (0.0, 1))]
)
def test_impossible_counts_and_priors_are_refused(counts, prior) -> None:
    with pytest.raises(EvidenceError):
        beta_binomial(*counts, prior=prior)
