"""The third sums of a notebook's readings, adjusted and plain, are those of NumPy's residuals."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from xp_pipeline.experiment import evidence
from xp_pipeline.experiment.workspace import workspace_of
from xp_pipeline.lifecycle.measurement import measure
from xp_pipeline_tests.experiment.frames import running, trial


@pytest.mark.parametrize("most", [measure.MOST_CUBES, 0])
def test_third_sums_of_both_readings(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(measure, "MOST_CUBES", most)
    data = trial(60_000)
    experiment = running(data)
    declared, bound = experiment._declared, experiment._declared.bound()
    workspace = workspace_of(bound, declared.source())
    found = evidence.measure(experiment._frame, workspace, bound, arm="group", armless=False, caps={})
    adjusted, plain = ({r.metric: r for r in side} for side in (found.adjusted, found.plain))
    arms = [data.filter(pl.col("group") == arm) for arm in ("control", "treatment")]
    centred = [part.select("spend", "before").to_numpy() for part in arms]
    centred = [table - table.mean(axis=0) for table in centred]
    theta = sum(t[:, 0] @ t[:, 1] for t in centred) / sum(t[:, 1] @ t[:, 1] for t in centred)
    expected = [float(np.sum((t[:, 0] - theta * t[:, 1]) ** 3)) for t in centred]
    name = next(metric for metric, r in adjusted.items() if r.covariates)
    assert adjusted[name].thirds["treatment"] == pytest.approx(expected, rel=1e-9)
    assert not plain[name].thirds
    ratios = []
    for part in arms:
        y, d = part["clicks"].to_numpy(), part["views"].to_numpy()
        ratios.append(float(np.sum(((y - y.mean() / d.mean() * d) / d.mean()) ** 3)))
    for side in (adjusted, plain):
        assert side["ctr"].thirds["treatment"] == pytest.approx(ratios, rel=1e-9)
