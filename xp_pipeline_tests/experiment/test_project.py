"""To a project and back: the pipeline's numbers are the notebook's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from xp_pipeline.errors import PhaseOrderError, SpecError, SRMError, TamperError
from xp_pipeline.experiment import Experiment, MeanMetric, ProportionMetric, RatioMetric
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import Outcome, run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline_tests.experiment.frames import FRAMES, METRICS, created, running, trial


def through_the_pipeline(root: Path, name: str = "experiment") -> Outcome:
    """Run an experiment of a folder."""
    workspace = Workspace.open(root, by="test")
    assert not workspace.folder.problems
    return run(workspace, name)


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal, numbers to 1e-12."""
    for name, value in expected.items():
        if isinstance(value, float) and math.isfinite(value):
            assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name
        else:
            assert found[name] == value or (found[name] != found[name] and value != value), name


def planned(data: Any, **settings: Any) -> Experiment:
    """An experiment with a plan, in RUNNING."""
    experiment = created(data, covariates=["age"], **settings).add_metrics(METRICS)
    experiment.plan(mde={"Spend per user": "5%", "ctr": 0.01}, units_per_day=100, power=0.9)
    experiment.design()
    return experiment.start()


TABLE = [
    "population", "metric", "metric_type", "role", "direction", "arm", "baseline", "estimator", "decisive", "status",
    "reason", "n_arm", "n_baseline", "mean_arm", "mean_baseline", "variance_arm", "variance_baseline", "effect", "se",
    "df", "ci_level", "ci_low", "ci_high", "interval_kind", "p_value", "p_adjusted", "family", "family_size",
    "ci_adjusted_low", "ci_adjusted_high", "significant", "lift", "lift_low", "lift_high", "cuped_applied",
    "variance_reduction", "cap_value", "capped_share", "margin", "margin_bound", "margin_p_value", "margin_holds",
    "power", "mde",
]  # fmt: skip


@pytest.mark.parametrize("kind", FRAMES)
def test_the_pipeline_gives_the_notebooks_numbers(kind: str, tmp_path: Path) -> None:
    if kind == "pandas":
        pytest.importorskip("pandas")
    missing = pl.when(pl.col("age") % 7 == 0).then(None)
    data = trial().with_columns(before=missing.otherwise("before"), clicks=missing.otherwise("clicks"))
    experiment = planned(FRAMES[kind](data))
    results = experiment.run_analysis()
    root = experiment.to_spec(tmp_path / "project")
    assert through_the_pipeline(root).status == "done"
    tables = (results.table(), read(root / "lake", "results", "experiment"))
    rows = (table.select(TABLE).sort("metric", "estimator").to_dicts() for table in tables)
    for found, expected in zip(*rows, strict=True):
        same(found, expected)
    loaded = Experiment.load(root, "experiment")
    for found, expected in zip(loaded.results, results, strict=True):
        same(dict(found), dict(expected))


def test_the_spec_is_the_promise(tmp_path: Path) -> None:
    experiment = planned(trial())
    root = experiment.to_spec(tmp_path / "project")
    results = experiment.run_analysis()
    assert through_the_pipeline(root).status == "done"
    rows = read(root / "lake", "results", "experiment")
    assert set(rows["spec_hash"]) == set(results.table()["spec_hash"])


@pytest.mark.parametrize(
    "settings", [{"cuped": False}, {"alpha": 0.2}, {"correction": "none"}, {"correction": "bonferroni"}]
)
def test_what_was_analysed_otherwise_is_promised_otherwise(settings: dict[str, Any], tmp_path: Path) -> None:
    experiment = running()
    results = experiment.run_analysis(**settings)
    root = experiment.to_spec(tmp_path / "project")
    assert through_the_pipeline(root).status == "done"
    loaded = Experiment.load(root, "experiment")
    for found, expected in zip(loaded.results, results, strict=True):
        same(dict(found), dict(expected))
    assert loaded.results.summary()["p_adjusted"].to_list() == pytest.approx(results.summary()["p_adjusted"].to_list())


@pytest.mark.parametrize("looks", ["always_valid", "msprt"])
def test_tests_along_the_looks_are_the_pipelines(looks: str, tmp_path: Path) -> None:
    experiment = created().register_metric("spend", covariate="before")
    experiment.plan(mde="5%")
    experiment.design()
    experiment.start().run_analysis(sequential=looks)
    results = experiment.run_analysis()
    root = experiment.to_spec(tmp_path / "project")
    assert through_the_pipeline(root).status == "done"
    loaded = Experiment.load(root, "experiment").results
    same(dict(loaded[0]), dict(results[0]))
    assert loaded.table()["family"].to_list() == results.table()["family"].to_list()


