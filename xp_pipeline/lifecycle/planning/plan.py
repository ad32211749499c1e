"""PLANNED: the plan of an experiment, from its own history or from typed numbers; sealed, and read again at looks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from xp_pipeline.design.detection import power_with
from xp_pipeline.design.search import smallest
from xp_pipeline.lifecycle.comparisons import decided
from xp_pipeline.lifecycle.factorials import in_plan
from xp_pipeline.lifecycle.planning.aims import (
    aim_of,
    level_of_each,
    pair_of,
    planned_days,
    power_of_each,
    said,
    shares_of,
)
from xp_pipeline.lifecycle.planning.baselines import known, traffic_of
from xp_pipeline.lifecycle.planning.entries import Entry, entry
from xp_pipeline.lifecycle.planning.history import Past, look_back
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.phases import ExperimentState, Phase
from xp_pipeline.spec.values import Amount

DEFAULT_PLANNED_UNITS = 10_000


def plan(workspace: Workspace, promise: Sealed) -> Manifest:
    """Seal the plan of a registered experiment; a metric without a baseline is planned as far as it goes."""
    spec = workspace.read(promise.id, Phase.REGISTERED_SPEC, spec_hash=promise.spec_hash)
    inputs = {"phase:registered_spec": spec.manifest.digest}
    found = workspace.unchanged(promise.id, Phase.POWER_PLAN, as_of=None, spec_hash=promise.spec_hash, inputs=inputs)
    manifest = found or workspace.seal(
        promise.id,
        Phase.POWER_PLAN,
        as_of=None,
        spec_hash=promise.spec_hash,
        verdict="passed",
        inputs=inputs,
        files={"plan.json": serialize_to_json(make_plan(workspace, promise), indent=1).encode()},
        summary={},
    )
    workspace.reach(promise.id, ExperimentState.PLANNED, payload={"plan": manifest.digest})
    return manifest


def make_plan(workspace: Workspace, promise: Sealed) -> dict[str, Any]:
    """The plan as shown and sealed: one entry a metric and arm, and what it rests on."""
    bound = promise.bound
    past = look_back(workspace, promise)
    traffic, coming = traffic_of(bound.experiment.planning.units_per_day, past)
    entries = []
    for role, use, metric in bound.uses:
        baseline, origin = known(use, metric, past, traffic)
        aim = aim_of(bound, role, use, metric)
        for arm in decided(bound):
            planned: Entry = {"metric": metric.name, "role": role, "arm": arm, "n": None, "baseline": origin}
            planned["type"] = metric.type
            if baseline is not None:
                planned |= entry(aim, shares=pair_of(bound, arm), history=baseline, days=planned_days(bound))
                planned["n"] = planned["n"] or planned.get("n_at_end")
            entries.append(planned)
    return {
        "experiment": promise.id,
        "metrics": entries,
        "run_days": planned_days(bound),
        "units_per_day": float(traffic.at(traffic.days)) / traffic.days if traffic else None,
        "shares": dict(shares_of(bound)),
        "assumptions": [coming, *_rests_on(bound, past), *said(bound)],
        **in_plan(bound),
    }


def _rests_on(bound: Bound, past: Past) -> list[str]:
    """What limits the history."""
    if past.span is None:
        return []
    sentences = []
    if not past.span.looked_back:
        sentences.append("Covariates could not look back their whole length, and will explain more than was planned.")
    cluster = bound.experiment.analysis.cluster
    if cluster:
        told = "count" if past.clustered else f"do not count: {past.span.source} has no such column"
        sentences.append(f"Units alike within {cluster} {told}.")
    return sentences


def planned_units(workspace: Workspace, promise: Sealed) -> int:
    """Units of two arms that interim bands are tuned to."""
    entries = _entries(workspace, promise)
    sizes = [e["n"] + (e.get("n_control") or e["n"]) for e in entries if e["n"]]
    return int(max(sizes, default=DEFAULT_PLANNED_UNITS))


def _entries(workspace: Workspace, promise: Sealed) -> list[dict[str, Any]]:
    artifact = workspace.read(promise.id, Phase.POWER_PLAN, spec_hash=promise.spec_hash)
    return list(artifact.json("plan.json")["metrics"])


def read_powers(workspace: Workspace, promise: Sealed, rows: Sequence[dict[str, Any]]) -> None:
    """Add power at the planned effect, and the smallest effect detectable now, to the deciding rows."""
    uses = {use.metric: use for _, use in promise.bound.experiment.metrics.items()}
    for row in rows:
        if not row.get("decisive") or row["status"] != "ok" or not row["se"]:
            continue
        primary = row["role"] == "primary"
        alpha = level_of_each(promise.bound, alpha=row["alpha"]) if primary else row["alpha"]
        asked = power_of_each(promise.bound) if primary else promise.bound.experiment.analysis.power
        row["mde"] = _detectable(row["se"], row["df"], alpha, asked)
        use = uses[row["metric"]]
        effect = absolute(use.mde, row["mean_baseline"])
        if effect:
            row["power"] = _power(effect, row["se"], row["df"], alpha)
        elif use.equivalence and row.get("margin_kind"):
            row["power"] = _power_of_equivalence(use.equivalence, row, alpha)


def _power(effect: float, se: float, df: float, alpha: float, *, two_sided: bool = True) -> float:
    return power_with(
        effect=effect, var_mean_control=se**2, var_mean_treatment=0.0, df=df, alpha=alpha, two_sided=two_sided
    )


def _power_of_equivalence(amount: Amount, row: Mapping[str, Any], alpha: float) -> float:
    """Of both one-sided tests where there is no effect; a relative margin weighs the variance of control by k^2."""
    margin = absolute(amount, row["mean_baseline"])
    v_c, v_t = row["variance_baseline"] / row["n_baseline"], row["variance_arm"] / row["n_arm"]
    missed = 0.0
    for k in (1 - amount.value, 1 + amount.value) if amount.relative else (1.0, 1.0):
        spread = (v_t + k**2 * v_c) / (v_t + v_c) if 0 < v_t + v_c < math.inf else 1.0
        missed += 1 - _power(margin or 0.0, row["se"] * math.sqrt(spread), row["df"], alpha, two_sided=False)
    return max(0.0, 1 - missed)


def _detectable(se: float, df: float, alpha: float, power: float) -> float:
    """Smallest effect with the power asked for, at the standard error an experiment has."""
    return smallest(lambda effect: _power(effect, se, df, alpha) >= power, low=0.0, start=se, largest=1e9 * se)


def absolute(amount: Amount | None, mean: float) -> float | None:
    """An effect or margin in the metric's unit."""
    if amount is None:
        return None
    return amount.value * abs(mean) if amount.relative else amount.value


def planned_effects(promise: Sealed, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the effect each was planned for, which the decision holds its precision against."""
    uses = {use.metric: use for _, use in promise.bound.experiment.metrics.items()}
    return [
        row | {"planned_mde": absolute(uses[row["metric"]].mde, row.get("mean_baseline") or math.nan)} for row in rows
    ]
