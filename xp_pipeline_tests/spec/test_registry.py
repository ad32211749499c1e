"""Pre-registration: seed 0's registry with its published example and without its faults."""

from __future__ import annotations

import doctest
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from xp_pipeline.errors import SpecError
from xp_pipeline.spec import registry as module
from xp_pipeline.spec.canonical import digest
from xp_pipeline.spec.ledger import EntryKind, Ledger
from xp_pipeline.spec.registry import ExperimentRegistry
from xp_pipeline_tests.spec.test_canonical import DOCUMENTS

SPEC = {"primary_metric": "conversion_rate", "alpha": 0.05, "target_n": 10000}


@pytest.fixture(params=["memory", "ledger"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> ExperimentRegistry:
    return ExperimentRegistry(Ledger(tmp_path / "ledger.sqlite") if request.param == "ledger" else None)


def test_published_example(registry: ExperimentRegistry) -> None:
    assert len(registry.register_spec("EXP-101", SPEC)) == 64
    assert registry.verify_spec("EXP-101", SPEC)
    assert not registry.verify_spec("EXP-101", {**SPEC, "alpha": 0.10})


def test_the_docstring_is_true() -> None:
    assert doctest.testmod(module) == (0, 4)


def test_unknown_experiment_is_not_verified(registry: ExperimentRegistry) -> None:
    assert not registry.verify_spec("EXP-101", SPEC)
    with pytest.raises(SpecError, match=r"^EXP-101: no spec is registered"):
        registry.spec("EXP-101")


def test_same_spec_again_changes_nothing(registry: ExperimentRegistry) -> None:
    first = registry.register_spec("EXP-101", SPEC)
    assert registry.register_spec("EXP-101", dict(reversed(SPEC.items()))) == first


def test_another_spec_never_overwrites(registry: ExperimentRegistry) -> None:
    sealed = registry.register_spec("EXP-101", SPEC)
    other = {**SPEC, "alpha": 0.10}
    with pytest.raises(ValueError, match=f"another spec .*found {digest(other)}; allowed: {sealed}; next: xp amend"):
        registry.register_spec("EXP-101", other)
    assert registry.verify_spec("EXP-101", SPEC)
    assert not registry.verify_spec("EXP-101", other)


def test_later_mutation_does_not_reach_the_stored_spec(registry: ExperimentRegistry) -> None:
    spec: dict[str, Any] = {"metrics": [{"name": "revenue", "cap": 100}]}
    registry.register_spec("EXP-101", spec)
    spec["metrics"][0]["cap"] = 5
    assert not registry.verify_spec("EXP-101", spec)
    assert registry.verify_spec("EXP-101", {"metrics": [{"name": "revenue", "cap": 100}]})


def test_stored_spec_is_frozen_to_its_leaves(registry: ExperimentRegistry) -> None:
    registry.register_spec("EXP-101", {"metrics": [{"name": "revenue"}]})
    stored = registry.spec("EXP-101")
    with pytest.raises(TypeError):
        stored["metrics"] = ()  # type: ignore[index]
    with pytest.raises(TypeError):
        stored["metrics"][0]["name"] = "x"
    assert digest(stored) == digest({"metrics": [{"name": "revenue"}]})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_is_refused_and_never_verified(registry: ExperimentRegistry, value: float) -> None:
    with pytest.raises(SpecError, match=r"^alpha: a number here is finite"):
        registry.register_spec("EXP-101", {"alpha": value})
    registry.register_spec("EXP-101", SPEC)
    assert not registry.verify_spec("EXP-101", {"alpha": value})


def test_id_that_is_a_path_is_refused(registry: ExperimentRegistry) -> None:
    with pytest.raises(SpecError, match="the experiment id holds the character '/'"):
        registry.register_spec("../EXP", SPEC)


def test_hashes_are_compared_in_constant_time(registry: ExperimentRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register_spec("EXP-101", SPEC)
    asked: list[bytes] = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: asked.append(b) or a == b)
    registry.verify_spec("EXP-101", SPEC)
    assert digest(SPEC).encode() in asked


@given(DOCUMENTS, DOCUMENTS)
def test_a_spec_is_verified_by_itself_alone(one: dict[str, Any], other: dict[str, Any]) -> None:
    registry = ExperimentRegistry()
    registry.register_spec("EXP-101", one)
    assert registry.verify_spec("EXP-101", one)
    assert registry.verify_spec("EXP-101", other) == (digest(one) == digest(other))


def test_the_ledger_outlives_the_registry(tmp_path: Path) -> None:
    path = tmp_path / "record" / "ledger.sqlite"
    ExperimentRegistry(Ledger(path), by="ana").register_spec("EXP-101", SPEC)
    again = ExperimentRegistry(Ledger(path), by="bo")
    assert again.verify_spec("EXP-101", SPEC)
    again.register_spec("EXP-101", SPEC)
    (entry,) = Ledger(path).entries()
    assert (entry.kind, entry.by) == (EntryKind.REGISTRATION, "ana")
    assert entry.payload == {"spec_hash": digest(SPEC), "spec_hash_version": "v1", "document": SPEC}


def test_an_amendment_in_the_ledger_is_in_force(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    registry = ExperimentRegistry(ledger)
    registry.register_spec("EXP-101", SPEC)
    amended = {**SPEC, "target_n": 20000}
    payload = {"spec_hash": digest(amended), "document": amended}
    ledger.append("EXP-101", EntryKind.AMENDMENT, by="ana", reason="variance was twice the plan", payload=payload)
    assert registry.verify_spec("EXP-101", amended)
    assert not registry.verify_spec("EXP-101", SPEC)
