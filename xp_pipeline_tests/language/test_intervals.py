"""Binomial intervals against published quantiles and figures, and their coverage."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.language import confidence_interval, probit
from xp_pipeline.language.intervals import Method


@pytest.mark.parametrize(
    ("p", "z"), [(0.5, 0.0), (0.975, 1.959963984540054), (0.025, -1.959963984540054), (0.9995, 3.2905267314919255)]
)
def test_probit_is_the_normal_quantile(p: float, z: float) -> None:
    """Standard normal table (NIST Digital Library, 7.17), to 12 digits."""
    assert probit(p) == pytest.approx(z, abs=1e-12)


def test_probit_at_the_ends() -> None:
    assert (probit(0), probit(1)) == (-math.inf, math.inf)
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(EvidenceError, match="probability"):
            probit(p)


@pytest.mark.parametrize(("n", "successes"), [(81, 9), (10, 0), (1, 1), (250, 125), (100_000, 3)])
@pytest.mark.parametrize(
    ("method", "theirs"), [("wilson", "wilson"), ("wald", "normal"), ("agresti-coull", "agresti_coull")]
)
def test_intervals_are_those_of_statsmodels(n: int, successes: int, method: Method, theirs: str) -> None:
    from statsmodels.stats.proportion import proportion_confint

    for confidence in (0.8, 0.95, 0.999):
        expected = proportion_confint(successes, n, alpha=1 - confidence, method=theirs)
        found = confidence_interval(n, successes / n, confidence, method)
        assert found == pytest.approx([min(max(bound, 0), 1) for bound in expected], abs=1e-12)


@given(
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.floats(0.01, 0.9999),
    st.sampled_from(["wald", "wilson", "agresti-coull"]),
)
def test_bounds_are_ordered_and_within_the_possible(n: int, p: float, confidence: float, method: Method) -> None:
    low, high = confidence_interval(n, p, confidence, method)
    assert 0 <= low <= high <= 1
    assert low - 1e-9 <= p <= high + 1e-9
    wider = confidence_interval(n, p, (1 + confidence) / 2, method)
    assert wider[0] <= low + 1e-12
    assert wider[1] >= high - 1e-12


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("method", ["wilson", "agresti-coull"])
def test_coverage_is_as_promised(p: float, method: Method) -> None:
    """Exact, by adding up binomial probabilities at n = 200: 95 % within 1.5 points (no Monte-Carlo error)."""
    n = 200
    covered = sum(
        math.comb(n, k) * p**k * (1 - p) ** (n - k)
        for k in range(n + 1)
        if (bounds := confidence_interval(n, k / n, 0.95, method))[0] <= p <= bounds[1]
    )
    assert abs(covered - 0.95) < 0.015


def test_certainty_covers_everything() -> None:
    assert confidence_interval(10, 0.5, 1.0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("n", "p", "confidence", "method"),
    [
        (0, 0.5, 0.95, "wald"),
        (10, 1.5, 0.95, "wald"),
        (10, 0.5, 0.0, "wald"),
        (10, 0.5, 1.1, "wald"),
        (9, 0.5, 0.9, "x"),
    ],
)
def test_what_has_no_interval_is_refused(n: int, p: float, confidence: float, method: Method) -> None:
    with pytest.raises(EvidenceError):
        confidence_interval(n, p, confidence, method)
