"""One law against every estimator: duality, agreement of scales, equivariance, order, and input that is no data.

What only one estimator promises is tested beside it; here are the laws that all of them share. Holm's p-values are the
exception among families: they reject more than the simultaneous intervals shown beside them, which is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xp_pipeline.stats.bayes import gaussian_effect
from xp_pipeline.stats.boundaries import boundary, repeated_interval, z_of
from xp_pipeline.stats.clusters import clustered
from xp_pipeline.stats.dunnett import dunnett_family
from xp_pipeline.stats.equivalence import equivalence
from xp_pipeline.stats.estimates import Estimate, Relative, Status
from xp_pipeline.stats.heterogeneity import cochran_q, effect_difference
from xp_pipeline.stats.means import at_level, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.msprt import msprt
from xp_pipeline.stats.multiplicity import family
from xp_pipeline.stats.noninferiority import non_inferiority
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.sequences import always_valid_p, confidence_sequence
from xp_pipeline.stats.spending import OBRIEN_FLEMING
from xp_pipeline.stats.stagewise import stagewise
from xp_pipeline_tests.stats.readers import MEANS, RATIOS, READERS, SHARES, D, X, Y, drawn, in_parts
from xp_pipeline_tests.stats.strategies import arms as two_arms
from xp_pipeline_tests.stats.strategies import binary

ARMS = st.builds(
    drawn,
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(110, 180), st.integers(110, 180)),
    st.floats(-1.0, 1.0),
    st.sampled_from([-3.0, 0.5, 2.0]),
)
"""Arms with enough units for every method, sequential ones included."""

TOLD = (math.inf, math.inf)
"""Units other than 0, counted: every outcome here."""

LOOKS = boundary([0.25, 0.5, 0.75, 1.0], spending=OBRIEN_FLEMING)

every = pytest.mark.parametrize("name", READERS)
few = settings(max_examples=8)


def near(value: float, *edges: float, by: float) -> bool:
    """Whether a value is so close to an edge that rounding decides."""
    return any(abs(value - edge) <= 1e-7 * by for edge in edges)


# --- p-values, intervals, scales ------------------------------------------------------------------------------------


@every
@few
@given(ARMS, st.sampled_from([0.01, 0.05, 0.3]), st.floats(-4.0, 4.0))
def test_the_p_value_is_below_alpha_exactly_when_the_interval_leaves_out_the_null(name, pair, alpha, away) -> None:
    plain = READERS[name](*pair, alpha=alpha)
    assume(plain.status == Status.OK)
    null = plain.effect + away * plain.se
    found = READERS[name](*pair, alpha=alpha, null=null)
    assume(abs(null) < 1 and not near(null, found.low, found.high, by=found.se))
    assert (found.p_value < alpha) == (not found.low <= null <= found.high)
    assert (found.low, found.high) == (plain.low, plain.high)


@every
@few
@given(ARMS, st.sampled_from([0.01, 0.05, 0.3]))
def test_effect_and_lift_decide_alike(name, pair, alpha) -> None:
    found = READERS[name](*pair, alpha=alpha)
    assume(found.status == Status.OK and found.relative.status in (Status.OK, Status.UNBOUNDED))
    assume(not near(0.0, found.low, found.high, by=found.se))
    if name == "score":
        assume(abs(found.p_value - alpha) > 1e-6)
    assert found.relative.contains(0.0) == (found.low <= 0 <= found.high)


@pytest.mark.parametrize("name", [name for name in READERS if name not in SHARES])
@few
@given(ARMS, st.integers(0, 3))
def test_every_always_valid_and_group_sequential_reading_decides_alike_on_both_scales(name, pair, look) -> None:
    found = READERS[name](*pair)
    assume(found.status == Status.OK and found.mean_control != 0)
    band = confidence_sequence(found, planned_n=400, nonzero=TOLD)
    if band.status == Status.OK and not near(0.0, band.low, band.high, by=found.se):
        assert band.relative.contains(0.0) == (band.low <= 0 <= band.high)
        assert (always_valid_p(found, planned_n=400) < 0.05) == (not band.low <= 0 <= band.high)
    test = msprt(found, tau=found.se, nonzero=TOLD)
    if test.status == Status.OK and not near(0.0, test.low, test.high, by=found.se):
        assert test.relative.contains(0.0) == (test.low <= 0 <= test.high) == (test.p_value >= 0.05)
    low, high, lift = repeated_interval(found, LOOKS[look])
    if not near(0.0, low, high, by=found.se):
        assert lift.contains(0.0) == (low <= 0 <= high) == (LOOKS[look].crossed(z_of(found)) == 0)


@pytest.mark.parametrize("name", ["cuped", "ratio lin", "clusters across arms", "stratified", "clustered quantile"])
@settings(max_examples=4)
@given(ARMS)
def test_after_the_last_look_the_stagewise_reading_decides_as_the_boundary(name, pair) -> None:
    found = READERS[name](*pair)
    assume(found.status == Status.OK and abs(abs(z_of(found)) - LOOKS[-1].upper) > 1e-4)
    end = stagewise(LOOKS, found)
    assume(min(abs(end.low), abs(end.high)) > 1e-6 * found.se)
    crossed = LOOKS[-1].crossed(z_of(found)) != 0
    assert (not end.low <= 0 <= end.high) == crossed == (end.p_value < 0.05)
    if end.relative.status == Status.OK:
        assert (not end.relative.contains(0.0)) == crossed


@pytest.mark.parametrize("relative", [False, True])
@every
@few
@given(ARMS, st.floats(0.01, 0.8), st.booleans())
def test_a_margin_is_kept_exactly_when_the_bound_is_within_it(name, relative, pair, margin, good) -> None:
    found = non_inferiority(READERS[name](*pair), margin=margin, relative=relative, increase_is_good=good)
    assume(found.status == Status.OK)
    inside = found.bound + margin if good else margin - found.bound
    assume(abs(inside) > 1e-7 and abs(found.p_value - 0.05) > 1e-9)
    assert found.holds == (inside > 0) == (found.p_value <= 0.05)


@few
@given(st.lists(st.tuples(st.integers(0, 2**32), st.floats(-0.6, 0.6)), min_size=2, max_size=4), st.floats(0.01, 0.2))
def test_dunnetts_p_values_and_simultaneous_intervals_are_dual(treatments, alpha) -> None:
    control = drawn(7, (150, 2), 0.0, 2.0)[0]
    found = [READERS["cuped"](control, drawn(seed, (2, 120), effect, 2.0)[1]) for seed, effect in treatments]
    for one in dunnett_family(found, alpha=alpha):
        assume(abs(one.p_adjusted - alpha) > 1e-7)
        assert (one.p_adjusted < alpha) == (not one.low <= 0 <= one.high)


def test_holm_rejects_where_its_simultaneous_interval_holds_the_null_and_says_so() -> None:
    """The labelled exception: of two arms at p = 0.001 and 0.03, Bonferroni's interval of the second reaches 0."""
    found = family([0.001, 0.03], method="holm")
    assert found.significant == (True, True)
    assert found.interval_alpha == 0.025 < 0.03
    assert found.simultaneous
    assert not found.dual
    assert family([0.001, 0.03], method="bonferroni").significant == (True, False)


