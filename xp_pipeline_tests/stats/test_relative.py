"""Fieller: published examples, the defining inequality, and sets without bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.relative import fieller, relative_lift

MEANS = st.floats(-100, 100).filter(lambda m: abs(m) > 0.01)
VARIANCES = st.floats(0.001, 2000)


def test_quotient_of_two_means_as_graphpad_computes_it() -> None:
    """14 +- 3 over 7 +- 2, six each (SEM 1.22, 0.82): 2.00, 95 % from 1.46 to 2.83 (QuickCalcs, after Fieller 1940)."""
    found = fieller(7, 14, 2**2 / 6, 3**2 / 6, 0, 2.2281388519649385)
    assert found.lift == 1.0
    assert (found.low + 1, found.high + 1) == pytest.approx((1.46, 2.83), abs=0.005)
    ninety = fieller(7, 14, 2**2 / 6, 3**2 / 6, 0, 1.8124611228107335)
    assert (ninety.low + 1, ninety.high + 1) == pytest.approx((1.54, 2.64), abs=0.005)


def test_quotient_as_colquhouns_programs_print_it() -> None:
    """14 (SD 3) over 7 (SD 2), t = 1.812461: limits 1.051413 and 4.414296 (DCPROGS dcstats, FIELLER)."""
    found = fieller(7, 14, 2**2, 3**2, 0, 1.812461)
    assert (found.low + 1, found.high + 1) == pytest.approx((1.051413, 4.414296), abs=2e-6)


@given(MEANS, MEANS, VARIANCES, VARIANCES, st.floats(-0.95, 0.95), st.floats(0.5, 4), st.floats(-5, 5))
def test_the_set_is_where_the_test_does_not_reject(m_c, m_t, v_c, v_t, rho, q, lift) -> None:
    cov = rho * math.sqrt(v_c * v_t)
    found = fieller(m_c, m_t, v_c, v_t, cov, q)
    k = 1 + math.copysign(lift, m_c) * math.copysign(1, lift)
    excess = (m_t - k * m_c) ** 2 - q**2 * (v_t + k**2 * v_c - 2 * k * cov)
    assume(abs(excess) > 1e-6 * (m_t**2 + m_c**2))
    assert found.contains(lift) == (excess < 0)


@given(MEANS, MEANS, VARIANCES, VARIANCES, st.floats(0.5, 4))
def test_bounded_exactly_when_the_control_mean_differs_from_zero(m_c, m_t, v_c, v_t, q) -> None:
    assume(abs(m_c**2 - q**2 * v_c) > 1e-9)
    found = fieller(m_c, m_t, v_c, v_t, 0.0, q)
    assert (found.status == Status.OK) == (m_c**2 > q**2 * v_c)
    if found.status == Status.OK:
        assert found.low <= found.lift <= found.high
    else:
        assert found.reason
        assert (found.low, found.high) == (-math.inf, math.inf)


@given(MEANS, MEANS, VARIANCES, VARIANCES)
def test_changing_the_sign_of_both_means_mirrors_the_lift(m_c, m_t, v_c, v_t) -> None:
    one, other = fieller(m_c, m_t, v_c, v_t, 0.0, 2.0), fieller(-m_c, -m_t, v_c, v_t, 0.0, 2.0)
    assert other.lift == pytest.approx(-one.lift)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))


def test_a_negative_control_mean_keeps_more_on_the_right() -> None:
    found = fieller(-10, -5, 0.1, 0.1, 0.0, 1.96)
    assert found.lift == 0.5
    assert found.low < 0.5 < found.high


def test_unbounded_set_that_excludes_a_gap_says_so() -> None:
    found = fieller(1.0, 30.0, 1.0, 1.0, 0.0, 1.96)
    assert found.status == Status.UNBOUNDED
    assert found.excluded is not None
    assert not found.contains(0.0)
    assert f"{found.excluded[0]:.4g}" in found.reason


def test_unbounded_set_of_everything_has_no_gap() -> None:
    found = fieller(1.0, 1.5, 1.0, 1.0, 0.0, 1.96)
    assert found.status == Status.UNBOUNDED
    assert found.excluded is None
    assert found.contains(1e6)


def test_control_mean_zero_is_undefined() -> None:
    found = fieller(0.0, 5.0, 1.0, 1.0, 0.0, 1.96)
    assert found.status == Status.UNDEFINED_RELATIVE
    assert all(math.isnan(x) for x in (found.lift, found.low, found.high))
    assert not found.contains(0.0)


def test_exactly_on_the_edge_the_set_is_half_a_line() -> None:
    found = fieller(2.0, 3.0, 1.0, 1.0, 0.0, 2.0)
    assert found.status == Status.UNBOUNDED
    assert math.isinf(found.high)
    k = 1 + found.low
    assert (3 - 2 * k) ** 2 == pytest.approx(4 * (1 + k**2))


def test_means_that_are_not_finite_are_invalid() -> None:
    assert fieller(math.inf, 1.0, 1.0, 1.0, 0.0, 2.0).status == Status.INVALID_DATA
    assert fieller(1e-200, 1.0, 1.0, 1.0, 0.0, 2.0).status == Status.INVALID_DATA


@pytest.mark.parametrize(("found", "shape"), [
    (fieller(10.0, 11.0, 1.0, 1.0, 0.0, 1.96), "interval"),
    (fieller(1.0, 30.0, 1.0, 1.0, 0.0, 1.96), "exclusive"),
    (fieller(1.0, 1.5, 1.0, 1.0, 0.0, 1.96), "line"),
    (fieller(2.0, 3.0, 1.0, 1.0, 0.0, 2.0), "half_line"),
    (fieller(0.0, 3.0, 1.0, 1.0, 0.0, 2.0), "undefined"),
])  # fmt: skip
def test_the_shape_of_the_set_is_named(found, shape: str) -> None:
    assert found.shape == shape
    assert ("every lift" in found.reason) == (found.status == Status.UNBOUNDED)


@given(MEANS, MEANS, VARIANCES, VARIANCES, st.floats(-0.9, 0.9), st.floats(0.5, 4))
def test_delta_is_the_gradient_and_symmetric(m_c, m_t, v_c, v_t, rho, q) -> None:
    cov = rho * math.sqrt(v_c * v_t)
    found = relative_lift(m_c, m_t, v_c, v_t, cov, q, method="delta")
    down, up = -m_t / m_c**2, 1 / m_c
    half = q * math.sqrt(max(down**2 * v_c + up**2 * v_t + 2 * down * up * cov, 0.0))
    assert found.lift == pytest.approx((m_t - m_c) / abs(m_c))
    assert (found.low, found.high) == pytest.approx((found.lift - half, found.lift + half), rel=1e-6, abs=1e-9)


@given(MEANS, MEANS, VARIANCES, VARIANCES, st.floats(0.5, 2))
def test_log_needs_one_sign_and_swapping_arms_inverts_it(m_c, m_t, v_c, v_t, q) -> None:
    found = relative_lift(m_c, m_t, v_c, v_t, 0.0, q, method="log")
    if m_c * m_t < 0:
        assert found.status == Status.UNDEFINED_RELATIVE
        assert math.isnan(found.low)
        return
    half = q * math.sqrt(v_c / m_c**2 + v_t / m_t**2)
    assume(half < 5)
    swapped = relative_lift(m_t, m_c, v_t, v_c, 0.0, q, method="log")
    assert found.low <= found.lift <= found.high
    if m_c > 0:
        assert math.log1p(found.high) - math.log1p(found.lift) == pytest.approx(half, rel=1e-6)
        assert 1 + swapped.high == pytest.approx(1 / (1 + found.low), rel=1e-6)


def test_the_methods_are_close_where_the_control_mean_is_precise() -> None:
    ends = [relative_lift(100, 105, 0.01, 0.01, 0.0, 1.96, method=m) for m in ("fieller", "delta", "log")]  # type: ignore[arg-type]
    for found in ends[1:]:
        assert (found.low, found.high) == pytest.approx((ends[0].low, ends[0].high), abs=1e-5)


def test_a_negative_control_mean_mirrors_every_method() -> None:
    for method in ("fieller", "delta", "log"):
        one = relative_lift(10, 12, 0.5, 0.5, 0.1, 1.96, method=method)  # type: ignore[arg-type]
        other = relative_lift(-10, -12, 0.5, 0.5, 0.1, 1.96, method=method)  # type: ignore[arg-type]
        assert (other.low, other.lift, other.high) == pytest.approx((-one.high, -one.lift, -one.low))


def test_undefined_lifts_have_a_status_by_every_method() -> None:
    for method in ("fieller", "delta", "log"):
        assert relative_lift(0.0, 1.0, 1, 1, 0, 2, method=method).status == Status.UNDEFINED_RELATIVE  # type: ignore[arg-type]
        assert relative_lift(math.inf, 1.0, 1, 1, 0, 2, method=method).status in (  # type: ignore[arg-type]
            Status.INVALID_DATA,
            Status.UNDEFINED_RELATIVE,
        )
    with pytest.raises(EvidenceError, match="unknown method"):
        relative_lift(1.0, 1.0, 1, 1, 0, 2, method="naive")  # type: ignore[arg-type]


@given(st.floats(0.01, 10), st.floats(-10, 10), st.floats(0.001, 10), st.floats(1, 20))
def test_the_lift_itself_is_never_left_out(mean_c: float, mean_t: float, v: float, q: float) -> None:
    """Means that move together have a quotient without variance, where both roots are the lift, up to rounding."""
    k = mean_t / mean_c
    found = fieller(mean_c, mean_t, v, k * k * v, k * v, q)
    assert found.status == Status.DEGENERATE or found.contains(found.lift)
