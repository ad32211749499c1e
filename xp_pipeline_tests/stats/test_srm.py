"""Sample ratio: thresholds known to the unit, leaks, and a test that may be read at every look."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from scipy import special, stats

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.srm import chi_square, chi_square_phases, sequential, sequential_phases

HALVES = {"a": 0.5, "b": 0.5}


def test_the_threshold_lies_between_5164_and_5165_of_ten_thousand() -> None:
    assert chi_square({"a": 5165, "b": 4835}, HALVES).p_value < 0.001
    assert chi_square({"a": 5164, "b": 4836}, HALVES).p_value > 0.001


def test_statistic_and_p_value_are_scipys() -> None:
    observed, shares = {"a": 812, "b": 401, "c": 398}, {"a": 2, "b": 1, "c": 1}
    found = chi_square(observed, shares)
    wanted = stats.chisquare([812, 401, 398], [1611 / 2, 1611 / 4, 1611 / 4])
    assert (found.statistic, found.p_value, found.df) == pytest.approx((wanted.statistic, wanted.pvalue, 2), rel=1e-12)
    assert found.expected == {"a": 805.5, "b": 402.75, "c": 402.75}
    assert found.max_share_deviation == pytest.approx(6.5 / 1611)


def test_a_zero_weight_arm_leaves_the_degrees_of_freedom_and_the_total() -> None:
    """p = .0291 with one degree of freedom; counting the empty arm (gbstats) gives .0925."""
    found = chi_square({"a": 1100, "b": 1000, "off": 0}, {"a": 0.5, "b": 0.5, "off": 0.0})
    assert found.df == 1
    assert found.p_value == pytest.approx(0.0291, abs=5e-5)
    assert stats.chi2.sf(found.statistic, 2) == pytest.approx(0.0925, abs=5e-5)
    leaked = chi_square({"a": 1100, "b": 1000, "off": 500, "?": 3}, {"a": 0.5, "b": 0.5, "off": 0.0})
    assert leaked.p_value == found.p_value
    assert leaked.observed == {"a": 1100, "b": 1000}


def test_far_tail_is_small_and_not_zero() -> None:
    assert 0 < chi_square({"a": 600_000, "b": 400_000}, HALVES).p_value < 1e-300


def test_a_missing_arm_has_no_unit() -> None:
    assert chi_square({"a": 100}, HALVES).p_value < 1e-20


@pytest.mark.parametrize(("observed", "weights", "word"), [
    ({"a": 10}, {"a": 1.0}, "fewer than two"),
    ({"a": 10, "b": 10}, {"a": 1.0, "b": 0.0}, "fewer than two"),
    ({"a": 4, "b": 4}, HALVES, "expected"),
    ({}, HALVES, "expected"),
    ({"a": 95, "b": 4}, {"a": 0.96, "b": 0.04}, "expected"),
])  # fmt: skip
def test_what_is_not_testable_says_why(observed, weights, word: str) -> None:
    found = chi_square(observed, weights)
    assert found.status == Status.NOT_TESTABLE == "not_testable"
    assert word in found.reason
    assert math.isnan(found.p_value)


@pytest.mark.parametrize("weights", [{"a": -1.0, "b": 2.0}, {"a": math.nan, "b": 1.0}])
def test_impossible_weights_are_refused(weights) -> None:
    with pytest.raises(EvidenceError, match="weights"):
        chi_square({"a": 10, "b": 10}, weights)


def test_phases_are_tested_against_their_own_weights() -> None:
    """Pooled, 90/10 then 50/50 looks broken; by phase it is as designed."""
    ramp, even = ({"a": 9_000, "b": 1_000}, {"a": 9.0, "b": 1.0}), ({"a": 5_020, "b": 4_980}, HALVES)
    found = chi_square_phases([ramp, even])
    assert found.df == 2
    assert found.p_value == pytest.approx(stats.chi2.sf(chi_square(*even).statistic, 2), rel=1e-12)
    assert found.expected == {"a": 14_000, "b": 6_000}
    pooled = chi_square({"a": 14_020, "b": 5_980}, HALVES)
    assert pooled.p_value < 1e-100


def test_phases_too_small_to_test_are_left_out_and_said() -> None:
    found = chi_square_phases([({"a": 3, "b": 1}, HALVES), ({"a": 500, "b": 500}, HALVES)])
    assert found.df == 1
    assert "1 of 2 phases" in found.reason
    assert chi_square_phases([({"a": 3}, HALVES), ({"a": 1}, HALVES)]).status == Status.NOT_TESTABLE


@pytest.mark.parametrize("weights", [{"a": 0.5, "b": 0.5}, {"a": 0.9, "b": 0.1}])
@pytest.mark.parametrize("concentration", [10, 1000])
def test_the_e_value_has_expectation_one_under_the_design(weights, concentration: float) -> None:
    n = 60
    expectation = sum(
        stats.binom.pmf(k, n, weights["a"])
        * sequential({"a": k, "b": n - k}, weights, concentration=concentration).e_value
        for k in range(n + 1)
    )
    assert expectation == pytest.approx(1.0, abs=1e-9)


def test_the_e_value_is_the_ratio_of_dirichlet_multinomial_to_multinomial() -> None:
    counts, shares = [30, 55, 15], [0.25, 0.5, 0.25]
    found = sequential(dict(zip("abc", counts, strict=True)), dict(zip("abc", shares, strict=True)), concentration=40)
    numerator = stats.dirichlet_multinomial.logpmf(counts, 40 * np.array(shares), 100)
    assert found.log_e_value == pytest.approx(numerator - stats.multinomial.logpmf(counts, 100, shares), abs=1e-9)


def test_the_e_value_grows_without_overflow() -> None:
    found = sequential({"a": 520_000, "b": 480_000}, HALVES)
    assert found.log_e_value > 500
    assert math.isinf(sequential({"a": 5_200_000, "b": 4_800_000}, HALVES).e_value)
    assert found.p_value < 1e-200


def test_a_balanced_sample_gives_evidence_for_the_design() -> None:
    found = sequential({"a": 5000, "b": 5000}, HALVES)
    assert found.e_value < 1
    assert found.p_value == 1.0
    assert found.statistic == 0.0


def test_the_evidence_of_phases_multiplies() -> None:
    phases = [({"a": 900, "b": 130}, {"a": 0.9, "b": 0.1}), ({"a": 700, "b": 800}, HALVES)]
    found = sequential_phases(phases)
    assert found.log_e_value == pytest.approx(sum(sequential(*phase).log_e_value for phase in phases))


def test_sequential_is_not_testable_without_arms_or_units() -> None:
    assert sequential({"a": 10}, {"a": 1.0}).status == Status.NOT_TESTABLE
    assert sequential({}, HALVES).status == Status.NOT_TESTABLE
    with pytest.raises(EvidenceError, match="concentration"):
        sequential({"a": 1, "b": 1}, HALVES, concentration=0)


def looks(share: float, replicates: int, name: str) -> np.ndarray:
    """Units of arm a at 40 looks of 250 units."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.binomial(250, share, size=(replicates, 40)).cumsum(axis=1)


