"""The experiment card: the whole report as one JSON-able dict, numbers unrounded.

    card_version  version of this layout
    identity      id, title, hypothesis, owner, tags, arms (name, control, share)
    state         lifecycle state, start, end, as_of, look, final, interim, labels, units, withheld
    hashes        run_id, spec_hash, promised_hash, ledger_head, git_commit, code_version: those that are known
    factorial     notation, factors, arms, defining_relation, aliases of a factorial design, or null
    plan          days, assumptions, metrics (metric, arm, n, ...), or null without a plan
    verdicts      one per arm: verdict, rule, reasons (holds, sentence), nearest change, what people decided and why
    results       one per estimate: metric, role, arm, baseline, estimator, status, notes, and its numbers
    analyses      other analyses beside the one in force: name, spec_hash, run_id, verdicts, results
    differences   whether effects differ: summary, answers by segment and over days; exploratory
    looks         schedule, reading, looks planned, one row per look (number, day, alpha spent, tests), deterioration
    health        verdict, and every check with its verdict, message, hint and counts
    population    steps and rejected rows
    history       changes of the promise, and overrides
    provenance    sources, manifests, times

A withheld experiment has no number in ``results``, and an interim one no p-value.
"""

from __future__ import annotations

from typing import Any

from xp_pipeline.report.aliases import card_of
from xp_pipeline.report.differences_card import differences_card, read_out_card
from xp_pipeline.report.document import Analysis, ReportDocument
from xp_pipeline.report.estimate import Estimate
from xp_pipeline.report.health import Check
from xp_pipeline.report.looks_card import looks_card, sequential_card
from xp_pipeline.report.scorecard import Comparison, MetricBlock, Scorecard
from xp_pipeline.report.verdict import Verdict

CARD_VERSION = 1

_HASHES = {
    "Run": "run_id",
    "Spec (SHA-256)": "spec_hash",
    "Promised spec (SHA-256)": "promised_hash",
    "Ledger head": "ledger_head",
    "Git commit": "git_commit",
    "Code version": "code_version",
}


def experiment_card(document: ReportDocument) -> dict[str, Any]:
    """The card of a document."""
    main, *others = document.analyses
    return {
        "card_version": CARD_VERSION,
        "identity": _identity(document),
        "state": _state(document),
        "hashes": {_HASHES[name]: value for name, value in document.lineage.facts if name in _HASHES},
        "factorial": card_of(document.factorial),
        "plan": _plan(document),
        "verdicts": _verdicts(main),
        "results": _results(main),
        "analyses": [_analysis(analysis) for analysis in others],
        "differences": differences_card(document.differences),
        "looks": looks_card(document.looks),
        "health": {
            "verdict": document.health.verdict,
            "checks": [_check(check) for check in document.health.checks],
        },
        "population": _population(document),
        "history": [_change(document, place) for place in range(len(document.history))],
        "provenance": _provenance(document),
    }


def _identity(document: ReportDocument) -> dict[str, Any]:
    title = document.title
    return {
        "id": title.experiment,
        "title": title.title,
        "hypothesis": title.hypothesis,
        "owner": title.owner,
        "tags": list(title.tags),
        "arms": [{"name": arm.name, "control": arm.is_control, "share": arm.share.value} for arm in title.arms],
    }


def _state(document: ReportDocument) -> dict[str, Any]:
    title = document.title
    return {
        "state": title.state,
        "start": title.start,
        "end": title.end,
        "as_of": title.as_of,
        "look": title.look,
        "final": title.final,
        "interim": title.interim,
        "labels": [label.name for label in title.labels],
        "registered_at": title.registered_at,
        "units": title.units.value,
        "withheld": document.withheld,
    }


def _plan(document: ReportDocument) -> dict[str, Any] | None:
    plan = document.planned
    if plan is None:
        return None
    return {
        "days": plan.days_planned.value,
        "days_actual": plan.days_actual.value,
        "assumptions": list(plan.assumptions),
        "metrics": [
            {"metric": row.metric, "arm": row.arm, "n": row.n_planned.value, "days": row.days.value}
            | {"n_actual": row.n_actual.value, "mde_actual": row.mde_actual.value, "power": row.power.value}
            for row in plan.rows
        ],
    }