# --- equivariance and order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in READERS if name != "bootstrap"])
@few
@given(ARMS)
def test_swapping_the_arms_flips_signs(name, pair) -> None:
    """The bootstrap draws other weights for other arms; its effect is tested beside it."""
    one, other = READERS[name](*pair), READERS[name](*reversed(pair))
    assert other.status == one.status
    assume(one.status == Status.OK)
    assert other.effect == pytest.approx(-one.effect, rel=1e-8, abs=1e-10)
    assert (other.se, other.p_value) == pytest.approx((one.se, one.p_value), rel=1e-6)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", [*MEANS, *RATIOS])
@few
@given(ARMS, st.sampled_from([-8.0, 0.125, 3.7, 1e6]))
def test_the_unit_of_the_outcome_does_not_matter(name, pair, unit) -> None:
    """At or below a threshold turns to at or above: the clustered quantile is held to positive units."""
    unit = abs(unit) if name == "clustered quantile" else unit
    plain, scaled = READERS[name](*pair), READERS[name](*(_moved(rows, unit) for rows in pair))
    assume(plain.status == Status.OK)
    assert scaled.status == plain.status
    assert scaled.effect == pytest.approx(unit * plain.effect, rel=1e-8, abs=1e-10 * abs(unit))
    assert scaled.se == pytest.approx(abs(unit) * plain.se, rel=1e-8)
    assert scaled.p_value == pytest.approx(plain.p_value, rel=1e-5)
    if unit > 0:
        assert scaled.relative.status == plain.relative.status
        assert scaled.relative.lift == pytest.approx(plain.relative.lift, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", [*MEANS, *RATIOS])
@few
@given(ARMS, st.sampled_from([-50.0, 0.25, 1000.0]))
def test_moving_the_zero_of_the_outcome_moves_both_arms(name, pair, shift) -> None:
    """A ratio moves by s where s denominators are added to the numerator."""
    by = [shift * (rows[:, D] if name in RATIOS else 1.0) for rows in pair]
    plain = READERS[name](*pair)
    moved = READERS[name](*(_moved(rows, 1.0, add) for rows, add in zip(pair, by, strict=True)))
    assume(plain.status == Status.OK)
    assert moved.effect == pytest.approx(plain.effect, rel=1e-6, abs=1e-8)
    assert moved.mean_control == pytest.approx(plain.mean_control + shift, rel=1e-6, abs=1e-6)
    assert (moved.se, moved.p_value) == pytest.approx((plain.se, plain.p_value), rel=1e-5)


@every
@few
@given(ARMS, st.integers(0, 2**32 - 1))
def test_the_order_of_units_and_of_merges_does_not_matter(name, pair, seed) -> None:
    rng = np.random.default_rng(seed)
    plain = READERS[name](*pair)
    other = READERS[name](*(rng.permutation(rows) for rows in pair), of=in_parts(seed))
    assert (other.status, other.reason) == (plain.status, plain.reason)
    for field in ("effect", "se", "df", "p_value", "low", "high", "mean_control"):
        wanted = getattr(plain, field)
        assert getattr(other, field) == pytest.approx(wanted, rel=1e-7, abs=1e-9, nan_ok=True), field
    assert other.relative.shape == plain.relative.shape
    assert (other.relative.low, other.relative.high) == pytest.approx(
        (plain.relative.low, plain.relative.high), rel=1e-5, abs=1e-7, nan_ok=True
    )


def _moved(rows: np.ndarray, unit: float, add: float | np.ndarray = 0.0) -> np.ndarray:
    moved = rows.copy()
    moved[:, Y] = unit * rows[:, Y] + add
    return moved


# --- input that is no data ------------------------------------------------------------------------------------------


def _units(n: int = 60, seed: int = 3) -> np.ndarray:
    return drawn(seed, (n, 2), 0.0, 2.0)[0]


def _with(column: int, values: object, n: int = 60, seed: int = 3) -> np.ndarray:
    rows = _units(n, seed)
    rows[:, column] = values
    return rows


def _one(column: int, value: float) -> np.ndarray:
    rows = _units()
    rows[7, column] = value
    return rows


BALANCED = np.tile([-1.0, 1.0], 30)

BAD: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "no unit": (_units(0), _units()),
    "no unit at all": (_units(0), _units(0)),
    "one unit": (_units(1), _units()),
    "one unit each": (_units(1), _units(1, 4)),
    "two units": (_units(2), _units()),
    "two units each": (_units(2), _units(2, 4)),
    "three units each": (_units(3), _units(3, 4)),
    "no variance": (_with(Y, 2.0), _units()),
    "no variance in either arm": (_with(Y, 2.0), _with(Y, 2.0)),
    "no variance, other means": (_with(Y, 2.0), _with(Y, 3.0)),
    "all zeros": (_with(Y, 0.0), _with(Y, 0.0)),
    "all zeros in one arm": (_with(Y, 0.0), _units()),
    "all events": (_with(Y, 9.0), _with(Y, 9.0)),
    "control mean 0": (_with(Y, BALANCED), _units()),
    "negative control mean": (_with(Y, -3 + BALANCED), _units()),
    "control mean about 0": (_with(Y, 1e-12 + BALANCED), _units()),
    "infinite": (_one(Y, math.inf), _units()),
    "negative infinite": (_one(Y, -math.inf), _units()),
    "both infinities": (np.vstack([_one(Y, math.inf), _one(Y, -math.inf)]), _units()),
    "not a number": (_one(Y, math.nan), _units()),
    "too large to square": (_with(Y, 1e200 * BALANCED), _units()),
    "too small to square": (_with(Y, 1e-200 * BALANCED), _with(Y, 1e-200 * (1 + BALANCED))),
    "infinite denominator": (_one(D, math.inf), _units()),
    "denominator not a number": (_one(D, math.nan), _units()),
    "no denominators": (_with(D, 0.0), _units()),
    "no denominators at all": (_with(D, 0.0), _with(D, 0.0)),
    "some denominators 0": (_with(D, (BALANCED + 1) / 2), _with(D, (BALANCED + 1) / 2)),
    "denominators that cancel": (_with(D, BALANCED), _units()),
    "constant covariate": (_with(X, 5.0), _with(X, 5.0)),
    "covariate constant in one arm": (_with(X, 5.0), _units()),
    "covariate not a number": (_one(X, math.nan), _units()),
    "infinite covariate": (_one(X, math.inf), _units()),
    "covariate that is the outcome": (_with(X, _units()[:, Y]), _with(X, _units(seed=4)[:, Y], seed=4)),
    "covariate that is the denominator": (_with(X, _units()[:, D]), _with(X, _units(seed=4)[:, D], seed=4)),
    "collinear covariates": (_with(X, 2 * _units()[:, D] + 5), _with(X, 2 * _units(seed=4)[:, D] + 5, seed=4)),
    "covariate a billion away": (_with(X, 1e9 + BALANCED), _with(X, 1e9 - BALANCED)),
}


