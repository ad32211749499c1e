"""Any frame is read where it lies, and gives the same numbers."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import numpy as np
import polars as pl
import pytest

from xp_pipeline.errors import DataError
from xp_pipeline.experiment import Experiment, MeanMetric
from xp_pipeline.experiment.frames import Frame
from xp_pipeline_tests.experiment.frames import FRAMES, created, running, trial

NUMBERS = ("control_mean", "treatment_mean", "control_var", "absolute_difference", "ci_lower", "p_value")


@pytest.fixture(scope="module")
def expected() -> list[dict[str, object]]:
    return [dict(result) for result in running().run_analysis()]


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_gives_the_same_numbers(kind: str, expected: list[dict[str, object]]) -> None:
    if kind == "pandas":
        pytest.importorskip("pandas")
    data = FRAMES[kind](trial())
    experiment = running(data)
    for found, same in zip(experiment.run_analysis(), expected, strict=True):
        assert [found[name] for name in NUMBERS] == pytest.approx([same[name] for name in NUMBERS], rel=1e-12)
    assert experiment.data is data


@pytest.mark.parametrize(
    ("kind", "library"),
    [("polars", "polars"), ("lazy", "polars"), ("pandas", "pandas"), ("arrow", "pyarrow"), ("duckdb", "polars")],
)
def test_small_results_come_back_in_the_callers_library(kind: str, library: str) -> None:
    if kind == "pandas":
        pytest.importorskip("pandas")
    experiment = running(FRAMES[kind](trial(200)))
    assert type(experiment.run_analysis().summary()).__module__.startswith(library)
    assert type(experiment.health.summary()).__module__.startswith(library)


@pytest.mark.parametrize("kind", ["polars", "pandas", "arrow"])
def test_the_same_frame_gives_the_same_bytes(kind: str) -> None:
    if kind == "pandas":
        pytest.importorskip("pandas")
    data = FRAMES[kind](trial())
    assert running(data).run_analysis().to_json() == running(data).run_analysis().to_json()


def test_the_callers_frame_is_neither_copied_nor_written_to() -> None:
    pd = pytest.importorskip("pandas")
    data = trial().to_pandas()
    before = data.copy(deep=True)
    experiment = running(data)
    experiment.run_analysis()
    assert experiment.data is data
    pd.testing.assert_frame_equal(data, before)


def test_a_frame_without_an_id_has_a_unit_a_row() -> None:
    data = trial().drop("user_id")
    experiment = Experiment(data, "group").add_metrics(MeanMetric("spend", value_col="spend"))
    experiment.design()
    (result,) = experiment.start().run_analysis()
    assert result["control_n"] + result["treatment_n"] == len(data)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([10.0, None, 30.0, 40.0] * 50),
        pl.Series([10.0, float("nan"), 30.0, 40.0] * 50),
    ],
)
def test_nan_is_a_missing_value(column: pl.Series) -> None:
    data = trial(200).with_columns(y=column)
    experiment = created(data).add_metrics(MeanMetric("y", value_col="y"))
    experiment.design()
    (result,) = experiment.start().run_analysis()
    assert result["control_n"] + result["treatment_n"] == 150
    groups = dict(data.filter(pl.col("y").is_not_nan()).group_by("group").agg(pl.col("y").mean()).iter_rows())
    assert result["control_mean"] == pytest.approx(groups["control"], rel=1e-12)


def test_arms_may_be_booleans_numbers_and_categories() -> None:
    data = trial(400).with_columns(treated=pl.col("group") == "treatment")
    data = data.with_columns(code=pl.col("treated").cast(pl.Int64), kind=pl.col("group").cast(pl.Categorical))
    found = []
    for column, control in (("treated", False), ("code", 0), ("kind", "control"), ("group", None)):
        experiment = Experiment(data, column, "user_id").add_metrics(MeanMetric("spend", value_col="spend"))
        experiment.design(control=control)
        found.append(experiment.start().run_analysis()[0]["absolute_difference"])
    assert found == pytest.approx([found[0]] * 4, rel=1e-12)


def test_arms_of_a_pandas_frame_may_be_floats_for_want_of_an_integer_nan() -> None:
    pd = pytest.importorskip("pandas")
    data = pd.DataFrame({"arm": [0, 1, None, 1, 0] * 40, "y": np.arange(200.0)})
    experiment = Experiment(data, "arm").add_metrics(MeanMetric("y", value_col="y"))
    experiment.design(control=0, weights={0: 0.5, 1: 0.5})
    assert experiment.start().run_analysis()[0]["control_n"] == 80
    assert {f.check: f.verdict for f in experiment.health}["null_arm"] == "warned"


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_rows_without_an_arm_are_left_out_and_said(missing: object) -> None:
    pd = pytest.importorskip("pandas")
    frame = trial(300).to_pandas()
    frame["group"] = pd.Series([missing] * 30 + list(frame["group"][30:]), dtype=object)
    experiment = running(frame)
    result = experiment.run_analysis()[0]
    assert result["control_n"] + result["treatment_n"] == 270
    (finding,) = (f for f in experiment.health if f.check == "null_arm")
    assert finding.verdict == "warned" and "30" in finding.message


def test_columns_may_have_any_name() -> None:
    awkward = {"spend": 'my "spend", €', "group": "arm", "user_id": "bucket", "before": "y0"}
    data = trial().rename(awkward)
    experiment = Experiment(data, "arm", "bucket").add_metrics(
        MeanMetric("spend", value_col='my "spend", €', pre_period_col="y0")
    )
    experiment.design()
    plain = created().add_metrics(MeanMetric("spend", value_col="spend", pre_period_col="before"))
    plain.design()
    assert experiment.start().run_analysis().to_json() == plain.start().run_analysis().to_json()


def test_columns_that_differ_in_case_only_are_refused() -> None:
    data = trial().with_columns(Spend=pl.lit(1.0))
    experiment = created(data).register_metric("spend")
    with pytest.raises(DataError, match="'spend' and 'Spend'"):
        experiment.register_metric("other", value_col="Spend")
    assert [metric.name for metric in experiment.metrics] == ["spend"]


def test_a_relation_on_the_callers_connection_stays_there() -> None:
    connection = duckdb.connect()
    connection.register("units", trial().to_arrow())
    data = connection.sql("SELECT * FROM units WHERE age > 30")
    experiment = running(data)
    results = experiment.run_analysis()
    assert results[0]["control_n"] + results[0]["treatment_n"] == trial().filter(pl.col("age") > 30).height


def test_a_lazy_frame_that_fails_is_one_line() -> None:
    data = trial().lazy().with_columns(age=pl.col("group").cast(pl.Int64))
    with pytest.raises(DataError, match="cannot be read") as caught:
        Experiment(data, "age", "user_id")
    assert "\n" not in str(caught.value)


def test_ids_are_counted_exactly_however_they_lie() -> None:
    for ids in ([0, 2**40, -(2**40)], [7, 8, 9], ["a", "b", "ü"]):
        Experiment(pl.DataFrame({"id": ids, "arm": ["a", "b", "a"]}), "arm", "id")
        with pytest.raises(DataError, match="4 rows of 3 units"):
            Experiment(pl.DataFrame({"id": [*ids, ids[0]], "arm": ["a", "b", "a", "b"]}), "arm", "id")


def test_a_frame_of_polars_is_scanned_without_conversion() -> None:
    data = trial(100_000)
    frame = Frame(data)
    native = frame._eager(["spend", "group"])
    address = data["spend"].to_numpy().__array_interface__["data"][0]
    assert native["spend"].chunk(0).buffers()[1].address == address


def test_importing_it_loads_no_dagster() -> None:
    code = "import sys; from xp_pipeline import Experiment; print('dagster' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "double[pyarrow]"])
def test_nan_is_missing_in_every_kind_of_pandas_column(dtype: str) -> None:
    pd = pytest.importorskip("pandas")
    data = trial(400).to_pandas()
    spend = data["spend"].round(2)
    spend[::10] = np.nan
    data["spend"] = spend.astype(dtype)
    if dtype == "Float64":  # a masked column can hold NaN beside its missing values
        data["spend"] = pd.arrays.FloatingArray(spend.to_numpy(), np.zeros(len(spend), dtype=bool))
    experiment = created(data).add_metrics(MeanMetric("spend", value_col="spend"))
    experiment.design()
    (result,) = experiment.start().run_analysis()
    kept = spend[data["group"] == "control"].dropna()
    assert result["control_n"] == len(kept)
    assert result["control_mean"] == pytest.approx(kept.mean(), rel=1e-6)


def test_two_halves_at_once_are_the_whole() -> None:
    data = trial(60_001, arms=("control", "treatment", "zeta"))
    assert len(Frame(data).slices(["spend"])) == 2
    whole = running(FRAMES["duckdb"](data), covariates=["age"])
    halved = running(data, covariates=["age"])
    for one, other in zip(halved.run_analysis(), whole.run_analysis(), strict=True):
        assert [one[name] for name in NUMBERS] == pytest.approx([other[name] for name in NUMBERS], rel=1e-9)
    for found, same in zip(halved.health, whole.health, strict=True):
        assert (found.check, found.verdict) == (same.check, same.verdict)
        assert found.statistic == pytest.approx(same.statistic, rel=1e-9, nan_ok=True)


def test_a_column_of_ids_in_the_place_of_arms_is_refused_at_once() -> None:
    data = trial(120_000)
    experiment = Experiment(data, "user_id").add_metrics(MeanMetric("spend", value_col="spend"))
    with pytest.raises(DataError, match="too many arms"):
        experiment.design()