def _verdicts(analysis: Analysis) -> list[dict[str, Any]]:
    return [_verdict(arm, verdict) for verdict in analysis.verdicts for arm in verdict.arms]


def _verdict(arm: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "arm": arm,
        "verdict": verdict.verdict,
        "rule": verdict.rule,
        "reasons": [{"holds": reason.holds, "sentence": reason.sentence} for reason in verdict.reasons],
        "nearest_change": verdict.nearest_change,
        "human_decision": verdict.human_decision,
        "human_reason": verdict.human_reason,
    }


def _results(analysis: Analysis) -> list[dict[str, Any]]:
    return [
        _result(card, block, comparison, estimate)
        for card in analysis.scorecards
        for block in card.blocks
        for comparison in block.comparisons
        for estimate in comparison.estimates
    ]


def _result(card: Scorecard, block: MetricBlock, comparison: Comparison, estimate: Estimate) -> dict[str, Any]:
    about = {
        "metric": block.metric,
        "role": card.role,
        "arm": comparison.arm,
        "baseline": comparison.baseline,
        "estimator": estimate.estimator,
        "decisive": estimate.decisive,
        "status": estimate.status,
        "notes": list(estimate.notes),
        "reading": estimate.reading.text,
    }
    return about if estimate.status == "blocked" else about | _numbers(card, estimate)


def _numbers(card: Scorecard, estimate: Estimate) -> dict[str, Any]:
    numbers = {
        "n_arm": estimate.n_arm.value,
        "n_baseline": estimate.n_baseline.value,
        "mean_arm": estimate.mean_arm.value,
        "mean_baseline": estimate.mean_baseline.value,
        "effect": estimate.effect.value,
        "interval": [estimate.effect_interval.low, estimate.effect_interval.high],
        "interval_name": estimate.sequential.interval_name if estimate.sequential else card.interval_name,
        "lift": estimate.lift.value,
        "lift_interval": [estimate.lift_interval.low, estimate.lift_interval.high],
        "lift_status": estimate.lift_status,
        "p": estimate.p.value,
        "p_adjusted": estimate.p_adjusted.value,
        "significant": estimate.significant,
        "variance_reduction": estimate.fine_print.variance_reduction.value,
        "power": estimate.fine_print.power.value,
        "mde": estimate.fine_print.mde.value,
    }
    if estimate.read_out:
        numbers |= read_out_card(estimate.read_out)
    if estimate.sequential:
        numbers |= sequential_card(estimate.sequential)
    if estimate.guard:
        guard = estimate.guard
        kind = "equivalence" if guard.both else "non_inferiority"
        numbers |= {"margin": guard.margin.value, "margin_relative": guard.relative, "margin_kind": kind}
        numbers |= {"margin_bound": guard.bound.value, "margin_p": guard.p.value, "margin_holds": guard.holds}
    return numbers


def _analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "name": analysis.name,
        "spec_hash": analysis.spec_hash,
        "run_id": analysis.run_id,
        "verdicts": _verdicts(analysis),
        "results": _results(analysis),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "check": check.check,
        "scope": check.scope,
        "verdict": check.verdict,
        "blocking": check.blocking,
        "message": check.message,
        "hint": check.hint,
        "p": check.p.value,
        "counts": [
            {"arm": arm.arm, "observed": arm.observed.value, "expected": arm.expected.value} for arm in check.counts
        ],
    }


def _population(document: ReportDocument) -> dict[str, Any]:
    flow = document.flow
    return {
        "steps": [
            {"name": step.name, "kept": step.kept, "what": step.what, "count": step.count.value}
            | {"by_arm": {a: n.value for a, n in zip(flow.arms, step.by_arm, strict=True) if n.value is not None}}
            for step in flow.steps
        ],
        "rejected": [{"source": s, "reason": reason, "count": n.value} for s, reason, n in flow.rejected],
    }


def _change(document: ReportDocument, place: int) -> dict[str, Any]:
    change = document.history[place]
    return {
        "kind": change.kind,
        "by": change.by,
        "at": change.at,
        "reason": change.reason,
        "changes": list(change.changes),
    }


def _provenance(document: ReportDocument) -> dict[str, Any]:
    lineage = document.lineage
    return {
        "facts": dict(lineage.facts),
        "sources": [{"source": s, "version": v, "digest": d} for s, v, d in lineage.sources],
        "manifests": dict(lineage.manifests),
    }