@cache
def answered(name: str, case: str, swapped: bool) -> Estimate:
    """An estimator's answer; exceptions and warnings of numpy are failures."""
    pair = BAD[case][::-1] if swapped else BAD[case]
    with np.errstate(all="ignore"):
        return READERS[name](*pair)


def cases() -> Iterator[tuple[str, bool]]:
    return ((case, swapped) for case in BAD for swapped in (False, True))


@every
def test_input_that_is_no_data_has_a_status_with_its_reason(name) -> None:
    for case, swapped in cases():
        found = answered(name, case, swapped)
        _sound(found, f"{case}, swapped {swapped}")


@every
@pytest.mark.parametrize("case", ["no unit", "no unit at all", "one unit", "one unit each"])
def test_too_few_units_are_insufficient_data(name, case) -> None:
    for swapped in (False, True):
        found = answered(name, case, swapped)
        assert (found.status, found.relative.status) == (Status.INSUFFICIENT_DATA,) * 2


@every
@pytest.mark.parametrize("case", ["infinite", "negative infinite", "both infinities", "not a number"])
def test_an_outcome_that_is_not_finite_is_invalid_data(name, case) -> None:
    for swapped in (False, True):
        assert answered(name, case, swapped).status == Status.INVALID_DATA


@pytest.mark.parametrize("name", [name for name in READERS if name not in RATIOS])
def test_outcomes_that_do_not_vary_are_degenerate(name) -> None:
    """Other constants may be events and non-events, which do differ."""
    constant = ["no variance in either arm", "all zeros"] + (["no variance, other means"] if name in MEANS else [])
    for case in constant:
        assert answered(name, case, False).status == Status.DEGENERATE, case


