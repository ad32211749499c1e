"""Plans from typed numbers: every type of metric, and the words that refuse what cannot be."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from xp_pipeline.design.aims import Equate, Rates
from xp_pipeline.design.baseline import Baseline, normal_density, quantile_variance, ratio_variance
from xp_pipeline.design.levels import many_arms_level
from xp_pipeline.design.sample_size import non_inferiority_sample_size, sample_size
from xp_pipeline.errors import EvidenceError
from xp_pipeline.lifecycle.planning.typed import Numbers, baseline_of, type_of, typed_plan
from xp_pipeline.spec.looks import Looks
from xp_pipeline.spec.values import Amount

FIVE = Amount(value=0.05, relative=True)


def _planned(**typed: Any) -> dict[str, Any]:
    return typed_plan(Numbers(**({"mean": 0.1, "mde": FIVE} | typed)))["metrics"][0]


@pytest.mark.parametrize(("typed", "kind", "variance"), [
    ({}, "proportion", 0.09),
    ({"type": "retention"}, "retention", 0.09),
    ({"sd": 2.0}, "mean", 4.0),
    ({"sd": 2.0, "type": "revenue"}, "revenue", 4.0),
    ({"sd": 2.0, "type": "count"}, "count", 4.0),
    ({"sd": 2.0, "type": "ratio"}, "ratio", 4.0),
    ({"sd": 2.0, "denominator": 4.0, "denominator_sd": 1.0, "correlation": 0.5}, "ratio",
     ratio_variance(numerator=0.4, denominator=4, var_numerator=4, var_denominator=1, covariance=1)),
    ({"quantile": 0.9, "density": 0.5}, "quantile", quantile_variance(0.9, density=0.5)),
    ({"quantile": 0.9, "sd": 2.0}, "quantile", quantile_variance(0.9, density=normal_density(0.9, sd=2))),
])  # fmt: skip
def test_every_type_has_its_variance(typed: dict[str, Any], kind: str, variance: float) -> None:
    numbers = Numbers(mean=0.1, mde=FIVE, **typed)
    assert type_of(numbers) == kind
    assert baseline_of(numbers).variance == pytest.approx(variance)
    assert _planned(**typed)["n"] == sample_size(baseline_of(numbers), effect=0.005).treatment


def test_arms_share_alpha_as_asked() -> None:
    weights = (0.5, 0.25, 0.25)
    baseline = Baseline(0.1, 0.09, "proportion")
    for correction, alpha in (
        ("bonferroni", 0.025), ("none", 0.05), ("dunnett", many_arms_level(0.05, shares=weights)),
    ):  # fmt: skip
        entry = _planned(weights=weights, correction=correction)
        wanted = sample_size(baseline, effect=0.005, alpha=alpha, shares=(0.5, 0.25))
        assert (entry["n_control"], entry["n"]) == (wanted.control, wanted.treatment)


def test_guardrails_covariates_clusters_and_looks_all_count() -> None:
    plain = _planned(sd=1.0)["n"]
    assert _planned(sd=1.0, explained=0.5)["n"] == pytest.approx(plain / 2, rel=1e-3)
    assert _planned(sd=1.0, cluster_size=11, cluster_correlation=0.1)["n"] == pytest.approx(2 * plain, rel=1e-3)
    sequential = _planned(sd=1.0, looks=Looks(schedule="group_sequential"), days=28.0)
    assert sequential["n"] == pytest.approx(1.0491 * plain, rel=1e-3)
    assert _planned(sd=1.0, looks=Looks(schedule="always_valid"))["n"] > 1.5 * plain
    margin = Amount(value=0.02, relative=True)
    guard = _planned(sd=1.0, mde=None, margin=margin, guardrails=1)
    baseline = Baseline(0.1, 1.0)
    wanted = non_inferiority_sample_size(baseline, margin=0.02, relative=True, power=0.9)
    assert guard["n"] == wanted.treatment


def test_a_plan_for_equivalence_shares_alpha_like_any_primary_metric() -> None:
    baseline, two = Baseline(0.1, 1.0), Amount(value=0.02, relative=True)
    entry = _planned(sd=1.0, mde=None, equivalence=two, metrics=2)
    assert entry["aim"] == "equate"
    wanted = Equate(0.02, relative=True, rates=Rates(0.025, 0.8)).size(baseline, (0.5, 0.5))
    assert (entry["n"], entry["margin"]) == (wanted.treatment, pytest.approx(0.002))
    assert entry["n"] > non_inferiority_sample_size(baseline, margin=0.02, relative=True, alpha=0.025).treatment
    with pytest.raises(EvidenceError, match="one test"):
        _planned(sd=1.0, equivalence=two)


def test_run_times_include_the_window() -> None:
    soon, late = (_planned(per_day=5000.0, window=timedelta(days=days)) for days in (0, 7))
    assert soon["days"] == math.ceil(soon["units"] / 5000)
    assert late["days"] == soon["days"] + 7
    ended = _planned(per_day=5000.0, days=28.0, window=timedelta(days=7))
    assert ended["n_at_end"] == 70_000
    assert ended["curve"]["end"] == 35


def test_units_in_place_of_time_give_power_and_what_is_in_reach() -> None:
    entry = _planned(units=50_000.0)
    assert entry["n_at_end"] == 25_000
    assert 0.4 < entry["power_at_end"] < 0.5
    curve = entry["power_curve"]
    assert curve["power"][0] == pytest.approx(0.05)
    assert curve["power"] == sorted(curve["power"])
    assert _planned(units=50_000.0, mde=None)["mde"] == pytest.approx(entry["mde"])
    fewest = sample_size(Baseline(0.1, 0.09, "proportion"), effect=entry["mde"])
    assert fewest.treatment == pytest.approx(25_000, abs=1)


@pytest.mark.parametrize(("typed", "word"), [
    ({"mde": None}, "nothing to plan"),
    ({"type": "median"}, "unknown metric type"),
    ({"type": "mean"}, "a mean needs its standard deviation"),
    ({"type": "count"}, "a count needs its standard deviation"),
    ({"sd": -1.0}, "needs its standard deviation"),
    ({"sd": math.nan}, "needs its standard deviation"),
    ({"mean": 1.2}, "share"),
    ({"mean": 0.0}, "effect other than 0"),
    ({"mean": 0.98}, "out of its range"),
    ({"sd": 0.0}, "variance"),
    ({"sd": 1.0, "denominator": 2.0}, "a denominator has a deviation"),
    ({"sd": 1.0, "denominator": 0.0, "denominator_sd": 1.0}, "denominator has a mean other than 0"),
    ({"sd": 1.0, "denominator": 2.0, "denominator_sd": 1.0, "correlation": 2.0}, "correlation in"),
    ({"type": "quantile"}, "a quantile needs its probability"),
    ({"quantile": 0.5}, "a density or a standard deviation"),
    ({"quantile": 1.5, "sd": 1.0}, "probability in"),
    ({"quantile": 0.5, "density": 0.0}, "density"),
    ({"weights": (1.0,)}, "every arm needs a share"),
    ({"weights": (1.0, 0.0)}, "every arm needs a share"),
    ({"correction": "tukey"}, "unknown correction"),
    ({"metrics": 0}, "family"),
    ({"guardrails": -1}, "at least one test"),
    ({"alpha": 0.0}, "alpha"),
    ({"power": 1.0}, "power is a probability"),
    ({"explained": 1.0}, "share of the variance"),
    ({"cluster_size": 0.5}, "clusters have a size"),
    ({"per_day": 0.0}, "units arriving"),
    ({"days": 0.0}, "runs for some days"),
    ({"days": math.nan}, "runs for some days"),
    ({"units": -5.0}, "some units"),
    ({"mde": None, "margin": Amount(value=0.0, relative=True)}, "a margin is positive"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(typed: dict[str, Any], word: str) -> None:
    with pytest.raises(EvidenceError, match=word) as problem:
        _planned(**typed)
    assert "\n" not in str(problem.value)
