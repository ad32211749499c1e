"""The scorecard: one table per role, each metric and arm with its estimates below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from xp_pipeline.report import words
from xp_pipeline.report.estimate import Estimate, Precision, estimate, on_log_scale
from xp_pipeline.report.inputs import Row, labels_of, text_of
from xp_pipeline.report.sequence import interval_words, promise_of, telling
from xp_pipeline.report.withholding import is_interim
from xp_pipeline.spec.binding import Bound


@dataclass(frozen=True)
class Comparison:
    """One arm against its baseline on one metric: the deciding estimate, and those beside it."""

    arm: str
    baseline: str
    main: Estimate
    others: tuple[Estimate, ...]

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        return (self.main, *self.others)


@dataclass(frozen=True)
class MetricBlock:
    """One metric with its comparisons.

    Attributes:
        metric: Its name.
        title: Its title, empty when it has none of its own.
        kind: What it measures in words: ``share of units``.
        direction: ``increase`` or ``decrease``: which way is good.
        exploratory: Whether it was added after registration.
        comparisons: One per arm and declared contrast.
    """

    metric: str
    title: str
    kind: str
    direction: str
    exploratory: bool
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Scorecard:
    """The metrics of one role.

    Attributes:
        role: ``primary``, ``guardrail``, ``secondary`` or ``exploratory``.
        title, caption: What the role is called, and how to read it.
        interval_name: ``95% confidence interval`` or ``95% confidence sequence``.
        interval_promise: What these intervals promise, where they are of one kind.
        interim: Whether it is read before its time: no p-value, no significance.
        withheld: Whether its estimates are withheld.
        blocks: The metrics.
    """

    role: str
    title: str
    caption: str
    interval_name: str
    interval_promise: str
    interim: bool
    withheld: bool
    blocks: tuple[MetricBlock, ...]

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        return tuple(e for b in self.blocks for c in b.comparisons for e in c.estimates)

    @property
    def has_read_outs(self) -> bool:
        """Whether any estimate has a Bayesian read-out."""
        return any(e.read_out for e in self.estimates)

    @property
    def is_mixed(self) -> bool:
        """Whether its intervals are of several kinds, so that each row names its own."""
        return not self.interval_promise and any(e.interval_kind for e in self.estimates)

    @property
    def has_boundary(self) -> bool:
        """Whether any estimate is tested against the boundary of its look."""
        return any(e.sequential and e.sequential.statistic.value is not None for e in self.estimates)

    @property
    def p_name(self) -> str:
        """The kind of its p-values, where there is one."""
        names = {e.sequential.p_name for e in self.estimates if e.sequential} - {""}
        return names.pop() if len(names) == 1 else ""


def build_scorecards(rows: Sequence[Row], bound: Bound) -> tuple[Scorecard, ...]:
    """One scorecard per role from the rows that are about everybody, roles and metrics in promised order."""
    everybody = [row for row in rows if not text_of(row["segment"])]
    order = {use.metric: place for place, (_, use, _) in enumerate(bound.uses)}
    found = []
    for role, (title, caption) in words.ROLES.items():
        mine = [row for row in everybody if row["role"] == role]
        mine.sort(key=lambda row: order.get(row["metric"], len(order)))
        if mine:
            found.append(_scorecard(role, title, caption, mine, bound))
    return tuple(found)


def interval_name(rows: Sequence[Row]) -> str:
    """What the intervals of some rows are: level and kind in words."""
    return interval_words(rows)


def _deciding(rows: Sequence[Row]) -> list[Row]:
    """The rows that decide, which say what kind a scorecard is; all rows where none does."""
    return [row for row in rows if row["decisive"]] or list(rows)


def _scorecard(role: str, title: str, caption: str, rows: Sequence[Row], bound: Bound) -> Scorecard:
    name = interval_name(telling(rows))
    blocks = tuple(_block(m, list(group), bound, name) for m, group in groupby(rows, lambda row: row["metric"]))
    return Scorecard(
        role=role,
        title=title,
        caption=caption,
        interval_name=name,
        interval_promise=promise_of(telling(rows)),
        interim=all(is_interim(row) for row in _deciding(rows)),
        withheld=all(row["status"] == "blocked" for row in rows),
        blocks=blocks,
    )


def _block(name: str, rows: list[Row], bound: Bound, intervals: str) -> MetricBlock:
    metric = bound.metrics.get(name)
    pairs = dict.fromkeys((row["arm"], row["baseline"]) for row in rows)
    comparisons = [
        _comparison(pair, [r for r in rows if (r["arm"], r["baseline"]) == pair], rows, intervals) for pair in pairs
    ]
    return MetricBlock(
        metric=name,
        title=metric.title if metric and metric.title != name else "",
        kind=words.named(words.TYPES, text_of(rows[0]["metric_type"])),
        direction=text_of(rows[0]["direction"]),
        exploratory=name in bound.added or any("exploratory" in labels_of(row) for row in rows),
        comparisons=tuple(comparisons),
    )


def _comparison(pair: tuple[str, str], rows: list[Row], siblings: list[Row], intervals: str) -> Comparison:
    main = next((row for row in rows if row["decisive"]), rows[0])
    printed = {id(row): _own_interval(_printed(row, main, siblings), row, intervals) for row in rows}
    deciding = printed[id(main)]
    others = tuple(_said_once(printed[id(row)], deciding) for row in rows if row is not main)
    return Comparison(arm=pair[0], baseline=pair[1], main=deciding, others=others)


def _own_interval(one: Estimate, row: Row, intervals: str) -> Estimate:
    """The estimate, with its interval named where it is of another kind than those of its scorecard."""
    own = interval_words([row])
    return one if own == intervals or not row["interval_kind"] else replace(one, interval_kind=own)


def _said_once(other: Estimate, main: Estimate) -> Estimate:
    """The estimate without the notes that stand at the deciding one."""
    return replace(other, notes=tuple(note for note in other.notes if note not in main.notes))


def _printed(row: Row, main: Row, siblings: list[Row]) -> Estimate:
    """A log-scale estimate has a scale of its own; all others of a metric share theirs."""
    alike = [other for other in siblings if on_log_scale(other) == on_log_scale(row)]
    population = text_of(row["population"]) if row["population"] != main["population"] else ""
    return estimate(row, Precision.of(alike), population=population)
