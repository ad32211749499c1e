"""Switchbacks: rows are mapped to cells (unit by time block), which are assigned, checked, measured and compared."""

from __future__ import annotations

from typing import Any

import duckdb

from xp_pipeline.design.assigning import Rule
from xp_pipeline.engine.predicates import identifier
from xp_pipeline.lifecycle.frames import every, matching, relation, time_of, unit_of
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.source import Source

KEPT = "in_its_block"
"""Name of the column that says whether a row lies outside burn-in and burn-out."""
SWITCHED = "switched_unit"
"""Name of the column that keeps the unit beside its cell."""


def is_switchback(bound: Bound) -> bool:
    """Whether arms change from time block to time block."""
    return bound.experiment.assignment.switchback is not None


def blocks_of(bound: Bound) -> dict[str, Any]:
    """What a sealed design says of its blocks; nothing without them."""
    blocks = bound.experiment.assignment.switchback
    return {"switchback": blocks.model_dump(mode="json")} if blocks else {}


def celled(bound: Bound, source: Source, rows: str) -> str:
    """Rows with the cell in place of their unit, the arm it was given, and whether they lie inside its block's edges.

    Rows outside the schedule keep their unit, as text; they are early, or late.
    """
    schedule = Rule(bound).switchback
    assert schedule is not None
    unit, time = unit_of(source), time_of(source, bound.timezone)
    timed = f"(SELECT _row AS cell_row, {unit} AS cell_unit, {time} AS cell_time FROM {rows})"
    cells = schedule.cells_sql(timed, "cell_unit", "cell_time")
    return (
        f"(SELECT r.* REPLACE (coalesce(c.cluster, CAST(r.{unit} AS VARCHAR)) AS {unit}), c.arm AS designed_arm, "
        f"CAST(r.{unit} AS VARCHAR) AS {SWITCHED}, "
        f"CAST(NULL AS VARCHAR) AS designed_stratum, coalesce(c.analysable, TRUE) AS {KEPT} "
        f"FROM {rows} AS r LEFT JOIN ({cells}) AS c ON c.cell_row = r._row)"
    )


def rows_of(workspace: Workspace, bound: Bound, source: Source) -> str:
    """The clean rows of a source as a metric counts them: by cell, without the edges of blocks, in a switchback."""
    rows = relation(workspace, source.name)
    return f"(SELECT * FROM {celled(bound, source, rows)} WHERE {KEPT})" if is_switchback(bound) else rows


def cluster_of(bound: Bound, column: str) -> str:
    """The declared cluster as SQL: a column, or in a switchback the unit whose cells are alike."""
    unit = bound.sources[bound.experiment.population.source]["unit"]
    return identifier(SWITCHED) if is_switchback(bound) and column == unit else identifier(column)


def inside(bound: Bound) -> list[str]:
    """The condition that population rows lie inside their block's edges; none without blocks."""
    return [identifier(KEPT)] if is_switchback(bound) else []


def at_edges(bound: Bound, source: Source, rows: str, con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many of the experiment's rows burn-in and burn-out leave out; nothing without blocks.

    Args:
        rows: The relation that :func:`celled` made.
    """
    if not is_switchback(bound):
        return {}
    conditions = [matching(bound.experiment.population.where, source), f"NOT {identifier(KEPT)}"]
    found = con.execute(f"SELECT count(*) FROM {rows} WHERE {every(conditions)}").fetchone()
    return {"edge_rows": found[0] if found else 0}
