"""Quality checks: from counts by arm to findings with a verdict, a sentence and a hint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from xp_pipeline.stats.multiplicity import simultaneous_alpha
from xp_pipeline.stats.srm import SRM, Phase, chi_square, chi_square_phases, sequential_phases

SRM_FAIL_P = 0.001
SRM_WARN_P = 0.01
SRM_FAIL_E = 1000.0
BALANCE_P = 0.001
FRESH_DAYS = 1
LATE_SHARE = 0.01

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Finding:
    """One row of ``health``: what was checked, what was found, and whether it withholds the estimates."""

    check: str
    scope: str
    verdict: str
    message: str
    blocking: bool = False
    statistic: float = math.nan
    p_value: float = math.nan
    e_value: float = math.nan
    threshold: float = math.nan
    observed: Mapping[str, float] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    hint: str = ""

    @property
    def blocks(self) -> bool:
        return self.blocking and self.verdict == "failed"


def srm(
    observed: Counts,
    shares: Mapping[str, float] | None,
    *,
    scope: str,
    scheduled: bool,
    blocking: bool = True,
    phases: Sequence[Phase] = (),
) -> Finding:
    """The overall sample ratio: chi-square for a one-off analysis, the sequential e-value for a scheduled one.

    With ``phases`` (or branches), each with its counts and the shares in force there, these are tested instead.
    """
    if shares is None:
        return Finding(
            "srm", scope, "not_testable", "The designed split is unknown, so the sample ratio cannot be tested.",
            blocking=blocking, observed=observed,
        )  # fmt: skip
    tables = phases or [(observed, shares)]
    test = chi_square_phases(tables)
    if test.status == "not_testable":
        return Finding("srm", scope, "not_testable", test.reason, blocking=blocking, observed=observed)
    e_value = sequential_phases(tables).e_value if scheduled else math.nan
    failed = e_value >= SRM_FAIL_E if scheduled else test.p_value < SRM_FAIL_P
    verdict = "failed" if failed else "warned" if test.p_value < SRM_FAIL_P else "passed"
    if not failed and not scheduled and test.p_value < SRM_WARN_P:
        verdict = "warned"
    evidence = f"e-value {e_value:.3g}, chi-square p = {test.p_value:.2g}" if scheduled else f"p = {test.p_value:.2g}"
    return Finding(
        "srm",
        scope,
        verdict,
        f"{_ratio(observed, _designed(test))}: {_JUDGED[verdict]} ({evidence}).",
        blocking=blocking,
        statistic=test.statistic,
        p_value=test.p_value,
        e_value=e_value,
        threshold=SRM_FAIL_E if scheduled else SRM_FAIL_P,
        observed=observed,
        expected=test.expected,
        hint="" if verdict == "passed" else "See srm_segment and srm_day for where and when the imbalance arose.",
    )


_JUDGED = {"failed": "not the designed split", "warned": "doubtful, short of proof", "passed": "as designed"}


def _designed(test: SRM) -> dict[str, float]:
    """Shares that the units of all phases together were expected in."""
    total = sum(test.expected.values()) or 1.0
    return {arm: expected / total for arm, expected in test.expected.items()}


def _ratio(observed: Counts, shares: Mapping[str, float]) -> str:
    total = sum(observed.values()) or 1
    return ", ".join(f"{arm} {n:,} ({n / total:.2%}, designed {shares.get(arm, 0):.2%})" for arm, n in observed.items())


def srm_by(check: str, groups: Mapping[str, Sequence[Phase]], *, hint: str) -> list[Finding]:
    """The sample ratio within each segment value or day, Bonferroni over the testable ones; warns only."""
    tests = {scope: chi_square_phases(tables) for scope, tables in groups.items()}
    testable = {scope: test for scope, test in tests.items() if test.status == "ok"}
    threshold = simultaneous_alpha(SRM_FAIL_P, max(len(testable), 1))
    found = []
    for scope, test in testable.items():
        warned = test.p_value < threshold
        found.append(
            Finding(
                check,
                scope,
                "warned" if warned else "passed",
                f"{scope}: {_ratio(test.observed, _designed(test))} (p = {test.p_value:.2g}).",
                statistic=test.statistic,
                p_value=test.p_value,
                threshold=threshold,
                observed=test.observed,
                expected=test.expected,
                hint=hint if warned else "",
            )
        )
    return found


def leak(units: Counts) -> Finding:
    """Units in an arm that was designed to get nobody."""
    total = sum(units.values())
    if not total:
        return Finding("leak", "all", "passed", "No unit is in an arm of weight zero.", blocking=True, statistic=0)
    return Finding(
        "leak", "all", "failed", f"{total:,} units are in an arm of weight zero: {_listed(units)}.",
        blocking=True, statistic=total, threshold=0, observed=units,
        hint="Look for forced assignments, stale configuration, or an earlier allocation.",
    )  # fmt: skip


def undeclared(units: Counts, arms: Sequence[str]) -> Finding:
    """Units in an arm that the spec does not name."""
    total = sum(units.values())
    if not total:
        return Finding("undeclared_arm", "all", "passed", "Every arm seen is declared.", blocking=True, statistic=0)
    return Finding(
        "undeclared_arm", "all", "failed",
        f"{total:,} units are in undeclared arms: {_listed(units)}; declared: {', '.join(arms)}.",
        blocking=True, statistic=total, threshold=0, observed=units,
        hint="Declare the arm, relabel it under population.arm.labels, or exclude its rows with population.where.",
    )  # fmt: skip


def null_arms(rows: int, units: int, *, computed: bool = False) -> Finding:
    """Exposure rows that name no arm; where arms are computed, rows of units that the design leaves out."""
    if computed and rows:
        message = (
            f"The design gives no arm to {rows:,} exposure rows; {units:,} units have no other row and take no part."
        )
        return Finding("null_arm", "all", "passed", message, statistic=rows)
    verdict = "warned" if rows else "passed"
    message = f"{rows:,} exposure rows have no arm; {units:,} units have no other row and are left out."
    return Finding(
        "null_arm", "all", verdict, message if rows else "Every exposure row names an arm.",
        statistic=rows, threshold=0,
        hint="Look for a logging path that drops the variant." if rows else "",
    )  # fmt: skip


def multi_arm(several: Counts, all_units: Counts, *, warn: float, fail: float, policy: str) -> list[Finding]:
    """Units that met several arms: their share, and whether it differs by the arm seen first."""
    units, total = sum(several.values()), sum(all_units.values())
    share = units / total if total else 0.0
    verdict = "failed" if share > fail else "warned" if share > warn else "passed"
    fate = "left out" if policy == "exclude" else "counted in the arm seen first"
    overall = Finding(
        "multi_arm", "all", verdict,
        f"{units:,} of {total:,} units ({share:.2%}) met several arms and are {fate}; "
        f"by first arm: {_listed(several) or 'none'}.",
        blocking=True, statistic=share, threshold=fail, observed=several,
        hint="" if verdict == "passed" else "Look for unstable ids, logged-out visits, or a changed salt.",
    )  # fmt: skip
    if not units:
        return [overall]
    test = chi_square({arm: several.get(arm, 0) for arm in all_units}, _share_of(all_units))
    if test.status != "ok":
        return [overall]
    differs = test.p_value < SRM_FAIL_P
    return [
        overall,
        Finding(
            "multi_arm_by_arm", "all", "warned" if differs else "passed",
            f"The share of units in several arms {'differs' if differs else 'does not differ'} "
            f"by the arm seen first (p = {test.p_value:.2g}).",
            statistic=test.statistic, p_value=test.p_value, threshold=SRM_FAIL_P, observed=several,
            expected=test.expected,
            hint="Leaving such units out then biases the comparison." if differs else "",
        ),
    ]  # fmt: skip


def _share_of(counts: Counts) -> dict[str, float]:
    total = sum(counts.values())
    return {arm: n / total for arm, n in counts.items()}


def empty_arms(counts: Counts, arms: Sequence[str]) -> list[Finding]:
    """Declared arms that received nobody."""
    empty = [arm for arm in arms if not counts.get(arm)]
    if not empty:
        return []
    return [
        Finding(
            "empty_arm", "all", "warned", f"No unit is in {', '.join(empty)}.", statistic=len(empty), threshold=0,
            observed=counts, hint="Check the arm's name in the data, or whether it has been launched.",
        )
    ]  # fmt: skip


def mismatched(rows: int, units: Counts, policy: str) -> list[Finding]:
    """Rows whose second column is not what their arm calls for."""
    total = sum(units.values())
    if not rows and not total:
        return []
    fate = f"{rows:,} rows were dropped" if policy == "drop_rows" else f"{total:,} units were left out"
    return [Finding("mismatch", "all", "warned", f"Arm and shown column disagree: {fate}.", statistic=rows or total)]


def integrity(what: str, units: int, total: int, examples: Sequence[str]) -> Finding:
    """Units whose arm is not the one that the design, or the record, has for them."""
    if not units:
        return Finding(
            "assignment_integrity", what, "passed", f"All {total:,} units are in the arm that the {what} has for them.",
            statistic=0, threshold=0,
        )  # fmt: skip
    return Finding(
        "assignment_integrity", what, "warned",
        f"{units:,} of {total:,} units ({units / total:.2%}) are not in the arm that the {what} has for them; "
        f"such as {', '.join(examples)}.",
        statistic=units, threshold=0,
        hint=_DISAGREE[what],
    )  # fmt: skip


_DISAGREE = {
    "design": "The rule, salt or program that served them is not the sealed one, or their fields changed since.",
    "record": "Assignments were recomputed under other rules, or the log was changed after they were recorded.",
}


def quarantine(source: str, rejected: Mapping[str, int], rows: int) -> list[Finding]:
    """Rows of a source that broke its contract."""
    total = sum(rejected.values())
    if not total:
        return []
    return [
        Finding(
            "quarantine", source, "warned",
            f"{total:,} of {rows:,} rows of {source} broke the contract: {_listed(rejected)}.",
            statistic=total, threshold=0, hint="See quarantine.parquet beside the source's version in the lake.",
        )
    ]  # fmt: skip


def freshness(source: str, closed: date, newest: date, upstream: str | None) -> Finding:
    """A source that closes its days later than the others, and so holds the analysis back."""
    behind = (newest - closed).days
    made_by = f" (made by {upstream})" if upstream else ""
    return Finding(
        "freshness", source, "warned" if behind > FRESH_DAYS else "passed",
        f"{source}{made_by} is closed through {closed}, "
        + (f"{behind} days behind the freshest source." if behind else "no other source is fresher."),
        statistic=behind, threshold=FRESH_DAYS,
        hint="The analysis waits for its slowest source: look at what loads it." if behind > FRESH_DAYS else "",
    )  # fmt: skip


def late(source: str, *, before: int, now: int, day: str) -> Finding:
    """Rows of days that had been analysed already, and that came, or left, since."""
    moved = abs(now - before)
    share = moved / now if now else float(bool(moved))
    verdict = "warned" if share > LATE_SHARE else "passed"
    what = "came" if now >= before else "were taken away"
    return Finding(
        "late", source, verdict,
        f"{moved:,} of {now:,} rows of {source} up to {day} {what} after that day was analysed ({share:.2%})."
        if moved else f"No row of {source} up to {day} came after that day was analysed.",
        statistic=share, threshold=LATE_SHARE,
        hint="Declare a longer lag, so that a day counts as closed only when its rows are in." if moved else "",
    )  # fmt: skip


def balance(name: str, arm: str, difference: float, p_value: float) -> Finding:
    """A pre-period number compared between an arm and control."""
    warned = p_value < BALANCE_P
    return Finding(
        "balance", f"{name}: {arm}", "warned" if warned else "passed",
        f"Before exposure, {name} of {arm} differs from control by {difference:+.3f} standard deviations "
        f"(p = {p_value:.2g}).",
        statistic=difference, p_value=p_value, threshold=BALANCE_P,
        hint="Randomisation, or the population's definition, may depend on the past." if warned else "",
    )  # fmt: skip


def _listed(counts: Counts) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items()))


def worst(findings: Sequence[Finding]) -> str:
    """The verdict over all findings: failed only where a blocking check failed."""
    if any(f.blocks for f in findings):
        return "failed"
    return "passed" if all(f.verdict == "passed" for f in findings) else "warned"
