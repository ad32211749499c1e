"""Layers: experiments that must not share units take disjoint bucket ranges of the layer's own salt."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from xp_pipeline.design.ranges import Range, checked
from xp_pipeline.design.times import spans_meet, utc
from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import SpecError
from xp_pipeline.language.buckets import bucket, bucket_sql

SALT_PREFIX = "xp_pipeline/layer/"
"""No experiment id can hold a slash, so a layer's salt is never by accident that of an experiment."""


@dataclass(frozen=True)
class Slot:
    """An experiment's place in a layer.

    Attributes:
        experiment: Its id.
        low, high: Buckets of the layer, [low, high).
        start, end: When it uses them, [start, end); None is without limit, no zone is UTC.
        salt: Salt of the experiment's arms, its id unless given.
    """

    experiment: str
    low: float
    high: float
    start: datetime | None = None
    end: datetime | None = None
    salt: str | None = None


@dataclass(frozen=True)
class Holdout:
    """Buckets reserved for nobody: units no experiment of the layer may take, at any time.

    Attributes:
        name: What it is called.
        low, high: Buckets of the layer, [low, high).
    """

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Layer:
    """Experiments that exclude each other, in buckets whose salt is independent from that of their arms.

    A unit belongs to an experiment when its bucket under ``salt`` lies in the slot; its arm comes from its bucket
    under the experiment's salt. A holdout from everything is a layer of its own that every experiment obeys.

    Attributes:
        name: The layer's name.
        slots: Experiments with their ranges and times.
        holdouts: Ranges kept free.

    Raises:
        SpecError: a slot or holdout lies outside [0, 1] or is empty, a span ends before it starts, an experiment has
            two slots, two experiments overlap in range and time, a slot reaches into a holdout, or an
            experiment's arms would hang on the layer's salt.
    """

    name: str
    slots: tuple[Slot, ...] = ()
    holdouts: tuple[Holdout, ...] = ()

    def __post_init__(self) -> None:
        reserved = checked(Range(h.low, h.high, f"holdout {h.name}") for h in self.holdouts)
        for slot in self.slots:
            self._check_slot(slot)
            for holdout in reserved:
                _refuse_common(self.name, _range(slot), holdout)
        for one, other in combinations(self.slots, 2):
            self._check_pair(one, other)

    @property
    def salt(self) -> str:
        """The salt of membership."""
        return SALT_PREFIX + self.name

    def bucket(self, unit: str | int) -> float:
        """The unit's place in the layer, from 0 up to but without 1."""
        return bucket(self.salt, unit)

    def takes(self, experiment: str, unit: str | int) -> bool:
        """Whether the unit belongs to the experiment, in the time the experiment has its slot."""
        slot = self._slot(experiment)
        return slot.low <= self.bucket(unit) < slot.high

    def takes_sql(self, experiment: str, unit: str) -> str:
        """The same as a condition over a column of units."""
        slot, u = self._slot(experiment), bucket_sql(self.salt, [unit])
        return f"({u} >= {literal(float(slot.low))} AND {u} < {literal(float(slot.high))})"

    def experiment_of(self, unit: str | int, moment: datetime) -> str | None:
        """The experiment that may expose the unit at a moment; None where there is none."""
        u = self.bucket(unit)
        live = (s for s in self.slots if _is_live(s, moment) and s.low <= u < s.high)
        return next((slot.experiment for slot in live), None)

    def held_out(self, unit: str | int) -> str | None:
        """The holdout that keeps the unit from every experiment; None where it is free."""
        u = self.bucket(unit)
        return next((h.name for h in self.holdouts if h.low <= u < h.high), None)

    def free(self, start: datetime | None = None, end: datetime | None = None) -> tuple[tuple[float, float], ...]:
        """The ranges that no slot and no holdout uses at any time in [start, end)."""
        taken = [(h.low, h.high) for h in self.holdouts]
        taken += [(s.low, s.high) for s in self.slots if spans_meet(s.start, s.end, start, end)]
        gaps, reached = [], 0.0
        for low, high in sorted([*taken, (1.0, 1.0)]):
            if low > reached:
                gaps.append((reached, low))
            reached = max(reached, high)
        return tuple(gaps)

    def _slot(self, experiment: str) -> Slot:
        for slot in self.slots:
            if slot.experiment == experiment:
                return slot
        known = ", ".join(s.experiment for s in self.slots) or "none"
        raise SpecError("the layer has no such experiment", where=self.name, found=experiment, allowed=known)

    def _check_slot(self, slot: Slot) -> None:
        checked([_range(slot)])
        if slot.start and slot.end and utc(slot.end) <= utc(slot.start):
            raise SpecError("a slot ends after it starts", where=slot.experiment, found=slot.end.isoformat())
        if slot.salt == self.salt:
            raise SpecError(
                "the arms of an experiment would hang on its place in the layer",
                where=slot.experiment,
                found=f"salt {slot.salt!r}, that of layer {self.name}",
                allowed="any other salt, such as the experiment's id",
            )

    def _check_pair(self, one: Slot, other: Slot) -> None:
        if one.experiment == other.experiment:
            raise SpecError("an experiment has one slot in a layer", where=self.name, found=one.experiment)
        if spans_meet(one.start, one.end, other.start, other.end):
            span = _common_span(one, other)
            _refuse_common(self.name, _range(one), _range(other), span)


def _range(slot: Slot) -> Range:
    return Range(slot.low, slot.high, slot.experiment)


def _is_live(slot: Slot, moment: datetime) -> bool:
    begun = slot.start is None or utc(slot.start) <= utc(moment)
    return begun and (slot.end is None or utc(moment) < utc(slot.end))


def _common_span(one: Slot, other: Slot) -> str:
    starts = [utc(s.start) for s in (one, other) if s.start]
    ends = [utc(s.end) for s in (one, other) if s.end]
    start = max(starts).isoformat(sep=" ") if starts else "ever"
    return f"from {start} until {min(ends).isoformat(sep=' ') if ends else 'ever'}"


def _refuse_common(layer: str, one: Range, other: Range, span: str = "always") -> None:
    """Refuse buckets that two have at the same time."""
    low, high = max(one.low, other.low), min(one.high, other.high)
    if low < high:
        raise SpecError(
            f"{_shown(one)} and {_shown(other)} would share units of layer {layer}",
            found=f"buckets [{low:g}, {high:g}) {span}",
            next_step="move one of them to free buckets, or to another time",
        )


def _shown(taken: Range) -> str:
    return f"{taken.arm} [{taken.low:g}, {taken.high:g})"


def fit(
    layer: Layer, share: float, *, start: datetime | None = None, end: datetime | None = None
) -> tuple[float, float]:
    """The first free range of a layer that is wide enough for a share of its units.

    Raises:
        SpecError: the share is not one, or no free range is that wide.
    """
    if not 0 < share <= 1:
        raise SpecError("a slot takes a share of the layer", where=layer.name, found=share, allowed="above 0 to 1")
    gaps = layer.free(start, end)
    for low, high in gaps:
        if high - low >= share or math.isclose(high - low, share, rel_tol=1e-9):
            return low, min(low + share, high)
    raise SpecError(
        "no free range of the layer is wide enough", where=layer.name, found=f"{share:g} wanted", allowed=_widths(gaps)
    )


def _widths(gaps: Iterable[tuple[float, float]]) -> str:
    return ", ".join(f"[{low:g}, {high:g})" for low, high in gaps) or "nothing is free"
