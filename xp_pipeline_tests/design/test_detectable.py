"""The smallest effect and the smallest margin: inverse to sample sizes, and honest where there is none."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.detectable import minimum_detectable_effect, smallest_margin
from xp_pipeline.design.detection import non_inferiority_power, power_of
from xp_pipeline.design.sample_size import non_inferiority_sample_size, sample_size
from xp_pipeline.errors import EvidenceError

UNIT = Baseline(0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 1_000_000), st.sampled_from([(1, 1), (9, 1), (1, 2)]), st.sampled_from([0.6, 0.8, 0.95]))
def test_the_effect_of_some_units_needs_these_units(n: int, shares: tuple[int, int], power: float) -> None:
    arms = {"n_control": n * shares[0], "n_treatment": n * shares[1]}
    effect = minimum_detectable_effect(Baseline(5.0, 7.0), power=power, **arms)
    size = sample_size(Baseline(5.0, 7.0), effect=effect, power=power, shares=shares)
    assert size.treatment == pytest.approx(n * shares[1], abs=1 + 1e-6 * n)
    assert size.control == pytest.approx(n * shares[0], abs=1 + 1e-6 * n * shares[0])


@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 0.6), st.integers(200, 500_000), st.booleans())
def test_a_shares_change_has_the_power_in_its_own_direction(p: float, n: int, increase: bool) -> None:
    baseline = Baseline(p, p * (1 - p), "proportion")
    found = minimum_detectable_effect(baseline, n_control=n, n_treatment=n, increase=increase)
    assume(not math.isnan(found))
    effect = found if increase else -found
    assert power_of(baseline, effect=effect, n_control=n, n_treatment=n) == pytest.approx(0.8, abs=1e-6)
    assert sample_size(baseline, effect=effect).control == pytest.approx(n, abs=1 + 1e-6 * n)


def test_a_rare_share_falls_more_detectably_than_it_rises() -> None:
    """Below one half, a fall lowers the variance."""
    rare = Baseline(0.05, 0.0475, "proportion")
    rise, fall = (
        minimum_detectable_effect(rare, n_control=2000, n_treatment=2000, increase=up) for up in (True, False)
    )
    assert fall < rise


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 1_000_000), st.booleans(), st.booleans())
def test_the_margin_of_some_units_needs_these_units(n: int, relative: bool, increase: bool) -> None:
    baseline = Baseline(10.0, 30.0)
    rates = {"relative": relative, "increase_is_good": increase}
    margin = smallest_margin(baseline, n_control=n, n_treatment=n, **rates)
    assert non_inferiority_sample_size(baseline, margin=margin, **rates).control == pytest.approx(n, abs=1 + 1e-6 * n)
    assert non_inferiority_power(
        baseline, margin=margin, n_control=n, n_treatment=n, **rates
    ) == pytest.approx(0.8, abs=1e-6)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(50, 100_000), st.floats(1, 3), st.floats(0, 0.9))
def test_looks_cost_and_covariates_save_by_the_root(n: int, inflation: float, explained: float) -> None:
    arms = {"n_control": 1000 * n, "n_treatment": 1000 * n}
    plain = minimum_detectable_effect(UNIT, **arms)
    found = minimum_detectable_effect(Baseline(0.0, 1.0, variance_explained=explained), inflation=inflation, **arms)
    assert found == pytest.approx(plain * math.sqrt(inflation * (1 - explained)), rel=1e-4)


def test_there_may_be_none() -> None:
    assert math.isnan(minimum_detectable_effect(Baseline(1.0, 0.0), n_control=50, n_treatment=50))
    assert math.isnan(minimum_detectable_effect(UNIT, n_control=1.5, n_treatment=50))
    assert math.isnan(smallest_margin(Baseline(0.0, 1.0), n_control=50, n_treatment=50, relative=True))
    assert math.isnan(smallest_margin(UNIT, n_control=1, n_treatment=50))


@pytest.mark.parametrize(("call", "word"), [
    (lambda: minimum_detectable_effect(UNIT, n_control=9, n_treatment=9, power=0.0), "power is a probability"),
    (lambda: minimum_detectable_effect(UNIT, n_control=9, n_treatment=9, alpha=1.0), "alpha"),
    (lambda: smallest_margin(UNIT, n_control=9, n_treatment=9, power=math.nan), "power is a probability"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(call, word: str) -> None:
    with pytest.raises(EvidenceError, match=word) as problem:
        call()
    assert "\n" not in str(problem.value)
