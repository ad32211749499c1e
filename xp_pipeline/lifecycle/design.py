"""DESIGNED: the allocation, the bucket rule and the look schedule, sealed before anyone is analysed."""

from __future__ import annotations

from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.phases import ExperimentState, Phase


def design(workspace: Workspace, promise: Sealed) -> Manifest:
    """Seal the design of a planned experiment."""
    plan = workspace.read(promise.id, Phase.POWER_PLAN, spec_hash=promise.spec_hash)
    inputs = {"phase:power_plan": plan.manifest.digest}
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
    workspace.reach(promise.id, ExperimentState.DESIGNED, payload={"design": manifest.digest})
    return manifest


def describe(promise: Sealed) -> dict[str, object]:
    """The design in full: who gets which arm by what rule, from when to when, looked at how often."""
    experiment = promise.bound.experiment
    assignment = experiment.assignment
    return {
        "experiment": promise.id,
        "control": assignment.control,
        "arms": list(assignment.arms),
        "shares": assignment.shares,
        "bucket_rule": assignment.rule,
        "salt": assignment.salt or promise.id,
        "arm_from": experiment.population.arm.column if experiment.population.arm else "bucket rule",
        "start": promise.bound.start,
        "end": promise.bound.end,
        "follow_up_seconds": promise.bound.follow_up.total_seconds(),
        "looks": {"schedule": experiment.analysis.looks, "alpha": experiment.analysis.alpha, "planned": 1},
    }
