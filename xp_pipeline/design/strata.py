"""Stratified assignment: shares kept within every stratum, and every unit's chance exactly the designed one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xp_pipeline.design.ranges import cumulative
from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import DataError
from xp_pipeline.language.buckets import bucket, bucket_sql

Unit = str | int
Stratum = str | int | bool | None
"""One value of a stratifying column; None is a stratum like any other."""

_START = "stratum"


def stratified(
    units: Sequence[Unit], strata: Sequence[Sequence[Stratum]], shares: Mapping[str, float], *, salt: str
) -> list[str]:
    """The arm of every unit of a closed list.

    Within a stratum of n units, the units are put in the order of their buckets, which is a random permutation, and
    the arm with cumulative shares (C', C] takes ranks floor(n C' + U) up to floor(n C + U), with one U, uniform in
    [0, 1), drawn per stratum (systematic sampling: Madow 1949, Ann. Math. Statist. 20). Hence

    * an arm gets n times its share, rounded up or down, and exactly that on average over salts;
    * every unit gets every arm with exactly the designed probability: a stratum of one is a draw from the shares;
    * what does not divide evenly falls to different arms in different strata.

    The result holds for this list: a unit that comes later changes ranks, so the table made of it is kept.

    Args:
        units: Each once; 3 and "3" are one unit.
        strata: For every unit the values of the stratifying columns, text, integers, booleans or None.
        shares: Designed weight by arm, of any positive sum.
        salt: Of the experiment.

    Raises:
        DataError: a unit appears twice, the lengths differ, or a stratum is a float.
    """
    if len(units) != len(strata):
        raise DataError("every unit has a stratum", found=f"{len(units)} units, {len(strata)} strata")
    if twice := len(units) - len({str(unit) for unit in units}):
        raise DataError("a unit is assigned once", found=f"{twice} units again")
    bounds = cumulative(shares)
    arms = [""] * len(units)
    for stratum, members in _members(strata).items():
        ordered = sorted(members, key=lambda i: (bucket(salt, units[i]), str(units[i])))
        start = bucket(salt, _START, *stratum)
        for rank, i in enumerate(ordered):
            arms[i] = next(arm for arm, c in bounds if rank < math.floor(len(ordered) * c + start))
    return arms


def stratified_sql(relation: str, unit: str, columns: Sequence[str], shares: Mapping[str, float], *, salt: str) -> str:
    """The same as a query of the columns ``unit`` and ``arm``.

    Args:
        relation: A table, view or query in parentheses with one row per unit.
        unit: Column or expression of the unit, integers or text.
        columns: Columns or expressions of the strata: integers, text or booleans.
        shares: Designed weight by arm.
        salt: Of the experiment.
    """
    texts = [f"CAST({column} AS VARCHAR)" for column in columns]
    parts = [part for text in texts for part in (f"{text} IS NULL", f"coalesce({text}, '')")]
    start = bucket_sql(salt, [literal(_START), *parts])
    partition = f"PARTITION BY {', '.join(texts)}" if texts else ""
    whens = " ".join(
        f"WHEN position < floor(size * {literal(bound)} + start) THEN {literal(arm)}"
        for arm, bound in cumulative(shares)
    )
    return f"""
WITH ranked AS (
    SELECT
        {unit} AS unit,
        row_number() OVER ({partition} ORDER BY {bucket_sql(salt, [unit])}, CAST({unit} AS VARCHAR)) - 1 AS position,
        count(*) OVER ({partition}) AS size,
        {start} AS start
    FROM {relation}
)
SELECT unit, CASE {whens} END AS arm
FROM ranked
""".strip()


def _members(strata: Sequence[Sequence[Stratum]]) -> dict[tuple[str | bool, ...], list[int]]:
    """Positions of the units by stratum; a missing value is told from an empty text."""
    members: dict[tuple[str | bool, ...], list[int]] = {}
    for i, values in enumerate(strata):
        stratum = tuple(part for value in values for part in (value is None, _text(value)))
        members.setdefault(stratum, []).append(i)
    return members


def _text(value: Stratum) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    raise DataError("this value cannot make strata", found=repr(value), allowed="text, integers, booleans, nothing")
