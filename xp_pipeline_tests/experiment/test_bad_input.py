"""What cannot be analysed is refused in one line, and leaves nothing half done."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from xp_pipeline.errors import BlockedError, DataError, SpecError, SRMError, XpError
from xp_pipeline.experiment import Experiment, MeanMetric
from xp_pipeline_tests.experiment.frames import created, running, trial


def line(error: XpError) -> str:
    """The message, which is one line."""
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (trial(), ("grup",), "treatment column 'grup' is not in the data.*did you mean 'group'"),
        (trial(), ("group", "uid"), "id column 'uid' is not in the data"),
        (trial(), (None,), "treatment column None is not in the data"),
        (trial(), (["group"],), "is not in the data"),
        (trial(), ("group", "user_id", ["weight"]), "covariate 'weight' is not in the data"),
        (trial(), ("group", "user_id", ["group"]), "covariate 'group' cannot be used; found String"),
        (trial(), ("group", "spend"), "id column 'spend' cannot be used; found Float64; allowed: integer, text"),
        (trial().clear(), ("group", "user_id"), "no rows"),
        (pl.concat([trial(), trial()]), ("group", "user_id"), "4,000 rows of 2,000 units"),
        (trial().with_columns(user_id=pl.lit(None, pl.Int64)), ("group", "user_id"), "2,000 rows have no id"),
        (trial().with_columns(day=date(2026, 1, 1)), ("day",), "treatment column 'day' cannot be used"),
        ({"group": ["a"]}, ("group",), "the data is no frame; found dict; allowed: a pandas or Polars frame"),
        ([1, 2], ("group",), "no frame"),
        (None, ("group",), "no frame"),
        (np.zeros((3, 2)), ("group",), "no frame"),
        (trial()["spend"], ("group",), "no frame"),
    ],
)
def test_data_that_cannot_be_an_experiment(data: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        Experiment(data, *arguments)
    line(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("nowhere", "'nowhere' is not in the data"),
        ("group", "'group' cannot be used; found String; allowed: integer, number, boolean"),
        ("joined", "'joined' cannot be used"),
    ],
)
def test_metrics_of_columns_that_hold_no_numbers(column: str, message: str) -> None:
    experiment = created(trial().with_columns(joined=date(2026, 1, 1)))
    with pytest.raises(DataError, match=message) as caught:
        experiment.add_metrics(MeanMetric("m", value_col=column))
    assert line(caught.value).startswith("metric m")
    with pytest.raises(DataError, match=message):
        experiment.add_metrics(MeanMetric("m", value_col="spend", pre_period_col=column))
    assert experiment.metrics == ()


@pytest.mark.parametrize("metrics", ["spend", ["spend"], None, 3, [None]])
def test_what_is_no_metric(metrics: Any) -> None:
    experiment = created()
    with pytest.raises(SpecError, match=r"not a metric; found .*allowed: MeanMetric"):
        experiment.add_metrics(metrics)
    assert experiment.state == "CREATED"


def test_one_arm_is_no_comparison() -> None:
    experiment = created(trial(arms=("control",))).register_metric("spend")
    with pytest.raises(DataError, match="a comparison needs two arms; found control"):
        experiment.design()
    empty = created(trial().with_columns(group=pl.lit(None, pl.String))).register_metric("spend")
    with pytest.raises(DataError, match="two arms; found none"):
        empty.design()


def test_an_id_is_no_assignment() -> None:
    experiment = Experiment(trial(), "user_id").register_metric("spend")
    with pytest.raises(DataError, match=r"too many arms.*found 2,000"):
        experiment.design()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"control": "contrl"}, "control is not among the arms; found contrl.*did you mean 'control'"),
        ({"control": 1}, "control is not among the arms"),
        ({"weights": {"control": 0.5, "treatment": 0.4}}, "sum to 0.9"),
        ({"weights": {"control": -0.5, "treatment": 1.5}}, "not negative"),
        ({"weights": {"control": 0, "treatment": 1}}, "control arm has weight 0"),
        ({"weights": {"control": 1}}, "two or more arms"),
        ({"weights": {"control": "half", "treatment": 0.5}}, "weight"),
        ({"weights": "even"}, "not a split"),
        ({"weights": 0.5}, "not a split"),
        ({"weights": {1: 0.5, "1": 0.5}}, "two weights are of the same arm"),
    ],
)
def test_splits_that_are_none(settings: dict[str, Any], message: str) -> None:
    experiment = created().register_metric("spend")
    with pytest.raises(SpecError, match=message) as caught:
        experiment.design(**settings)
    line(caught.value)
    assert experiment.state == "PLANNED"
    experiment.design()


def test_a_control_that_cannot_be_told_must_be_named() -> None:
    experiment = created(trial(arms=("a", "b"))).register_metric("spend")
    with pytest.raises(SpecError, match="cannot be told; found a, b; next: name it: control='a'"):
        experiment.design()
    assert experiment.design(control="b")["control"] == "b"


def test_an_arm_outside_the_design_blocks() -> None:
    experiment = created(trial(arms=("control", "treatment", "x"))).register_metric("spend")
    experiment.design(weights={"control": 0.5, "treatment": 0.5})
    with pytest.raises(BlockedError, match="666 units are in undeclared arms: x 666") as caught:
        experiment.start().run_analysis()
    assert not isinstance(caught.value, SRMError)
    assert experiment.state == "RUNNING" and experiment.health.verdict == "failed"


def test_a_unit_in_an_arm_of_weight_zero_blocks() -> None:
    data = trial().with_columns(group=pl.when(pl.col("user_id") == 0).then(pl.lit("off")).otherwise("group"))
    experiment = created(data).register_metric("spend")
    experiment.design(weights={"control": 0.5, "treatment": 0.5, "off": 0})
    with pytest.raises(BlockedError, match="1 units are in an arm of weight zero"):
        experiment.start().validate()


def test_a_declared_arm_without_units_is_said() -> None:
    experiment = created().register_metric("spend")
    experiment.design(weights={"control": 0.5, "treatment": 0.5, "late": 0}, control="control")
    experiment.start().validate()
    other = created().register_metric("spend")
    other.design(weights={"control": 0.4, "treatment": 0.4, "late": 0.2})
    with pytest.raises(SRMError, match="late 0"):
        other.start().run_analysis()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0}, "alpha is out of range; found 0; allowed: between 0 and 0.5"),
        ({"alpha": 5}, "alpha is out of range"),
        ({"alpha": float("nan")}, "alpha is out of range"),
        ({"alpha": "0.05"}, "alpha is out of range"),
        ({"alpha": True}, "alpha is out of range"),
        ({"correction": "bonferoni"}, "unknown correction; found 'bonferoni'.*did you mean 'bonferroni'"),
        ({"correction": "BH"}, "unknown correction"),
        ({"correction": 1}, "unknown correction"),
        ({"cuped": "yes"}, "cuped is on or off"),
        ({"sequential": "msprtt"}, "unknown kind of sequential look.*did you mean 'msprt'"),
    ],
)
def test_settings_that_no_analysis_has(settings: dict[str, Any], message: str) -> None:
    experiment = running()
    for _ in ("before", "after"):
        with pytest.raises(SpecError, match=message) as caught:
            experiment.run_analysis(**settings)
        line(caught.value)
        experiment.run_analysis()
    assert experiment.side_results == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mde": {"spent": "5%"}}, "mde of an unknown metric; found 'spent'.*did you mean 'spend'"),
        ({"baseline": {"age": {"mean": 1, "sd": 1}}}, "baseline of an unknown metric"),
        ({"mde": "5 percent"}, "an amount is a number"),
        ({"baseline": {"spend": {"mean": 1, "sd": -1}}}, "baseline"),
        ({"units_per_day": 0}, "units_per_day is a number above 0"),
        ({"power": 0.2}, "power is out of range"),
        ({"alpha": 1}, "alpha is out of range"),
        ({"control": "nobody"}, "control is not among the arms"),
    ],
)
def test_plans_that_are_none(settings: dict[str, Any], message: str) -> None:
    experiment = created().register_metric("spend")
    with pytest.raises(SpecError, match=message) as caught:
        experiment.plan(**settings)
    line(caught.value)
    assert experiment.power_plan is None


def test_a_proportion_of_other_values_is_refused() -> None:
    experiment = created().register_metric("age", "proportion")
    experiment.design()
    with pytest.raises(DataError, match="zeros and ones; found 2,000 other values in column 'age'"):
        experiment.start().run_analysis()
    assert experiment.state == "RUNNING"


def test_a_proportion_of_booleans_is_taken() -> None:
    data = trial().with_columns(adult=pl.col("age") > 30)
    experiment = created(data).register_metric("adult", "proportion")
    experiment.design()
    (result,) = experiment.start().run_analysis()
    assert result["control_mean"] == pytest.approx(data.filter(pl.col("group") == "control")["adult"].mean())


def test_infinite_values_are_a_status_not_a_number() -> None:
    data = trial().with_columns(spend=pl.when(pl.col("user_id") == 0).then(float("inf")).otherwise("spend"))
    experiment = created(data).register_metric("spend")
    experiment.design()
    results = experiment.start().run_analysis()
    assert results.summary()["status"].to_list() == ["invalid_data"]
    assert np.isnan(results[0]["p_value"]) and np.isnan(results[0]["ci_lower"])


def test_constants_that_differ_are_degenerate() -> None:
    data = trial().with_columns(flat=1.0 + (pl.col("group") == "treatment").cast(pl.Float64))
    experiment = created(data).register_metric("flat")
    experiment.design()
    results = experiment.start().run_analysis()
    assert results.summary()["status"].to_list() == ["degenerate"]
    assert np.isnan(results[0]["p_value"])


def test_arms_of_one_unit_have_a_reason() -> None:
    data = pl.DataFrame({"group": ["control", "treatment"], "y": [1.0, 2.0]})
    experiment = Experiment(data, "group").register_metric("y")
    experiment.design()
    results = experiment.start().run_analysis()
    assert results.summary()["status"].to_list() == ["insufficient_data"]


def test_mixed_objects_of_pandas_are_one_line() -> None:
    pd = pytest.importorskip("pandas")
    data = pd.DataFrame({"group": [{"a": 1}, "control", 3.5] * 10, "y": range(30)})
    with pytest.raises(XpError) as caught:
        Experiment(data, "group").register_metric("y").design(control="x")
    line(caught.value)
