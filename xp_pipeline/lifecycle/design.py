"""DESIGNED: the allocation, the bucket rule and the look schedule, sealed before anyone is analysed."""

from __future__ import annotations

from xp_pipeline.design.allocation import Phase as AllocationPhase
from xp_pipeline.design.assigning import Rule
from xp_pipeline.design.layers import Layer
from xp_pipeline.lifecycle.assignment.cells import blocks_of
from xp_pipeline.lifecycle.assignment.published import begin
from xp_pipeline.lifecycle.factorials import in_plan
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.phases import ExperimentState, Phase


def design(workspace: Workspace, promise: Sealed) -> Manifest:
    """Seal the design of a planned experiment."""
    plan = workspace.read(promise.id, Phase.POWER_PLAN, spec_hash=promise.spec_hash)
    inputs = {"phase:power_plan": plan.manifest.digest}
    if promise.bound.extended:
        inputs["ledger:extension"] = str(promise.bound.end)
    found = workspace.unchanged(promise.id, Phase.DESIGN, as_of=None, spec_hash=promise.spec_hash, inputs=inputs)
    manifest = found or workspace.seal(
        promise.id,
        Phase.DESIGN,
        as_of=None,
        spec_hash=promise.spec_hash,
        verdict="passed",
        inputs=inputs,
        files={"design.json": serialize_to_json(describe(promise), indent=2).encode()},
        summary={"control": promise.bound.experiment.assignment.control},
    )
    begin(workspace, promise)
    workspace.reach(promise.id, ExperimentState.DESIGNED, payload={"design": manifest.digest})
    return manifest


def describe(promise: Sealed) -> dict[str, object]:
    """The design in full: who gets which arm by what rule, from when to when, looked at how often."""
    bound, experiment = promise.bound, promise.bound.experiment
    assignment = experiment.assignment
    rule = Rule(bound)
    return {
        "experiment": promise.id,
        "control": assignment.control,
        "arms": list(assignment.arms),
        "shares": assignment.shares,
        "bucket_rule": "switchback"
        if assignment.switchback
        else "stratified"
        if assignment.stratify
        else assignment.rule,
        "stratify": list(assignment.stratify),
        "salt": rule.salt,
        "unit": rule.unit,
        "program": bound.program,
        "phases": [_phase(phase) for phase in rule.allocation.phases] if rule.allocation else [],
        "layer": _layer(rule.layer, promise.id) if rule.layer else None,
        "arm_from": experiment.population.arm.column if experiment.population.arm else "bucket rule",
        "start": bound.start,
        "end": bound.end,
        "follow_up_seconds": bound.follow_up.total_seconds(),
        "looks": bound.looks,
        "alpha": experiment.analysis.alpha,
        **blocks_of(bound),
        **in_plan(bound),
        **_learning(bound),
    }


def _learning(bound: Bound) -> dict[str, object]:
    adaptive = bound.experiment.assignment.adaptive
    return {"adaptive": adaptive.model_dump(mode="json")} if adaptive else {}


def _phase(phase: AllocationPhase) -> dict[str, object]:
    return {
        "at": phase.starts_at,
        "coverage": phase.coverage,
        "shares": phase.shares,
        "ranges": [[part.low, part.high, part.arm] for part in phase.ranges],
        "share_moved": phase.share_moved,
    }


def _layer(layer: Layer, experiment: str) -> dict[str, object]:
    (slot,) = layer.slots
    return {"name": layer.name, "salt": layer.salt, "low": slot.low, "high": slot.high, "experiment": experiment}
