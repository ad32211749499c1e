"""Learning against fixed allocation: regret by algorithm, and coverage of the intervals of what was collected.

    python benchmarks/learning.py [--regret 200] [--coverage 1000] [--only TEXT]

Every replicate is an experiment of 40 batches: an algorithm of the package allocates a batch, rewards are drawn, and
the algorithm consumes them. Regret is the reward that was missed against giving all units the best arm. Coverage is
the share of replicates whose 95 % interval of the effect of arm ``b`` against arm ``a`` contains it. Seeds are derived
from names. Figures in docs/learning.md are made by this script.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from xp_pipeline.calibration.seeds import stream
from xp_pipeline.delivery.algorithms import BatchAlgorithm, Rewards, algorithm_named
from xp_pipeline.stats.adaptive import adaptive_estimates
from xp_pipeline.stats.adaptive_batches import AdaptiveBatch
from xp_pipeline.stats.estimates import Estimate
from xp_pipeline.stats.moments import Moments

BATCHES = 40
VERSION = 1
ARMS = "abcdefgh"


class Study(NamedTuple):
    """An algorithm, what it meets, and how it is called.

    Attributes:
        name: What is printed.
        algorithm: Name and settings.
        arms: Mean of each arm.
        units: Units of a batch.
        drift: Amplitude of a wave of all means, in standard deviations (normal rewards only).
        binary: Whether rewards are 0 and 1; else normal with variance 1.
    """

    name: str
    algorithm: dict[str, Any]
    arms: tuple[float, ...]
    units: int
    drift: float = 0.0
    binary: bool = False


ALGORITHMS: dict[str, dict[str, Any]] = {
    "fixed": {"name": "fixed"},
    "epsilon-greedy, 0.1": {"name": "epsilon_greedy", "floor": 0.0},
    "UCB1": {"name": "ucb1"},
    "Thompson, Beta": {"name": "thompson_beta"},
    "Thompson, Gaussian": {"name": "thompson_gaussian"},
    "top-two, Beta": {"name": "top_two_beta"},
    "top-two, Gaussian": {"name": "top_two_gaussian"},
}
REGRET = [Study(name, made, (0.10, 0.10, 0.12), 150, binary=True) for name, made in ALGORITHMS.items()]
THOMPSON = {"name": "thompson_gaussian"}
COVERAGE = [
    Study("fixed, 2 arms, no effect", {"name": "fixed"}, (0.0, 0.0), 50),
    Study("Thompson, 2 arms, no effect", THOMPSON, (0.0, 0.0), 50),
    Study("Thompson, 2 arms, effect 0.2", THOMPSON, (0.0, 0.2), 50),
    Study("Thompson, 3 arms, no effect", THOMPSON, (0.0, 0.0, 0.0), 50),
    Study("Thompson, 3 arms, effect 0.2", THOMPSON, (0.0, 0.2, 0.0), 50),
    Study("Thompson, floor 0.01", {**THOMPSON, "floor": 0.01}, (0.0, 0.0), 50),
    Study("Thompson, wave of 1 sd", THOMPSON, (0.0, 0.0), 50, drift=1.0),
    Study("top-two, 3 arms, no effect", {"name": "top_two_gaussian"}, (0.0, 0.0, 0.0), 50),
    Study("epsilon-greedy, no effect", {"name": "epsilon_greedy"}, (0.0, 0.0), 50),
    Study("Thompson, Beta, 10 %", {"name": "thompson_beta"}, (0.1, 0.1), 200, binary=True),
]


def main() -> None:
    """Print the two tables of docs/learning.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regret", type=int, default=200, help="replicates of a regret study")
    parser.add_argument("--coverage", type=int, default=1000, help="replicates of a coverage study")
    parser.add_argument("--only", default="", help="studies whose name contains this text")
    given = parser.parse_args()
    print("| algorithm | regret | of fixed | finds the best |\n|---|---|---|---|")
    for study in REGRET:
        if given.only in study.name and given.regret:
            print(_regret(study, given.regret), flush=True)
    error = math.sqrt(0.95 * 0.05 / given.coverage) if given.coverage else 0.0
    print(f"\nstandard error of a coverage of 0.95: {error:.3f}")
    print("\n| collected by | naive | weighted | batched | width | bias of naive, weighted, batched |")
    print("|---|---|---|---|---|---|")
    for study in COVERAGE:
        if given.only in study.name and given.coverage:
            print(_coverage(study, given.coverage), flush=True)


