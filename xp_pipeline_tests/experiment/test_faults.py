"""Faults of the first notebook API, each held to what it should have done."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from scipy import stats

from xp_pipeline.errors import DataError, PhaseOrderError, SpecError, SRMError
from xp_pipeline.experiment import Experiment, MeanMetric
from xp_pipeline.spec.phases import ExperimentState
from xp_pipeline_tests.experiment.frames import created, running, trial


def result_of(data: pl.DataFrame, metric: MeanMetric) -> dict[str, object]:
    """The result of one metric on a frame."""
    experiment = Experiment(data, "group").add_metrics(metric)
    experiment.design()
    return dict(experiment.start().run_analysis()[0])


def test_no_state_is_skipped() -> None:
    with pytest.raises(PhaseOrderError, match="cannot go straight from CREATED to REPORTED"):
        created().transition_to(ExperimentState.REPORTED)


def test_state_is_no_plain_attribute() -> None:
    experiment = created()
    with pytest.raises(AttributeError):
        experiment.state = ExperimentState.REPORTED  # type: ignore[misc]
    assert experiment.state == ExperimentState.CREATED


def test_every_state_is_reached_by_a_step_of_the_api() -> None:
    experiment = created().register_metric("spend")
    seen = [experiment.state]
    for step in (experiment.design, experiment.start, experiment.run_analysis, experiment.report):
        step()  # type: ignore[operator]
        seen.append(experiment.state)
    assert seen == list(ExperimentState)[1:]


def test_no_analysis_runs_from_planned_or_before() -> None:
    for experiment in (created(), created().register_metric("spend")):
        with pytest.raises(PhaseOrderError, match="cannot run the analysis"):
            experiment.run_analysis()


def test_a_reported_experiment_is_not_computed_in_vain() -> None:
    experiment = running()
    promised = experiment.run_analysis()
    experiment.report()
    assert experiment.run_analysis() is promised
    assert experiment.run_analysis(alpha=0.2).label.endswith("reanalysis")
    assert experiment.state == ExperimentState.REPORTED


def test_an_analysis_changes_neither_metrics_nor_data() -> None:
    experiment = created(covariates=["pre_spend"], data=trial().rename({"before": "pre_spend"})).register_metric(
        "spend"
    )
    metrics, columns = experiment.metrics, list(experiment.data.columns)
    experiment.design()
    experiment.start().run_analysis()
    assert experiment.metrics == metrics and list(experiment.data.columns) == columns
    assert not experiment.results[0]["cuped_applied"]


def test_the_callers_list_of_covariates_stays_the_callers() -> None:
    mine = ["age"]
    experiment = created(covariates=mine)
    experiment.add_covariates(["before", "age"])
    assert mine == ["age"] and experiment.covariates == ("age", "before")
    mine.append("spend")
    assert experiment.covariates == ("age", "before")


def test_unknown_covariates_duplicate_ids_and_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="covariate 'nowhere'"):
        created(covariates=["nowhere"])
    with pytest.raises(DataError, match="not unique"):
        created(pl.concat([trial(), trial().head(1)]))
    with pytest.raises(DataError, match="no rows"):
        created(trial().clear())


def test_an_empty_list_of_metrics_plans_nothing() -> None:
    experiment = created()
    with pytest.raises(SpecError, match="no metric to add"):
        experiment.add_metrics([])
    assert experiment.state == ExperimentState.CREATED


def test_a_name_is_taken_once() -> None:
    experiment = created().register_metric("spend")
    for again in ("spend", "spend!", " spend"):
        with pytest.raises(SpecError, match="two metrics have one name"):
            experiment.register_metric(again, value_col="spend")
    assert len(experiment.metrics) == 1


def test_covariates_are_frozen_with_the_metrics() -> None:
    experiment = running()
    for _ in range(2):
        with pytest.raises(PhaseOrderError, match="cannot add covariates"):
            experiment.add_covariates("age")
        experiment.run_analysis()


def test_revenue_is_a_type_as_documented() -> None:
    experiment = created().register_metric("spend", "revenue", cap={"percentile": 95})
    experiment.design()
    assert experiment.start().run_analysis()[0]["metric_type"] == "Revenue"


def test_a_tiny_p_value_is_not_zero() -> None:
    y = np.r_[np.tile([0.0, 1.0], 500), np.tile([2.0, 3.0], 500)]
    data = pl.DataFrame({"group": ["control"] * 1000 + ["treatment"] * 1000, "y": y})
    found = result_of(data, MeanMetric("y", value_col="y"))["p_value"]
    assert isinstance(found, float) and 0 < found < 1e-100
    assert found == pytest.approx(stats.ttest_ind(y[1000:], y[:1000], equal_var=False).pvalue, rel=1e-6)


def test_a_lift_with_a_negative_control_mean_has_its_bounds_in_order() -> None:
    data = trial().with_columns(loss=pl.col("spend") - 60.0)
    found = result_of(data, MeanMetric("loss", value_col="loss"))
    assert found["control_mean"] < 0  # type: ignore[operator]
    assert found["rel_ci_lower"] < found["relative_lift"] < found["rel_ci_upper"]  # type: ignore[operator]


def test_a_lift_over_zero_is_undefined_not_zero() -> None:
    data = pl.DataFrame({"group": ["control", "treatment"] * 50, "y": [-1.0, 2.0, 1.0, 3.0] * 25})
    found = result_of(data, MeanMetric("y", value_col="y"))
    assert found["control_mean"] == 0
    assert np.isnan(found["relative_lift"])  # type: ignore[call-overload]


def test_cuped_keeps_the_units_without_a_past() -> None:
    draw = np.random.default_rng(11)
    n = 20_000
    new = draw.random(n) < 0.4
    treated = draw.permutation(np.resize([False, True], n))
    before = np.where(new, np.nan, draw.normal(10, 2, n))
    y = np.nan_to_num(before, nan=10.0) + draw.normal(0, 1, n) + 1.0 * (new & treated)
    data = pl.DataFrame({"group": np.where(treated, "treatment", "control"), "y": y, "before": before})
    found = result_of(data, MeanMetric("y", value_col="y", pre_period_col="before"))
    assert found["control_n"] == found["treatment_n"] == n // 2
    assert found["cuped_applied"]
    truth = y[treated & new].size / treated.sum()
    assert found["absolute_difference"] == pytest.approx(truth, abs=4 * 1.1 * np.sqrt(4 / n))


def test_adjusted_p_values_have_intervals_to_match_and_keep_the_raw_ones() -> None:
    experiment = created()
    for name in ("spend", "age", "views"):
        experiment.register_metric(name)
    experiment.design()
    rows = experiment.start().run_analysis().to_dict()["results"]
    for row in rows:
        assert row["p_adjusted"] >= row["p_value"]
        assert row["ci_adjusted_low"] < row["ci_lower"] and row["ci_upper"] < row["ci_adjusted_high"]


def test_power_is_never_that_of_the_observed_effect() -> None:
    powers = []
    for shift in (0.0, 5.0):
        data = trial().with_columns(spend=pl.col("spend") + shift * (pl.col("group") == "treatment"))
        experiment = created(data).register_metric("spend")
        experiment.plan(mde=1.0)
        experiment.design()
        powers.append(experiment.start().run_analysis()[0]["power"])
    assert powers[0] == pytest.approx(powers[1], rel=1e-6)


@pytest.mark.parametrize(("control", "raises"), [(5165, True), (5164, False)])
def test_the_sample_ratio_blocks_from_the_documented_count_on(control: int, raises: bool) -> None:
    data = pl.DataFrame({"group": ["control"] * control + ["treatment"] * (10_000 - control), "y": np.arange(1e4)})
    experiment = Experiment(data, "group").register_metric("y")
    experiment.design()
    experiment.start()
    if raises:
        with pytest.raises(SRMError, match=r"control 5,165 \(51.65%, designed 50.00%\)"):
            experiment.run_analysis()
        assert experiment.state == ExperimentState.RUNNING
    else:
        experiment.run_analysis()


def test_a_split_is_told_by_the_names_of_its_arms() -> None:
    data = trial(1000, arms=("b", "b", "b", "b", "a"))
    for order in itertools.permutations([("a", 0.2), ("b", 0.8)]):
        experiment = created(data).register_metric("spend")
        experiment.design(control="b", weights=dict(order))
        assert experiment.start().validate()[0].verdict == "passed"


def test_a_sequential_look_is_of_the_metric_itself() -> None:
    experiment = created().register_metric("spend", covariate="before")
    experiment.plan(mde="5%")
    experiment.design()
    experiment.start()
    looks = [experiment.run_analysis(sequential="msprt") for _ in range(2)]
    assert experiment.state == ExperimentState.RUNNING
    final = experiment.run_analysis()
    assert looks[0][0]["p_value"] >= looks[1][0]["p_value"] >= final[0]["p_value"] > 0
    assert looks[0].table()["interval_kind"].to_list().count("always_valid") == 1
    assert [look.table()["look"][0] for look in (*looks, final)] == [1, 2, 3]


def test_an_always_valid_interval_is_no_stub() -> None:
    experiment = running()
    look = experiment.run_analysis(sequential="always_valid")
    final = running().run_analysis()
    assert look[0]["ci_lower"] < final[0]["ci_lower"] < final[0]["ci_upper"] < look[0]["ci_upper"]
    assert 0 < look[0]["p_value"] <= 1
    with pytest.raises(PhaseOrderError, match="looks was promised as always_valid"):
        experiment.run_analysis(sequential="msprt")


def test_msprt_without_a_planned_effect_is_refused() -> None:
    with pytest.raises(SpecError, match="mde"):
        running().run_analysis(sequential="msprt")
