"""Where other tools are right, ours is the same: their answers, kept with their versions, on seeded data sets.

``benchmarks/against_others.py --fixtures`` draws the data sets, asks gbstats, tea-tasting, spotify-confidence and
xpyrment themselves, and writes reference/others.json. The tolerance is 1e-9 of the interval's width where the formula
is the same. Where it is not, the other's form is made of our parts to 1e-9, and ours is held to what they differ by.
What SciPy and statsmodels have is tested beside each method; what was missing there is at the end.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xp_pipeline.stats.bayes import gaussian_effect
from xp_pipeline.stats.boundaries import boundary
from xp_pipeline.stats.cuped import cuped, residual, slopes
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.means import at_level, satterthwaite, t_quantile, welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.proportions import proportion
from xp_pipeline.stats.ratios import ratio
from xp_pipeline.stats.relative import delta, log_ratio
from xp_pipeline.stats.sequences import always_valid_p, confidence_sequence
from xp_pipeline.stats.sequences import boundary as sequence_boundary
from xp_pipeline.stats.spending import Spending
from xp_pipeline.stats.srm import chi_square

OTHERS = json.loads((Path(__file__).parent / "reference" / "others.json").read_text(encoding="utf-8"))
EXACT = 1e-9

Case = tuple[Moments, Moments, dict[str, list[float]]]


def moments(kept: dict[str, Any]) -> Moments:
    return Moments(kept["n"], np.array(kept["mean"]), np.array(kept["comoment"]), math.nan)


def cases(kind: str) -> list[Case]:
    return [
        (moments(one["control"]), moments(one["treatment"]), one["answers"])
        for one in OTHERS["sets"]
        if one["kind"] == kind
    ]


def kinds(kind: str) -> pytest.MarkDecorator:
    """One test a data set."""
    return pytest.mark.parametrize(("control", "treatment", "answers"), cases(kind), ids=range(len(cases(kind))))


def assert_interval(found: tuple[float, float], told: list[float], of_width: float = EXACT) -> None:
    width = told[1] - told[0]
    assert width > 0
    assert max(abs(found[0] - told[0]), abs(found[1] - told[1])) <= of_width * width


def assert_p(found: float, told: float, rel: float = EXACT) -> None:
    """Some subtract a distribution function from 1, which leaves 1e-15 of error."""
    assert found == pytest.approx(told, rel=rel, abs=1e-14)


def ends(e: Estimate) -> tuple[float, float]:
    return e.low, e.high


def assert_lifts_by_other_methods(e: Estimate, answers: dict[str, list[float]]) -> None:
    """gbstats' delta method; tea-tasting's log ratio, which has degrees of freedom of its own."""
    by_delta = at_level(e, 0.05, method="delta").relative
    assert_interval((by_delta.low, by_delta.high), answers["gbstats"][2:4])
    numbers = e.mean_control, e.mean_treatment, e.var_mean_control, e.var_mean_treatment, e.cov_means
    squared = e.var_mean_control / e.mean_control**2, e.var_mean_treatment / e.mean_treatment**2
    df = satterthwaite(squared[0], e.n_control, squared[1], e.n_treatment)
    by_log = log_ratio(*numbers, t_quantile(0.975, df))
    assert_interval((by_log.low, by_log.high), answers["tea-tasting"][2:4])


def test_the_versions_are_those_that_the_documents_speak_of() -> None:
    assert OTHERS["versions"] == {
        "gbstats": "0.8.0", "tea-tasting": "1.14.0", "spotify-confidence": "4.1.0", "xpyrment": "1.6.1.2",
    }  # fmt: skip


# --- the same formula -----------------------------------------------------------------------------------------------


@kinds("mean")
def test_means_are_welchs_in_every_tool(control: Moments, treatment: Moments, answers: dict[str, list[float]]) -> None:
    found = welch(control, treatment)
    for tool in ("gbstats", "tea-tasting", "spotify", "xpyrment"):
        assert_interval(ends(found), answers[tool][:2])
        assert_p(found.p_value, answers[tool][4])
    assert_lifts_by_other_methods(found, answers)


@kinds("ratio")
def test_ratios_are_the_delta_methods_of_gbstats_and_tea_tasting(
    control: Moments, treatment: Moments, answers: dict[str, list[float]]
) -> None:
    found = ratio(control, treatment)
    for tool in ("gbstats", "tea-tasting"):
        assert_interval(ends(found), answers[tool][:2])
        assert_p(found.p_value, answers[tool][4])
    assert_lifts_by_other_methods(found, answers)


@kinds("proportion")
def test_large_counts_are_welchs_in_xpyrment(
    control: Moments, treatment: Moments, answers: dict[str, list[float]]
) -> None:
    """gbstats and spotify-confidence divide by n for n - 1, the latter by the normal law for t: 1 / 2n and 1 / n."""
    found = proportion(control, treatment)
    assert found.estimator == "welch"
    assert_interval(ends(found), answers["xpyrment"][:2])
    assert_p(found.p_value, answers["xpyrment"][4])
    fewest = min(control.n, treatment.n)
    assert_interval(ends(found), answers["gbstats"][:2], 0.3 / fewest)
    assert_interval(ends(found), answers["spotify"][:2], 0.6 / fewest)


@pytest.mark.parametrize("look", OTHERS["looks"], ids=range(len(OTHERS["looks"])))
def test_confidence_sequences_are_those_of_gbstats_and_so_is_the_flat_priors_chance(look: dict[str, Any]) -> None:
    """gbstats tunes to 5,000 units in all. On the relative scale it uses the delta method, where ours is Fieller's."""
    n, told = look["n"], look["gbstats"]
    e = welch(
        *(
            Moments(n, np.array([s / n]), np.array([[ss - s**2 / n]]), math.nan)
            for s, ss in zip(look["sums"], look["squares"], strict=True)
        )
    )
    band = confidence_sequence(e, planned_n=5000, nonzero=(math.inf, math.inf))
    assert_interval((band.low, band.high), told["absolute"])
    numbers = e.mean_control, e.mean_treatment, e.var_mean_control, e.var_mean_treatment, 0.0
    by_delta = delta(*numbers, sequence_boundary(2 * n, 5000, 0.05))
    assert_interval((by_delta.low, by_delta.high), told["relative"])
    assert gaussian_effect(e, scale="relative").chance_to_win == pytest.approx(told["chance"], rel=EXACT)
    assert (always_valid_p(e, planned_n=5000) < 0.05) == (not told["absolute"][0] <= 0 <= told["absolute"][1])