@pytest.mark.parametrize("looks", [False, "always_valid"])
def test_equivalence_is_the_pipelines(looks: bool | str, tmp_path: Path) -> None:
    experiment = created().add_metrics([
        MeanMetric("spend", value_col="spend", pre_period_col="before", equivalence="20%"),
        ProportionMetric("converted", value_col="converted", equivalence=0.2, role="guardrail"),
        RatioMetric("ctr", numerator_col="clicks", denominator_col="views", equivalence="30%", role="secondary"),
    ])  # fmt: skip
    experiment.design()
    experiment.start()
    if looks:
        experiment.run_analysis(sequential=looks)
    results = experiment.run_analysis()
    found = {row["metric"]: row for row in results.table().filter(pl.col("decisive")).to_dicts()}
    assert {row["margin_kind"] for row in found.values()} == {"equivalence"}
    assert found["spend"]["margin_holds"] is True
    root = experiment.to_spec(tmp_path / "project")
    assert through_the_pipeline(root).status == "done"
    theirs = read(root / "lake", "results", "experiment").filter(pl.col("decisive"))
    for row in theirs.select([*TABLE, "margin_kind"]).to_dicts():
        same(row, {name: found[row["metric"]][name] for name in row})
    assert Experiment.load(root, "experiment").results.decisions[0].verdict == results.decisions[0].verdict


def test_health_and_decisions_are_the_pipelines(tmp_path: Path) -> None:
    experiment = planned(trial())
    results = experiment.run_analysis()
    root = experiment.to_spec(tmp_path / "project")
    through_the_pipeline(root)
    loaded = Experiment.load(root, "experiment")
    for mine, theirs in zip(results.decisions, loaded.results.decisions, strict=True):
        assert (mine.arm, mine.verdict, mine.rule, mine.reasons) == (
            theirs.arm, theirs.verdict, theirs.rule, theirs.reasons,
        )  # fmt: skip
        assert mine.counterfactual and theirs.counterfactual
        for one, other in zip(mine.counterfactual.changes, theirs.counterfactual.changes, strict=True):
            same(vars(one), vars(other))
    for found, expected in zip(experiment.health, loaded.health, strict=True):
        same(vars(found), vars(expected))


def test_the_plan_is_the_pipelines(tmp_path: Path) -> None:
    experiment = planned(trial())
    root = experiment.to_spec(tmp_path / "project")
    through_the_pipeline(root)
    loaded = Experiment.load(root, "experiment").power_plan
    assert loaded is not None and experiment.power_plan is not None
    for found, expected in zip(loaded.entries, experiment.power_plan.entries, strict=True):
        same(
            {k: v for k, v in found.items() if k != "baseline"}, {k: v for k, v in expected.items() if k != "baseline"}
        )
    assert loaded.assumptions == experiment.power_plan.assumptions


def test_a_loaded_experiment_is_the_pipelines(tmp_path: Path) -> None:
    experiment = running(name="button")
    side = (experiment.run_analysis(), experiment.run_analysis(alpha=0.2, correction="fdr_by"))[1]
    root = experiment.to_spec(tmp_path / "project")
    through_the_pipeline(root, "button")
    loaded = Experiment.load(str(root), "button")
    assert isinstance(loaded, Experiment)
    assert loaded.state == "REPORTED" and loaded.name == "button"
    assert (loaded.treatment_col, loaded.id_col) == ("group", "user_id")
    assert [m.name for m in loaded.metrics] == ["Spend_per_user", "revenue", "converted", "ctr"]
    assert pl.read_parquet(loaded.data)["spend"].len() == 2000
    again = loaded.run_analysis(alpha=0.2, correction="fdr_by")
    assert again.label == "retrospective,reanalysis" and loaded.side_results == (again,)
    for found, expected in zip(again, side, strict=True):
        same(dict(found), dict(expected))
    assert loaded.report().html == (root / "lake" / "reports" / "button" / "report.html").read_text(encoding="utf-8")
    assert "<svg" in loaded.results.plot().svg
    assert "button" in repr(loaded)