def _sound(e: Estimate, where: str) -> None:
    """An answer is numbers that fit together, or a status with a reason and no p-value."""
    if e.status == Status.OK:
        assert all(map(math.isfinite, (e.effect, e.se, e.p_value, e.low, e.high))), where
        assert 0 < e.p_value <= 1, where
        assert e.low <= e.effect <= e.high, where
        assert e.low < e.high, where
        assert e.se > 0, where
    else:
        assert e.reason, where
        assert math.isnan(e.p_value), where
        assert e.low != e.high, where
    _sound_lift(e.relative, where)


def _sound_lift(r: Relative, where: str) -> None:
    if r.status == Status.OK:
        assert r.low <= r.lift <= r.high, where
        assert all(map(math.isfinite, (r.low, r.lift))), where
        assert r.high != r.low, where
    elif r.status == Status.UNBOUNDED:
        assert r.reason, where
        assert r.shape in ("line", "half_line", "exclusive"), where
        assert r.contains(r.lift), where
    else:
        assert r.reason, where
        assert r.shape == "undefined", where


@every
def test_what_reads_an_estimate_passes_its_status_on(name) -> None:
    """Sequential, Bayesian and margin readings, families and segments: the same status, a reason, no number."""
    other = answered("welch", "negative control mean", False)
    for case, swapped in cases():
        e = answered(name, case, swapped)
        for reading in _readings(e):
            where = f"{case}, {type(reading).__name__}"
            if reading.status == Status.OK:
                assert e.status == Status.OK or e.estimator == "score", where
                continue
            assert reading.reason, where
            assert math.isnan(getattr(reading, "p_value", math.nan)), where
            assert math.isnan(getattr(reading, "low", math.nan)), where
        one = dunnett_family([e])[0]
        assert (one.status == Status.OK) == (not math.isnan(one.p_adjusted))
        assert effect_difference(e, other).status in (Status.OK, e.status)
        assert cochran_q([e, other]).status == (Status.OK if e.status == Status.OK else Status.NOT_TESTABLE)
        assert math.isnan(z_of(e)) == (e.status != Status.OK)
        varies = e.status == Status.OK and e.var_mean_control + e.var_mean_treatment > 0
        assert math.isnan(always_valid_p(e, planned_n=400)) == (not varies)
        _sound(at_level(e, 0.01), case)