@pytest.mark.parametrize("case", OTHERS["sample_ratios"], ids=lambda case: str(case["units"]))
def test_the_sample_ratio_test_is_gbstats(case: dict[str, Any]) -> None:
    arms = [str(i) for i in range(len(case["units"]))]
    found = chi_square(dict(zip(arms, case["units"], strict=True)), dict(zip(arms, case["weights"], strict=True)))
    assert found.p_value == pytest.approx(case["p_value"], rel=EXACT)


def test_ten_planned_looks_are_those_of_spotify_confidence() -> None:
    """Its integration has a tolerance of 1e-7 in probability and a grid of 0.05."""
    looks = boundary([k / 10 for k in range(1, 11)], spending=Spending("kim_demets", 2.0))
    assert [look.upper for look in looks] == pytest.approx(OTHERS["kim_demets_2_of_10"], abs=1e-4)


# --- another form ---------------------------------------------------------------------------------------------------


@kinds("cuped")
def test_with_the_slope_over_all_units_the_adjusted_means_are_theirs(
    control: Moments, treatment: Moments, answers: dict[str, list[float]]
) -> None:
    """gbstats, tea-tasting and xpyrment do not keep arms apart in the slope; Welch of the residuals is the rest."""
    theta, _ = slopes(Moments.merge(control, treatment).comoment)
    found = welch(residual(control, theta), residual(treatment, theta))
    for tool in ("gbstats", "tea-tasting", "xpyrment"):
        assert_interval(ends(found), answers[tool][:2])
        assert_p(found.p_value, answers[tool][4])


