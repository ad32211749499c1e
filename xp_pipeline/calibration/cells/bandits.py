"""The cell of adaptively collected data: C24."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.random import Generator

from xp_pipeline.calibration.measures import Row, collect
from xp_pipeline.calibration.model import Cell, Measures, Study, between, shown, within
from xp_pipeline.delivery.algorithms.rewards import Rewards
from xp_pipeline.delivery.algorithms.thompson import ThompsonGaussian
from xp_pipeline.stats.adaptive import adaptive_estimates
from xp_pipeline.stats.adaptive_batches import AdaptiveBatch
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.moments import Moments

BATCHES, UNITS = 40, 50
ARMS = ("control", "treatment", "other")


def _collected(rng: Generator, means: Sequence[float]) -> list[AdaptiveBatch]:
    """Batches of units with sd 1, each split as Thompson sampling's state after the last one says."""
    names, learner = ARMS[: len(means)], ThompsonGaussian()
    state, batches = learner.initial(len(means)), []
    for number in range(BATCHES):
        shares = learner.propensities(state)
        counts = rng.multinomial(UNITS, shares)
        arms = [Moments.of(rng.normal(mean, 1.0, n)) for mean, n in zip(means, counts, strict=True)]
        moments = {name: arm for name, arm in zip(names, arms, strict=True) if arm.n}
        batches.append(AdaptiveBatch(moments, dict(zip(names, shares, strict=True))))
        rewards = [Rewards(arm.n, float(arm.mean[0]), float(arm.comoment[0, 0])) for arm in arms]
        state = learner.consume(state, f"{number:02}", rewards)
    return batches


def _read(name: str, estimate: Estimate, effect: float) -> Row:
    covered = {f"{name} covered": float(estimate.low <= effect <= estimate.high)}
    return covered | {f"{name} bias (sd)": estimate.effect - effect}


def _study(name: str, means: Sequence[float]) -> Study:
    effect, replicates = means[1] - means[0], 2_000 if len(means) == 2 else 1_000

    def simulate(rng: Generator, count: int) -> Measures:
        rows = []
        for _ in range(count):
            found = adaptive_estimates(_collected(rng, means))
            readings = ("weighted", found.weighted), ("batched", found.batched), ("naive", found.naive)
            rows.append({k: v for reading, e in readings for k, v in _read(reading, e, effect).items()})
        return collect(rows)

    claims = (
        between("weighted covered", 0.95, 0.935, 0.96),
        within("weighted bias (sd)", 0.0, 0.01, "mean"),
        between("batched covered", 0.95, 0.935, 0.96),
        within("batched bias (sd)", 0.0, 0.01, "mean"),
        shown("naive covered", 0.95),
        shown("naive bias (sd)", 0.0, "mean"),
    )
    return Study(f"{name}, {BATCHES} batches of {UNITS}", simulate, claims, replicates, fewest=100, batch=100)


C24 = Cell(
    "C24",
    "Thompson sampling",
    "Of data that Thompson sampling collected, adaptively weighted scores and batched least squares tell the effect to "
    "0.01 sd on average, with intervals that cover; the naive comparison covers less where arms are equal, "
    "and is more biased where one is better (shown, not decided on).",
    "stats.adaptive.adaptive_estimates, delivery.algorithms.thompson.ThompsonGaussian",
    (
        _study("2 equal arms", (0.0, 0.0)),
        _study("2 arms, effect 0.2 sd", (0.0, 0.2)),
        _study("3 equal arms", (0.0, 0.0, 0.0)),
        _study("3 arms of means 0, 0.1 and 0.2 sd", (0.0, 0.1, 0.2)),
    ),
)
CELLS = (C24,)
