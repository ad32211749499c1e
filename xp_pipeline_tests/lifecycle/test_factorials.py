"""Factorial experiments end to end: effects against least squares, aliases, and what is refused where."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from xp_pipeline.cli.planned import show_plan
from xp_pipeline.errors import AliasError, SpecError, XpError
from xp_pipeline.language.buckets import bucket, choose
from xp_pipeline.lifecycle.acts import amend, decide
from xp_pipeline.lifecycle.explain import explain_experiment
from xp_pipeline.lifecycle.planning.plan import make_plan
from xp_pipeline.lifecycle.preview import previewed
from xp_pipeline.lifecycle.promisable import promisable
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.folder import load
from xp_pipeline.spec.phases import Phase
from xp_pipeline_tests.acceptance.test_examples_validate import _script
from xp_pipeline_tests.projects import SOURCE, copied, project, visitors

Row = dict[str, Any]
FACTORS = {"colour": ["red", "blue"], "size": ["s", "l"]}
ARMS = ["colour=red,size=s", "colour=blue,size=s", "colour=red,size=l", "colour=blue,size=l"]


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The example, run."""
    root = copied("factorial", tmp_path_factory.mktemp("example"))
    _script("factorial/generate.py").main(["--out", str(root / "generated")])
    workspace = Workspace.open(root, by="test")
    for name in ("mailing", "mailing_full"):
        outcome = run(workspace, name)
        assert outcome.status == "done", outcome.error
    return workspace


def results(workspace: Workspace, experiment: str, metric: str, *, segment: str = "") -> dict[tuple[str, str], Row]:
    """Rows by effect and estimator."""
    rows = read(workspace.folder.lake, "results", experiment).to_dicts()
    return {(r["arm"], r["estimator"]): r for r in rows if r["metric"] == metric and r["segment"] == segment}


def letters(workspace: Workspace) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
    """The recipients, and the sign of every factor of each, read from the example's own table of versions."""
    table = pl.read_csv(workspace.folder.root / "generated" / "recipients.csv")
    versions = _script("factorial/generate.py").VERSIONS
    chosen = np.array([versions[int(v[1:]) - 1] for v in table["version"]])
    return table, {factor: chosen[:, j] for j, factor in enumerate(("subject", "picture", "button", "hint"))}


def saturated(
    y: np.ndarray, signs: dict[str, np.ndarray], words: list[tuple[str, ...]]
) -> dict[str, tuple[float, float]]:
    """Twice the coefficients of the regression on signs and their products, and twice their HC2 errors, by numpy."""
    x = np.column_stack([np.prod([signs[f] for f in word], axis=0) if word else np.ones(len(y)) for word in words])
    inverse = np.linalg.inv(x.T @ x)
    coefficients = inverse @ x.T @ y
    residuals = y - x @ coefficients
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    meat = x.T @ (x * (residuals**2 / (1 - leverage))[:, None])
    errors = np.sqrt(np.diag(inverse @ meat @ inverse))
    return {":".join(w): (2 * c, 2 * e) for w, c, e in zip(words, coefficients, errors, strict=True)}


def test_effects_are_those_of_the_saturated_regression(mailing: Workspace) -> None:
    table, signs = letters(mailing)
    y = table["spend"].to_numpy()
    # The eight products that the half fraction tells apart: the hint is the product of the other three.
    free = ("subject", "picture", "button")
    words = [word for order in range(4) for word in combinations(free, order)]
    truth = saturated(y, signs, words)
    found = results(mailing, "mailing", "spend")
    assert {effect for effect, _ in found} == {"subject", "picture", "button", "hint"}
    for effect in ("subject", "picture", "button", "hint"):
        expected = truth["subject:picture:button" if effect == "hint" else effect]
        row = found[effect, "factorial"]
        assert (row["effect"], row["se"]) == pytest.approx(expected, rel=1e-9)
    full = results(mailing, "mailing_full", "spend")
    words = [(), ("subject",), ("picture",), ("subject", "picture")]
    for effect, expected in saturated(y, signs, words).items():
        if effect:
            row = full[effect, "factorial"]
            assert (row["effect"], row["se"]) == pytest.approx(expected, rel=1e-9)


