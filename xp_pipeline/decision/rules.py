"""Ordered rules: conditions on the metrics of each role, and the verdict of the first rule that holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from xp_pipeline.decision.finding import Finding
from xp_pipeline.errors import EvidenceError, nearest

Match = Literal["all", "any", "none"]
Role = Literal["primary", "secondary", "guardrail", "exploratory"]
State = Literal["wins", "harmed", "safe", "settled", "undefined"]
"""Significantly better; significantly worse; harm beyond the margin excluded; precise enough at the end (or futile)
that more of the plan would not turn it; without an estimate."""
Outcome = Literal["ship", "do_not_ship", "extend"]
"""``extend`` goes on as the plan allows: running between looks, at the last one to be rerun."""

Judge = Callable[[Finding, State], bool]


@dataclass(frozen=True)
class Condition:
    """Whether all, any or none of the metrics in some roles are in a state; of no metric at all, all are."""

    match: Match
    roles: tuple[Role, ...]
    state: State

    def __post_init__(self) -> None:
        for word, words in ((self.match, Match), (self.state, State), *((role, Role) for role in self.roles)):
            if word not in get_args(words):
                raise EvidenceError("unknown word in a rule", found=repr(word), allowed=nearest(word, get_args(words)))

    def holds(self, findings: Sequence[Finding], judge: Judge) -> bool:
        """Whether it holds of one arm's findings."""
        found = [judge(finding, self.state) for finding in findings if finding.role in self.roles]
        return {"all": all(found), "any": any(found), "none": not any(found)}[self.match]

    @property
    def demands_evidence(self) -> bool:
        """Whether it cannot hold where nothing is known: a primary metric, or any metric, shown to win or be safe."""
        some = self.match == "any" or (self.match == "all" and "primary" in self.roles)
        return some and self.state in ("wins", "safe")


@dataclass(frozen=True)
class Rule:
    """An outcome and the conditions that must all hold for it."""

    when: tuple[Condition, ...]
    then: Outcome


@dataclass(frozen=True)
class RuleList:
    """Rules in order; the first that holds decides, else ``otherwise``.

    That no metric got worse is true of an experiment without data, so a rule that ships must demand evidence.

    Attributes:
        name: As it stands in decisions and reports.
    """

    name: str
    rules: tuple[Rule, ...]
    otherwise: Outcome = "extend"

    def __post_init__(self) -> None:
        for outcome in (*(rule.then for rule in self.rules), self.otherwise):
            if outcome not in get_args(Outcome):
                raise EvidenceError(
                    "unknown outcome of a rule", found=repr(outcome), allowed=nearest(outcome, get_args(Outcome))
                )
        ships = [rule.when for rule in self.rules if rule.then == "ship"] + [()] * (self.otherwise == "ship")
        if not all(any(condition.demands_evidence for condition in when) for when in ships):
            raise EvidenceError(
                "a rule would ship what nothing is known about",
                where=self.name,
                next_step="add a condition such as: any primary wins",
            )

    def outcome(self, findings: Sequence[Finding], judge: Judge) -> Outcome:
        """The outcome for one arm."""
        for rule in self.rules:
            if all(condition.holds(findings, judge) for condition in rule.when):
                return rule.then
        return self.otherwise


TESTED: tuple[Role, ...] = ("primary", "secondary", "guardrail")
"""Roles whose metrics are tested for harm."""

_HARM = Rule((Condition("any", TESTED, "harmed"),), "do_not_ship")
_SAFE = Condition("all", ("guardrail",), "safe")
_SETTLED = Rule((Condition("all", ("primary",), "settled"),), "do_not_ship")

RISK_AWARE = RuleList(
    "risk_aware",
    (
        _HARM,
        Rule((Condition("any", ("primary",), "wins"), _SAFE), "ship"),
        Rule((Condition("any", ("primary",), "wins"),), "extend"),
        _SETTLED,
    ),
)
"""One primary metric wins, all guardrails are safe, nothing got worse: Schultzberg, Ankargren, Fraanberg 2024."""

ALL_PRIMARY = RuleList(
    "all_primary",
    (
        _HARM,
        Rule((Condition("all", ("primary",), "wins"), _SAFE), "ship"),
        Rule((Condition("all", ("primary",), "wins"),), "extend"),
        _SETTLED,
    ),
)
"""As risk-aware, but every primary metric must win."""

NAMED = {rules.name: rules for rules in (RISK_AWARE, ALL_PRIMARY)}
"""Rule lists that can be named instead of written out."""
