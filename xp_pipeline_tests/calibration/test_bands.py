"""Bands are simultaneous tests of their claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from xp_pipeline.calibration.bands import FAMILY_ERROR, Band, band, claim_alpha
from xp_pipeline.calibration.cells import CELLS, claims_of_all
from xp_pipeline.calibration.model import at_least, at_most, shown, within


def test_the_errors_of_all_claims_together_are_one_percent() -> None:
    for claims in (1, 10, 512):
        assert 1 - (1 - claim_alpha(claims)) ** claims == pytest.approx(FAMILY_ERROR, rel=1e-9)


def test_bands_are_simultaneous_over_every_tested_claim_of_every_study() -> None:
    tested = [claim for cell in CELLS.values() for study in cell.studies for claim in study.claims if claim.tested]
    assert claims_of_all() == len(tested) > 300


def test_a_rate_at_its_limit_leaves_the_band_with_the_claim_s_probability_at_most() -> None:
    ends = band(within("rejected", 0.05, 0.0), replicates=2000, error=math.nan, alpha=0.01)
    below, above = binom.cdf(ends.low * 2000 - 1, 2000, 0.05), binom.sf(ends.high * 2000, 2000, 0.05)
    assert 0.002 < below <= 0.005
    assert 0.002 < above <= 0.005


def test_one_sided_claims_spend_all_of_their_error_on_their_side() -> None:
    high = band(at_most("rejected", 0.05), replicates=2000, error=math.nan, alpha=0.01)
    low = band(at_least("covered", 0.95), replicates=2000, error=math.nan, alpha=0.01)
    assert high.low == -math.inf and low.high == math.inf
    assert 0.005 < binom.sf(high.high * 2000, 2000, 0.05) <= 0.01
    assert low.low == pytest.approx(1 - high.high)


def test_the_band_of_a_mean_is_its_limits_and_z_errors() -> None:
    ends = band(within("share", 0.5, 0.02, "mean"), replicates=100, error=0.01, alpha=0.1)
    assert ends == pytest.approx((0.48 - norm.isf(0.05) * 0.01, 0.52 + norm.isf(0.05) * 0.01))


def test_more_replicates_make_narrower_bands_and_slack_is_never_narrowed() -> None:
    claim = within("covered", 0.95, 0.005)
    few, many = (band(claim, replicates=r, error=math.nan, alpha=1e-5) for r in (1_000, 100_000))
    assert few.low < many.low < 0.945 and 0.955 < many.high < few.high


def test_a_claim_without_limits_has_no_band_and_is_not_tested() -> None:
    assert band(shown("rejected", 0.05), replicates=100, error=0.1, alpha=0.01) == (-math.inf, math.inf)
    assert not shown("rejected", 0.05).tested


def test_an_estimate_that_is_not_a_number_holds_no_claim() -> None:
    assert not Band(-math.inf, math.inf).holds(math.nan)
    assert not Band(0.0, 1.0).holds(1.1)


def test_an_honest_family_leaves_its_bands_once_in_a_hundred_times() -> None:
    """200 claims, 4,000 families: 1 % expected at most, Monte-Carlo error 0.16 points."""
    ends = band(within("rejected", 0.05, 0.0), replicates=5_000, error=math.nan, alpha=claim_alpha(200))
    rates = np.random.default_rng(20_240_101).binomial(5_000, 0.05, (4_000, 200)) / 5_000
    left = ((rates < ends.low) | (rates > ends.high)).any(axis=1).mean()
    assert 0.002 < left < 0.015
