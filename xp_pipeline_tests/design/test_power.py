"""Power and sample size: R, statsmodels, a textbook, and planning forwards and backwards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xp_pipeline.design.power import (
    Baseline,
    minimum_detectable_effect,
    non_inferiority_power,
    non_inferiority_sample_size,
    power_of,
    power_with,
    sample_size,
)
from xp_pipeline.errors import EvidenceError

UNIT = Baseline(0.0, 1.0)


def share(p: float) -> Baseline:
    return Baseline(p, p * (1 - p), "proportion")


def test_rs_power_t_test_examples() -> None:
    """n = 20: power 0.8689528; power 0.90: n = 22.02110 two-sided, 17.84713 one-sided (R, ?power.t.test)."""
    assert power_of(UNIT, effect=1, n_control=20, n_treatment=20) == pytest.approx(0.8689528, abs=1e-6)
    assert power_of(UNIT, effect=1, n_control=22.02110, n_treatment=22.02110) == pytest.approx(0.9, abs=1e-6)
    one_sided = power_of(UNIT, effect=1, n_control=17.84713, n_treatment=17.84713, two_sided=False)
    assert one_sided == pytest.approx(0.9, abs=1e-6)
    size = sample_size(UNIT, effect=1, power=0.9)
    assert (size.control, size.treatment, size.total) == (23, 23, 46)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize("n", [5, 40, 3000])
def test_power_is_that_of_statsmodels(n: int, alpha: float) -> None:
    from statsmodels.stats.power import TTestIndPower

    wanted = TTestIndPower().power(0.1, n, alpha)
    assert power_of(UNIT, effect=0.1, n_control=n, n_treatment=n, alpha=alpha) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("effect", [1.0, 3.0, 30.0, -30.0])
def test_overwhelming_effects_have_power_one_not_nan(effect: float) -> None:
    """SciPy's noncentral t, and with it statsmodels, gives NaN for some of these."""
    assert power_of(UNIT, effect=effect, n_control=300, n_treatment=300) == pytest.approx(1.0)
    rates = {"margin": 1.0, "n_control": 300, "n_treatment": 300}
    assert non_inferiority_power(UNIT, effect=-abs(effect) - 1.5, **rates) < 1e-9


def test_unequal_large_arms_are_the_normal_power_of_statsmodels() -> None:
    from statsmodels.stats.power import NormalIndPower

    wanted = NormalIndPower().power(0.002, 2_000_000, 0.05, ratio=4)
    assert power_of(UNIT, effect=0.002, n_control=2e6, n_treatment=8e6) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("p", "q", "n"), [(0.30, 0.25, 1673.856), (0.05, 0.10, 581.0821), (0.5, 0.75, 76.7)])
def test_proportions_are_close_to_rs_pooled_formula(p: float, q: float, n: float) -> None:
    """R's power.prop.test (power 0.9) pools the proportions under the null; ours, as the analysis, only if asked."""
    assert sample_size(share(p), effect=q - p, power=0.9).control == pytest.approx(n, rel=0.03)


@pytest.mark.parametrize(("p", "q", "n"), [(0.30, 0.25, 1673.856), (0.05, 0.10, 581.0821)])
def test_pooled_proportions_are_rs(p: float, q: float, n: float) -> None:
    assert power_of(share(p), effect=q - p, n_control=n, n_treatment=n, pooled=True) == pytest.approx(0.9, abs=1e-6)
    assert sample_size(share(p), effect=q - p, power=0.9, pooled=True).control == math.ceil(n)


@pytest.mark.parametrize(("d", "power", "n"), [
    (0.2, 0.80, 393), (0.5, 0.80, 64), (0.8, 0.80, 26), (0.5, 0.90, 85), (0.8, 0.95, 42), (0.5, 0.99, 148),
])  # fmt: skip
def test_cohens_table(d: float, power: float, n: int) -> None:
    """Cohen 1988, Statistical Power Analysis, table 2.4.1 (two-sided 0.05): n of each sample, within his rounding."""
    assert abs(sample_size(UNIT, effect=d, power=power).control - n) <= 1


@pytest.mark.parametrize("delta", [0.01, 0.05, 0.2])
def test_the_rule_of_sixteen(delta: float) -> None:
    """Kohavi, Tang, Xu 2020, chapter 15: about 16 sigma^2 / delta^2 per arm for power 0.8 at 0.05."""
    assert sample_size(Baseline(0.0, 9.0), effect=delta * 3).control == pytest.approx(16 / delta**2, rel=0.02)


