"""Salt search: it finds balance, says how hard it looked, and always answers the same."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from xp_pipeline.design.salts import LARGE_SMD, candidates, search
from xp_pipeline.errors import DataError, SpecError
from xp_pipeline.language.buckets import bucket, choose

EVEN = {"control": 1.0, "treatment": 1.0}


def people(n: int = 400, seed: int = 1) -> dict[str, np.ndarray]:
    """Two correlated metrics with heavy tails, before the experiment."""
    rng = np.random.default_rng(seed)
    visits = rng.poisson(4, n).astype(float)
    return {"visits": visits, "revenue": np.exp(rng.normal(size=n)) + visits}


def smd(values: np.ndarray, salt: str, shares: dict[str, float], arm: str) -> float:
    """Standardised difference of an arm from control, by the scalar bucket rule."""
    arms = np.array([choose(bucket(salt, unit), shares) for unit in range(len(values))])
    return float((values[arms == arm].mean() - values[arms == "control"].mean()) / values.std())


def test_the_chosen_salt_is_the_best_of_those_tried_and_beats_the_median_by_far() -> None:
    found = search(range(400), people(), EVEN, experiment="checkout", control="control")
    assert found.salts == candidates("checkout", 100)
    assert found.imbalance == found.imbalances.min() == found.imbalances[found.salts.index(found.salt)]
    assert found.units == 400
    spread = found.distribution()
    assert spread["min"] == found.imbalance < 0.25 * spread["median"] < spread["max"]
    assert max(abs(d) for arms in found.differences.values() for d in arms.values()) == found.imbalance < LARGE_SMD


def test_differences_are_those_of_the_arms_that_the_bucket_rule_gives() -> None:
    shares = {"a": 1.0, "control": 2.0, "b": 1.0, "off": 0.0}
    metrics = people()
    found = search(range(400), metrics, shares, experiment="e", control="control", tries=7)
    for name, values in metrics.items():
        for arm in ("a", "b"):
            assert found.differences[name][arm] == pytest.approx(smd(values, found.salt, shares, arm), abs=1e-12)


def test_the_search_answers_the_same_again_and_for_text_or_integers() -> None:
    units = np.arange(400)
    one = search(units, people(), EVEN, experiment="e", control="control", tries=20)
    other = search([str(u) for u in units], people(), EVEN, experiment="e", control="control", tries=20)
    framed = search(pl.Series(units), people(), EVEN, experiment="e", control="control", tries=20)
    assert one.salt == other.salt == framed.salt
    np.testing.assert_array_equal(one.imbalances, other.imbalances)
    assert search(units, people(), EVEN, experiment="f", control="control", tries=20).salts[0] == "f"


def test_one_try_is_the_salt_nobody_searched_for() -> None:
    found = search(range(400), people(), EVEN, experiment="e", control="control", tries=1)
    assert found.salts == ("e",) and found.salt == "e"
    assert set(found.distribution().values()) == {found.imbalance}


def test_more_tries_are_never_worse_and_their_number_is_told() -> None:
    found = [
        search(range(400), people(), EVEN, experiment="e", control="control", tries=tries) for tries in (1, 10, 50)
    ]
    assert [len(f.imbalances) for f in found] == [1, 10, 50]
    assert found[0].imbalance >= found[1].imbalance >= found[2].imbalance
    np.testing.assert_array_equal(found[2].imbalances[:10], found[1].imbalances)


def test_the_best_of_k_salts_is_about_the_kth_part_of_the_law_of_a_difference() -> None:
    """SMD of one metric at n/2 per arm is N(0, 4/n); the least of k absolute draws has mean sd sqrt(pi/2) / k.

    60 experiments; the least is nearly exponential, so the Monte-Carlo error of its mean is 1/sqrt(60) of it.
    """
    n, tries = 300, 25
    values = {"x": np.random.default_rng(3).normal(size=n)}
    least = [
        search(range(n), values, EVEN, experiment=f"e{i}", control="control", tries=tries).imbalance for i in range(60)
    ]
    expected = 2 / math.sqrt(n) * math.sqrt(math.pi / 2) / tries
    assert np.mean(least) == pytest.approx(expected, rel=4 / math.sqrt(60))


def test_mahalanobis_counts_a_repeated_metric_once() -> None:
    metrics = people()
    twice = {**metrics, "revenue again": metrics["revenue"] * 3 + 1}
    one, other = (
        search(range(400), m, EVEN, experiment="e", control="control", tries=30, criterion="mahalanobis")
        for m in (metrics, twice)
    )
    np.testing.assert_allclose(one.imbalances, other.imbalances, rtol=1e-6)
    x = np.column_stack(list(metrics.values()))
    arms = np.array([choose(bucket(one.salt, unit), EVEN) for unit in range(400)])
    d = x[arms == "treatment"].mean(axis=0) - x[arms == "control"].mean(axis=0)
    assert one.imbalance == pytest.approx(d @ np.linalg.inv(np.cov(x.T, bias=True)) @ d, rel=1e-9)


def test_missing_values_count_as_a_metric_of_their_own() -> None:
    values = people()["visits"]
    values[::3] = np.nan
    found = search(range(400), {"visits": values}, EVEN, experiment="e", control="control", tries=40)
    assert set(found.differences) == {"visits", "visits is present"}
    presence = (~np.isnan(values)).astype(float)
    assert found.differences["visits is present"]["treatment"] == pytest.approx(
        smd(presence, found.salt, EVEN, "treatment"), abs=1e-12
    )


def test_a_salt_that_leaves_an_arm_empty_is_never_chosen() -> None:
    tiny = {"x": np.array([1.0, 2.0, 4.0])}
    found = search(range(3), tiny, EVEN, experiment="e", control="control", tries=40)
    assert np.isinf(found.imbalances).any()
    assert math.isfinite(found.imbalance)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"units": []}, DataError, "one value per unit"),
        ({"units": [0, 0, 1]}, DataError, "every unit appears once"),
        ({"units": [0.5, 1.5, 2.5]}, DataError, "units are integers or text"),
        ({"metrics": {}}, DataError, "no metric varies"),
        ({"metrics": {"x": [1.0, 1.0, 1.0]}}, DataError, "no metric varies"),
        ({"metrics": {"x": [1.0, math.inf, 1.0]}}, DataError, "infinite"),
        ({"shares": {"control": 1.0, "treatment": 0.0}}, SpecError, "positive shares"),
        ({"control": "placebo"}, SpecError, "positive shares"),
        ({"tries": 0}, SpecError, "at least one salt"),
        ({"criterion": "luck"}, SpecError, "max_smd, mahalanobis"),
    ],
)
def test_searches_without_meaning_are_refused(changes: dict[str, object], error: type, message: str) -> None:
    given = {"units": [1, 2, 3], "metrics": {"x": [1.0, 2.0, 4.0]}, "shares": EVEN, "experiment": "e",
             "control": "control", "tries": 2}  # fmt: skip
    arguments = {**given, **changes}
    with pytest.raises(error, match=message):
        search(arguments.pop("units"), arguments.pop("metrics"), arguments.pop("shares"), **arguments)
