"""An ordered rule list: conditions on the metrics of a role, and the verdict of the first rule that holds."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, model_validator

from xp_pipeline.spec.values import Model, Or

Match = Literal["all", "any", "none"]
Role = Literal["primary", "secondary", "guardrail"]
State = Literal["wins", "harmed", "safe", "settled", "undefined"]
Outcome = Literal["ship", "do_not_ship", "extend"]

_CONDITION = re.compile(
    r"^(all|any|none) (primary|secondary|guardrail)((?:\|(?:primary|secondary|guardrail))*) "
    r"(wins|harmed|safe|settled|undefined)$"
)


class Words(NamedTuple):
    """A condition taken apart: whether all, any or none of the metrics of these roles are in a state."""

    match: str
    roles: tuple[str, ...]
    state: str


def words_of(condition: str) -> Words:
    """The parts of a condition such as ``any primary|secondary harmed``."""
    found = _CONDITION.match(condition)
    if not found:
        raise ValueError(
            f"a condition reads such as 'any primary wins', 'all guardrail safe', 'none secondary harmed' or "
            f"'any primary|secondary harmed'; found {condition!r}"
        )
    return Words(found[1], (found[2], *found[3].split("|")[1:]), found[4])


def _readable(condition: str) -> str:
    words_of(condition)
    return condition


class DecisionRule(Model):
    """An outcome and the conditions that must all hold for it."""

    when: tuple[Annotated[str, AfterValidator(_readable)], ...]
    then: Outcome


class DecisionRules(Model):
    """Rules in order; the first that holds decides, else ``otherwise``. Without rules the name is a known list's."""

    name: str = "own"
    rules: tuple[DecisionRule, ...] = ()
    otherwise: Outcome = "extend"

    @model_validator(mode="after")
    def _demands_evidence(self) -> DecisionRules:
        if not self.rules and self.name not in KNOWN:
            raise ValueError(f"{self.name!r} names no known rules ({', '.join(KNOWN)}), and has none of its own")
        blind = [rule for rule in self.rules if rule.then == "ship" and not any(map(_is_evidence, rule.when))]
        if blind or self.otherwise == "ship":
            raise ValueError("a rule would ship what nothing is known about; add 'any primary wins' to it")
        return self


def _is_evidence(condition: str) -> bool:
    words = words_of(condition)
    some = words.match == "any" or (words.match == "all" and "primary" in words.roles)
    return some and words.state in ("wins", "safe")


def _rules(raw: Any) -> Any:
    return {"name": raw} if isinstance(raw, str) else raw


KNOWN = ("risk_aware", "all_primary")
SomeRules = Annotated[DecisionRules, BeforeValidator(_rules), Or(({"enum": list(KNOWN)},))]
RISK_AWARE = DecisionRules(name="risk_aware")
