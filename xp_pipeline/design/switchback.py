"""Switchback schedules: a unit's arm changes from time block to time block, with trimmed edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from xp_pipeline.design.ranges import Range, Ranges, arm_at, arm_sql, cumulative, gridded
from xp_pipeline.design.times import MICROSECOND, utc
from xp_pipeline.engine.predicates import literal
from xp_pipeline.errors import SpecError
from xp_pipeline.language.buckets import bucket, bucket_sql

LONGEST_CYCLE = 64


@dataclass(frozen=True)
class Cell:
    """A unit in a time block: what is randomised, and the cluster that the analysis counts.

    Attributes:
        cluster: ``unit#block``, the cluster key.
        block: Index of the block, 0 for the first.
        arm: The arm of the unit in the block.
        analysable: Whether the moment lies outside burn-in and burn-out.
    """

    cluster: str
    block: int
    arm: str
    analysable: bool


@dataclass(frozen=True)
class Switchback:
    """A schedule of time blocks of one length, in each of which every unit has one arm.

    Without ``cycle`` each cell (unit, block) is drawn by its own bucket from the shares. With it, each ``cycle``
    consecutive blocks of a unit hold every arm as often as its share says, in random order: cycle 2 at equal
    shares makes pairs whose two arms are adjacent in time. Blocks have a fixed length in elapsed time: where clocks
    change, they begin an hour earlier or later by the clock.

    Attributes:
        start, end: First moment, and first moment no longer scheduled (None: open); without a zone in UTC.
        block: Length of a block.
        shares: Weight by arm, of any positive sum.
        salt: Of the experiment.
        burn_in, burn_out: Cut from the beginning and the end of every block, where the former and the next arm
            may still, or already, be felt. Every block is cut, whether or not its neighbour has another arm, so that
            what is analysed does not hang on the draw.
        cycle: Consecutive blocks over which a unit's arms have exactly their shares; None draws each block alone.

    Raises:
        SpecError: a length without meaning, burns that leave nothing, or a cycle that the shares do not divide.
    """

    start: datetime
    block: timedelta
    shares: Mapping[str, float]
    salt: str
    end: datetime | None = None
    burn_in: timedelta = timedelta(0)
    burn_out: timedelta = timedelta(0)
    cycle: int | None = None

    def __post_init__(self) -> None:
        if self.block <= timedelta(0):
            raise SpecError("a block lasts some time", found=self.block)
        if min(self.burn_in, self.burn_out) < timedelta(0) or self.burn_in + self.burn_out >= self.block:
            raise SpecError(
                "burn-in and burn-out leave nothing of a block",
                found=f"{self.burn_in} and {self.burn_out} of {self.block}",
                allowed="together less than a block, neither negative",
            )
        if self.end and utc(self.end) <= utc(self.start):
            raise SpecError("the schedule ends after it starts", found=self.end.isoformat())
        _ = self._table

    @cached_property
    def _table(self) -> Ranges:
        """Ranges of arms: of buckets in [0, 1), or of middles of ranks in a cycle."""
        bounds, low, table = cumulative(self.shares), 0.0, []
        for arm, bound in bounds:
            high = bound if self.cycle is None else gridded(_whole(self.cycle, bound, self.shares) / self.cycle)
            if low < high:
                table.append(Range(low, high, arm))
            low = high
        return tuple(table)

    def cell(self, unit: str | int, moment: datetime) -> Cell | None:
        """The cell of a unit at a moment; None outside the schedule."""
        if utc(moment) < utc(self.start) or (self.end and utc(moment) >= utc(self.end)):
            return None
        block, passed = divmod(utc(moment) - utc(self.start), self.block)
        analysable = self.burn_in <= passed < self.block - self.burn_out
        return Cell(f"{unit}#{block}", block, self.arm(unit, block), analysable)

    def arm(self, unit: str | int, block: int) -> str:
        """The arm of a unit in a block."""
        u = bucket(self.salt, unit, block)
        if self.cycle is not None:
            first = block - block % self.cycle
            cycle = [bucket(self.salt, unit, first + j) for j in range(self.cycle)]
            u = (sum(other < u for other in cycle) + 0.5) / self.cycle
        found = arm_at(self._table, u)
        assert found is not None
        return found

    def cells_sql(self, relation: str, unit: str, moment: str) -> str:
        """The same as a query: every row of a relation with ``cluster``, ``block``, ``arm`` and ``analysable``.

        Args:
            relation: A table, view or query in parentheses, without columns of these names or named ``elapsed`` or
                ``draw``; rows outside the schedule are left out.
            unit: Column of the unit, integers or text.
            moment: Column of moments in UTC without a zone.
        """
        length = self.block // MICROSECOND
        early, late = self.burn_in // MICROSECOND, (self.block - self.burn_out) // MICROSECOND
        until = f" AND {moment} < {literal(self.end)}" if self.end else ""
        return f"""
WITH timed AS (
    SELECT *, date_diff('microsecond', {literal(self.start)}, {moment}) AS elapsed
    FROM {relation}
    WHERE {moment} >= {literal(self.start)}{until}
),
blocks AS (
    SELECT *, CAST(floor(elapsed / {literal(float(length))}) AS BIGINT) AS block FROM timed
),
drawn AS (
    SELECT *, {self._draw_sql(unit)} AS draw FROM blocks
)
SELECT
    * EXCLUDE (elapsed, draw),
    CAST({unit} AS VARCHAR) || '#' || CAST(block AS VARCHAR) AS cluster,
    {arm_sql(self._table, "draw")} AS arm,
    elapsed - block * {length} >= {early} AND elapsed - block * {length} < {late} AS analysable
FROM drawn
""".strip()

    def _draw_sql(self, unit: str) -> str:
        u = bucket_sql(self.salt, [unit, "block"])
        if self.cycle is None:
            return u
        others = (bucket_sql(self.salt, [unit, f"block - block % {self.cycle} + {j}"]) for j in range(self.cycle))
        below = " + ".join(f"CASE WHEN {other} < {u} THEN 1 ELSE 0 END" for other in others)
        return f"({below} + 0.5) / {self.cycle}"


def _whole(cycle: int, bound: float, shares: Mapping[str, float]) -> int:
    """The number of blocks up to a cumulative share, which must be whole."""
    blocks = round(cycle * bound) if 1 < cycle <= LONGEST_CYCLE else -1
    if blocks < 0 or abs(blocks - cycle * bound) > 1e-6:
        raise SpecError(
            "the shares do not divide a cycle of blocks",
            found=f"{cycle} blocks at {dict(shares)}",
            allowed=f"2 to {LONGEST_CYCLE} blocks, each arm a whole number of them",
        )
    return blocks
