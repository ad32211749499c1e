"""The numbers: those of the pipeline's functions, under what was promised, with labelled side results."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import polars as pl
import pytest
from scipy import stats

from xp_pipeline.errors import PhaseOrderError, SpecError
from xp_pipeline.experiment import Experiment, MeanMetric, RatioMetric
from xp_pipeline_tests.experiment.frames import created, running, trial


def one(data: pl.DataFrame, metric: MeanMetric | RatioMetric, **settings: object) -> dict[str, object]:
    """The result of one metric."""
    experiment = created(data).add_metrics(metric)
    experiment.design()
    return dict(experiment.start().run_analysis(**settings)[0])  # type: ignore[arg-type]


def test_a_mean_is_scipys_welch() -> None:
    data = trial()
    found = one(data, MeanMetric("spend", value_col="spend"))
    arms = {arm: data.filter(pl.col("group") == arm)["spend"].to_numpy() for arm in ("control", "treatment")}
    test = stats.ttest_ind(arms["treatment"], arms["control"], equal_var=False)
    interval = test.confidence_interval(0.95)
    assert found["p_value"] == pytest.approx(test.pvalue, rel=1e-10)
    assert (found["ci_lower"], found["ci_upper"]) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert found["control_var"] == pytest.approx(arms["control"].var(ddof=1), rel=1e-12)
    assert found["cuped_applied"] is False and found["metric_type"] == "Mean"


def test_cuped_narrows_the_interval_and_can_be_left_out() -> None:
    metric = MeanMetric("spend", value_col="spend", pre_period_col="before")
    adjusted, raw = one(trial(), metric), one(trial(), metric, cuped=False)
    assert adjusted["cuped_applied"] and not raw["cuped_applied"]
    assert 0.5 < float(str(adjusted["variance_reduction"])) < 1
    width = [float(str(r["ci_upper"])) - float(str(r["ci_lower"])) for r in (adjusted, raw)]
    assert width[0] < 0.6 * width[1]
    alone = one(trial(), MeanMetric("spend", value_col="spend"))
    assert {k: raw[k] for k in raw if k != "power"} == {k: alone[k] for k in alone if k != "power"}


def test_a_side_result_is_labelled_and_leaves_the_promise() -> None:
    experiment = running()
    promised = experiment.run_analysis()
    before = promised.to_json()
    side = experiment.run_analysis(alpha=0.2, correction="fdr_bh")
    assert side.label.endswith("reanalysis") and "reanalysis" not in promised.label
    assert side.alpha == 0.2 and side.decisions == ()
    assert side[0]["ci_lower"] > promised[0]["ci_lower"]
    assert experiment.results is promised and promised.to_json() == before
    assert experiment.side_results == (side,)
    assert experiment.state == "ANALYZED"
    families = set(side.table().drop_nulls("family")["family"])
    assert families == {"primary:fdr_bh", "secondary:fdr_bh"}


def test_a_side_result_without_cuped_is_the_raw_estimate_beside() -> None:
    experiment = running()
    promised = experiment.run_analysis()
    side = experiment.run_analysis(cuped=False)
    raw = promised.table().filter(pl.col("metric").eq("Spend_per_user") & pl.col("estimator").eq("welch"))
    assert side[0]["absolute_difference"] == raw["effect"][0]
    assert not side[0]["cuped_applied"]


def test_the_same_settings_again_are_the_same_results() -> None:
    experiment = running()
    promised = experiment.run_analysis(alpha=0.1)
    assert experiment.run_analysis() is promised
    assert experiment.run_analysis(alpha=0.1, correction="holm", cuped=True) is promised
    assert experiment.side_results == ()


def test_data_is_locked_when_it_was_analysed() -> None:
    pd = pytest.importorskip("pandas")
    data = trial().to_pandas()
    experiment = running(data)
    promised = experiment.run_analysis()
    data["spend"] = 0.0
    data.loc[:, "group"] = "control"
    side = experiment.run_analysis(cuped=False, alpha=0.05)
    assert side[1] == pytest.approx(dict(promised[1]), nan_ok=True)
    assert experiment.validate().verdict == "passed"
    assert isinstance(experiment.data, pd.DataFrame)


def test_what_the_plan_promised_the_first_analysis_keeps() -> None:
    experiment = created().register_metric("spend")
    experiment.plan(mde="5%", alpha=0.01)
    experiment.design()
    experiment.start()
    with pytest.raises(PhaseOrderError, match=r"alpha was promised as 0\.01; found 0\.05"):
        experiment.run_analysis(alpha=0.05)
    assert experiment.state == "RUNNING"
    assert experiment.run_analysis().alpha == 0.01


def test_a_promise_corrects_for_the_family_wise_error() -> None:
    with pytest.raises(SpecError, match="holm, bonferroni, none"):
        running().run_analysis(correction="fdr_bh")
    found = running().run_analysis(correction="bonferroni")
    assert set(found.table().drop_nulls("family")["family"]) == {"primary:bonferroni", "secondary:fdr_bh"}


def test_several_primary_metrics_share_alpha_and_keep_their_raw_p() -> None:
    experiment = created().register_metric("spend").register_metric("converted", "proportion").register_metric("age")
    experiment.design()
    summary = experiment.start().run_analysis().summary()
    raw, adjusted = summary["p_value"].to_numpy(), summary["p_adjusted"].to_numpy()
    order = np.argsort(raw)
    assert adjusted[order] == pytest.approx(np.minimum(np.maximum.accumulate(raw[order] * [3, 2, 1]), 1))


def test_three_arms_are_each_compared_with_control() -> None:
    experiment = created(trial(arms=("control", "a", "b"))).register_metric("spend")
    experiment.design()
    results = experiment.start().run_analysis()
    assert results.summary()["arm"].to_list() == ["a", "b"]
    assert [decision.arm for decision in results.decisions] == ["a", "b"]


def test_a_third_arm_never_enters_the_adjustment() -> None:
    data = trial(3000, arms=("control", "treatment", "wild"))
    before = pl.when(pl.col("group") == "wild").then(-50.0 * pl.col("before")).otherwise("before")
    metric = MeanMetric("spend", value_col="spend", pre_period_col="before")
    calm, wild = (one(frame, metric) for frame in (data, data.with_columns(before=before)))
    assert wild["absolute_difference"] == pytest.approx(calm["absolute_difference"], rel=1e-9)
    assert wild["control_var"] == pytest.approx(calm["control_var"], rel=1e-9)


def test_the_plan_is_the_textbooks_and_blind_to_the_effect() -> None:
    data = trial()
    shifted = data.with_columns(spend=pl.col("spend") + 5.0 * (pl.col("group") == "treatment"))
    experiment = created(data).register_metric("spend")
    typed = {"spend": {"mean": 10.0, "sd": 8.0}}
    plan = experiment.plan(mde=0.5, baseline=typed, units_per_day=500)
    (entry,) = plan.entries
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert entry["n"] == pytest.approx(2 * (z * 8 / 0.5) ** 2, rel=0.005)
    assert entry["days"] == pytest.approx(2 * entry["n"] / 500, abs=1)
    again = created(shifted).register_metric("spend").plan(mde=0.5, baseline=typed)
    assert again.entries[0]["n"] == entry["n"]


def test_a_baseline_is_measured_over_all_arms_together() -> None:
    data = trial()
    experiment = (
        created(data)
        .register_metric("spend", covariate="before")
        .register_metric("ctr", "ratio", numerator_col="clicks", denominator_col="views")
    )
    (spend, ctr) = experiment.plan(mde="5%").entries
    assert spend["baseline_mean"] == pytest.approx(data["spend"].mean())
    assert spend["baseline_sd"] == pytest.approx(data["spend"].std())
    correlation = np.corrcoef(data["spend"], data["before"])[0, 1]
    assert spend["variance_explained"] == pytest.approx(correlation**2)
    assert spend["baseline"] == "measured over all arms together, on 2,000 units"
    assert ctr["baseline_mean"] == pytest.approx(data["clicks"].sum() / data["views"].sum())
    assert experiment.power_plan is not None
    assert experiment.power_plan.summary()["metric"].to_list() == ["spend", "ctr"]


def test_several_covariates_explain_together() -> None:
    draw = np.random.default_rng(8)
    x = draw.normal(size=(3000, 2))
    y = x @ [1.0, 2.0] + draw.normal(size=3000)
    data = pl.DataFrame({"arm": ["control", "b"] * 1500, "y": y, "x0": x[:, 0], "x1": x[:, 1]})
    metric = MeanMetric("y", value_col="y", covariates=("x0", "x1"))
    (entry,) = Experiment(data, "arm").add_metrics(metric).plan(mde=0.1).entries
    residual = y - np.c_[np.ones(3000), x] @ np.linalg.lstsq(np.c_[np.ones(3000), x], y, rcond=None)[0]
    assert entry["variance_explained"] == pytest.approx(1 - residual.var() / y.var(), rel=1e-9)


def test_power_is_at_the_planned_effect_and_a_plan_may_be_made_again() -> None:
    experiment = created().register_metric("spend", covariate="before")
    experiment.plan(mde="1%", alpha=0.2)
    experiment.plan(mde="5%", power=0.9)
    experiment.design()
    result = experiment.start().run_analysis()[0]
    assert 0.05 < result["power"] <= 1
    without = created().register_metric("spend")
    without.design()
    assert np.isnan(without.start().run_analysis()[0]["power"])


def test_the_designed_split_is_what_the_sample_ratio_is_held_against() -> None:
    data = trial(1000, arms=("control", "treatment", "treatment", "treatment"))
    experiment = created(data).register_metric("spend")
    said = experiment.design(weights={"control": "25%", "treatment": 0.75})
    assert said["shares"] == {"control": 0.25, "treatment": 0.75}
    (srm,) = (f for f in experiment.start().validate() if f.check == "srm")
    assert srm.verdict == "passed" and asdict(srm)["expected"] == {"control": 250.0, "treatment": 750.0}


def test_an_unknown_split_is_warned_of_and_not_tested() -> None:
    experiment = created(trial(1000, arms=("control", "treatment", "treatment"))).register_metric("spend")
    experiment.design(weights="unknown")
    health = experiment.start().validate()
    assert health[0].verdict == "not_testable" and health.verdict == "warned"
    assert experiment.run_analysis()[0]["control_n"] == 334


def test_covariates_are_held_to_balance() -> None:
    data = trial().with_columns(age=pl.col("age") + 20 * (pl.col("group") == "treatment"))
    experiment = created(data, covariates=["age", "before"]).register_metric("spend")
    experiment.design()
    found = {f.scope: f.verdict for f in experiment.start().validate() if f.check == "balance"}
    assert found == {"age: treatment": "warned", "before: treatment": "passed"}
