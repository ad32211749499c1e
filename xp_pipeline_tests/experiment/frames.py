"""Small trials as frames of every library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import polars as pl

from xp_pipeline.experiment import Experiment, MeanMetric, ProportionMetric, RatioMetric, RevenueMetric


def trial(n: int = 2_000, *, seed: int = 3, arms: tuple[str, ...] = ("control", "treatment")) -> pl.DataFrame:
    """Units with a spend, the same before, a conversion, clicks on views; arms of equal size, shuffled."""
    draw = np.random.default_rng(seed)
    before = draw.gamma(2.0, 5.0, n)
    return pl.DataFrame(
        {
            "user_id": np.arange(n),
            "group": draw.permutation(np.resize(np.array(arms), n)),
            "spend": before + draw.normal(1, 3, n),
            "before": before,
            "converted": (draw.random(n) < 0.2).astype(np.int64),
            "clicks": draw.poisson(2, n).astype(float),
            "views": draw.poisson(10, n).astype(float),
            "age": draw.integers(18, 80, n),
        }
    )


FRAMES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda df: df,
    "lazy": lambda df: df.lazy(),
    "pandas": lambda df: df.to_pandas(),
    "arrow": lambda df: df.to_arrow(),
    "duckdb": lambda df: duckdb.from_arrow(df.to_arrow()),
}

METRICS = (
    MeanMetric("Spend per user", value_col="spend", pre_period_col="before"),
    RevenueMetric("revenue", value_col="spend", cap={"percentile": 99}, role="secondary"),
    ProportionMetric("converted", value_col="converted", role="secondary"),
    RatioMetric("ctr", numerator_col="clicks", denominator_col="views", role="guardrail", margin="5%"),
)


def created(data: Any = None, **settings: Any) -> Experiment:
    """An experiment over a trial, in CREATED."""
    return Experiment(trial() if data is None else data, "group", "user_id", **settings)


def running(data: Any = None, **settings: Any) -> Experiment:
    """The same in RUNNING, with every kind of metric."""
    experiment = created(data, **settings).add_metrics(METRICS)
    experiment.design()
    return experiment.start()
