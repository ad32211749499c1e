"""Metrics as objects, and by the name of their type."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import polars as pl
import pytest

from xp_pipeline.errors import DataError, SpecError
from xp_pipeline.experiment import BaseMetric, MeanMetric, ProportionMetric, RatioMetric, RevenueMetric
from xp_pipeline_tests.experiment.frames import created, trial


@pytest.mark.parametrize(
    ("name", "kind", "columns", "expected"),
    [
        ("spend", "mean", {}, MeanMetric("spend", value_col="spend")),
        ("s", "MEAN", {"value_col": "spend"}, MeanMetric("s", value_col="spend")),
        ("spend", "mean", {"covariate": "before"}, MeanMetric("spend", value_col="spend", pre_period_col="before")),
        ("converted", "Proportion", {}, ProportionMetric("converted", value_col="converted")),
        ("spend", "revenue", {}, RevenueMetric("spend", value_col="spend")),
        (
            "ctr",
            "ratio",
            {"numerator_col": "clicks", "denominator_col": "views", "pre_numerator_col": "before"},
            RatioMetric("ctr", numerator_col="clicks", denominator_col="views", pre_numerator_col="before"),
        ),
    ],
)
def test_a_registered_metric_is_its_class(name: str, kind: str, columns: dict[str, str], expected: BaseMetric) -> None:
    experiment = created()
    assert experiment.register_metric(name, kind, **columns) is experiment
    assert experiment.metrics == (expected,)
    assert experiment.state == "PLANNED"


def test_registering_takes_the_settings_of_the_class() -> None:
    experiment = created().register_metric("spend", role="guardrail", margin="2%", direction="decrease", missing="zero")
    (metric,) = experiment.metrics
    assert (metric.role, metric.margin, metric.direction, metric.missing) == ("guardrail", "2%", "decrease", "zero")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric_type": "median"}, "allowed: mean, proportion, ratio, revenue"),
        ({"metric_type": "propotion"}, "did you mean 'proportion'"),
        ({"metric_type": None}, "unknown metric type"),
        ({"metric_type": "ratio"}, "needs numerator_col and denominator_col"),
        ({"metric_type": "ratio", "numerator_col": "clicks"}, "needs numerator_col and denominator_col"),
        ({"numerator_col": "clicks"}, "a mean metric has no numerator_col"),
        ({"metric_type": "ratio", "value_col": "spend"}, "a ratio metric has no value_col"),
        ({"rol": "primary"}, "did you mean 'role'"),
        ({"role": "main"}, "unknown role"),
        ({"direction": "up"}, "unknown direction"),
        ({"missing": "mean"}, "unknown rule for missing values"),
        ({"role": "guardrail"}, "a guardrail needs a margin"),
        ({"margin": "2%"}, "only a guardrail has a margin"),
        ({"role": "guardrail", "margin": "two"}, "margin"),
        ({"role": "guardrail", "margin": "2%", "equivalence": "2%"}, "both margin and equivalence"),
        ({"equivalence": "-2%"}, "equivalence of spend is positive"),
        ({"cap": {"percentile": 200}}, "cap"),
        ({"cap": {"value": 5}, "log": True}, "either cap or log"),
        ({"metric_type": "proportion", "value_col": "converted", "cap": {"value": 1}}, "cap"),
    ],
)
def test_what_no_metric_can_be_is_one_line(arguments: dict[str, Any], message: str) -> None:
    experiment = created()
    with pytest.raises(SpecError, match=message) as caught:
        experiment.register_metric("spend", **arguments).design()
    assert isinstance(caught.value, ValueError) and "\n" not in str(caught.value)
    assert not experiment.results if experiment.state == "ANALYZED" else True


@pytest.mark.parametrize("name", ["", "  ", "!!!", "a" * 200, None, 7])
def test_a_name_is_some_text(name: Any) -> None:
    with pytest.raises(SpecError, match="metric name"):
        MeanMetric(name, value_col="spend")


def test_metrics_are_frozen_and_compare_by_value() -> None:
    metric = MeanMetric("spend", value_col="spend", covariates=["before"])
    with pytest.raises(FrozenInstanceError):
        metric.value_col = "age"  # type: ignore[misc]
    assert metric == MeanMetric("spend", value_col="spend", covariates="before")
    assert metric.covariates == ("before",)


def test_several_metrics_are_added_all_or_none() -> None:
    experiment = created()
    with pytest.raises(DataError, match="'nowhere' is not in the data"):
        experiment.add_metrics([MeanMetric("spend", value_col="spend"), MeanMetric("b", value_col="nowhere")])
    assert experiment.metrics == () and experiment.state == "CREATED"


def test_a_generator_of_metrics_is_taken() -> None:
    experiment = created().add_metrics(MeanMetric(name, value_col=name) for name in ("spend", "age"))
    assert [metric.name for metric in experiment.metrics] == ["spend", "age"]


def test_a_ratio_uses_every_unit_denominator_zero_included() -> None:
    data = trial().with_columns(views=pl.when(pl.col("age") < 40).then(0.0).otherwise("views"))
    experiment = created(data).register_metric("ctr", "ratio", numerator_col="clicks", denominator_col="views")
    experiment.design()
    (result,) = experiment.start().run_analysis()
    control = data.filter(pl.col("group") == "control")
    assert result["control_n"] == control.height
    assert result["control_mean"] == pytest.approx(control["clicks"].sum() / control["views"].sum(), rel=1e-12)


def test_a_missing_value_drops_its_unit_or_is_zero() -> None:
    data = trial().with_columns(spend=pl.when(pl.col("age") < 40).then(None).otherwise("spend"))
    experiment = created(data).register_metric("dropped", value_col="spend")
    experiment.register_metric("zeroed", value_col="spend", missing="zero")
    experiment.design()
    dropped, zeroed = experiment.start().run_analysis()
    assert dropped["control_n"] < zeroed["control_n"] == 1000
    assert dropped["control_mean"] * dropped["control_n"] == pytest.approx(zeroed["control_mean"] * 1000)
