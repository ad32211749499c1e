"""The verdict: what is recommended for each arm, and every condition that held or failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xp_pipeline.report import words
from xp_pipeline.report.inputs import Row, parsed, text_of
from xp_pipeline.report.scorecard import Scorecard
from xp_pipeline.report.words import Tone


class Reason(NamedTuple):
    """One condition of the rule.

    Attributes:
        holds: Whether it held; None while open.
        sentence: The condition and what was found.
        tone: Its mark: a condition that cannot hold before the planned end is open, not failed.
    """

    holds: bool | None
    sentence: str
    tone: Tone


class KeyResult(NamedTuple):
    """The headline number of a primary metric: its effect and interval, and how it reads."""

    metric: str
    arm: str
    effect: str
    interval: str
    tone: Tone


@dataclass(frozen=True)
class Verdict:
    """One verdict; arms with the same verdict for the same reasons share it.

    Attributes:
        arms: Treatment arms it is about.
        verdict: Its code in the decisions table.
        phrase: The verdict in words.
        tone: Its meaning for colour and icon.
        meaning: What the verdict means, in one sentence.
        rule: The rule that was evaluated.
        reasons: The conditions, failed ones first.
        nearest_change: The least that would have led to another verdict; empty where nothing is known to.
        key_results: The primary metrics of these arms; none when withheld.
        human_decision: What people decided; empty while open.
        human_reason: Their reason.
    """

    arms: tuple[str, ...]
    verdict: str
    phrase: str
    tone: Tone
    meaning: str
    rule: str
    reasons: tuple[Reason, ...]
    nearest_change: str
    key_results: tuple[KeyResult, ...]
    human_decision: str
    human_reason: str


def build_verdicts(decisions: Sequence[Row], cards: Sequence[Scorecard]) -> tuple[Verdict, ...]:
    """The verdicts in the order of their arms, equal ones merged."""
    merged: dict[tuple[str, ...], list[Row]] = {}
    for row in decisions:
        same = ("verdict", "rule", "reasons", "nearest_change", "human_decision", "human_reason")
        key = tuple(text_of(row[name]) for name in same)
        merged.setdefault(key, []).append(row)
    return tuple(_verdict(rows, cards) for rows in merged.values())


def _verdict(rows: list[Row], cards: Sequence[Scorecard]) -> Verdict:
    first = rows[0]
    heading = words.VERDICTS.get(first["verdict"]) or words.Heading(
        words.named({}, first["verdict"]).capitalize(), Tone.NEUTRAL, ""
    )
    arms = tuple(text_of(row["arm"]) for row in rows)
    return Verdict(
        arms=arms,
        verdict=first["verdict"],
        phrase=heading.phrase,
        tone=heading.tone,
        meaning=heading.meaning,
        rule=text_of(first["rule"]),
        reasons=_reasons(first),
        nearest_change=text_of(first["nearest_change"]),
        key_results=tuple(result for arm in arms for result in _key_results(arm, cards)),
        human_decision=text_of(first["human_decision"]),
        human_reason=text_of(first["human_reason"]),
    )


def _reasons(row: Row) -> tuple[Reason, ...]:
    found = [
        Reason(item["holds"], text_of(item["sentence"]), _tone(item["holds"], text_of(item["sentence"]), row))
        for item in parsed(row["reasons"]) or []
        if text_of(item["sentence"]) != text_of(row["nearest_change"])
    ]
    return tuple(sorted(found, key=lambda reason: reason.holds is not False))


def _tone(holds: bool | None, sentence: str, row: Row) -> Tone:
    if holds:
        return Tone.CAUTION if sentence.startswith("Caution:") else Tone.GOOD
    return Tone.NEUTRAL if holds is None or row["verdict"] in ("not_due", "running") else Tone.BAD


def _key_results(arm: str, cards: Sequence[Scorecard]) -> list[KeyResult]:
    primary = [block for card in cards if card.role == "primary" and not card.withheld for block in card.blocks]
    found = []
    for block in primary:
        for comparison in block.comparisons:
            main = comparison.main
            if comparison.arm == arm and main.effect.value is not None:
                relative = main.lift_status == "ok"
                effect, interval = (main.lift, main.lift_interval) if relative else (main.effect, main.effect_interval)
                found.append(KeyResult(block.metric, arm, effect.text, interval.text, main.reading.tone))
    return found