def _readings(e: Estimate) -> Iterator[object]:
    yield confidence_sequence(e, planned_n=400, nonzero=TOLD)
    yield msprt(e, tau=1.0, nonzero=TOLD)
    if e.relative.status != Status.OK:
        yield stagewise(LOOKS[:1], e)
    for scale in ("absolute", "relative"):
        yield gaussian_effect(e, scale=scale)
        yield non_inferiority(e, margin=0.1, relative=scale == "relative", increase_is_good=True)
        yield equivalence(e, margin=0.1, relative=scale == "relative")


@settings(max_examples=30)
@given(two_arms())
def test_eighths_tied_at_will_are_sound_too(pair) -> None:
    """Small arms of values that repeat, for every estimator at once."""
    for name, reader in READERS.items():
        found = reader(*(_padded(arm) for arm in pair))
        _sound(found, name)


def _padded(arm: np.ndarray) -> np.ndarray:
    """Denominators, covariates and labels that repeat as well."""
    n = np.arange(len(arm))
    return np.column_stack([arm[:, 0], 1.0 + n % 3, n % 5, n % 7]).astype(float)


def test_a_treatment_of_zeros_has_an_effect_and_no_interval_of_no_width() -> None:
    """Its lift is -1 whatever the control mean is: said, but not as (-1, -1); looks and margins may still be read."""
    found = welch(Moments.of([1.0, 2.0, 3.0, 2.0] * 10), Moments.of([0.0] * 40))
    assert found.status == Status.OK
    assert found.high < 0
    assert (found.relative.status, found.relative.lift) == (Status.DEGENERATE, -1.0)
    end = stagewise(LOOKS[:1], found)
    assert end.high < 0
    assert end.relative.status == Status.DEGENERATE
    harm = non_inferiority(found, margin=0.1, relative=True, increase_is_good=True)
    assert (harm.status, harm.holds, harm.bound) == (Status.OK, False, -1.0)
    assert harm.p_value > 0.999


def test_an_arm_within_one_cluster_has_no_error_though_clusters_are_shared() -> None:
    """Its ratio is that of its only cluster, from which nothing departs: the other arm's error is not the effect's."""
    control, treatment = np.array([[3.0, 2.0], [0.0, 0.0], [0.0, 0.0]]), np.array([[4.0, 3.0], [5.0, 2.0], [1.0, 3.0]])
    for found in (clustered(control, treatment), clustered(treatment, control)):
        assert found.status == Status.INSUFFICIENT_DATA
        assert "two clusters" in found.reason


def test_nothing_against_everything_has_no_always_valid_p_value() -> None:
    """0 of 60 against 60 of 60: the score test decides, but neither share has a variance for a sequence."""
    found = proportion(binary(0, 60), binary(60, 60))
    assert found.p_value < 1e-20
    assert math.isnan(always_valid_p(found, planned_n=400))
    assert confidence_sequence(found, planned_n=400).status == Status.INSUFFICIENT_DATA


def test_a_missing_arm_is_insufficient_data_and_not_an_exception() -> None:
    """An arm that nobody was assigned to has empty moments, of however many variables."""
    held = Moments.of(_units()[:, [Y, D, X]])
    for k in (1, 3):
        found = welch(Moments.empty(k), held)
        assert found.status == Status.INSUFFICIENT_DATA
        assert "no unit" in found.reason