@kinds("cuped")
def test_the_slope_within_arms_is_theirs_but_for_the_effect_and_a_degree_of_freedom(
    control: Moments, treatment: Moments, answers: dict[str, list[float]]
) -> None:
    """The slopes differ by the product of both arms' gaps, and the variance by (N - 2) / (N - 3)."""
    found = cuped(control, treatment)
    for tool in ("gbstats", "tea-tasting", "spotify", "xpyrment"):
        assert_interval(ends(found), answers[tool][:2], 0.005)


@kinds("ratio_cuped")
def test_an_adjusted_ratio_is_tea_tastings_but_for_where_it_is_linearised(
    control: Moments, treatment: Moments, answers: dict[str, list[float]]
) -> None:
    """tea-tasting linearises both arms at their pooled ratio and takes one slope over all units."""
    found = cuped(control, treatment, ratio=True)
    assert_interval(ends(found), answers["tea-tasting"][:2], 0.004)


# --- SciPy and statsmodels, where no other test asks them -----------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_welchs_interval_is_that_of_statsmodels_from_the_same_moments(alpha: float) -> None:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    rng = np.random.default_rng(11)
    control, treatment = rng.lognormal(0, 1, 70), rng.lognormal(0.2, 1.2, 45)
    found = welch(Moments.of(control), Moments.of(treatment), alpha=alpha, null=0.1)
    both = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    assert ends(found) == pytest.approx(both.tconfint_diff(alpha=alpha, usevar="unequal"), rel=EXACT)
    statistic, p_value, df = both.ttest_ind(usevar="unequal", value=0.1)
    assert ((found.effect - 0.1) / found.se, found.p_value, found.df) == pytest.approx(
        (statistic, p_value, df), rel=EXACT
    )


@pytest.mark.parametrize("method", ["pooled", "lin"])
def test_adjusted_effects_are_those_of_least_squares_with_two_covariates(method: str) -> None:
    """The effect of (interacted) least squares to 1e-9; the error is near HC2, which needs fourth moments."""
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(12)
    x, treated = rng.standard_normal((900, 2)), (np.arange(900) % 3 == 0).astype(float)
    y = 1 + 0.2 * treated + x @ [0.7, -0.3] + 0.4 * treated * x[:, 0] + rng.standard_normal(900)
    rows = np.column_stack([y, x])
    found = cuped(*(Moments.of(rows[treated == arm]) for arm in (0, 1)), method=method)
    centred = x - x.mean(axis=0)
    columns = [np.ones(900), treated, centred] + ([centred * treated[:, None]] if method == "lin" else [])
    fit = OLS(y, np.column_stack(columns)).fit(cov_type="HC2")
    assert found.effect == pytest.approx(fit.params[1], rel=EXACT)
    assert found.se == pytest.approx(fit.bse[1], rel=0.02)


def test_a_family_with_an_undefined_member_is_that_of_statsmodels_without_it() -> None:
    from statsmodels.stats.multitest import multipletests

    from xp_pipeline.stats.multiplicity import family

    p_values = [0.001, None, 0.02, 0.04, math.nan, 0.3]
    known = [p for p in p_values if p is not None and not math.isnan(p)]
    names = {"holm": "holm", "hochberg": "simes-hochberg", "hommel": "hommel", "fdr_bh": "fdr_bh", "fdr_by": "fdr_by"}
    for ours, theirs in names.items():
        reject, adjusted, *_ = multipletests(known, method=theirs)
        found = family(p_values, method=ours)  # type: ignore[arg-type]
        assert [p for p in found.p_adjusted if not math.isnan(p)] == pytest.approx(list(adjusted), rel=EXACT)
        assert [s for s in found.significant if s is not None] == list(reject)


def test_dunnett_of_equal_groups_is_scipys() -> None:
    """SciPy integrates by quasi Monte Carlo: its own error is about 1e-4, and so is the tolerance."""
    from scipy import stats

    from xp_pipeline.stats.dunnett import dunnett, loadings

    rng = np.random.default_rng(13)
    control, *groups = (rng.normal(shift, 1, 25) for shift in (0.0, 0.4, 0.7, 0.1))
    wanted = stats.dunnett(*groups, control=control, rng=np.random.default_rng(1))
    found = dunnett(list(wanted.statistic), loadings=loadings(1 / 25, [1 / 25] * 3), df=96)
    assert found == pytest.approx(tuple(wanted.pvalue), abs=5e-4)
