"""Published versions of adaptive weights as the strata of a design: who was assigned by which, and who by none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from xp_pipeline.design.assigning import Rule
from xp_pipeline.engine.predicates import identifier, literal
from xp_pipeline.language.buckets import bucket_sql, choose_sql
from xp_pipeline.lifecycle.frames import unit_of
from xp_pipeline.lifecycle.quality.checks import Finding
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.source import Source
from xp_pipeline.stats.srm import FEWEST_EXPECTED, Phase

UNPUBLISHED_FAIL = 0.01
"""Share of units assigned by weights that nobody published from which estimates are withheld."""


class Versions(dict[str, dict[str, float]]):
    """Designed shares by version of adaptive weights, in order of publication."""


def versioned(rule: Rule, source: Source, relation: str) -> str:
    """The relation with the logged version as the designed stratum, and the arm that its shares give the unit.

    Where the spec names no salt, arms are another's business: the designed arm is null.
    """
    adaptive = rule.assignment.adaptive
    assert adaptive is not None
    version = f"CAST({identifier(adaptive.version)} AS VARCHAR)"
    arm = _arm(rule, unit_of(source), version) if rule.assignment.recomputable else "CAST(NULL AS VARCHAR)"
    return f"(SELECT *, {version} AS designed_stratum, {arm} AS designed_arm FROM {relation})"


def _arm(rule: Rule, unit: str, version: str) -> str:
    number = bucket_sql(rule.salt, [unit])
    cases = " ".join(f"WHEN {literal(v)} THEN {choose_sql(number, shares)}" for v, shares in rule.published.items())
    if not cases:
        return "CAST(NULL AS VARCHAR)"
    member = rule.layer.takes_sql(rule.bound.id, unit) if rule.layer else "TRUE"
    return f"CASE WHEN {member} THEN CASE {version} {cases} END END"


def in_order(
    bound: Bound, tables: Mapping[str, Mapping[str, int]], strata: Mapping[str, Mapping[str, float]]
) -> list[Phase]:
    """Counts beside designed shares, as a test of the sample ratio takes them.

    Versions of adaptive weights stand in order of publication, and successive ones are pooled until every arm expects
    5 units, the expected ones being their weights (as in :func:`xp_pipeline.stats.adaptive_batches.phases`).
    """
    if not bound.experiment.assignment.adaptive:
        return [(tables[name], strata[name]) for name in sorted(tables) if name in strata]
    return _pooled([(tables[name], strata[name]) for name in strata if name in tables])


def _pooled(batches: Sequence[Phase]) -> list[Phase]:
    found: list[Phase] = []
    held: list[Phase] = []
    for counts, shares in batches:
        held.append((counts, {arm: share * sum(counts.values()) for arm, share in shares.items()}))
        if min((expected for expected in _sum(held)[1].values() if expected > 0), default=0.0) >= FEWEST_EXPECTED:
            found.append(_sum(held))
            held = []
    if held and found:
        return [*found[:-1], _sum([found[-1], *held])]
    return [_sum(held)] if held else found


def _sum(phases: Sequence[Phase]) -> Phase:
    counts: dict[str, int] = {}
    expected: dict[str, float] = {}
    for observed, weights in phases:
        for arm, weight in weights.items():
            counts[arm] = counts.get(arm, 0) + observed.get(arm, 0)
            expected[arm] = expected.get(arm, 0.0) + weight
    return counts, expected


def unpublished(bound: Bound, con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Units whose logged version is none of the published ones; nothing for designs that are not adaptive.

    Args:
        bound: The spec, with what was published.
        con: Where the table ``units`` is.
    """
    if not bound.experiment.assignment.adaptive:
        return []
    known = ", ".join(literal(version) for version in bound.allocations) or "NULL"
    row = con.execute(
        f"SELECT count(*) FILTER (stratum IS NULL OR stratum NOT IN ({known})), count(*) FROM units WHERE status = 'ok'"
    ).fetchone()
    units, total = row or (0, 0)
    share = units / total if total else 0.0
    verdict = "failed" if share > UNPUBLISHED_FAIL else "warned" if units else "passed"
    message = (
        f"{units:,} of {total:,} units ({share:.2%}) were assigned by weights that were never published; their "
        "propensities are unknown, and the weighted estimates leave them out."
        if units
        else f"All {total:,} units were assigned by published weights."
    )
    return [
        Finding(
            "allocation", "all", verdict, message, blocking=True, statistic=share, threshold=UNPUBLISHED_FAIL,
            hint="Look for a service that does not follow the published weights." if units else "",
        )
    ]  # fmt: skip
