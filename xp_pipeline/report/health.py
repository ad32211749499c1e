"""Health: every check with its finding, the worst first, and where and when an imbalance arose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from xp_pipeline.report import words
from xp_pipeline.report.format import DASH, PERCENT, Figure, compact, count, figure, finite, p_value, share
from xp_pipeline.report.inputs import Row, parsed, text_of
from xp_pipeline.report.words import Tone

_SRM = ("srm", "srm_segment", "srm_day")


class ArmCount(NamedTuple):
    """Observed against expected in one arm; ``deviation`` is observed / expected - 1."""

    arm: str
    observed: Figure
    expected: Figure
    deviation: Figure


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        check: Its code in the health table.
        name: What it is called.
        scope: What was checked: ``all``, ``platform=ios``, ``2026-01-05``.
        verdict: ``passed``, ``warned``, ``failed`` or ``not_testable``.
        tone: The verdict's meaning for colour and icon.
        blocking: Whether its failure withholds the estimates.
        evidence: Statistic, p-value or e-value with its threshold, as text.
        p: p-value, where the check is a test.
        counts: Observed against expected by arm, where the check counts by arm.
        message: The finding as a sentence.
        hint: Likely causes and where to look.
    """

    check: str
    name: str
    scope: str
    verdict: str
    tone: Tone
    blocking: bool
    evidence: str
    p: Figure
    counts: tuple[ArmCount, ...]
    message: str
    hint: str


@dataclass(frozen=True)
class Health:
    """All checks.

    Attributes:
        checks: Worst first.
        tally: How many checks ended in each verdict, worst first.
        imbalance: When a sample ratio failed or warned, the checks of it by segment and by day; else empty.
    """

    checks: tuple[Check, ...]
    tally: tuple[tuple[str, int], ...]
    imbalance: tuple[Check, ...]

    @property
    def findings(self) -> tuple[Check, ...]:
        """Checks that did not pass, save those that the table of the imbalance shows."""
        found = (check for check in self.checks if check.verdict != "passed")
        return tuple(check for check in found if check.check == "srm" or check not in self.imbalance)

    @property
    def flagged(self) -> int:
        """How many checks failed or warned."""
        return sum(many for verdict, many in self.tally if verdict in ("failed", "warned"))

    @property
    def places(self) -> tuple[tuple[str, tuple[Check, ...]], ...]:
        """The checks of an imbalance by kind, in their order."""
        return tuple((name, tuple(group)) for name, group in groupby(self.imbalance, lambda check: check.name))

    @property
    def hints(self) -> tuple[str, ...]:
        """What the places and days of an imbalance suggest, each said once."""
        flagged = (check for check in self.imbalance if check.verdict in ("failed", "warned"))
        return tuple(dict.fromkeys(check.hint for check in flagged if check.hint and check.check != "srm"))

    @property
    def blockers(self) -> tuple[Check, ...]:
        """Failed checks that withhold the estimates."""
        return tuple(check for check in self.checks if check.blocking and check.verdict == "failed")

    @property
    def verdict(self) -> str:
        """The worst verdict of all, ``passed`` when there is none."""
        found = {check.verdict for check in self.checks}
        return next((verdict for verdict in ("failed", "warned") if verdict in found), "passed")


def build_health(rows: Sequence[Row]) -> Health:
    """The health section from the rows of the health table."""
    severity = list(words.HEALTH_TONES)
    checks = [_check(row) for row in rows]
    worst_first = sorted(checks, key=lambda c: (severity.index(c.verdict), not c.blocking))
    tally = [(verdict, sum(c.verdict == verdict for c in checks)) for verdict in severity]
    imbalanced = any(c.check in _SRM and c.verdict in ("failed", "warned") for c in checks)
    placed = any(c.check in _SRM[1:] for c in checks)
    return Health(
        checks=tuple(worst_first),
        tally=tuple((verdict, many) for verdict, many in tally if many),
        imbalance=tuple(_by_place(checks)) if imbalanced and placed else (),
    )


def _by_place(checks: Sequence[Check]) -> list[Check]:
    """Overall first, then the segments with the strongest evidence first, then the days in order."""
    overall = [c for c in checks if c.check == "srm"]
    segments = sorted((c for c in checks if c.check == "srm_segment"), key=lambda c: (_strength(c), c.scope))
    days = sorted((c for c in checks if c.check == "srm_day"), key=lambda c: c.scope)
    return [*overall, *segments, *days]


def _strength(check: Check) -> float:
    return 1.0 if check.p.value is None else check.p.value


def _check(row: Row) -> Check:
    return Check(
        check=row["check"],
        name=words.named(words.CHECKS, row["check"]).capitalize(),
        scope=text_of(row["scope"]),
        verdict=row["verdict"],
        tone=words.HEALTH_TONES[row["verdict"]],
        blocking=bool(row["blocking"]),
        evidence=_evidence(row),
        p=p_value(row["p_value"]),
        counts=_counts(parsed(row["observed"]), parsed(row["expected"])),
        message=text_of(row["message"]),
        hint=text_of(row["hint"]),
    )


def _evidence(row: Row) -> str:
    """The number that was held against the threshold, with the threshold."""
    threshold = finite(row["threshold"])
    if (e_value := finite(row["e_value"])) is not None:
        return f"e = {compact(e_value)}" + _limit(threshold)
    if (p := finite(row["p_value"])) is not None:
        shown = p_value(p).text
        shown = f"p {shown[0]} {shown[1:]}" if shown.startswith("<") else f"p = {shown}"
        return shown + _limit(threshold)
    statistic = finite(row["statistic"])
    if statistic is None or not threshold:
        return ""
    if 0 < threshold < 1:
        return f"{share(statistic).text}, limit {share(threshold).text}"
    return compact(statistic) + _limit(threshold)


def _limit(threshold: float | None) -> str:
    return "" if threshold is None else f", limit {compact(threshold)}"


def _counts(observed: Any, expected: Any) -> tuple[ArmCount, ...]:
    if not isinstance(observed, Mapping):
        return ()
    wanted = expected if isinstance(expected, Mapping) else {}
    return tuple(_arm_count(str(arm), value, wanted.get(arm)) for arm, value in observed.items())


def _arm_count(arm: str, observed: Any, expected: Any) -> ArmCount:
    seen, wanted = _numeric(observed), _numeric(expected)
    deviation = None if seen is None or not wanted else seen / wanted - 1
    return ArmCount(
        arm=arm,
        observed=_measured(seen),
        expected=_measured(wanted),
        deviation=figure(deviation, decimals=1, unit=PERCENT, signed=True),
    )


def _numeric(value: Any) -> float | None:
    return finite(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _measured(value: float | None) -> Figure:
    """Counts as whole numbers, expected counts rounded; means of covariates with their digits."""
    if value is None:
        return Figure(None, DASH)
    return count(value) if abs(value) >= 100 or value.is_integer() else figure(value)