def test_adjusted_effects_take_one_slope_pooled_within_arms(mailing: Workspace) -> None:
    table, signs = letters(mailing)
    y, x = table["spend"].to_numpy(), table["before"].to_numpy()
    arms = table["version"].to_numpy()
    centred = [(y[arms == a] - y[arms == a].mean(), x[arms == a] - x[arms == a].mean()) for a in np.unique(arms)]
    slope = sum(float(u @ v) for u, v in centred) / sum(float(v @ v) for _, v in centred)
    for effect in ("subject", "hint"):
        means = [float((y - slope * x)[arms == a].mean() * signs[effect][arms == a][0]) for a in np.unique(arms)]
        row = results(mailing, "mailing", "spend")[effect, "factorial_cuped"]
        assert row["effect"] == pytest.approx(sum(means) / 4, rel=1e-9)
        assert row["se"] < results(mailing, "mailing", "spend")[effect, "factorial"]["se"]
        assert row["decisive"]


def test_the_known_effects_are_found(mailing: Workspace) -> None:
    generate = _script("factorial/generate.py")
    rows = results(mailing, "mailing", "spend")
    for effect, true in generate.EFFECT.items():
        row = rows[effect, "factorial_cuped"]
        assert abs(row["effect"] - true) < 3 * row["se"]
    together = results(mailing, "mailing_full", "spend")["subject:picture", "factorial_cuped"]
    assert abs(together["effect"] - generate.TOGETHER) < 3 * together["se"]
    assert together["effect"] > 3 * together["se"]


def test_rows_say_what_is_compared_and_count_every_arm(mailing: Workspace) -> None:
    row = results(mailing, "mailing", "spend")["subject", "factorial_cuped"]
    _, signs = letters(mailing)
    assert row["baseline"] == "subject=plain"
    assert (row["n_arm"], row["n_baseline"]) == (int((signs["subject"] > 0).sum()), int((signs["subject"] < 0).sum()))
    together = results(mailing, "mailing_full", "spend")["subject:picture", "factorial_cuped"]
    assert together["baseline"] == "half the difference of differences"
    assert (together["lift_status"], together["lift"]) == ("undefined_relative", None)
    assert {level for (_, level) in _countries(mailing)} == {"DE", "FR", "NO"}


def _countries(workspace: Workspace) -> set[tuple[str, str]]:
    rows = read(workspace.folder.lake, "results", "mailing").filter(pl.col("segment") == "country")
    return {(row["arm"], row["segment_value"]) for row in rows.to_dicts()}


def test_main_effects_of_primaries_are_one_family_and_interactions_another(mailing: Workspace) -> None:
    rows = results(mailing, "mailing", "spend")
    raw = {effect: row["p_value"] for (effect, estimator), row in rows.items() if estimator == "factorial_cuped"}
    ordered = sorted(raw, key=lambda effect: raw[effect])
    running = 0.0
    for i, effect in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - i) * raw[effect]))
        assert rows[effect, "factorial_cuped"]["p_adjusted"] == pytest.approx(running)
        assert rows[effect, "factorial_cuped"]["family"] == "primary:holm"
    assert results(mailing, "mailing_full", "spend")["subject:picture", "factorial_cuped"]["family"].startswith("contr")


def test_every_main_effect_is_decided_about(mailing: Workspace) -> None:
    found = {row["arm"]: row["verdict"] for row in read(mailing.folder.lake, "decisions", "mailing").to_dicts()}
    assert found == {"subject": "ship", "picture": "do_not_ship", "button": "do_not_ship", "hint": "ship"}
    assert [row["arm"] for row in read(mailing.folder.lake, "decisions", "mailing_full").to_dicts()] == [
        "subject",
        "picture",
    ]
    decide(mailing, "mailing", "hint", "ship", reason="it pays")
    with pytest.raises(SpecError, match="no treatment arm"):
        decide(mailing, "mailing", "subject:picture", "ship", reason="it pays")


