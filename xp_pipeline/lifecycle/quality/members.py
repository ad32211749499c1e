"""Clusters as units: how many members each has, and whether members are as many in each arm as its clusters lead to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np

from xp_pipeline.design.assigning import EVERYBODY
from xp_pipeline.engine.predicates import identifier
from xp_pipeline.lifecycle.quality.checks import SRM_FAIL_P, Finding
from xp_pipeline.spec.binding import Bound
from xp_pipeline.stats.cluster_srm import SizePhase, cluster_srm_phases
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.srm import SRM

Strata = Mapping[str, Mapping[str, float]]
_LOST = "Clusters are as designed; members were lost, or joined, in an arm after its clusters were assigned."


def member_of(bound: Bound) -> str | None:
    """The column of members as SQL; None where the unit is not a cluster."""
    member = bound.experiment.population.member
    return identifier(member) if member else None


def counted(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, int]:
    """Members of the analysed clusters by arm."""
    query = f"SELECT arm, CAST(sum(members) AS BIGINT) FROM {relation} WHERE status = 'ok' GROUP BY arm ORDER BY arm"
    return dict(con.execute(query).fetchall())


def member_findings(bound: Bound, strata: Strata | None, con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """The sample ratio of members given the clusters of each arm, which warns; nothing where units are no clusters."""
    if not bound.experiment.population.member:
        return []
    if strata is None:
        said = "The designed split is unknown, so the sample ratio of members cannot be tested."
        return [Finding("srm_members", "all", "not_testable", said)]
    found = cluster_srm_phases(_phases(strata, con))
    test, effect = found.units, found.design_effect
    clusters = found.clusters.observed
    if test.status != "ok":
        message = f"{_listed(test, clusters)}: not testable, {test.reason}."
        return [Finding("srm_members", "all", "not_testable", message, observed=test.observed)]
    warned = test.p_value < SRM_FAIL_P
    judged = "not as many as the clusters lead to expect" if warned else "as the clusters lead to expect"
    said = f" {test.reason.capitalize()}." if test.reason else ""
    return [
        Finding(
            "srm_members",
            "all",
            "warned" if warned else "passed",
            f"{_listed(test, clusters)}: {judged} (p = {test.p_value:.2g}; a count of members against the design "
            f"would be {effect:.3g} times too sure).{said}",
            statistic=test.statistic,
            p_value=test.p_value,
            threshold=SRM_FAIL_P,
            observed=test.observed,
            expected=test.expected,
            hint=_LOST if warned else "",
        )
    ]


def _listed(test: SRM, clusters: Mapping[str, int]) -> str:
    parts = []
    for arm, members in test.observed.items():
        many = clusters.get(arm, 0)
        each = f", {members / many:.3g} each" if many else ""
        parts.append(f"{arm} {members:,} members in {many:,} clusters{each}")
    return "; ".join(parts)


def _phases(strata: Strata, con: duckdb.DuckDBPyConnection) -> list[SizePhase]:
    """Sizes by arm and the shares in force, of every phase (or branch) that has clusters."""
    query = "SELECT coalesce(stratum, ''), arm, members FROM units WHERE status = 'ok' ORDER BY bucket, unit"
    sizes: dict[str, dict[str, list[Any]]] = {}
    for stratum, arm, members in con.execute(query).fetchall():
        name = stratum if len(strata) > 1 else EVERYBODY
        sizes.setdefault(name, {}).setdefault(arm, []).append(members)
    return [
        ({arm: Moments.of(np.array(many, dtype=float)) for arm, many in arms.items()}, strata[name])
        for name, arms in sorted(sizes.items())
        if name in strata
    ]