@pytest.mark.parametrize(("effect", "power", "ratio"), [(0.3, 0.8, 1.0), (0.3, 0.9, 3.0), (0.05, 0.8, 1.0)])
def test_units_are_those_of_statsmodels(effect: float, power: float, ratio: float) -> None:
    """Its t has a pooled df, ours Satterthwaite's: the same where arms are equal, or large."""
    from statsmodels.stats.power import NormalIndPower, TTestIndPower

    solver = TTestIndPower() if ratio == 1 else NormalIndPower()
    wanted = solver.solve_power(effect, None, 0.05, power, ratio=ratio)
    size = sample_size(UNIT, effect=effect, power=power, shares=(1, ratio))
    assert size.control == math.ceil(wanted) if ratio == 1 else size.control == pytest.approx(wanted, abs=2)
    at = power_of(UNIT, effect=effect, n_control=wanted, n_treatment=ratio * wanted)
    assert at == pytest.approx(power, abs=1e-6 if ratio == 1 else 3e-3)


def test_textbook_proportions_and_means() -> None:
    """Chow, Shao, Wang 2008, pages 89 and 58, normal quantiles: 70 and 63 per arm; the t asks for a little more."""
    assert 70 <= sample_size(share(0.65), effect=0.2).control <= 72
    assert 63 <= sample_size(Baseline(5.0, 100.0), effect=5.0).control <= 64


def test_textbook_non_inferiority() -> None:
    """Chow, Shao, Wang 2008, page 61: sd 10, margin 5, no true difference, one-sided 0.05, power 0.8: 50 per arm."""
    size = non_inferiority_sample_size(Baseline(5.0, 100.0), margin=5.0)
    assert 50 <= size.control <= 51


def test_large_samples_follow_the_closed_form() -> None:
    for f, rho2 in ((0.5, 0.0), (0.2, 0.0), (0.5, 0.6)):
        baseline = Baseline(10.0, 4.0, variance_explained=rho2)
        total = (1.959964 + 0.841621) ** 2 * 4.0 * (1 - rho2) / (0.02**2 * f * (1 - f))
        size = sample_size(baseline, effect=0.02, shares=(1 - f, f))
        assert size.total == pytest.approx(total, rel=3e-5)
        assert size.treatment / size.total == pytest.approx(f, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.02, 2.0),
    st.sampled_from([0.5, 0.8, 0.95]),
    st.sampled_from([(0.5, 0.5), (0.9, 0.1), (1, 3)]),
    st.integers(1, 6),
)
def test_the_sample_size_suffices_and_less_does_not(effect, power, shares, comparisons) -> None:
    size = sample_size(UNIT, effect=effect, power=power, shares=shares, comparisons=comparisons)
    rates = {"effect": effect, "comparisons": comparisons}
    assert power_of(UNIT, n_control=size.control, n_treatment=size.treatment, **rates) >= power - 1e-6
    if min(size.control, size.treatment) > 2:
        assert power_of(UNIT, n_control=size.control - 1, n_treatment=size.treatment - 1, **rates) < power


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.9), st.integers(30, 100_000), st.integers(30, 100_000))
def test_the_detectable_effect_has_the_power_asked_for(p, n_control, n_treatment) -> None:
    for baseline in (share(p), Baseline(p, 2.0), Baseline(p, 2.0, "ratio")):
        effect = minimum_detectable_effect(baseline, n_control=n_control, n_treatment=n_treatment)
        if not math.isnan(effect):
            reached = power_of(baseline, effect=effect, n_control=n_control, n_treatment=n_treatment)
            assert reached == pytest.approx(0.8, abs=1e-6)


def test_an_effect_near_the_end_of_the_range_is_still_found() -> None:
    """From 0.9 only 0.1 is left; 0.0895 of it is detectable, which doubling past 0.1 must not miss."""
    found = minimum_detectable_effect(share(0.9), n_control=100, n_treatment=100)
    assert found == pytest.approx(0.0895, abs=1e-3)
    assert math.isnan(minimum_detectable_effect(share(0.9), n_control=20, n_treatment=20))
    assert math.isnan(minimum_detectable_effect(UNIT, n_control=1, n_treatment=50))


