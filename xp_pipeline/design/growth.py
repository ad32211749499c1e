"""How arms grow and shrink on the ground of buckets, remembering who was exposed to what."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from xp_pipeline.design.ranges import Flow, Range, Ranges, flows, merged

_GRID = 2**52


@dataclass(frozen=True)
class Plot:
    """Buckets [low, high) with the same past.

    Attributes:
        low, high: Ends.
        arm: Who holds them now; None is nobody.
        former: Whose units were last exposed there; None where nobody ever was.
    """

    low: float
    high: float
    arm: str | None = None
    former: str | None = None


class Ground:
    """All buckets, from 0 to 1, and what happened to them phase after phase.

    Attributes:
        moved: What the last phase took from exposed units: flows from former to present arm, or to nobody.
    """

    def __init__(self) -> None:
        self._plots = [Plot(0.0, 1.0)]
        self.moved: tuple[Flow, ...] = ()

    @property
    def ranges(self) -> Ranges:
        """What the arms hold now."""
        return merged(Range(p.low, p.high, p.arm) for p in self._plots if p.arm is not None)

    def settle(self, bounds: Sequence[tuple[str, float]], coverage: float) -> None:
        """Give every arm its share of this phase, moving as little as possible.

        Args:
            bounds: Arms and the cumulative shares up to and with each, ending at 1.
            coverage: Share of each arm's width that takes part.
        """
        starts = dict(zip((arm for arm, _ in bounds), [0.0, *(bound for _, bound in bounds)], strict=False))
        targets = {arm: math.floor(coverage * (bound - starts[arm]) * _GRID) / _GRID for arm, bound in bounds}
        anchors = self._anchors(starts)
        before = self.ranges
        self._plots = [replace(p, former=p.arm or p.former) for p in self._plots]
        for arm in {p.arm for p in self._plots if p.arm}:
            self._shrink(arm, targets.get(arm, 0.0))
        for wanted in (self._own, self._virgin, self._foreign):
            for arm, target in targets.items():
                self._grow(arm, target - self._held(arm), anchors[arm], wanted)
        self.moved = (*self._taken(), *(f for f in flows(before, self.ranges) if f.before and not f.after))

    def _anchors(self, starts: dict[str, float]) -> dict[str, float]:
        """Where each arm begins to look for ground: after what it has, at first at its own territory."""
        ends = {p.arm: p.high for p in self._plots if p.arm}
        return {arm: ends.get(arm, start if not ends else 0.0) for arm, start in starts.items()}

    def _held(self, arm: str) -> float:
        return math.fsum(p.high - p.low for p in self._plots if p.arm == arm)

    def _shrink(self, arm: str, target: float) -> None:
        """Give back from the upper end."""
        excess = self._held(arm) - target
        for plot in [p for p in self._plots if p.arm == arm][::-1]:
            if excess <= 0:
                return
            taken = min(excess, plot.high - plot.low)
            self._split(plot, plot.high - taken, plot.high, None)
            excess -= taken

    def _grow(self, arm: str, lacking: float, anchor: float, wanted: Callable[[Plot, str], bool]) -> None:
        """Take free buckets of the wanted kind, from the anchor upwards and then from 0."""
        self._cut(anchor)
        free = [p for p in self._plots if p.arm is None and wanted(p, arm)]
        for plot in sorted(free, key=lambda p: (p.low < anchor, p.low)):
            if lacking <= 0:
                return
            taken = min(lacking, plot.high - plot.low)
            self._split(plot, plot.low, plot.low + taken, arm)
            lacking -= taken

    def _cut(self, at: float) -> None:
        """Make a plot's edge of a bucket."""
        for plot in self._plots:
            if plot.low < at < plot.high:
                self._split(plot, at, plot.high, plot.arm)
                return

    def _split(self, plot: Plot, low: float, high: float, arm: str | None) -> None:
        """Let an arm have [low, high) of a plot."""
        parts = (replace(plot, high=low), replace(plot, low=low, high=high, arm=arm), replace(plot, low=high))
        i = self._plots.index(plot)
        self._plots[i : i + 1] = [part for part in parts if part.low < part.high]

    def _taken(self) -> tuple[Flow, ...]:
        """Buckets whose last exposed arm is not the one that holds them."""
        shares: dict[tuple[str, str], float] = {}
        for p in self._plots:
            if p.arm and p.former and p.arm != p.former:
                shares[p.former, p.arm] = shares.get((p.former, p.arm), 0.0) + p.high - p.low
        return tuple(Flow(before, after, share) for (before, after), share in sorted(shares.items()))

    @staticmethod
    def _own(plot: Plot, arm: str) -> bool:
        return plot.former == arm

    @staticmethod
    def _virgin(plot: Plot, arm: str) -> bool:
        return plot.former is None

    @staticmethod
    def _foreign(plot: Plot, arm: str) -> bool:
        return plot.former not in (None, arm)
