"""Exposure rows beside the design: the arm and stratum that its rule gives each, in SQL or in frames."""

from __future__ import annotations

from typing import Any

import duckdb

from xp_pipeline.design.assigning import Rule
from xp_pipeline.design.strata import stratified_sql
from xp_pipeline.engine.predicates import identifier, literal
from xp_pipeline.engine.queries import render
from xp_pipeline.language.buckets import bucket_sql
from xp_pipeline.lifecycle.assignment.cells import celled
from xp_pipeline.lifecycle.assignment.versions import versioned
from xp_pipeline.lifecycle.frames import matching, unit_of
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.source import Source

ARM, STRATUM = "designed_arm", "designed_stratum"
_READABLE = ("integer", "number", "text", "boolean")


def is_designed(bound: Bound) -> bool:
    """Whether rows are laid beside the design: arms come from it, or logged ones can be held against it."""
    assignment = bound.experiment.assignment
    if assignment.adaptive:
        return True
    return assignment.weights != "unknown" and (bound.experiment.population.arm is None or assignment.recomputable)


def with_design(bound: Bound, source: Source, relation: str, *, time: str, con: duckdb.DuckDBPyConnection) -> str:
    """The relation with two more columns: the designed arm and its stratum.

    A rule that SQL has no functions for is read in frames, over the distinct values that it looks at.
    """
    rule = Rule(bound)
    if rule.switchback:
        return celled(bound, source, relation)
    if bound.experiment.assignment.adaptive:
        return versioned(rule, source, relation)
    unit = unit_of(source)
    if bound.experiment.assignment.stratify:
        return _stratified(rule, source, relation)
    parts = _ramp(rule, unit, time) if rule.allocation else _program(rule, source, con, relation)
    query = render(
        "designed_arms",
        relation=parts.pop("relation", relation),
        member=rule.layer.takes_sql(bound.id, unit) if rule.layer else "TRUE",
        sticky=bool(rule.allocation and any(phase.moved for phase in rule.allocation.phases)),
        unit=unit,
        time=time,
        **parts,
    )
    return f"({query})"


def _stratified(rule: Rule, source: Source, relation: str) -> str:
    """Arms drawn over the whole list of the experiment's units, within strata."""
    bound, unit = rule.bound, unit_of(source)
    listed = f"(SELECT * FROM {relation} WHERE {matching(bound.experiment.population.where, source)})"
    columns = [identifier(name) for name in bound.experiment.assignment.stratify]
    drawn = stratified_sql(listed, unit, columns, bound.experiment.assignment.shares or {}, salt=rule.salt)
    return (
        f"(SELECT r.*, CAST(NULL AS VARCHAR) AS {STRATUM}, d.arm AS {ARM} "
        f"FROM {relation} AS r LEFT JOIN ({drawn}) AS d ON d.unit = r.{unit})"
    )


def _ramp(rule: Rule, unit: str, time: str) -> dict[str, str]:
    assert rule.allocation is not None
    return {
        "branch": rule.allocation.phase_sql(time),
        "bucket": bucket_sql(rule.salt, [unit]),
        "stratum": "'phase ' || CAST(branch + 1 AS VARCHAR)",
        "arm": rule.allocation.arm_sql("bucket", time),
    }


def _program(rule: Rule, source: Source, con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    program = rule.program
    assert program is not None
    named = {"stratum": "'branch ' || CAST(branch AS VARCHAR)"}
    kinds: Any = {name: column.type for name, column in source.columns.items() if column.type in _READABLE}
    if rule.unit not in kinds:
        kinds["_row"] = "integer"
    if program.rule != "growthbook":
        columns = program.columns(kinds)
        return named | {"branch": columns.branch, "bucket": columns.bucket, "arm": columns.arm}
    return named | _in_frames(rule, con, relation)


def _in_frames(rule: Rule, con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Branch, bucket and arm of every distinct combination of fields, joined back to its rows."""
    program = rule.program
    assert program is not None
    fields = list(dict.fromkeys([*program.splitters, *program.fields]))
    columns = ", ".join(identifier(name) for name in fields)
    distinct = con.sql(f"SELECT DISTINCT {columns} FROM {relation}").pl()
    con.register("drawn_by_frames", program.polars(distinct))
    con.execute("CREATE OR REPLACE TEMP TABLE drawn_units AS SELECT * FROM drawn_by_frames")
    con.unregister("drawn_by_frames")
    same = " AND ".join(f"r.{identifier(name)} IS NOT DISTINCT FROM d.{identifier(name)}" for name in fields)
    joined = (
        "(SELECT r.*, d.branch AS frame_branch, d.bucket AS frame_bucket, d.arm AS frame_arm "
        f"FROM {relation} AS r LEFT JOIN drawn_units AS d ON {same})"
    )
    return {"relation": joined, "branch": "frame_branch", "bucket": "frame_bucket", "arm": "frame_arm"}


def leaks(bound: Bound) -> str:
    """A condition on assigned rows: an arm that the design gives nobody, or nobody of that phase or branch."""
    assignment = bound.experiment.assignment
    strata = Rule(bound).strata if is_designed(bound) else None
    if strata is None:
        shares = assignment.shares or {}
        zero = [literal(arm) for arm, share in shares.items() if share == 0]
        return f"assigned.arm IN ({', '.join(zero)})" if zero else "FALSE"
    cases = []
    for name, shares in strata.items():
        zero = [literal(arm) for arm, share in shares.items() if share == 0]
        if zero:
            here = f" AND assigned.stratum = {literal(name)}" if name else ""
            cases.append(f"(assigned.arm IN ({', '.join(zero)}){here})")
    return " OR ".join(cases) or "FALSE"
