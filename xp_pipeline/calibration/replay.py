"""A/A replays: the units of a finished experiment split anew, again and again, through the pipeline's own inference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from xp_pipeline.calibration.bands import Band, band, claim_alpha
from xp_pipeline.calibration.model import Vector, within
from xp_pipeline.errors import PhaseOrderError, XpError

if TYPE_CHECKING:
    from xp_pipeline.lifecycle.sealed import Sealed
    from xp_pipeline.lifecycle.workspace import Workspace

BINS = 10
UNIFORM = 0.001
"""A Kolmogorov-Smirnov p-value below this says that p-values are not uniform."""

Progress = Callable[[int, int], None]
Key = tuple[str, str]
"""Metric and arm."""


@dataclass(frozen=True)
class Replayed:
    """How often a metric was significant although nothing but chance told the arms apart.

    Attributes:
        experiment, metric, arm: Whose data, and which comparison with control.
        estimator: The one that decisions read.
        alpha: The promised rate.
        replays: Splits whose test was defined.
        undefined: Splits whose test was not.
        rejected: False-positive rate.
        error: Its Monte-Carlo standard error.
        band: Where the rate lies, for all metrics together, in 99 of 100 calibrated projects.
        uniform_p: p-value of Kolmogorov and Smirnov's test that p-values are uniform.
        histogram: Splits by tenth of the p-value, from [0, 0.1) to [0.9, 1].
    """

    experiment: str
    metric: str
    arm: str
    estimator: str
    alpha: float
    replays: int
    undefined: int
    rejected: float
    error: float
    band: Band
    uniform_p: float
    histogram: tuple[int, ...]

    @property
    def verdict(self) -> str:
        """``in band``, ``out``, ``not uniform``, or ``undefined`` where no split had a test."""
        if not self.replays:
            return "undefined"
        if not self.band.holds(self.rejected):
            return "out"
        return "in band" if self.uniform_p >= UNIFORM else "not uniform"


def salt(experiment: str, replay: int) -> str:
    """The salt of a split: named, never chosen."""
    return f"xp calibrate/{experiment}/{replay}"


def replay(
    workspace: Workspace, promise: Sealed, *, replays: int, progress: Progress = lambda *_: None
) -> list[Replayed]:
    """Split the validated units of an experiment anew and infer as the lifecycle does, with every metric as sealed.

    Per-unit values are computed once; a split replaces arms by v2 buckets of a fresh salt, with the designed
    shares, and goes through the moments, caps, covariates, estimators and families of a final look. A true effect
    of the experiment does not matter: every unit keeps its value, and falls into a new arm by chance.

    Args:
        promise: A registered experiment whose population was validated.
        replays: How many splits.
        progress: Told of splits done, and of how many there are.

    Raises:
        PhaseOrderError, SRMError, BlockedError: as the gate says of the population.
    """
    if promise.bound.experiment.analysis.cluster:
        raise PhaseOrderError("its units were split by cluster; replays split by unit", where=promise.id)
    answers: dict[Key, list[float]] = {}
    estimators: dict[Key, str] = {}
    for done, rows in enumerate(_splits(workspace, promise, replays), start=1):
        progress(done, replays)
        for key, estimator, p_value in rows:
            answers.setdefault(key, []).append(p_value)
            estimators[key] = estimator
    alpha = promise.bound.experiment.analysis.alpha
    return [
        judged(promise.id, key, estimators[key], np.array(p_values), alpha=alpha, share=claim_alpha(len(answers)))
        for key, p_values in answers.items()
    ]


def _splits(workspace: Workspace, promise: Sealed, replays: int) -> Iterator[list[tuple[Key, str, float]]]:
    """The decisive rows of every split: metric and arm, estimator, p-value (NaN where undefined)."""
    from xp_pipeline.language.buckets import bucket_sql, choose_sql
    from xp_pipeline.lifecycle.assignment.arms import dropped_rows
    from xp_pipeline.lifecycle.frames import parquet
    from xp_pipeline.lifecycle.inference.analyse import setting_of
    from xp_pipeline.lifecycle.inference.infer import infer
    from xp_pipeline.lifecycle.measurement.adjust import POPULATIONS, populations
    from xp_pipeline.lifecycle.measurement.columns import Horizon, Plan
    from xp_pipeline.lifecycle.measurement.measure import measured
    from xp_pipeline.lifecycle.measurement.orders import with_orders
    from xp_pipeline.spec.phases import Phase

    validated = workspace.read(promise.id, Phase.VALIDATED_EXPOSURES, spec_hash=promise.spec_hash)
    until = validated.manifest.summary["until"]
    horizon = Horizon(datetime.fromisoformat(until) if until else None, promise.bound.end, promise.bound.timezone)
    population = populations(promise)[-1]
    units = POPULATIONS[population].format(units=parquet(validated.path("population.parquet")))
    plan = Plan(
        workspace,
        promise.bound.metrics.values(),
        horizon,
        dropped=lambda source: dropped_rows(promise.bound, source),
    )
    setting = setting_of(workspace, promise, final=True)
    limit = workspace.folder.project.engine.memory_limit
    with measured(units, plan, extra=["unit"], memory_limit=limit) as measurement:
        for i in range(replays):
            arm = choose_sql(bucket_sql(salt(promise.id, i), ["unit"]), _shares(promise))
            measurement.rows(f"UPDATE unit_values SET arm = {arm}")
            rows = infer(setting, {population: with_orders(measurement, measurement.readings())}, {}, read_outs=False)
            yield [
                ((row["metric"], row["arm"]), row["estimator"], _number(row.get("p_value")))
                for row in rows
                if row["decisive"] and row["arm"] in promise.bound.experiment.assignment.treatments
            ]


def _shares(promise: Sealed) -> dict[str, float]:
    """The designed split; an even one where it is unknown."""
    assignment = promise.bound.experiment.assignment
    return assignment.shares or dict.fromkeys(assignment.arms, 1 / len(assignment.arms))


def _number(p_value: float | None) -> float:
    return math.nan if p_value is None else p_value


def judged(experiment: str, key: Key, estimator: str, p_values: Vector, *, alpha: float, share: float) -> Replayed:
    """False-positive rate and histogram of a metric's p-values, judged at its share of the project's error."""
    from scipy.stats import kstest

    p = p_values[np.isfinite(p_values)]
    rate = float((p <= alpha).mean()) if p.size else math.nan
    error = math.sqrt(rate * (1 - rate) / p.size) if p.size else math.nan
    return Replayed(
        experiment,
        *key,
        estimator=estimator,
        alpha=alpha,
        replays=p.size,
        undefined=p_values.size - p.size,
        rejected=rate,
        error=error,
        band=band(within("rejected", alpha, 0.0), replicates=p.size, error=error, alpha=share),
        uniform_p=float(kstest(p, "uniform").pvalue) if p.size else math.nan,
        histogram=tuple(np.histogram(p, bins=BINS, range=(0, 1))[0].tolist()),
    )


def replayable(workspace: Workspace, experiments: Sequence[str]) -> Iterator[tuple[str, Sealed | XpError]]:
    """The promises of the experiments named, or of all; an error instead where there is no population to split."""
    from xp_pipeline.lifecycle.run import runnable
    from xp_pipeline.lifecycle.sealed import sealed
    from xp_pipeline.spec.phases import Phase

    for name in experiments or runnable(workspace):
        workspace.folder.experiment(name)
        try:
            promise = sealed(workspace, name)
            workspace.read(name, Phase.VALIDATED_EXPOSURES, spec_hash=promise.spec_hash)
        except XpError as error:
            yield name, error
        else:
            yield name, promise