def ever(counts: np.ndarray, threshold: float) -> float:
    def crosses(path: np.ndarray) -> bool:
        tests = (sequential({"a": int(a), "b": 250 * (i + 1) - int(a)}, HALVES) for i, a in enumerate(path))
        return any(test.e_value >= threshold for test in tests)

    return float(np.mean([crosses(path) for path in counts]))


def test_peeking_forty_times_keeps_the_error_and_finds_a_mismatch() -> None:
    replicates = 500
    error = ever(looks(0.5, replicates, "sequential srm, null"), 20)
    assert error <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / replicates)
    assert ever(looks(0.53, 60, "sequential srm, 53 to 47"), 20) > 0.9


@pytest.mark.parametrize(("shares", "alpha"), [((0.5, 0.5), 0.05), ((0.9, 0.1), 0.05), ((0.5, 0.5), 0.01)])
def test_peeking_at_every_unit_keeps_the_error(shares: tuple[float, float], alpha: float) -> None:
    """400 samples of 20 000 units, the e-value read at each: it reaches 1/alpha in alpha at most, plus 3 errors."""
    replicates, units = 400, 20_000
    rng = np.random.default_rng(zlib.crc32(f"sequential srm, every unit, {shares}, {alpha}".encode()))
    first = (rng.random((replicates, units)) < shares[0]).cumsum(axis=1)
    n = np.arange(1, units + 1)
    log_e = log_e_value(first, n, shares)
    rate = float(np.mean((log_e >= -math.log(alpha)).any(axis=1)))
    assert rate <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / replicates)
    last = {"a": int(first[0, -1]), "b": units - int(first[0, -1])}
    weights = {"a": shares[0], "b": shares[1]}
    assert sequential(last, weights).log_e_value == pytest.approx(log_e[0, -1], abs=1e-6)


def log_e_value(first: np.ndarray, n: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """log B(a + n) - log B(a) - sum n_i log w_i of two arms, a = 1000 w."""
    a, b = 1000 * shares[0], 1000 * shares[1]
    held = special.gammaln(a + first) + special.gammaln(b + n - first) - special.gammaln(a + b + n)
    at_start = special.gammaln(a) + special.gammaln(b) - special.gammaln(a + b)
    return held - at_start - first * math.log(shares[0]) - (n - first) * math.log(shares[1])