def simulated(study: Study, random: Generator) -> list[AdaptiveBatch]:
    """One experiment, batch by batch."""
    names = ARMS[: len(study.arms)]
    algorithm: BatchAlgorithm[Any] = algorithm_named(**study.algorithm)
    state, found = algorithm.initial(len(names)), []
    for t in range(BATCHES):
        shares = algorithm.propensities(state)
        units = random.multinomial(study.units, np.array(shares) / sum(shares))
        rewards = [_drawn(study, t, mean, int(n), random) for mean, n in zip(study.arms, units, strict=True)]
        moments = {name: _moments(arm) for name, arm in zip(names, rewards, strict=True)}
        found.append(AdaptiveBatch(moments, dict(zip(names, shares, strict=True))))
        state = algorithm.consume(state, f"{t:03d}", rewards)
    return found


def _drawn(study: Study, t: int, mean: float, n: int, random: Generator) -> Rewards:
    """The mean and central sum of n rewards, drawn from their own distributions."""
    if n == 0:
        return Rewards()
    if study.binary:
        share = random.binomial(n, mean) / n
        return Rewards(n, share, n * share * (1 - share))
    centre = mean + study.drift * math.sin(t / 3)
    return Rewards(n, random.normal(centre, 1 / math.sqrt(n)), random.chisquare(n - 1) if n > 1 else 0.0)


def _moments(arm: Rewards) -> Moments:
    return Moments(int(arm.n), np.array([arm.mean]), np.array([[arm.central]]), float("nan"))


def _replicates(study: Study, times: int) -> list[list[AdaptiveBatch]]:
    return [simulated(study, stream("learning", study.name, VERSION, i)) for i in range(times)]


def _regret(study: Study, times: int) -> str:
    """A row: regret per 1,000 units, its share of a fixed allocation's, and how often the best arm looked best."""
    best, lost, found = max(study.arms), [], 0
    for batches in _replicates(study, times):
        units = [sum(batch.arm(name).n for batch in batches) for name in ARMS[: len(study.arms)]]
        lost.append(sum(n * (best - mean) for n, mean in zip(units, study.arms, strict=True)) / sum(units) * 1000)
        means = [float(Moments.merge(*(b.arm(name) for b in batches)).mean[0]) for name in ARMS[: len(study.arms)]]
        found += means.index(max(means)) == study.arms.index(best)
    fixed = statistics.fmean(best - mean for mean in study.arms) * 1000
    error = statistics.stdev(lost) / math.sqrt(times)
    regret = statistics.fmean(lost)
    return f"| {study.name} | {regret:.2f} ± {error:.2f} | {regret / fixed:.0%} | {found / times:.0%} |"


def _coverage(study: Study, times: int) -> str:
    """A row: coverage of each reading, the width of the weighted and batched beside the naive interval, and biases."""
    effect = study.arms[1] - study.arms[0]
    found = [adaptive_estimates(batches, control="a", treatment="b") for batches in _replicates(study, times)]
    readings = [[getattr(estimates, name) for estimates in found] for name in ("naive", "weighted", "batched")]
    covered = [statistics.fmean(e.low <= effect <= e.high for e in reading) for reading in readings]
    biases = [statistics.fmean(e.effect - effect for e in reading) for reading in readings]
    widths = [_width(reading) for reading in readings]
    shown = " | ".join(f"{share:.3f}" for share in covered)
    wider = ", ".join(f"{width / widths[0]:.2f}" for width in widths[1:])
    bias = ", ".join(f"{bias:+.4f}" for bias in biases)
    return f"| {study.name} | {shown} | {wider} | {bias} |"


def _width(reading: Sequence[Estimate]) -> float:
    return statistics.fmean(e.high - e.low for e in reading)


if __name__ == "__main__":
    main()
