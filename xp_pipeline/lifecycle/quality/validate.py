"""The analysable population and every quality verdict; nothing past here reads a population that was blocked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from xp_pipeline.design.assigning import EVERYBODY, Rule
from xp_pipeline.engine.duckdb import connect
from xp_pipeline.engine.predicates import literal
from xp_pipeline.engine.queries import render
from xp_pipeline.errors import BlockedError, SRMError
from xp_pipeline.lifecycle.asof import midnight_after
from xp_pipeline.lifecycle.assignment.designed import is_designed
from xp_pipeline.lifecycle.assignment.versions import in_order, unpublished
from xp_pipeline.lifecycle.frames import moment, parquet
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.quality.arrivals import arrivals, rows_until, utc
from xp_pipeline.lifecycle.quality.balance import balance, moments_of
from xp_pipeline.lifecycle.quality.checks import Finding
from xp_pipeline.lifecycle.quality.members import member_findings
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.serialization import serialize_to_json
from xp_pipeline.spec.artifacts import Manifest, SealedArtifact
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.canonical import bytes_digest
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import Phase
from xp_pipeline.stats.srm import Phase as Weighted

EXAMPLES = 3


def validate(workspace: Workspace, promise: Sealed, *, as_of: date | None = None) -> Manifest:
    """Seal the analysable population, or a health-only artifact with verdict ``failed``.

    The caller withholds the estimates of a failed population (:mod:`xp_pipeline.lifecycle.withhold`).
    """
    assigned = workspace.read(
        promise.id, Phase.ASSIGNMENTS, spec_hash=promise.spec_hash, as_of=as_of.isoformat() if as_of else None
    )
    overridden = overridden_checks(workspace, promise)
    inputs = {"phase:assignments": assigned.manifest.digest}
    if overridden:
        inputs["ledger:override"] = ",".join(sorted(overridden))
    day = assigned.manifest.as_of
    found = workspace.unchanged(
        promise.id, Phase.VALIDATED_EXPOSURES, as_of=day, spec_hash=promise.spec_hash, inputs=inputs
    )
    if found:
        return found
    with connect() as con:
        con.execute(f"CREATE TEMP VIEW units AS SELECT * FROM {parquet(assigned.path('assignments.parquet'))}")
        findings = [_after_override(f, overridden) for f in _Checking(workspace, promise, assigned, con).findings()]
        return _seal(workspace, promise, assigned, inputs, con, findings)


def designed_strata(bound: Bound) -> dict[str, dict[str, float]] | None:
    """Designed shares by phase or branch, or of everybody; None when the split is unknown."""
    if is_designed(bound):
        return Rule(bound).strata
    shares = bound.experiment.assignment.shares
    return {EVERYBODY: shares} if shares else None


def overridden_checks(workspace: Workspace, promise: Sealed) -> set[str]:
    """Blocking checks that someone signed an override for, under the spec in force."""
    entries = workspace.ledger.entries(promise.id, EntryKind.OVERRIDE)
    return {e.payload["check"] for e in entries if e.payload["spec_hash"] == promise.spec_hash}


def _after_override(finding: Finding, overridden: set[str]) -> Finding:
    if finding.blocks and finding.check in overridden:
        return dataclasses.replace(
            finding,
            verdict="warned",
            message=f"{finding.message} Overridden: estimates are shown all the same.",
        )
    return finding


def refuse(promise: Sealed, findings: Sequence[Finding]) -> BlockedError:
    """The error of a blocked population: its first blocking finding as one line."""
    first = next(f for f in findings if f.blocks)
    kind = SRMError if first.check == "srm" else BlockedError
    return kind(
        first.message.rstrip("."),
        where=f"{promise.id}, check {first.check}",
        next_step=f"fix the cause, or xp override {promise.id} --check {first.check} --by YOU --reason WHY",
    )


def _seal(
    workspace: Workspace,
    promise: Sealed,
    assigned: SealedArtifact,
    inputs: dict[str, str],
    con: duckdb.DuckDBPyConnection,
    findings: list[Finding],
) -> Manifest:
    verdict = checks.worst(findings)
    blocking = [f for f in findings if f.blocks]
    files: dict[str, Any] = {"health.json": serialize_to_json([vars(f) for f in findings], indent=1).encode()}
    if not blocking:
        files["population.parquet"] = _population(con)
    counts = con.execute("SELECT count(*) FILTER (status = 'ok') FROM units").fetchone() or (0,)
    return workspace.seal(
        promise.id,
        Phase.VALIDATED_EXPOSURES,
        as_of=assigned.manifest.as_of,
        spec_hash=promise.spec_hash,
        verdict=verdict,
        inputs=inputs,
        files=files,
        summary={
            "units": counts[0],
            "final": assigned.manifest.summary["final"],
            "until": assigned.manifest.summary["until"],
            "rows": rows_until(workspace, promise, con, utc(assigned.manifest.summary["until"])),
            "retrospective": assigned.manifest.summary["retrospective"],
            "blocked_populations": [f.scope for f in findings if f.check == "srm" and f.verdict == "failed"],
            **({"blocked_by": blocking[0].check, "reason": blocking[0].message} if blocking else {}),
        },
    )


def _population(con: duckdb.DuckDBPyConnection) -> Any:
    """The counting units; everything the measurement needs, in the order of storage buckets."""

    def write(path: Path) -> None:
        con.execute(
            "COPY (SELECT * EXCLUDE (status, met_several, designed_arm, recorded_arm) FROM units WHERE status = 'ok') "
            f"TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)"
        )

    return write


class _Checking:
    """All checks of one assignment."""

    def __init__(
        self, workspace: Workspace, promise: Sealed, assigned: SealedArtifact, con: duckdb.DuckDBPyConnection
    ) -> None:
        self.workspace = workspace
        self.promise = promise
        self.experiment = promise.bound.experiment
        self.assigned = assigned
        self.con = con
        self.strata = designed_strata(promise.bound)

    def findings(self) -> list[Finding]:
        """Every finding, blocking checks first."""
        assignment = self.experiment.assignment
        population = self.experiment.population
        rows = self.assigned.json("rows.json")
        ok = self._counts("status = 'ok'")
        everyone = self._counts("status NOT IN ('leak', 'undeclared_arm')")
        scheduled = self.assigned.manifest.as_of is not None and self.promise.bound.end is not None
        found = [
            self._srm("status = 'ok'", scope="all", scheduled=scheduled),
            checks.leak(self._counts("status = 'leak'")),
            checks.undeclared(self._counts("status = 'undeclared_arm'"), assignment.arms),
            *checks.multi_arm(
                self._counts("met_several AND status NOT IN ('leak', 'undeclared_arm')"),
                everyone,
                warn=population.multi_arm_warn,
                fail=population.multi_arm_fail,
                policy=population.multi_arm,
            ),
            checks.null_arms(rows["null_arm_rows"], rows["null_arm_units"], computed=population.arm is None),
            *checks.empty_arms(
                ok, [a for a in assignment.arms if a == assignment.control or a in assignment.treatments]
            ),
        ]
        if population.mismatch:
            excluded = self._counts("status = 'mismatch'")
            found += checks.mismatched(rows["mismatched_rows"], excluded, population.mismatch.policy)
        found += member_findings(self.promise.bound, self.strata, self.con) + self._integrity()
        found += unpublished(self.promise.bound, self.con)
        found += self._triggered(scheduled) + self._segments() + self._days() + self._balance()
        for name in self.promise.bound.source_names:
            version = self.workspace.version(name)
            found += checks.quarantine(name, version.rejected, version.rows_read)
        return [*found, *arrivals(self.workspace, self.promise, self.con, self.assigned.manifest.as_of)]

    def _query(self, by: Sequence[str], where: str, relation: str = "units") -> list[Any]:
        return self.con.execute(render("unit_counts", by=by, where=where, relation=relation)).fetchall()

    def _counts(self, where: str) -> dict[str, int]:
        return dict(self._query(["arm"], where))

    def _filled(self, counts: dict[str, int]) -> dict[str, int]:
        """Designed arms in their order, empty ones as 0; undeclared ones are not this check's business."""
        return {arm: counts.get(arm, 0) for arm in self.experiment.assignment.arms}

    def _phases(self, by: Sequence[str], where: str, relation: str = "units") -> dict[str, list[Weighted]]:
        """Counts by arm and what was designed for them, by phase or branch; by scope, which is all without ``by``."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for *scope, stratum, arm, n in self._query([*by, "stratum", "arm"], where, relation):
            name = EVERYBODY if EVERYBODY in (self.strata or {EVERYBODY: {}}) else stratum or EVERYBODY
            counts = found.setdefault(str(scope[0]) if scope else "", {}).setdefault(name, self._filled({}))
            counts[arm] = counts.get(arm, 0) + n
        strata = self.strata or {}
        return {scope: in_order(self.promise.bound, tables, strata) for scope, tables in found.items()}

    def _srm(self, where: str, *, scope: str, scheduled: bool, blocking: bool = True) -> Finding:
        counts = self._filled(self._counts(where))
        if self.strata is None:
            return checks.srm(counts, None, scope=scope, scheduled=scheduled, blocking=blocking)
        phases = self._phases([], where).get("", [])
        shares = next(iter(self.strata.values()))
        return checks.srm(counts, shares, scope=scope, scheduled=scheduled, blocking=blocking, phases=phases)

    def _triggered(self, scheduled: bool) -> list[Finding]:
        if not self.experiment.population.trigger:
            return []
        where = "status = 'ok' AND triggered_at IS NOT NULL"
        return [self._srm(where, scope="triggered", scheduled=scheduled, blocking=False)]

    def _integrity(self) -> list[Finding]:
        """Arms held against what the design computes for the unit's first exposure, and against the record."""
        logged = self.experiment.population.arm is not None
        scopes = {"design": "designed_arm", "record": "recorded_arm"}
        found = []
        for what, column in scopes.items():
            if what == "design" and not (logged and self.experiment.assignment.recomputable):
                continue
            known = "status <> 'undeclared_arm'" + (f" AND {column} IS NOT NULL" if what == "record" else "")
            units, total = self.con.execute(
                f"SELECT count(*) FILTER (arm IS DISTINCT FROM {column}), count(*) FROM units WHERE {known}"
            ).fetchone() or (0, 0)
            if total:
                found.append(
                    checks.integrity(what, units, total, self._examples(f"{known} AND arm IS DISTINCT FROM {column}"))
                )
        return found

    def _examples(self, where: str) -> list[str]:
        """A few unit ids, hashed unless the source shows them."""
        source = self.workspace.folder.sources[self.experiment.population.source]
        rows = self.con.execute(
            f"SELECT CAST(unit AS VARCHAR) FROM units WHERE {where} ORDER BY bucket, unit LIMIT {EXAMPLES}"
        ).fetchall()
        return [unit if source.show_ids else f"sha256 {bytes_digest(unit.encode())[:12]}…" for (unit,) in rows]

    def _segments(self) -> list[Finding]:
        found = []
        for i, segment in enumerate(self.experiment.segments):
            levels = self._phases([f"seg_{i}"], "status = 'ok'") if self.strata else {}
            groups = {f"{segment.name}={level}": tables for level, tables in levels.items()}
            hint = f"The imbalance sits in particular values of {segment.name}: look at their clients and pipelines."
            found += checks.srm_by("srm_segment", groups, hint=hint)
        return found

    def _days(self) -> list[Finding]:
        """Sample ratio by exposure day, days being those of the project's zone."""
        first, last = self.con.execute("SELECT min(t0), max(t0) FROM units WHERE status = 'ok'").fetchone() or (
            None,
            None,
        )
        if first is None or last is None or self.strata is None:
            return []
        bound = self.promise.bound
        day = first.replace(tzinfo=UTC).astimezone(bound.zone).date()
        end = last.replace(tzinfo=UTC).astimezone(bound.zone).date()
        cases = []
        while day <= end:
            cases.append(f"WHEN t0 < {moment(midnight_after(day, bound))} THEN {literal(day.isoformat())}")
            day += timedelta(days=1)
        self.con.execute(
            f"CREATE TEMP VIEW unit_days AS SELECT *, CASE {' '.join(cases)} END AS exposure_day FROM units"
        )
        groups = self._phases(["exposure_day"], "status = 'ok'", "unit_days")
        hint = "The imbalance is of particular days: look for launches, outages and delayed arms."
        return checks.srm_by("srm_day", groups, hint=hint)

    def _balance(self) -> list[Finding]:
        """Declared pre-period columns of every treatment against control."""
        found = []
        for i, name in enumerate(self.experiment.balance):
            arms = {
                arm: moments_of(n, mean, variance)
                for arm, n, mean, variance in self.con.execute(
                    f"SELECT arm, count(bal_{i}), avg(bal_{i}), var_samp(bal_{i}) FROM units "
                    "WHERE status = 'ok' GROUP BY arm ORDER BY arm"
                ).fetchall()
            }
            found += balance(name, arms, self.experiment.assignment)
        return found
