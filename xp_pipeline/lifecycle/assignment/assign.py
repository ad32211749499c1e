"""RUNNING begins: who is in which arm since when, and why anyone exposed is left out."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import SourceError, TamperError
from xp_pipeline.lifecycle.asof import AsOf, NotYet, resolve
from xp_pipeline.lifecycle.assignment.units import UnitTables
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest
from xp_pipeline.spec.canonical import same_digest
from xp_pipeline.spec.phases import ExperimentState, Phase


def assign(workspace: Workspace, promise: Sealed, *, as_of: date | None = None) -> Manifest:
    """Seal one row per exposed unit: arm, first exposure, segments, and a status that says if it counts.

    Raises:
        NotYet: nobody was exposed yet.
        PhaseOrderError: the design is not sealed.
    """
    design = workspace.read(promise.id, Phase.DESIGN, spec_hash=promise.spec_hash)
    horizon = resolve(workspace, promise, asked=as_of)
    inputs = {"phase:design": design.manifest.digest, "look": "final" if horizon.final else "interim"} | {
        f"source:{name}": workspace.version(name).version for name in promise.bound.source_names
    }
    found = workspace.unchanged(
        promise.id, Phase.ASSIGNMENTS, as_of=horizon.text, spec_hash=promise.spec_hash, inputs=inputs
    )
    if not found:
        _refuse_other_data(workspace, promise, horizon)
    manifest = found or _assigned(workspace, promise, horizon, inputs)
    workspace.reach(promise.id, ExperimentState.RUNNING, {"first_exposure": manifest.summary["first_exposure"]})
    return manifest


def _refuse_other_data(workspace: Workspace, promise: Sealed, horizon: AsOf) -> None:
    """The final look can be rebuilt from the data it was taken on, and from no other."""
    look = workspace.final_look(promise.id)
    if look is None or look.payload["as_of"] != horizon.text:
        return
    for name, frozen in look.payload["sources"].items():
        found = workspace.version(name).content_digest
        if not same_digest(found, frozen):
            raise TamperError(
                f"source {name} is not the one that the final look was taken on",
                where=promise.id,
                found=found,
                allowed=frozen,
                next_step="restore the data, or keep the sealed artifacts of the lake",
            )


def _assigned(workspace: Workspace, promise: Sealed, horizon: AsOf, inputs: dict[str, str]) -> Manifest:
    with connect(memory_limit=workspace.folder.project.engine.memory_limit) as con:
        rows = UnitTables(workspace, promise, horizon, con).build()
        return _seal(workspace, promise, horizon, inputs, con, rows)


def _seal(
    workspace: Workspace,
    promise: Sealed,
    horizon: AsOf,
    inputs: dict[str, str],
    con: duckdb.DuckDBPyConnection,
    rows: dict[str, int],
) -> Manifest:
    units, ok, first = _one(con, "SELECT count(*), count(*) FILTER (status = 'ok'), min(t0) FROM units")
    if not units:
        raise _nobody(promise, rows)
    first_exposure = first.replace(tzinfo=UTC) if first else None

    def write(path: Path) -> None:
        con.execute(f"COPY units TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")

    return workspace.seal(
        promise.id,
        Phase.ASSIGNMENTS,
        as_of=horizon.text,
        spec_hash=promise.spec_hash,
        verdict="passed",
        inputs=inputs,
        files={"assignments.parquet": write, "rows.json": serialize_to_json(rows).encode()},
        summary={
            "units": units,
            "ok": ok,
            "first_exposure": first_exposure.isoformat() if first_exposure else None,
            "retrospective": _retrospective(promise, first_exposure),
            "final": horizon.final,
            "until": horizon.until.isoformat() if horizon.until else None,
        },
    )


def _nobody(promise: Sealed, rows: dict[str, int]) -> Exception:
    if promise.bound.start and rows["experiment_rows"] == rows["early_rows"] + rows["late_rows"]:
        return NotYet("nobody was exposed yet", where=promise.id, found=f"{rows['all_rows']:,} rows, none in time")
    return SourceError(
        "no row of the population's source belongs to the experiment",
        where=f"{promise.id}, source {promise.bound.experiment.population.source}",
        found=f"{rows['all_rows']:,} rows, {rows['experiment_rows']:,} matching, "
        f"{rows['null_arm_rows']:,} without an arm",
        next_step="check population.where and population.arm",
    )


def _retrospective(promise: Sealed, first_exposure: datetime | None) -> bool:
    began = first_exposure or promise.bound.start
    return began is None or promise.registered_at > began


def _one(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = con.execute(query).fetchone()
    assert row is not None
    return row


def read_rows(folder_bytes: bytes) -> dict[str, int]:
    """The row counts of a sealed assignment."""
    return dict(json.loads(folder_bytes))
