"""The surviving path: against the normal, bivariate and trivariate normal, by other integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from xp_pipeline.stats import brownian
from xp_pipeline.stats.brownian import NEVER, Exits, Path

DRIFTS = (-4.0, 0.0, 1.0, 3.5, 9.0)


def survived(*looks: tuple[float, float, float], then: float) -> Path:
    """The path after looks (information, lower, upper), on a grid for what follows."""
    path = Path.start()
    following = [look[0] for look in looks[1:]] + [then]
    for (t, lower, upper), after in zip(looks, following, strict=True):
        path = path.advance(t, lower, upper, finest=min(t - path.information, after - t))
    return path


def second_by_quadrature(s: float, lower: float, upper: float, t: float, z: float, drift: float) -> float:
    """P(lower < Z_s < upper, Z_t >= z), adaptively, over the density of B_s."""

    def density(b: float) -> float:
        reach = (b + drift * (t - s) - z * math.sqrt(t)) / math.sqrt(t - s)
        return float(norm.pdf(b, drift * s, math.sqrt(s)) * norm.cdf(reach))

    ends = sorted((lower * math.sqrt(s), upper * math.sqrt(s)))
    return quad(density, *ends, epsabs=1e-15, epsrel=1e-12, limit=400)[0]


@pytest.mark.parametrize("drift", DRIFTS)
def test_the_first_look_is_a_normal_tail(drift: float) -> None:
    path = Path.start()
    assert path.above(0.3, 1.7, drift) == pytest.approx(norm.sf(1.7 - drift * math.sqrt(0.3)), rel=1e-13)
    assert path.below(0.3, 1.7, drift) == pytest.approx(norm.cdf(1.7 - drift * math.sqrt(0.3)), rel=1e-13)


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize(
    "looks", [(0.2, -2.4, 2.4, 1.0, 2.1), (0.9, -NEVER, 1.2, 0.95, 2.5), (0.5, 0.3, 2.8, 1.3, 2.0)]
)
def test_the_second_look_is_the_bivariate_normal(looks, drift: float) -> None:
    s, lower, upper, t, z = looks
    found = survived((s, lower, upper), then=t).above(t, z, drift)
    assert found == pytest.approx(second_by_quadrature(*looks, drift), rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("drift", [0.0, 2.5])
def test_the_fourth_look_is_the_multivariate_normal(drift: float) -> None:
    """Genz's algorithm over the joint law of four looks, to 1e-5 of its own error."""
    times = np.array([0.15, 0.4, 0.75, 1.0])
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    law = multivariate_normal(drift * np.sqrt(times), correlation, maxpts=10**6, seed=1)
    bounds = np.array([3.1, 2.6, 2.3, 2.1])
    path = survived(*((t, -c, c) for t, c in zip(times[:3], bounds[:3], strict=True)), then=1.0)
    wanted = law.cdf(np.array([3.1, 2.6, 2.3, np.inf]), lower_limit=np.array([-3.1, -2.6, -2.3, 2.1]))
    assert path.above(1.0, 2.1, drift) == pytest.approx(wanted, abs=1e-5)


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=6, unique=True), st.floats(-4, 4), st.floats(-3, 3))
def test_looks_that_cannot_stop_leave_a_normal(times: list[float], z: float, drift: float) -> None:
    times = [t for i, t in enumerate(sorted(times)) if i == 0 or t - sorted(times)[i - 1] > 1e-3]
    path = survived(*((t, -NEVER, NEVER) for t in times), then=1.0)
    assert path.above(1.0, z, drift) == pytest.approx(norm.sf(z - drift), rel=1e-9)


def test_tails_are_exact_far_out() -> None:
    path = survived((0.3, -NEVER, NEVER), (0.6, -NEVER, NEVER), then=1.0)
    assert path.log_above(1.0, 12.0) == pytest.approx(norm.logsf(12.0), rel=1e-9)
    assert path.log_above(1.0, 30.0) < -400


@pytest.mark.parametrize("drift", DRIFTS)
def test_every_path_ends_somewhere(drift: float) -> None:
    """Crossing either boundary at a look and surviving it add up to having survived until then."""
    before, t = survived((0.3, -2.5, 2.5), then=0.7), 0.7
    after = before.advance(t, -2.2, 2.2, finest=0.3)
    held = before.above(0.7, -NEVER, drift)
    ended = before.above(t, 2.2, drift) + before.below(t, -2.2, drift)
    assert after.above(1.0, -NEVER, drift) + ended == pytest.approx(held, abs=1e-12)


def test_the_mirror_swaps_the_sides() -> None:
    path = survived((0.3, -1.0, 2.5), then=1.0)
    assert path.mirrored().above(1.0, 2.0, -1.5) == pytest.approx(path.below(1.0, -2.0, 1.5), rel=1e-12)


@given(st.floats(1e-12, 0.3), st.floats(-2, 2))
def test_a_bound_has_the_probability_it_was_asked_for(probability: float, drift: float) -> None:
    path = survived((0.3, -2.5, 2.5), (0.5, -2.4, 2.4), then=0.9)
    possible = path.above(0.9, -NEVER, drift)
    z = path.upper_bound(0.9, probability * possible, drift)
    assert path.above(0.9, z, drift) == pytest.approx(probability * possible, rel=1e-9)


def test_what_cannot_be_spent_is_never_crossed() -> None:
    assert Path.start().upper_bound(0.5, 0.0) == NEVER


@given(st.floats(0.01, 100))
def test_only_ratios_of_information_count(unit: float) -> None:
    one = survived((0.3, -2.0, 2.5), then=1.0).above(1.0, 2.0, 1.0)
    other = survived((0.3 * unit, -2.0, 2.5), then=unit).above(unit, 2.0, 1.0 / math.sqrt(unit))
    assert other == pytest.approx(one, rel=1e-10)


def test_a_close_look_is_resolved() -> None:
    """A hundred-thousandth more information: the path crosses from just below the boundary only."""
    s, t = 0.5, 0.500005
    path = survived((s, -NEVER, 2.0), then=t)
    wanted = second_by_quadrature(s, 2.0 - 0.05, 2.0, t, 2.0, 0.0)
    assert path.above(t, 2.0) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("lower", [-NEVER, -2.3])
def test_a_grid_five_times_finer_changes_nothing(monkeypatch: pytest.MonkeyPatch, lower: float, drift: float) -> None:
    """Twenty looks close to each other and far apart, one-sided and two-sided."""
    times = [0.01, 0.02, 0.0201, 0.1, *(0.1 + 0.05 * k for k in range(1, 17))]
    looks = [(t, lower, 2.4) for t in times]
    coarse = survived(*looks, then=1.0).above(1.0, 2.2, drift)
    monkeypatch.setattr(brownian, "_PANEL", 1.5)
    assert coarse == pytest.approx(survived(*looks, then=1.0).above(1.0, 2.2, drift), rel=1e-11, abs=1e-20)


@pytest.mark.parametrize("drift", DRIFTS)
def test_exits_add_up_over_the_looks(drift: float) -> None:
    first, second = Path.start(), survived((0.3, -2.5, 2.5), then=0.7)
    exits = Exits.of([(first, 0.3, 2.5), (second, 0.7, 2.2)])
    assert exits.probability(drift) == pytest.approx(
        first.above(0.3, 2.5, drift) + second.above(0.7, 2.2, drift), rel=1e-12
    )
    assert Exits.of([]).probability(drift) == 0.0
