"""From results and health to one decision an arm, each with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from xp_pipeline.decision.finding import Finding
from xp_pipeline.decision.rule import decide
from xp_pipeline.decision.rules import NAMED, Condition, Rule, RuleList
from xp_pipeline.decision.verdict import Change, Counterfactual, Decision, Reason, Verdict
from xp_pipeline.lifecycle.comparisons import decided
from xp_pipeline.lifecycle.quality import checks
from xp_pipeline.lifecycle.schedule import looks_left
from xp_pipeline.lifecycle.sealed import Sealed
from xp_pipeline.spec.binding import Bound
from xp_pipeline.spec.deciding import words_of

Row = dict[str, Any]


def decisions(
    promise: Sealed,
    results: Sequence[Row],
    health: Sequence[checks.Finding],
    *,
    final: bool,
    as_of: str | None,
) -> list[Decision]:
    """The decision about every treatment arm."""
    bound = promise.bound
    blocked = [f.message for f in health if f.blocks]
    warned = [f.message for f in health if f.verdict == "warned" and f.check not in ("srm_segment", "srm_day")]
    return [
        decide(
            arm,
            [_finding(row) for row in results if row["arm"] == arm and row.get("decisive")],
            final=final,
            blocked=blocked,
            warnings=warned,
            days_run=_days(bound.start, as_of),
            minimum_days=bound.experiment.analysis.minimum_days,
            days_to_end=_days_to(bound.end, as_of),
            looks_left=looks_left(bound, as_of=as_of, final=final),
            moved=bound.end != bound.planned_end,
            extended=_extended(bound, as_of),
            rules=rules_of(bound),
        )
        for arm in decided(bound)
    ]


def rules_of(bound: Bound) -> RuleList:
    """The rule list that a spec names or writes out."""
    rule = bound.experiment.analysis.rule
    if not rule.rules:
        return NAMED[rule.name]
    rules = tuple(Rule(tuple(_condition(text) for text in one.when), one.then) for one in rule.rules)
    return RuleList(rule.name, rules, rule.otherwise)


def _condition(text: str) -> Condition:
    match, roles, state = words_of(text)
    return Condition(match, roles, state)  # type: ignore[arg-type]


def _finding(row: Row) -> Finding:
    return Finding(
        metric=row["metric"],
        role=row["role"],
        direction=row["direction"],
        status=row["status"],
        reason=row.get("reason") or "",
        effect=_number(row, "effect"),
        low=_number(row, "ci_low"),
        high=_number(row, "ci_high"),
        lift=_number(row, "lift"),
        p_adjusted=row.get("p_adjusted"),
        alpha=row["alpha"],
        margin=row.get("margin"),
        margin_relative=bool(row.get("margin_relative")),
        margin_holds=row.get("margin_holds"),
        margin_bound=row.get("margin_bound"),
        deterioration_p=None,
        power=row.get("power"),
        mde=row.get("mde"),
        planned_mde=row.get("planned_mde"),
        se=_number(row, "se"),
        significant=row.get("significant") if row["role"] == "primary" else None,
        deteriorated=row.get("harmed"),
        futile=bool(row.get("futile")),
        winning_effect=row.get("winning_effect"),
        sure_effect=row.get("sure_effect"),
        harmful_effect=row.get("harmful_effect"),
        margin_needed=row.get("margin_needed"),
        equivalence=row.get("margin_kind") == "equivalence",
        held_since=row.get("held_since"),
    )


def _number(row: Row, name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None else float(value)


def _extended(bound: Bound, as_of: str | None) -> str:
    """Why the end has moved, of a reading past the planned one."""
    if not (bound.extended and bound.extended.days and bound.planned_end and as_of):
        return ""
    last = (bound.planned_end + bound.follow_up - timedelta(microseconds=1)).astimezone(bound.zone).date()
    return bound.extended.why if date.fromisoformat(as_of) >= last else ""


def _days(start: datetime | None, as_of: str | None) -> int | None:
    return (date.fromisoformat(as_of) - start.date()).days + 1 if start and as_of else None


def _days_to(end: datetime | None, as_of: str | None) -> int | None:
    return max((end.date() - date.fromisoformat(as_of)).days - 1, 0) if end and as_of else None


def restored_decision(row: Row) -> Decision:
    """A decision from its sealed form."""
    other = row.get("counterfactual")
    return Decision(
        row["arm"],
        Verdict(row["verdict"]),
        row["rule"],
        tuple(Reason(**reason) for reason in row["reasons"]),
        _restored(other) if other else None,
    )


def _restored(row: Row) -> Counterfactual:
    changes = tuple(
        Change(
            change["metric"], change["quantity"], float(change["now"]), float(change["needed"]), change["relative"],
            float(change["distance"]),
        )
        for change in row["changes"]
    )  # fmt: skip
    return Counterfactual(Verdict(row["verdict"]), changes, row["sentence"])