def test_the_alias_table_is_in_plan_design_card_and_page(mailing: Workspace) -> None:
    promise = sealed(mailing, "mailing")
    for phase, name in ((Phase.POWER_PLAN, "plan.json"), (Phase.DESIGN, "design.json")):
        kept = mailing.read("mailing", phase, spec_hash=promise.spec_hash).json(name)["factorial"]
        assert kept["notation"] == "2^(4-1) IV"
        aliases = {row["effect"]: (row["aliased_with"], row["estimable"]) for row in kept["aliases"]}
        assert aliases["subject:picture"] == (["button:hint"], False)
        assert aliases["hint"] == (["subject:picture:button"], True)
        assert len(kept["runs"]) == 8
    folder = mailing.folder.lake / "reports" / "mailing"
    page = (folder / "report.html").read_text()
    section = page[page.index('<h2 id="factorial">') :].split("</section>")[0]
    assert "I = subject:picture:button:hint" in section
    assert '<th scope="row"><bdi>subject:picture</bdi></th><td><bdi>button:hint</bdi></td><td>no</td>' in section
    card = json.loads((folder / "card.json").read_text())["factorial"]
    assert {"effect": "hint", "aliased_with": "subject:picture:button", "estimable": True, "asked": True} in card[
        "aliases"
    ]
    told = explain_experiment(mailing.folder, "mailing")
    assert "mailing varies subject, picture, button, hint together." in told
    assert "subject includes picture:button:hint" in told


