"""The power curve."""

from __future__ import annotations

import numpy as np
import pytest

from xp_pipeline.design.baseline import Baseline
from xp_pipeline.design.curves import power_curve
from xp_pipeline.design.detection import power_of


def test_the_curve_is_the_power_at_each_effect_in_its_shape() -> None:
    effects = np.array([[0.0, 0.1], [0.2, -0.2]])
    found = power_curve(Baseline(1.0, 1.0), effects=effects, n_control=200, n_treatment=300, alpha=0.01)
    assert found.shape == effects.shape
    for effect, power in zip(effects.ravel(), found.ravel(), strict=True):
        rates = {"n_control": 200, "n_treatment": 300, "alpha": 0.01}
        assert power == power_of(Baseline(1.0, 1.0), effect=float(effect), **rates)


def test_it_rises_from_alpha_and_is_symmetric() -> None:
    effects = np.linspace(0, 1, 40)
    rates = {"n_control": 100, "n_treatment": 100}
    up, down = (power_curve(Baseline(0.0, 1.0), effects=s * effects, **rates) for s in (1, -1))
    assert up[0] == pytest.approx(0.05)
    assert np.all(np.diff(up) > -1e-12)
    np.testing.assert_allclose(up, down, atol=1e-12)