def test_loading_writes_nothing(tmp_path: Path) -> None:
    root = running().to_spec(tmp_path / "project")
    through_the_pipeline(root)
    entries = Workspace.open(root, by="test").ledger.head()
    loaded = Experiment.load(root, "experiment")
    loaded.run_analysis(alpha=0.2)
    assert Workspace.open(root, by="test").ledger.head() == entries


@pytest.mark.parametrize(
    "step", ["add_metrics", "add_covariates", "plan", "design", "start", "transition_to", "to_spec"]
)
def test_a_loaded_experiment_moves_by_its_pipeline(step: str, tmp_path: Path) -> None:
    root = running().to_spec(tmp_path / "project")
    through_the_pipeline(root)
    loaded = Experiment.load(root, "experiment")
    with pytest.raises(PhaseOrderError, match="xp run experiment"):
        getattr(loaded, step)()
    with pytest.raises(PhaseOrderError, match="cuped"):
        loaded.run_analysis(cuped=False)


def test_a_broken_seal_is_not_read(tmp_path: Path) -> None:
    root = running().to_spec(tmp_path / "project")
    through_the_pipeline(root)
    (path,) = root.glob("lake/**/results.json")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(TamperError):
        _ = Experiment.load(root, "experiment").results


def test_a_blocked_population_is_blocked_in_both(tmp_path: Path) -> None:
    data = trial(1000, arms=("control", "control", "treatment"))
    experiment = running(data)
    with pytest.raises(SRMError) as caught:
        experiment.run_analysis()
    root = experiment.to_spec(tmp_path / "project")
    assert through_the_pipeline(root).status == "blocked"
    loaded = Experiment.load(root, "experiment")
    with pytest.raises(SRMError):
        _ = loaded.results
    with pytest.raises(SRMError):
        loaded.validate()
    assert loaded.health[0].message == experiment.health[0].message
    assert str(caught.value).startswith("experiment, check srm: control 667")


def test_an_unregistered_experiment_is_not_loaded(tmp_path: Path) -> None:
    root = running().to_spec(tmp_path / "project")
    with pytest.raises(PhaseOrderError, match="not registered"):
        Experiment.load(root, "experiment")


def test_writing_twice_is_writing_once_and_nothing_of_others_is_overwritten(tmp_path: Path) -> None:
    experiment = running()
    root = experiment.to_spec(tmp_path)
    assert experiment.to_spec(tmp_path) == root
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    other = created().add_metrics(MeanMetric("other", value_col="age"))
    other.design()
    with pytest.raises(SpecError, match="other content"):
        other.to_spec(tmp_path)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_the_files_say_what_was_declared(tmp_path: Path) -> None:
    experiment = planned(trial(), name="button", title="Bigger button")
    root = experiment.to_spec(tmp_path)
    said = yaml.safe_load((root / "experiments" / "button.yaml").read_text(encoding="utf-8"))
    assert said["title"] == "Bigger button"
    assert said["assignment"] == {"control": "control", "weights": {"control": 0.5, "treatment": 0.5}}
    assert said["metrics"]["guardrail"][0] | {"baseline": None} == {
        "metric": "ctr", "margin": "5%", "mde": 0.01, "baseline": None,
    }  # fmt: skip
    source = yaml.safe_load((root / "sources" / "data.yaml").read_text(encoding="utf-8"))
    assert source["columns"] == {
        "user_id": "integer", "group": "text", "spend": "number", "before": "number", "converted": "integer",
        "clicks": "number", "views": "number", "age": "integer",
    }  # fmt: skip


def test_rows_are_units_in_both(tmp_path: Path) -> None:
    experiment = Experiment(trial().drop("user_id"), "group").register_metric("spend", covariate="before")
    experiment.design()
    results = experiment.start().run_analysis()
    assert through_the_pipeline(experiment.to_spec(tmp_path)).status == "done"
    same(dict(Experiment.load(tmp_path, "experiment").results[0]), dict(results[0]))


def test_boolean_arms_and_strange_names_survive_the_journey(tmp_path: Path) -> None:
    data = trial().with_columns(**{'the "arm", €': pl.col("group") == "treatment"}).rename({"spend": "to spend"})
    experiment = Experiment(data, 'the "arm", €', "user_id").register_metric("Über spend!", value_col="to spend")
    experiment.design(control=False)
    results = experiment.start().run_analysis()
    assert through_the_pipeline(experiment.to_spec(tmp_path)).status == "done"
    loaded = Experiment.load(tmp_path, "experiment")
    assert loaded.results[0]["metric_name"] == "Über spend!"
    same(dict(loaded.results[0]), dict(results[0]))
