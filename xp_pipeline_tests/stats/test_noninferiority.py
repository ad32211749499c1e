"""Non-inferiority: against SciPy's one-sided Welch, the duality of test and bound, and small counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from xp_pipeline.errors import EvidenceError
from xp_pipeline.stats.clusters import clustered
from xp_pipeline.stats.cuped import cuped
from xp_pipeline.stats.estimates import Status
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.noninferiority import non_inferiority
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.ratios import ratio
from xp_pipeline_tests.stats.strategies import arms, binary

CONTROL = np.random.default_rng(1).normal(10.0, 2.0, 300)
TREATMENT = np.random.default_rng(2).normal(10.1, 3.0, 200)


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_absolute_margin_is_a_shifted_one_sided_welch(good: bool, sign: int) -> None:
    control, treatment = sign * CONTROL, sign * TREATMENT
    found = non_inferiority(
        welch(Moments.of(control), Moments.of(treatment)), margin=0.4, relative=False, increase_is_good=good
    )
    direction = 1 if good else -1
    wanted = ttest_ind(direction * treatment + 0.4, direction * control, equal_var=False, alternative="greater")
    assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-9)
    ends = ttest_ind(treatment, control, equal_var=False).confidence_interval(0.9)
    assert found.bound == pytest.approx(ends.low if good else ends.high, rel=1e-9)


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_relative_margin_is_welch_against_a_share_of_control(good: bool, sign: int) -> None:
    """The noise of the control mean counts: treatment is compared with k times control, not with a fixed number."""
    control, treatment = sign * CONTROL, sign * TREATMENT
    found = non_inferiority(
        welch(Moments.of(control), Moments.of(treatment)), margin=0.05, relative=True, increase_is_good=good
    )
    direction = 1 if good else -1
    k = 1 - direction * sign * 0.05
    wanted = ttest_ind(direction * treatment, direction * k * control, equal_var=False, alternative="greater")
    assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-9)


@given(arms(), st.floats(0.01, 3.0), st.booleans(), st.booleans(), st.sampled_from([0.01, 0.05, 0.2]))
def test_it_holds_exactly_when_the_bound_is_inside_the_margin(pair, margin, relative, good, alpha) -> None:
    estimate = welch(*(Moments.of(arm) for arm in pair))
    found = non_inferiority(estimate, margin=margin, relative=relative, increase_is_good=good, alpha=alpha)
    assume(found.status == Status.OK)
    room = found.bound + margin if good else margin - found.bound
    assume(abs(room) > 1e-7 * (1 + abs(found.bound)))
    assert found.holds == (room > 0)


@given(arms(), st.booleans())
def test_a_wider_margin_is_easier(pair, good) -> None:
    estimate = welch(*(Moments.of(arm) for arm in pair))
    ps = [non_inferiority(estimate, margin=m, relative=False, increase_is_good=good).p_value for m in (0.1, 0.2, 0.4)]
    assert ps == sorted(ps, reverse=True)


def test_direction_mirrors() -> None:
    up = welch(Moments.of(CONTROL), Moments.of(TREATMENT))
    down = welch(Moments.of(-CONTROL), Moments.of(-TREATMENT))
    for relative in (True, False):
        one = non_inferiority(up, margin=0.1, relative=relative, increase_is_good=True)
        other = non_inferiority(down, margin=0.1, relative=relative, increase_is_good=False)
        assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
        assert other.bound == pytest.approx(-one.bound, rel=1e-9)


@pytest.mark.parametrize("relative", [True, False])
def test_adjusted_ratio_and_clustered_estimates_are_tested_alike(relative: bool) -> None:
    rng = np.random.default_rng(3)
    rows = [np.column_stack([y := rng.normal(10, 1, 400), np.ones(400), y + rng.normal(0, 0.5, 400)]) for _ in range(2)]
    control, treatment = (Moments.of(r) for r in rows)
    sums = [np.column_stack([r[:, 0].reshape(40, 10).sum(axis=1), np.full(40, 10.0)]) for r in rows]
    estimates = [
        cuped(control.take([0, 2]), treatment.take([0, 2])),
        cuped(control, treatment, ratio=True),
        ratio(control, treatment),
        clustered(*sums),
    ]
    for estimate in estimates:
        found = non_inferiority(estimate, margin=0.5, relative=relative, increase_is_good=True)
        assert found.status == Status.OK
        assert found.holds == (found.bound > -0.5)
    assert estimates[0].se < estimates[2].se


@given(
    st.integers(2, 40).flatmap(lambda n: st.tuples(st.integers(0, 9), st.just(n + 10))),
    st.integers(2, 40).flatmap(lambda n: st.tuples(st.integers(0, 9), st.just(n + 10))),
    st.floats(0.02, 0.9), st.booleans(), st.booleans(),
)  # fmt: skip
def test_small_counts_use_the_score_test_and_stay_dual(control, treatment, margin, relative, good) -> None:
    estimate = proportion(binary(*control), binary(*treatment))
    assert estimate.estimator == "score"
    found = non_inferiority(estimate, margin=margin, relative=relative, increase_is_good=good)
    assume(found.status == Status.OK)
    room = found.bound + margin if good else margin - found.bound
    assume(abs(room) > 1e-7)
    assert found.holds == (room > 0)


def test_score_test_at_a_relative_margin_is_that_of_statsmodels() -> None:
    from statsmodels.stats.proportion import test_proportions_2indep

    estimate = proportion(binary(8, 120), binary(6, 110))
    found = non_inferiority(estimate, margin=0.5, relative=True, increase_is_good=False)
    wanted = test_proportions_2indep(
        6, 110, 8, 120, value=1.5, method="score", compare="ratio", alternative="smaller", correction=True
    )
    assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-8)


def test_no_event_in_either_arm_still_bounds_harm() -> None:
    estimate = proportion(binary(0, 500), binary(0, 500))
    found = non_inferiority(estimate, margin=0.02, relative=False, increase_is_good=False)
    assert found.status == Status.OK
    assert found.holds
    assert 0 < found.bound < 0.02
    relative = non_inferiority(estimate, margin=0.02, relative=True, increase_is_good=False)
    assert relative.status == Status.UNDEFINED_RELATIVE
    assert relative.holds is None


def test_a_margin_no_proportion_can_exceed_always_holds() -> None:
    estimate = proportion(binary(9, 30), binary(1, 30))
    assert non_inferiority(estimate, margin=1.5, relative=False, increase_is_good=True).holds
    assert non_inferiority(estimate, margin=1.0, relative=True, increase_is_good=True).p_value <= 0.05


@pytest.mark.parametrize(("control", "relative", "status"), [
    ([1.0], False, Status.INSUFFICIENT_DATA),
    ([2.0, 2.0], False, Status.DEGENERATE),
    ([-1.0, 1.0, 0.0], True, Status.UNDEFINED_RELATIVE),
    ([-10.0, 11.0, 0.0], True, Status.UNBOUNDED),
    ([1.0, math.nan], False, Status.INVALID_DATA),
])  # fmt: skip
def test_undefined_is_neither_held_nor_failed(control: list[float], relative: bool, status: Status) -> None:
    treatment = [3.0, 3.0] if status == Status.DEGENERATE else [1.0, 2.0, 4.0]
    estimate = welch(Moments.of(control), Moments.of(treatment))
    found = non_inferiority(estimate, margin=0.1, relative=relative, increase_is_good=True)
    assert found.status == status
    assert found.holds is None
    assert found.reason
    assert math.isnan(found.p_value)
    assert math.isnan(found.bound)


@pytest.mark.parametrize("margin", [0.0, -0.1, math.inf, math.nan])
def test_margins_are_positive(margin: float) -> None:
    with pytest.raises(EvidenceError, match="harm tolerated"):
        non_inferiority(
            welch(Moments.of(CONTROL), Moments.of(TREATMENT)), margin=margin, relative=False, increase_is_good=True
        )


def test_alpha_is_one_sided() -> None:
    with pytest.raises(EvidenceError, match="one-sided"):
        non_inferiority(
            welch(Moments.of(CONTROL), Moments.of(TREATMENT)),
            margin=1.0, relative=False, increase_is_good=True, alpha=0.95,
        )  # fmt: skip
