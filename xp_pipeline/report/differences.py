"""Whether effects differ: between segments, from everybody else, and by days since exposure; said in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from xp_pipeline.report.daily_chart import DailyChart, Day, daily_chart
from xp_pipeline.report.format import (
    PLAIN,
    POINTS,
    Figure,
    Interval,
    Unit,
    count,
    figure,
    interval,
    number,
    p_value,
    percent_level,
    sentence,
    shared_decimals,
)
from xp_pipeline.report.inputs import Row, text_of
from xp_pipeline.spec.binding import Bound

CAUTION = "Exploratory: for the next experiment's question, not for this one's verdict."


class Against(NamedTuple):
    """A level held against another, or against everybody else.

    Attributes:
        segment, level, against: The dimension, the level, and what it is held against.
        inside, outside: The effect in either.
        difference, interval: By how much the level's effect exceeds the other.
        p: p-value adjusted within its family.
        differs: Whether that is significant; None without a test.
        units: Units of arm and baseline in the level.
        note: Why there is no test, or a caution.
    """

    segment: str
    level: str
    against: str
    inside: Figure
    outside: Figure
    difference: Figure
    interval: Interval
    p: Figure
    differs: bool | None
    units: str
    note: str


@dataclass(frozen=True)
class MetricDifferences:
    """One metric and arm.

    Attributes:
        metric, arm: What is asked about.
        sentences: An answer a segment.
        differs: Segments between whose levels the effect differs.
        levels: Every level against everybody else, those that differ most first.
    """

    metric: str
    arm: str
    sentences: tuple[str, ...]
    differs: tuple[str, ...]
    levels: tuple[Against, ...]


@dataclass(frozen=True)
class Trend:
    """The effect of one metric and arm by days since exposure.

    Attributes:
        metric, arm: What is asked about.
        sentence: Whether it changes.
        changes: Whether the slope is significant; None without a test.
        chart: The days, drawn; None where there are none.
    """

    metric: str
    arm: str
    sentence: str
    changes: bool | None
    chart: DailyChart | None


@dataclass(frozen=True)
class Differences:
    """All tests between effects.

    Attributes:
        summary: The answer in a sentence or two.
        metrics: By metric and arm, of segments.
        trends: By metric and arm, of days since exposure.
        tested: Whether any test was made.
        level: Level of the intervals as text, such as ``95%``.
    """

    summary: str
    metrics: tuple[MetricDifferences, ...]
    trends: tuple[Trend, ...]
    tested: bool
    level: str


def build_differences(rows: Sequence[Row], bound: Bound, *, withheld: bool) -> Differences:
    """The section from rows of the table ``heterogeneity`` under the spec in force; empty where withheld."""
    shown = [] if withheld else [row for row in rows if row["status"] != "blocked"]
    order = {use.metric: place for place, (_, use, _) in enumerate(bound.uses)}
    pairs = sorted(dict.fromkeys((row["metric"], row["arm"]) for row in shown), key=lambda pair: order.get(pair[0], 0))
    metrics, trends = [], []
    for pair in pairs:
        mine = [row for row in shown if (row["metric"], row["arm"]) == pair]
        unit = _unit(bound, pair[0])
        if any(row["segment"] for row in mine):
            metrics.append(_metric(pair, mine, unit))
        if any(row["kind"] == "novelty_slope" for row in mine):
            trends.append(_trend(pair, mine, unit))
    tested = any(row["p_value"] is not None for row in shown)
    level = next((percent_level(row["ci_level"]) for row in shown if row["ci_level"] is not None), "")
    return Differences(_summary(shown, metrics, trends, tested), tuple(metrics), tuple(trends), tested, level)


def tests_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Cochran's Q as the tests of difference that stand over the tables of segments."""
    return [
        {**row, "segment_value": "", "significant": row["differs"]}
        for row in rows
        if row["kind"] == "cochran_q" and row["status"] != "blocked"
    ]


def _summary(rows: Sequence[Row], metrics: Sequence[MetricDifferences], trends: Sequence[Trend], tested: bool) -> str:
    if not tested:
        reasons = dict.fromkeys(sentence(text_of(row["reason"])) for row in rows if text_of(row["reason"]))
        return " ".join(reasons)
    said = []
    differing = [f"{m.metric} ({m.arm}) between levels of {', '.join(m.differs)}" for m in metrics if m.differs]
    if differing:
        said.append(f"The effect differs on {'; '.join(differing)}.")
    elif metrics:
        names = dict.fromkeys(row["segment"] for row in rows if row["kind"] == "cochran_q")
        said.append(f"No difference of effects is shown between the levels of {', '.join(names)}.")
    levels = [f"{one.segment} {one.level} on {m.metric} ({m.arm})" for m in metrics for one in m.levels if one.differs]
    if levels:
        said.append(f"Unlike everybody else: {'; '.join(levels)}.")
    changing = [f"{t.metric} ({t.arm})" for t in trends if t.changes]
    if changing:
        said.append(f"The effect changes with the days since exposure on {', '.join(changing)}.")
    elif any(t.changes is False for t in trends):
        said.append("No change of effects with the days since exposure is shown.")
    return " ".join(said)


