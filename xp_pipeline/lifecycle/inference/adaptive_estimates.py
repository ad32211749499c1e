"""Effects under adaptive assignment: the naive reading beside the batched and the adaptively weighted one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xp_pipeline.lifecycle.assignment.versions import Versions
from xp_pipeline.lifecycle.comparisons import Comparison
from xp_pipeline.lifecycle.inference.strata import Strata
from xp_pipeline.lifecycle.measurement.measure import Cell, Reading
from xp_pipeline.spec.metric import Metric
from xp_pipeline.stats.adaptive import adaptively_weighted, batched
from xp_pipeline.stats.adaptive_batches import AdaptiveBatch
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.skew import tails_unreliable

NAIVE = "read as if the shares had been fixed: not to be decided on"


def is_weighted(metric: Metric, reading: Reading, shares: Strata | None) -> bool:
    """Whether a metric has adaptively weighted estimates: its units were assigned by published weights, and add up."""
    return isinstance(shares, Versions) and bool(reading.strata) and metric.type not in ("ratio", "quantile")


def as_if_fixed(found: Sequence[Estimate], shares: Strata | None) -> list[Estimate]:
    """The estimates, with a caution where the shares were adaptive."""
    return [e.cautioned(NAIVE) for e in found] if isinstance(shares, Versions) else list(found)


def adaptive_estimates(
    metric: Metric, reading: Reading, comparison: Comparison, segment: str, level: str, *, alpha: float, shares: Strata
) -> list[Estimate]:
    """The batched and, last, the adaptively weighted estimate; a batch is the units of a published version.

    Versions stand in the order of their publication, in which each one's shares rest on the outcomes of earlier ones.
    """
    batches = [
        _batch(shares[version], reading.strata[version], comparison, segment, level)
        for version in shares
        if version in reading.strata
    ]
    left = sum(_units(cells, segment, level) for name, cells in reading.strata.items() if name not in shares)
    said = f"{left:,} units that no published weights assigned are left out" if left else None
    tails = None if metric.binary else tails_unreliable(_whole(batches, _CONTROL), _whole(batches, _TREATMENT))
    found = [
        estimator(batches, control=_CONTROL, treatment=_TREATMENT, alpha=alpha)
        for estimator in (batched, adaptively_weighted)
    ]
    return [estimate.cautioned(said).cautioned(tails) for estimate in found]


_CONTROL, _TREATMENT, _OTHERS = "against", "arms", "others"


def _batch(
    shares: Mapping[str, float], cells: Mapping[Cell, Moments], comparison: Comparison, segment: str, level: str
) -> AdaptiveBatch:
    """The units of one version: both sides of the comparison, and all other arms."""
    others = [arm for arm in shares if arm not in (*comparison.against, *comparison.arms)]
    sides = {_CONTROL: comparison.against, _TREATMENT: comparison.arms, **({_OTHERS: tuple(others)} if others else {})}
    empty = Moments.empty(1)
    moments = {
        name: Moments.merge(empty, *(m.take([0]) for arm in arms if (m := cells.get(Cell(arm, segment, level)))))
        for name, arms in sides.items()
    }
    return AdaptiveBatch(moments, {name: sum(shares.get(arm, 0.0) for arm in arms) for name, arms in sides.items()})


def _whole(batches: Sequence[AdaptiveBatch], side: str) -> Moments:
    return Moments.merge(Moments.empty(1), *(batch.arm(side) for batch in batches))


def _units(cells: Mapping[Cell, Moments], segment: str, level: str) -> int:
    return sum(moments.n for cell, moments in cells.items() if (cell.segment, cell.level) == (segment, level))
