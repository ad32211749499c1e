"""Inference on a look: results, decisions and health sealed together, published as tables, entered in the ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from xp_pipeline.decision.verdict import Decision
from xp_pipeline.lifecycle.inference.decide import decisions, restored_decision
from xp_pipeline.lifecycle.inference.heterogeneous import heterogeneous
from xp_pipeline.lifecycle.inference.infer import infer
from xp_pipeline.lifecycle.inference.novelties import novelties
from xp_pipeline.lifecycle.inference.rows import Row, Setting
from xp_pipeline.lifecycle.inference.subjects import subjects
from xp_pipeline.lifecycle.measurement import daily
from xp_pipeline.lifecycle.measurement.adjust import populations, read_clusters, read_readings
from xp_pipeline.lifecycle.planning.plan import planned_effects, planned_units, read_powers
from xp_pipeline.lifecycle.promised import as_promised
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.quality.balance import covariate_balance
from xp_pipeline.lifecycle.schedule import Occasion, occasion
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.tables import Look, put
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest, SealedArtifact
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.looks import PRIMARY_SIDES
from xp_pipeline.spec.phases import ExperimentState, Phase


def analyse(workspace: Workspace, promise: Sealed, *, as_of: date | None = None) -> Manifest:
    """Seal the results of a look; the final one freezes its data versions and moves to ANALYZED.

    Raises:
        SRMError, BlockedError: the population was blocked.
        PhaseOrderError: the metrics were not measured.
    """
    day = as_of.isoformat() if as_of else None
    measured = workspace.read(promise.id, Phase.ADJUSTED_METRICS, spec_hash=promise.spec_hash, as_of=day)
    inputs = {"phase:adjusted_metrics": measured.manifest.digest}
    day = measured.manifest.as_of
    when = occasion(workspace, promise, as_of=day, final=bool(measured.manifest.summary["final"]))
    if promise.bound.looks.schedule != "fixed":
        inputs["ledger:looks"] = when.digest
    found = workspace.unchanged(
        promise.id, Phase.INFERENCE_RESULTS, as_of=day, spec_hash=promise.spec_hash, inputs=inputs
    )
    manifest = found or _seal(workspace, promise, measured, when, inputs)
    number = enter_look(workspace, promise, manifest, when)
    tabulate(workspace, promise, manifest, number)
    return manifest


def _seal(
    workspace: Workspace, promise: Sealed, measured: SealedArtifact, when: Occasion, inputs: dict[str, str]
) -> Manifest:
    found = inferred(workspace, promise, measured, when)
    return workspace.seal(
        promise.id,
        Phase.INFERENCE_RESULTS,
        as_of=measured.manifest.as_of,
        spec_hash=promise.spec_hash,
        verdict=checks.worst(found.health),
        inputs=inputs,
        files={
            "results.json": serialize_to_json(found.rows).encode(),
            "health.json": serialize_to_json([vars(finding) for finding in found.health]).encode(),
            "decisions.json": serialize_to_json(found.decided).encode(),
            "heterogeneity.json": serialize_to_json(found.effects).encode(),
            "look.json": serialize_to_json({"tests": found.tests, "caps": found.caps}).encode(),
        },
        summary={**measured.manifest.summary, "verdicts": {d.arm: str(d.verdict) for d in found.decided}},
    )


@dataclass(frozen=True)
class Inferred:
    """What an inference gives.

    Attributes:
        rows: The results.
        decided: The decision about each arm.
        health: What they rest on.
        tests: What the ledger keeps of the tests made along the looks, by hypothesis.
        caps: The caps found, by metric.
        effects: Whether effects differ between segments and days since exposure.
    """

    rows: list[Row]
    decided: list[Decision]
    health: list[checks.Finding]
    tests: dict[str, Any]
    caps: dict[str, float]
    effects: list[Row]


def inferred(workspace: Workspace, promise: Sealed, measured: SealedArtifact, when: Occasion) -> Inferred:
    """Results and decisions from sealed evidence."""
    summary, day = measured.manifest.summary, measured.manifest.as_of
    validated = workspace.read(promise.id, Phase.VALIDATED_EXPOSURES, spec_hash=promise.spec_hash, as_of=day)
    health = [checks.Finding(**raw) for raw in restored(validated, "health.json")]
    final, blocked = summary["final"], summary["blocked_populations"]
    setting = setting_of(workspace, promise, final=final, blocked=blocked, occasion=when)
    readings = read_readings(measured, promise.bound)
    health += covariate_balance(promise.bound, readings["enrolled"])
    rows = infer(setting, readings, read_clusters(measured))
    tests = {key: test for row in rows for key, test in row.pop("tests", {}).items()}
    read_powers(workspace, promise, rows)
    found = decisions(promise, planned_effects(promise, rows), health, final=final, as_of=day)
    caps = {r.metric: r.cap for r in readings["enrolled"] if math.isfinite(r.cap)}
    effects = [
        *heterogeneous(setting, readings),
        *novelties(list(subjects(setting, readings)), daily.read(measured.json("daily.json"))),
    ]
    return Inferred(rows, found, health, tests, caps, effects)


def setting_of(
    workspace: Workspace, promise: Sealed, *, final: bool, blocked: Sequence[str] = (), **changed: Any
) -> Setting:
    """What the inference of a look is made under."""
    shown = [name for name in populations(promise) if name not in blocked]
    return Setting(
        bound=promise.bound,
        final=final,
        planned_n=planned_units(workspace, promise),
        deciding=shown[-1] if shown else "enrolled",
        blocked_populations=blocked,
        **changed,
    )


def restored(artifact: SealedArtifact, name: str) -> list[dict[str, Any]]:
    """Rows of a sealed JSON file; non-finite numbers are text there, and become numbers again."""
    rows = artifact.json(name)
    return [{k: float(v) if v in ("nan", "inf", "-inf") else v for k, v in row.items()} for row in rows]


def enter_look(workspace: Workspace, promise: Sealed, manifest: Manifest, when: Occasion) -> int:
    """Number the look in the ledger, once an as-of; the final one freezes what it read."""
    final = bool(manifest.summary["final"])
    artifact = workspace.read(promise.id, Phase.INFERENCE_RESULTS, spec_hash=promise.spec_hash, as_of=manifest.as_of)
    taken = artifact.json("look.json")
    read = {name: workspace.version(name).content_digest for name in promise.bound.source_names}
    with workspace.ledger.writing() as pen:
        looks = list(pen.entries(promise.id, EntryKind.LOOK))
        same = [e for e in looks if (e.payload["as_of"], e.payload["final"]) == (manifest.as_of, final)]
        number = int(same[0].payload["look"]) if same else 1 + len(looks)
        payload = {
            "look": number,
            "as_of": manifest.as_of,
            "final": final,
            "claims": when.claims,
            "alpha_spent": _spent(promise, when, taken["tests"]),
            **taken,
            "spec_hash": promise.spec_hash,
            "results": manifest.digest,
            "sources": read,
            "until": manifest.summary["until"],
            "rows": manifest.summary["rows"],
        }
        if not same:
            pen.append(promise.id, EntryKind.LOOK, by=workspace.by, payload=payload)
    if final:
        workspace.reach(promise.id, ExperimentState.ANALYZED, payload={"look": number, "results": manifest.digest})
    return number


def _spent(promise: Sealed, when: Occasion, tests: Mapping[str, Any]) -> float:
    """Alpha that the primary tests have spent together up to a look; a test that stopped keeps what it had spent."""
    alpha = promise.bound.experiment.analysis.alpha
    if promise.bound.looks.schedule != "group_sequential":
        return alpha if when.final else 0.0
    last: dict[str, float] = {}
    for taken in (*(look["tests"] for look in when.earlier), tests):
        for key, test in taken.items():
            sides = PRIMARY_SIDES.get(key.rpartition("|")[2])
            last |= {key: sides * float(test["alpha_spent"])} if sides else {}
    return min(math.fsum(last.values()), alpha)


def tabulate(workspace: Workspace, promise: Sealed, manifest: Manifest, number: int) -> None:
    """Publish the sealed rows as tables, all with this run's id; after an amendment the promised ones beside them."""
    artifact = workspace.read(promise.id, Phase.INFERENCE_RESULTS, spec_hash=promise.spec_hash, as_of=manifest.as_of)
    found = [restored_decision(row) for row in artifact.json("decisions.json")]
    health = [checks.Finding(**row) for row in restored(artifact, "health.json")]
    look = Look.of(manifest, number)
    beside = _beside(workspace, promise) if promise.amended else None
    effects = restored(artifact, "heterogeneity.json")
    put(workspace, promise, look, restored(artifact, "results.json"), health, found, effects, beside=beside)


def _beside(workspace: Workspace, promise: Sealed) -> tuple[Sealed, Look, list[Row], list[Decision]] | None:
    """The promised analysis of an amended experiment, or None where the promise leaves nothing to measure."""
    promised = as_promised(workspace, promise)
    if promised.measured is None:
        return None
    manifest = promised.measured.manifest
    when = occasion(workspace, promised.promise, as_of=manifest.as_of, final=bool(manifest.summary["final"]))
    found = inferred(promised.workspace, promised.promise, promised.measured, when)
    return promised.promise, Look.of(promised.measured.manifest, 0), found.rows, found.decided