def _metric(pair: tuple[str, str], rows: Sequence[Row], unit: Unit) -> MetricDifferences:
    questions = [row for row in rows if row["kind"] == "cochran_q"]
    extremes = {row["segment"]: row for row in rows if row["kind"] == "largest_smallest"}
    scanned = sorted(
        (row for row in rows if row["kind"] == "scan"),
        key=lambda row: (row["p_adjusted"] is None, row["p_adjusted"] or 0.0, row["segment"], row["segment_value"]),
    )
    decimals = shared_decimals([(row["ci_low"], row["ci_high"]) for row in scanned], unit=unit)
    return MetricDifferences(
        metric=pair[0],
        arm=pair[1],
        sentences=tuple(_answer(row, extremes.get(row["segment"]), unit, decimals) for row in questions),
        differs=tuple(row["segment"] for row in questions if row["differs"]),
        levels=tuple(_against(row, unit, decimals) for row in scanned),
    )


def _answer(row: Row, extremes: Row | None, unit: Unit, decimals: int | None) -> str:
    """Cochran's Q in words, with the two levels that lie farthest apart."""
    if row["p_value"] is None:
        return f"{row['segment']}: {text_of(row['reason']) or 'not tested'}."
    said = "effects differ" if row["differs"] else "no difference between levels shown"
    test = f"Q = {number(row['statistic'], decimals=1)} on {row['df']:.0f} df, adjusted {_p(row['p_adjusted'])}"
    answer = f"{row['segment']}: {said} ({test})"
    if extremes is None or extremes["difference"] is None:
        return f"{answer}."
    shown = [number(extremes[key], decimals=decimals, unit=unit, signed=True) for key in ("effect", "effect_against")]
    return (
        f"{answer}; largest in {extremes['segment_value']} ({shown[0]}), smallest in {extremes['against']} "
        f"({shown[1]}), adjusted {_p(extremes['p_adjusted'])}."
    )


def _against(row: Row, unit: Unit, decimals: int | None) -> Against:
    style: dict[str, Any] = {"decimals": decimals, "unit": unit}
    return Against(
        segment=row["segment"],
        level=text_of(row["segment_value"]),
        against=text_of(row["against"]),
        inside=figure(row["effect"], signed=True, **style),
        outside=figure(row["effect_against"], signed=True, **style),
        difference=figure(row["difference"], signed=True, **style),
        interval=interval(row["ci_low"], row["ci_high"], **style),
        p=p_value(row["p_adjusted"]),
        differs=row["differs"],
        units=f"{count(row['n_arm']).text} / {count(row['n_baseline']).text}",
        note=sentence(row["reason"]) if text_of(row["reason"]) else "",
    )


def _trend(pair: tuple[str, str], rows: Sequence[Row], unit: Unit) -> Trend:
    by_kind: Mapping[str, Row] = {row["kind"]: row for row in rows if row["kind"] != "novelty_day"}
    slope, halves = by_kind["novelty_slope"], by_kind.get("novelty_early_late")
    days = [
        Day(int(row["day"]), row["effect"], row["ci_low"], row["ci_high"])
        for row in rows
        if row["kind"] == "novelty_day" and row["ci_low"] is not None
    ]
    fitted = None if slope["difference"] is None else (slope["effect"], slope["difference"])
    chart = daily_chart(f"{pair[0]}, {pair[1]}", days, fitted, unit=unit) if len(days) > 1 else None
    return Trend(pair[0], pair[1], _trend_sentence(slope, halves, unit), slope["differs"], chart)


def _trend_sentence(slope: Row, halves: Row | None, unit: Unit) -> str:
    """The slope in words, early against late, and whose days these are."""
    if slope["p_value"] is None:
        return sentence(text_of(slope["reason"]) or "Not tested")
    style: dict[str, Any] = {
        "decimals": shared_decimals([(slope["ci_low"], slope["ci_high"])], unit=unit),
        "unit": unit,
    }
    moved = number(slope["difference"], signed=True, **style)
    reach = interval(slope["ci_low"], slope["ci_high"], **style).text
    said = "The effect changes" if slope["differs"] else "No change shown"
    parts = [f"{said}: {moved} a day ({reach}, adjusted {_p(slope['p_adjusted'])})"]
    if halves is not None and halves["p_value"] is not None:
        later = number(halves["difference"], signed=True, unit=unit)
        parts.append(f"later half less the earlier {later} ({_p(halves['p_value'])})")
    return f"{'; '.join(parts)}. {sentence(text_of(slope['reason']))}"


def _p(value: float | None) -> str:
    """A p-value within a sentence: ``p = 0.0123``, ``p < 0.0001``."""
    text = p_value(value).text
    return f"p {text.replace('<', '< ')}" if text.startswith("<") else f"p = {text}"


def _unit(bound: Bound, metric: str) -> Unit:
    known = bound.metrics.get(metric)
    return POINTS if known and known.binary else PLAIN
