"""The population flow: from rows read to units analysed, every loss by name."""

from __future__ import annotations

from typing import Any

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.queries import render
from xp_pipeline.lifecycle.frames import parquet
from xp_pipeline.lifecycle.quality.members import counted as counted_members
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.phases import Phase

_STATUS = {
    "leak": "in an arm of weight zero",
    "undeclared_arm": "in an undeclared arm",
    "multi_arm": "met several arms",
    "mismatch": "arm and shown column disagree",
    "identity_conflict": "ambiguous identity",
}


def population_flow(workspace: Workspace, promise: Sealed, as_of: str | None) -> list[Any]:
    """Steps of rows, then of units, each kept or excluded."""
    sealed = workspace.read(promise.id, Phase.ASSIGNMENTS, spec_hash=promise.spec_hash, as_of=as_of)
    rows = sealed.json("rows.json")
    version = workspace.version(promise.bound.experiment.population.source)
    steps = [_rows("rows read", version.rows_read, "kept")]
    steps += [_rows(f"broke the contract ({reason})", n, "excluded") for reason, n in version.rejected.items()]
    steps += [_rows(f"filter {name}", n, "excluded") for name, n in version.filtered.items()]
    edges = rows.get("edge_rows", 0)
    other = rows["all_rows"] - rows["experiment_rows"] - edges
    steps += [
        _rows("of other experiments or places", other, "excluded"),
        _rows("before the start", rows["early_rows"], "excluded"),
        _rows("after the end or the as-of", rows["late_rows"], "excluded"),
        _rows("at the edges of blocks (burn-in, burn-out)", edges, "excluded"),
        _rows("without an arm", rows["null_arm_rows"], "excluded"),
    ]
    mismatch = promise.bound.experiment.population.mismatch
    if mismatch and mismatch.policy == "drop_rows":
        steps.append(_rows("arm and shown column disagree", rows["mismatched_rows"], "excluded"))
    steps = [step for step in steps if step["rows"] or step["name"] == "rows read"]
    return [*steps, *_unit_steps(workspace, promise, parquet(sealed.path("assignments.parquet")))]


def _rows(name: str, n: int, kind: str) -> dict[str, Any]:
    return {"name": name, "rows": n, "kind": kind}


def _unit_steps(workspace: Workspace, promise: Sealed, relation: str) -> list[dict[str, Any]]:
    with connect() as con:
        counted = con.execute(render("unit_counts", by=["status", "arm"], where="TRUE", relation=relation)).fetchall()
        reached = con.execute(
            render(
                "unit_counts",
                by=["arm"],
                where="status = 'ok' AND triggered_at IS NOT NULL",
                relation=relation,
            )
        ).fetchall()
        of_clusters = counted_members(con, relation) if promise.bound.experiment.population.member else {}
    by_status: dict[str, dict[str, int]] = {}
    for status, arm, n in counted:
        by_status.setdefault(status, {})[arm] = n
    everyone: dict[str, int] = {}
    for _, arm, n in counted:
        everyone[arm] = everyone.get(arm, 0) + n
    steps = [_units("units exposed", everyone, "kept")]
    steps += [_units(words, by_status[status], "excluded") for status, words in _STATUS.items() if status in by_status]
    steps.append(_units("units analysed", by_status.get("ok", {}), "kept"))
    if of_clusters:
        steps.append({"name": "members in them", "members": sum(of_clusters.values()), "kind": "kept"})
        steps[-1] |= {"by_arm": of_clusters}
    if promise.bound.experiment.population.trigger:
        steps.append(_units("of these, reached the entry point", dict(reached), "kept"))
    return steps


def _units(name: str, by_arm: dict[str, int], kind: str) -> dict[str, Any]:
    return {"name": name, "units": sum(by_arm.values()), "kind": kind, "by_arm": by_arm}