def test_more_comparisons_and_less_variance_work_as_they_should() -> None:
    base = sample_size(UNIT, effect=0.1).total
    assert (
        sample_size(UNIT, effect=0.1, comparisons=3).total == sample_size(UNIT, effect=0.1, alpha=0.05 / 3).total > base
    )
    assert sample_size(Baseline(0.0, 1.0, variance_explained=0.5), effect=0.1).total == pytest.approx(
        base / 2, rel=0.01
    )
    assert sample_size(UNIT, effect=0.1, two_sided=False).total < base
    assert sample_size(UNIT, effect=-0.1).total == base


def test_power_of_nothing_is_alpha() -> None:
    assert power_of(UNIT, effect=0.0, n_control=50, n_treatment=50) == pytest.approx(0.05, abs=1e-9)


def test_power_with_observed_variances_is_the_same_number() -> None:
    wanted = power_of(UNIT, effect=0.3, n_control=60, n_treatment=60)
    found = power_with(effect=0.3, var_mean_control=1 / 60, var_mean_treatment=1 / 60, df=118, alpha=0.05)
    assert found == pytest.approx(wanted, rel=1e-9)


def test_planned_power_is_what_the_analysis_has() -> None:
    """5,000 simulated experiments of the planned size, analysed by Welch: 0.8 within three Monte-Carlo errors."""
    from xp_pipeline.stats.means import welch
    from xp_pipeline.stats.moments import Moments

    size = sample_size(Baseline(10.0, 4.0), effect=1.0, shares=(0.7, 0.3))
    rng = np.random.default_rng(20)
    rejected = sum(
        welch(Moments.of(rng.normal(10, 2, size.control)), Moments.of(rng.normal(11, 2, size.treatment))).p_value
        <= 0.05
        for _ in range(5000)
    )
    assert rejected / 5000 == pytest.approx(0.8, abs=0.01 + 3 * math.sqrt(0.16 / 5000))


def test_relative_non_inferiority_counts_the_noise_of_the_control_mean() -> None:
    baseline = Baseline(10.0, 4.0)
    absolute = non_inferiority_sample_size(baseline, margin=0.5)
    relative = non_inferiority_sample_size(baseline, margin=0.05, relative=True)
    assert relative.total == pytest.approx(absolute.total * (1 + 0.95**2) / 2, rel=0.01)
    worse = non_inferiority_sample_size(baseline, margin=0.05, relative=True, increase_is_good=False)
    assert worse.total == pytest.approx(absolute.total * (1 + 1.05**2) / 2, rel=0.01)


def test_non_inferiority_with_a_true_gain_or_harm() -> None:
    baseline = Baseline(10.0, 4.0)
    rates = {"margin": 0.5, "n_control": 200, "n_treatment": 200}
    gain, nothing, harm = (non_inferiority_power(baseline, effect=e, **rates) for e in (0.2, 0.0, -0.2))
    assert gain > nothing > harm
    assert non_inferiority_power(baseline, effect=-0.5, **rates) == pytest.approx(0.05, abs=1e-9)
    assert non_inferiority_power(baseline, effect=-1.0, **rates) < 0.05
    with pytest.raises(EvidenceError, match="no affordable sample"):
        non_inferiority_sample_size(baseline, margin=0.5, effect=-0.5)


@pytest.mark.parametrize(("call", "word"), [
    (lambda: sample_size(UNIT, effect=0.0), "effect other than 0"),
    (lambda: sample_size(UNIT, effect=math.nan), "effect other than 0"),
    (lambda: sample_size(Baseline(1.0, 0.0), effect=0.1), "variance"),
    (lambda: sample_size(UNIT, effect=1.0, power=1.0), "power is a probability"),
    (lambda: sample_size(UNIT, effect=1.0, alpha=0.0), "alpha"),
    (lambda: sample_size(UNIT, effect=1.0, shares=(1.0, 0.0)), "share of the units"),
    (lambda: sample_size(UNIT, effect=1.0, comparisons=0), "family"),
    (lambda: sample_size(UNIT, effect=1e-12), "no affordable sample"),
    (lambda: sample_size(share(0.9), effect=0.2), "out of its range"),
    (lambda: Baseline(math.nan, 1.0), "finite"),
    (lambda: Baseline(1.0, -1.0), "finite"),
    (lambda: Baseline(1.0, 1.0, variance_explained=1.0), "share of the variance"),
    (lambda: Baseline(1.2, 0.1, "proportion"), "share"),
    (lambda: non_inferiority_power(UNIT, margin=0.0, n_control=9, n_treatment=9), "harm tolerated"),
])  # fmt: skip
def test_impossible_plans_are_refused_in_words(call, word: str) -> None:
    with pytest.raises(EvidenceError, match=word):
        call()
