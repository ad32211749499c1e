"""What a replicate counts as."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xp_pipeline.calibration.findings import tally
from xp_pipeline.calibration.measures import absolute, collect, covering, decided, lifted
from xp_pipeline.stats.means import welch
from xp_pipeline.stats.moments import Moments
from xp_pipeline.stats.relative import fieller


def test_an_interval_covers_or_misses_on_one_side() -> None:
    assert covering(1.0, 2.0, 1.5) == {"covered": 1.0, "below": 0.0, "above": 0.0, "undefined": 0.0}
    assert covering(1.0, 2.0, 0.5)["below"] == 1.0
    assert covering(1.0, 2.0, 2.5)["above"] == 1.0
    assert covering(1.0, 2.0, 1.0)["covered"] == covering(1.0, 2.0, 2.0)["covered"] == 1.0


def test_an_undefined_interval_is_in_no_rate() -> None:
    assert covering(math.nan, math.nan, 0.0) == {"undefined": 1.0}
    assert decided(math.nan) == {}


def test_tests_reject_at_their_level() -> None:
    assert decided(0.05) == {"rejected": 1.0}
    assert decided(0.0501) == {"rejected": 0.0}
    assert decided(0.08, alpha=0.1) == {"rejected": 1.0}


def test_coverage_and_rejection_of_no_effect_are_dual() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        row = absolute(welch(Moments.of(rng.normal(size=8)), Moments.of(rng.normal(size=9))), 0.0)
        assert row["covered"] == 1 - row["rejected"]


def test_a_set_without_bounds_covers_what_it_contains_and_is_counted() -> None:
    line = fieller(0.1, 0.2, 1.0, 1.0, 0.0, 1.96)
    row = lifted(line, 3.0)
    assert row["covered"] == row["unbounded"] == 1.0
    assert math.isnan(row["covered when bounded"])


def test_a_gap_around_the_truth_is_a_miss() -> None:
    outside = fieller(0.1, 5.0, 0.01, 0.01, 0.0, 1.96)
    assert outside.excluded is not None
    gap = sum(outside.excluded) / 2
    row = lifted(outside, gap)
    assert row["covered"] == 0.0 and row["below"] + row["above"] == 1.0


def test_an_undefined_lift_is_in_no_rate() -> None:
    assert lifted(fieller(0.0, 1.0, 1.0, 1.0, 0.0, 1.96), 0.0) == {"undefined": 1.0, "unbounded": 0.0}


def test_what_a_replicate_leaves_out_is_left_out_of_its_mean() -> None:
    found = tally(collect([{"covered": 1.0, "undefined": 0.0}, {"undefined": 1.0}, {"covered": 0.0, "undefined": 0.0}]))
    assert (found["covered"].n, found["covered"].mean) == (2, 0.5)
    assert found["undefined"].mean == pytest.approx(1 / 3)


def test_the_monte_carlo_error_of_a_rate_is_the_binomial_one() -> None:
    found = tally({"rejected": np.repeat([1.0, 0.0], [30, 570])})["rejected"]
    assert found.mean == 0.05
    assert found.error == pytest.approx(math.sqrt(0.05 * 0.95 / 599))
    parts = [tally({"rejected": part})["rejected"] for part in (np.ones(30), np.zeros(570))]
    assert (parts[0] + parts[1]).error == pytest.approx(found.error)
