"""Learning in a project: every reward once, weights that services follow, and an analysis by what was published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from xp_pipeline.delivery.algorithms import Allocation, algorithm_named
from xp_pipeline.delivery.algorithms.published import folder_of
from xp_pipeline.errors import DataError, PhaseOrderError, RecordError, SpecError, SRMError, TamperError
from xp_pipeline.lifecycle.acts import amend
from xp_pipeline.lifecycle.allocate import Allocated, allocate
from xp_pipeline.lifecycle.assignment.published import last, learned, publish
from xp_pipeline.lifecycle.assignment.versions import Versions, in_order
from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.inference.adaptive_estimates import adaptive_estimates as by_versions
from xp_pipeline.lifecycle.measurement.measure import Cell, Reading
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.sealed import sealed
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.metric import Metric
from xp_pipeline.spec.phases import Phase
from xp_pipeline.stats.adaptive import adaptive_estimates
from xp_pipeline.stats.adaptive_batches import AdaptiveBatch, batches_of, phases
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.lifecycle.learners import DAY, START, Learners, country, learners
from xp_pipeline_tests.projects import project, run_everything


def _allocate(world: Learners) -> Allocated:
    workspace = world.workspace
    found = allocate(workspace, sealed(workspace, "learnt"))
    assert found is not None
    return found


def _files(world: Learners) -> dict[str, bytes]:
    folder = folder_of(world.root / "record", "learnt")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _entries(world: Learners) -> list[dict[str, Any]]:
    return [entry.payload for entry in world.workspace.ledger.entries("learnt", EntryKind.ALLOCATION)]


def _results(world: Learners) -> dict[tuple[str, str], dict[str, Any]]:
    rows = read(world.root / "lake", "results", "learnt").to_dicts()
    return {(row["metric"], row["estimator"]): row for row in rows if not row["segment"]}


def _health(world: Learners) -> dict[tuple[str, str], str]:
    rows = read(world.root / "lake", "health", "learnt").to_dicts()
    return {(row["check"], row["scope"]): row["verdict"] for row in rows}


def test_the_design_publishes_the_declared_weights_once(tmp_path: Path) -> None:
    world = learners(tmp_path, weights={"a": 0.9, "b": 0.1})
    assert world.weights.shares == pytest.approx({"a": 0.9, "b": 0.1}, abs=1e-9)
    files = _files(world)
    assert [name.split("-")[0] for name in files] == ["000001", "000001"]
    world.serve()
    assert world.run().status == "done"
    assert {name: content for name, content in _files(world).items() if name.startswith("000001")} == files
    assert [entry["as_of"] for entry in _entries(world)] == [None, "2026-03-02"]


def test_weights_are_what_the_algorithm_gives_the_rewards_of_every_day(tmp_path: Path) -> None:
    world = learners(tmp_path)
    for _ in range(2):
        world.serve()
        assert world.run().status == "done"
    algorithm = algorithm_named("thompson_beta", floor=0.05)
    state = algorithm.initial(2)
    buyers = {unit for unit, _, _ in world.bought}
    for day in range(2):
        arms = [
            [float(unit in buyers) for unit, a, _, at in world.units if a == arm and (at - START) // DAY == day]
            for arm in ("b", "a")
        ]
        found = [Moments.of(values) for values in arms]
        rewards = [(m.n, float(m.mean[0]), float(m.comoment[0, 0])) for m in found]
        state = algorithm.consume(state, f"{START + DAY * day:%Y-%m-%d}", rewards)
    expected = Allocation.of("learnt", ["b", "a"], algorithm, state)
    assert world.weights.shares == pytest.approx(expected.shares, abs=1e-9)
    assert list(world.weights.shares) == ["b", "a"]
    assert world.weights.shares["b"] > 0.9
    kept = json.loads(_files(world)[f"000003-{world.weights.version}.state.json"])
    assert [batch["id"] for batch in kept["state"]["batches"]] == ["2026-03-02", "2026-03-03"]


def test_a_replay_changes_nothing(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    assert world.run().status == "done"
    files, entries, rows = _files(world), _entries(world), _results(world)
    assert world.run().status == "done"
    found = _allocate(world)
    assert (found.is_new, found.reason) == (False, "the shares stay as they are")
    shutil.rmtree(world.root / "lake")
    assert world.run().status == "done"
    assert (_files(world), _entries(world)) == (files, entries)
    assert {k: r["effect"] for k, r in _results(world).items()} == {k: r["effect"] for k, r in rows.items()}


def test_late_rewards_take_the_place_of_their_days(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    late, world.bought = world.bought[1::2], world.bought[::2]
    world.write()
    assert world.run().status == "done"
    before = _learned(world)
    world.bought += late
    world.write()
    assert world.run().status == "done"
    after = _learned(world)
    assert [batch.id for batch in before.batches] == [batch.id for batch in after.batches] == ["2026-03-02"]
    assert sum(r.n for r in after.batches[0].rewards) == sum(r.n for r in before.batches[0].rewards) == 400
    assert sum(r.n * r.mean for r in after.batches[0].rewards) == pytest.approx(len(world.bought))
    assert len(_entries(world)) == 3


def _learned(world: Learners) -> Any:
    workspace = world.workspace
    return learned(workspace, sealed(workspace, "learnt"), last(workspace, "learnt"))


def test_a_day_without_units_any_more_is_forgotten(tmp_path: Path) -> None:
    world = learners(tmp_path)
    for _ in range(2):
        world.serve()
        assert world.run().status == "done"
    first = [unit for unit, _, _, at in world.units if at < START + DAY]
    world.units = [row for row in world.units if row[0] not in first]
    world.write()
    (world.root / "closed").joinpath("2026-03-02").touch()
    assert world.run().status == "done"
    counted = {batch.id: sum(reward.n for reward in batch.rewards) for batch in _learned(world).batches}
    assert counted == {"2026-03-02": 0, "2026-03-03": 400}


def test_a_state_that_was_changed_is_refused_and_one_that_is_gone_is_learned_anew(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    assert world.run().status == "done"
    state = folder_of(tmp_path / "record", "learnt") / f"000002-{world.weights.version}.state.json"
    content = state.read_text()
    state.write_text(content.replace('"2026-03-02"', '"2026-03-01"'))
    with pytest.raises(TamperError, match=r"not the one that was published; found [0-9a-f]{64}; .*learned anew"):
        _allocate(world)
    outcome = world.run()
    assert (outcome.status, type(outcome.error)) == ("failed", TamperError)
    assert (tmp_path / "lake" / "reports" / "learnt" / "report.html").is_file()
    state.unlink()
    assert _allocate(world).reason == "the shares stay as they are"
    world.serve()
    assert world.run().status == "done"
    assert [batch.id for batch in _learned(world).batches] == ["2026-03-02", "2026-03-03"]


def test_weights_that_a_kill_kept_from_being_written_are_written_by_the_next_run(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    assert world.run().status == "done"
    path = folder_of(tmp_path / "record", "learnt") / f"000002-{world.weights.version}.json"
    content = path.read_bytes()
    path.unlink()
    assert world.run().status == "done"
    assert path.read_bytes() == content
    assert len(_entries(world)) == 2


def test_weights_that_are_no_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    world = learners(tmp_path, sealed=False)
    with pytest.raises(PhaseOrderError, match="no weights are published yet"):
        _ = world.weights
    folder = folder_of(tmp_path / "record", "learnt")
    folder.mkdir(parents=True)
    (folder / "000001-fixed@0.json").write_text("{")
    with pytest.raises(DataError, match=r"000001-fixed@0.json: this is not JSON"):
        _ = world.weights


def test_a_blocked_population_publishes_nothing(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    assert world.run().status == "done"
    before = _files(world), _entries(world)
    world.serve(choose=lambda weights: "a")
    outcome = world.run()
    assert (outcome.status, type(outcome.error)) == ("blocked", SRMError)
    with pytest.raises(SRMError):
        _allocate(world)
    assert (_files(world), _entries(world)) == before


def test_units_that_no_published_weights_assigned_block(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    world.units = [(u, arm, "other@1" if u < 3 else version, at) for u, arm, version, at in world.units]
    world.write()
    assert world.run().status == "done"
    assert _health(world)["allocation", "all"] == "warned"
    weighted = _results(world)["bought", "adaptively_weighted"]
    assert "3 units that no published weights assigned are left out" in weighted["reason"]
    assert weighted["n_arm"] + weighted["n_baseline"] == 397
    world.units = [(u, arm, "other@1" if u < 9 else version, at) for u, arm, version, at in world.units]
    world.write()
    assert world.run().status == "blocked"
    assert _health(world)["allocation", "all"] == "failed"


def test_an_arm_that_its_version_gives_nobody_leaks(tmp_path: Path) -> None:
    greedy = {"algorithm": "epsilon_greedy", "reward": "bought", "floor": 0.0, "settings": {"epsilon": 0}}
    world = learners(tmp_path, adaptive=greedy)
    world.serve()
    assert world.run().status == "done"
    assert dict(world.weights.shares) == {"a": 0.0, "b": 1.0}
    world.serve(choose=lambda weights: "a" if world.draw.random() < 0.01 else "b")
    assert world.run().status == "blocked"
    assert _health(world)["leak", "all"] == "failed"


def test_the_end_publishes_nothing_more_and_the_weighted_reading_decides(tmp_path: Path) -> None:
    world = learners(tmp_path)
    for _ in range(4):
        world.serve()
        assert world.run().status == "done"
    entries = _entries(world)
    assert [entry["as_of"] for entry in entries] == [None, "2026-03-02", "2026-03-03", "2026-03-04"]
    assert _allocate(world).reason == "the experiment has ended"
    rows = _results(world)
    assert [name for (metric, name), row in rows.items() if metric == "bought" and row["decisive"]] == [
        "adaptively_weighted"
    ]
    assert "not to be decided on" in rows["bought", "welch"]["reason"]
    health = _health(world)
    assert health["srm", "all"] == health["allocation", "all"] == "passed"
    assert rows["spent", "adaptively_weighted"]["margin_holds"]
    _assert_equal_to_the_statistics(world, entries)
    page = (tmp_path / "lake" / "reports" / "learnt" / "report.html").read_text()
    assert "weighted by the inverse of the published shares" in page


def _assert_equal_to_the_statistics(world: Learners, entries: list[dict[str, Any]]) -> None:
    """In everybody, and in each country."""
    buyers = {unit for unit, _, _ in world.bought}
    shares = {entry["version"]: entry["shares"] for entry in entries}
    rows = read(world.root / "lake", "results", "learnt").to_dicts()
    for place in ("", "DE", "NO"):
        units = [row for row in world.units if place in ("", country(row[0]))]
        outcome = [float(unit in buyers) for unit, *_ in units]
        batches = batches_of(outcome, [row[1] for row in units], [row[2] for row in units], shares)
        found = adaptive_estimates(batches, control="a", treatment="b")
        for name, estimate in {"adaptively_weighted": found.weighted, "batched": found.batched}.items():
            (row,) = [r for r in rows if (r["metric"], r["estimator"], r["segment_value"]) == ("bought", name, place)]
            assert (row["effect"], row["ci_low"]) == pytest.approx((estimate.effect, estimate.low), rel=1e-9)


def test_several_arms_on_one_side_are_one_with_the_sum_of_their_shares() -> None:
    random = np.random.default_rng(3)
    shares = Versions({"v1": {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}, "v2": {"a": 0.1, "b": 0.2, "c": 0.5, "d": 0.2}})
    version = np.repeat(list(shares), 400)
    arm = np.concatenate([random.choice(list("abcd"), 400, p=list(s.values())) for s in shares.values()])
    outcome = random.normal(0, 1, 800)
    strata = {v: {Cell(w): Moments.of(outcome[(version == v) & (arm == w)]) for w in "abcd"} for v in shares}
    comparison = Comparison("both", ("b", "c"), ("a",))
    reading = Reading("m", "", (), {}, strata=strata)
    metric = Metric.model_validate({"name": "m", "type": "mean", "source": "s", "value": "v"})
    found = by_versions(metric, reading, comparison, "", "", alpha=0.05, shares=shares)
    pooled = {v: {"a": s["a"], "t": s["b"] + s["c"], "d": s["d"]} for v, s in shares.items()}
    relabelled = np.where(np.isin(arm, ["b", "c"]), "t", arm)
    expected = adaptive_estimates(batches_of(outcome, relabelled, version, pooled), control="a", treatment="t")
    assert [e.estimator for e in found] == ["batched", "adaptively_weighted"]
    for estimate, other in zip(found, (expected.batched, expected.weighted), strict=True):
        assert (estimate.effect, estimate.se, estimate.df) == pytest.approx((other.effect, other.se, other.df))


def test_of_two_runs_at_once_one_publishes(tmp_path: Path) -> None:
    world = learners(tmp_path)
    workspace = world.workspace
    promise = sealed(workspace, "learnt")
    held, state = last(workspace, "learnt"), learned(workspace, promise, last(workspace, "learnt"))
    new = Allocation("learnt", {"b": 0.6, "a": 0.4}, "test@2")
    publish(workspace, promise, new, state, as_of="2026-03-02", after=held)
    with pytest.raises(RecordError, match="another run published weights meanwhile"):
        publish(workspace, promise, new, state, as_of="2026-03-02", after=held)
    assert len(_entries(world)) == 2


def test_a_day_before_that_of_the_weights_in_force_publishes_nothing(tmp_path: Path) -> None:
    world = learners(tmp_path)
    for _ in range(2):
        world.serve()
        assert world.run().status == "done"
    workspace = world.workspace
    found = allocate(workspace, sealed(workspace, "learnt"), as_of=START.date())
    assert found is not None
    assert found.reason == "the weights in force were learned up to 2026-03-03"


def test_only_units_whose_window_has_passed_are_learned_from(tmp_path: Path) -> None:
    world = learners(tmp_path, sealed=False)
    path = tmp_path / "metrics" / "metrics.yaml"
    path.write_text(
        path.read_text().replace("type: proportion", "type: proportion\n  window: {kind: conversion, length: 1d}")
    )
    world.seal()
    world.serve()
    assert world.run().status == "done"
    assert [entry["as_of"] for entry in _entries(world)] == [None]
    world.serve()
    assert world.run().status == "done"
    assert {batch.id: sum(r.n for r in batch.rewards) for batch in _learned(world).batches} == {"2026-03-02": 400}


def test_other_metrics_are_learned_from_too_and_amounts_are_weighted(tmp_path: Path) -> None:
    gaussian = {"algorithm": "thompson_gaussian", "reward": "spent", "discount": 0.9}
    world = learners(tmp_path, adaptive=gaussian)
    world.serve()
    assert world.run().status == "done"
    assert world.weights.version.startswith("thompson_gaussian@")
    assert world.weights.shares["b"] > 0.9
    assert _results(world)["spent", "adaptively_weighted"]["status"] == "ok"


def test_fixed_weights_are_never_published_again(tmp_path: Path) -> None:
    world = learners(tmp_path, adaptive={"algorithm": "fixed", "reward": "bought"})
    world.serve()
    assert world.run().status == "done"
    assert len(_entries(world)) == 1


def test_an_amended_algorithm_learns_anew_from_all_days(tmp_path: Path) -> None:
    world = learners(tmp_path)
    world.serve()
    assert world.run().status == "done"
    path = tmp_path / "experiments" / "learnt.yaml"
    path.write_text(path.read_text().replace("thompson_beta", "epsilon_greedy"))
    amend(world.workspace, "learnt", reason="everybody understands it")
    outcome = world.run()
    assert outcome.status == "done", outcome.error
    assert world.weights.version.startswith("epsilon_greedy@")
    assert [batch.id for batch in _learned(world).batches] == ["2026-03-02"]


def test_an_arm_that_is_added_begins_with_new_declared_weights(tmp_path: Path) -> None:
    world = learners(tmp_path, rates={"a": 0.2, "b": 0.4, "c": 0.3})
    world.serve()
    assert world.run().status == "done"
    path = tmp_path / "experiments" / "learnt.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["assignment"]["weights"] = {"b": 0.5, "a": 0.3, "c": 0.2}
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    amend(world.workspace, "learnt", reason="one more idea")
    assert world.run().status == "done"
    assert world.weights.shares["c"] > 0.05
    assert [entry["as_of"] for entry in _entries(world)] == [None, "2026-03-02", None, "2026-03-02"]
    world.serve()
    assert world.run().status == "done"
    rows = read(tmp_path / "lake", "results", "learnt").to_dicts()
    assert {r["arm"]: r["status"] for r in rows if r["metric"] == "bought" and r["decisive"]} == {"b": "ok", "c": "ok"}
    assert _health(world)["srm", "all"] == "passed"


def test_learning_neither_begins_nor_stops_under_way(tmp_path: Path) -> None:
    world = learners(tmp_path)
    path = tmp_path / "experiments" / "learnt.yaml"
    spec = yaml.safe_load(path.read_text())
    del spec["assignment"]["adaptive"]
    path.write_text(yaml.safe_dump(spec))
    with pytest.raises(SpecError, match="adaptive from its first unit to its last"):
        amend(world.workspace, "learnt", reason="too clever")


def test_versions_with_few_units_are_pooled_as_the_statistics_pool_them(tmp_path: Path) -> None:
    world = learners(tmp_path)
    bound = sealed(world.workspace, "learnt").bound
    tables = {f"v{i}": {"a": i, "b": 3 * i + 1} for i in range(6)}
    shares = Versions({name: {"a": 0.2 + 0.05 * i, "b": 0.8 - 0.05 * i} for i, name in enumerate(tables)})
    batches = [
        AdaptiveBatch({arm: Moments.of([0.0] * n) for arm, n in tables[name].items() if n}, shares[name])
        for name in tables
    ]
    found = in_order(bound, tables, shares)
    assert len(found) > 1
    for (counts, weights), (observed, expected) in zip(found, phases(batches), strict=True):
        assert counts == observed
        assert weights == pytest.approx(expected)


def test_an_experiment_that_is_not_adaptive_learns_nothing(tmp_path: Path) -> None:
    root = project(tmp_path)
    assert run_everything(root)["trial"].status == "done"
    from xp_pipeline.lifecycle.workspace import Workspace

    workspace = Workspace.open(root)
    assert allocate(workspace, sealed(workspace, "trial")) is None
    assert not (root / "record" / "allocations").exists()
    assert workspace.artifacts.find("trial", Phase.DESIGN, None) is not None