def test_the_terminal_shows_the_alias_table(mailing: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(make_plan(mailing, previewed(mailing, "mailing")))
    said = capsys.readouterr().out
    assert "8 arms of 12.5% each" in said
    assert re.search(r"^subject:picture +button:hint +no *$", said, re.MULTILINE)
    assert re.search(r"^hint +subject:picture:button +yes *$", said, re.MULTILINE)
    assert "Estimated: subject, picture, button, hint." in said


def trial(root: Path, **changed: Any) -> Path:
    """A full factorial of two factors over simulated visitors; arms by number, labelled."""
    rows = visitors(1200, seed=9)
    for row in rows:
        row["arm"] = str(row["id"] % 4 if changed.get("even", True) else min(row["id"] % 8, 3))
    changed.pop("even", None)
    experiment: Row = {
        "assignment": {"control": ARMS[0], "factors": FACTORS},
        "population": {
            "source": "visitors",
            "arm": {"column": "arm", "labels": {str(i): a for i, a in enumerate(ARMS)}},
        },
        "metrics": {"primary": ["spend"], "guardrail": [{"metric": "converted", "margin": "20%"}]},
    }
    metrics: list[Row] = [
        {"name": "converted", "type": "proportion", "source": "visitors", "value": "converted"},
        {"name": "spend", "type": "mean", "source": "visitors", "value": "spend"},
        {"name": "rate", "type": "ratio", "numerator": {"source": "visitors", "value": "spend"},
         "denominator": {"source": "visitors", "value": "before"}},
        {"name": "median", "type": "quantile", "source": "visitors", "value": "spend", "quantile": 0.5},
    ]  # fmt: skip
    return project(root, rows=rows, metrics=metrics, experiment=experiment | changed)


def test_unequal_weights_and_ratios(tmp_path: Path) -> None:
    weights = dict(zip(ARMS, (1 / 8, 1 / 8, 1 / 8, 5 / 8), strict=True))
    assignment = {"factors": FACTORS, "weights": weights}
    root = trial(tmp_path, even=False, assignment=assignment, metrics={"primary": ["spend", "rate"]})
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").status == "done"
    rows = visitors(1200, seed=9)
    groups: list[list[Row]] = [[r for r in rows if min(r["id"] % 8, 3) == arm] for arm in range(4)]
    mean = [sum(r["spend"] for r in group) / len(group) for group in groups]
    rate = [sum(r["spend"] for r in group) / sum(r["before"] for r in group) for group in groups]
    for metric, code, of in (("spend", "factorial", mean), ("rate", "factorial_ratio", rate)):
        found = results(workspace, "trial", metric)
        assert found["colour", code]["effect"] == pytest.approx((of[1] + of[3] - of[0] - of[2]) / 2)
        assert found["size", code]["effect"] == pytest.approx((of[2] + of[3] - of[0] - of[1]) / 2)
        assert found["colour:size", code]["effect"] == pytest.approx((of[0] + of[3] - of[1] - of[2]) / 2)


def test_arms_without_a_column_follow_from_the_bucket_rule(tmp_path: Path) -> None:
    root = trial(tmp_path, population={"source": "visitors"})
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").status == "done"
    path = workspace.read("trial", Phase.ASSIGNMENTS, spec_hash=sealed(workspace, "trial").spec_hash)
    found = dict(pl.read_parquet(path.path("assignments.parquet")).select("unit", "arm").iter_rows())
    shares = dict.fromkeys(ARMS, 0.25)
    assert found == {unit: choose(bucket("trial", unit), shares) for unit in range(1200)}


def test_an_empty_run_leaves_its_effects_undefined_by_name(tmp_path: Path) -> None:
    population = {"source": "visitors", "arm": {"column": "arm", "labels": {str(i): a for i, a in enumerate(ARMS)}},
                  "where": {"arm": ["0", "1", "2"]}}  # fmt: skip
    weights = dict(zip(ARMS, (0.332, 0.332, 0.332, 0.004), strict=True))
    root = trial(tmp_path, population=population, assignment={"factors": FACTORS, "weights": weights})
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").status == "done"
    row = results(workspace, "trial", "spend")["colour", "factorial"]
    assert (row["status"], row["reason"]) == ("insufficient_data", f"arm {ARMS[3]} has no unit")


def test_a_plan_counts_the_units_of_both_sides(tmp_path: Path) -> None:
    typed = {"mean": 10, "sd": 3}
    root = trial(tmp_path, metrics={"primary": [{"metric": "spend", "mde": 0.5, "baseline": typed}]})
    workspace = Workspace.open(root, by="test")
    plan = make_plan(workspace, previewed(workspace, "trial"))
    assert [entry["arm"] for entry in plan["metrics"]] == ["colour", "size"]
    # Two-sided 0.025 (Holm over two effects), power 0.8: n per side = 2 (2.2414 + 0.8416)^2 3^2 / 0.5^2.
    assert plan["metrics"][0]["n"] == pytest.approx(2 * (2.2414 + 0.8416) ** 2 * 36, rel=0.005)
    assert plan["metrics"][0]["units"] == pytest.approx(2 * plan["metrics"][0]["n"], abs=2)
    assert "factorial" in plan


FRACTION = {"factors": {f: ["0", "1"] for f in "abcd"}, "resolution": "IV"}
LATER = {"start": "2026-01-01"}


@pytest.mark.parametrize(
    ("changed", "line", "error", "said"),
    [
        ({"effects": ["colour:size", "weight"]}, "- weight", SpecError, "no such factor; found weight"),
        ({"effects": ["colour", "colour"]}, "- colour", SpecError, "an effect stands twice"),
        ({"effects": ["colour:size"]}, "effects:", SpecError, "no main effect is asked for"),
        ({"assignment": FRACTION, "effects": ["a", "a:b"], "population": {"source": "visitors"}}, "- a:b", AliasError,
         "a:b cannot be told from c:d"),
        ({"assignment": {"factors": FRACTION["factors"], "generators": ["d=a"]}, "population": {"source": "visitors"}},
         "generators:", AliasError, "the generators confound main effects"),
        ({"assignment": {"factors": {"colour": ["red"], "size": ["s", "l"]}}}, "factors:", SpecError,
         "two levels or more"),
        ({"assignment": {"factors": FACTORS, "resolution": "VII"}}, "resolution:", SpecError, "3, 4 or 5"),
        ({"assignment": {"factors": FACTORS, "weights": {"colour=red,size=s": 1}}}, "assignment:", SpecError,
         "weights and arms name different arms"),
        ({"assignment": {"factors": FACTORS, "program": "p.pyab"}}, "assignment:", SpecError, "not a program"),
        ({"metrics": {"primary": ["median"]}}, "primary:", SpecError, "is a quantile"),
        ({"analysis": {"cluster": "country"}}, "cluster:", SpecError, "no second reading by cluster"),
        ({"analysis": {"novelty": True}}, "novelty:", SpecError, "no reading by days since exposure"),
        ({"analysis": {"resampling": "bootstrap"}}, "resampling:", SpecError, "no second reading by resampling"),
        ({"analysis": {"primary_correction": "dunnett"}}, "primary_correction:", SpecError, "share a control"),
        ({"effects": ["a"], "assignment": {"control": "0", "weights": {"0": 0.5, "1": 0.5}},
          "population": {"source": "visitors", "arm": "arm"}}, "id:", SpecError, "effects are those of factors"),
    ],
)  # fmt: skip
def test_what_a_factorial_design_cannot_carry_is_refused_by_line(
    tmp_path: Path, changed: Row, line: str, error: type[XpError], said: str
) -> None:
    root = trial(tmp_path, **changed)
    folder = load(root)
    if folder.problems:
        problem: Exception = folder.problems[0]
    else:
        with pytest.raises(error) as raised:
            promisable(folder, "trial")
        problem = raised.value
    assert isinstance(problem, error)
    assert said in str(problem)
    at = int(str(problem).split(":")[1])
    assert line in (root / "experiments" / "trial.yaml").read_text().splitlines()[at - 1], str(problem)


def test_a_factor_of_three_levels_is_compared_level_by_level(tmp_path: Path) -> None:
    factors = {"colour": ["red", "blue", "green"], "size": ["s", "l"]}
    names = [f"colour={c},size={s}" for s in factors["size"] for c in factors["colour"]]
    labels = {str(i): name for i, name in enumerate(names)}
    rows = visitors(1200, seed=9)
    for row in rows:
        row["arm"] = row["id"] % 6
    root = project(tmp_path, rows=rows, source={"columns": {**SOURCE["columns"], "arm": "integer"}}, experiment={
        "assignment": {"factors": factors},
        "population": {"source": "visitors", "arm": {"column": "arm", "labels": labels}},
        "metrics": {"primary": ["converted"], "guardrail": [{"metric": "spend", "margin": "20%"}]},
    })  # fmt: skip
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").status == "done"
    found = results(workspace, "trial", "converted")
    effects = ["colour=blue", "colour=green", "size", "colour=blue:size", "colour=green:size"]
    assert {effect for effect, _ in found} == set(effects)
    mean = [sum(r["converted"] for r in rows if r["arm"] == arm) / 200 for arm in range(6)]
    assert found["colour=green", "factorial"]["effect"] == pytest.approx((mean[2] + mean[5] - mean[0] - mean[3]) / 2)
    assert found["colour=green", "factorial"]["n_baseline"] == 400
    half = (mean[5] - mean[3] - (mean[2] - mean[0])) / 2
    assert found["colour=green:size", "factorial"]["effect"] == pytest.approx(half)
    guarded = results(workspace, "trial", "spend")
    assert guarded["colour=blue", "factorial_cuped"]["margin_holds"] is not None
    assert guarded["colour=blue:size", "factorial_cuped"]["margin"] is None
    decided = [row["arm"] for row in read(workspace.folder.lake, "decisions", "trial").to_dicts()]
    assert decided == effects[:3]


def test_an_aliased_request_is_never_registered(tmp_path: Path) -> None:
    root = trial(tmp_path, assignment=FRACTION, effects=["a", "a:b"], population={"source": "visitors"})
    outcome = run(Workspace.open(root, by="test"), "trial")
    assert (outcome.status, outcome.phase) == ("failed", Phase.REGISTERED_SPEC)
    assert isinstance(outcome.error, AliasError)


def test_weights_stay_through_a_ramp_and_an_amendment(tmp_path: Path) -> None:
    tilted = dict(zip(ARMS, (0.4, 0.2, 0.2, 0.2), strict=True))
    for weights, refused in ((tilted, True), (dict.fromkeys(ARMS, 25), False)):
        steps = [{"at": "2026-01-01", "coverage": 0.1}, {"at": "2026-01-05", "weights": weights}]
        assignment = {"factors": FACTORS, "phases": steps}
        root = trial(
            tmp_path / str(refused), assignment=assignment, start="2026-01-01", population={"source": "visitors"}
        )
        said = str(load(root).problems[0])
        assert ("keeps its weights" in said) is refused
    root = trial(tmp_path / "amended", start=None)
    workspace = Workspace.open(root, by="test")
    assert run(workspace, "trial").status == "done"
    path = root / "experiments" / "trial.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["assignment"]["weights"] = tilted
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    with pytest.raises(SpecError, match="keep their weights"):
        amend(Workspace.open(root, by="test"), "trial", reason="tilt")
