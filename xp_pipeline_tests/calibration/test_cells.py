"""The benchmark's cells are what the specification lists, and their twins are the shipped functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest

from xp_pipeline.calibration.cells import CELLS
from xp_pipeline.calibration.draws import Law, bernoulli, lognormal, normal, zero_heavy
from xp_pipeline.calibration.findings import TWIN_LIMIT
from xp_pipeline.calibration.looks import stops, watch
from xp_pipeline.calibration.model import Agreement, Study, agreement
from xp_pipeline.calibration.seeds import stream
from xp_pipeline.stats.boundaries import Look

LAWS = (normal(), lognormal(1.0), bernoulli(0.2), zero_heavy(0.05, 1.2))
TWINS = [(cell.id, study) for cell in CELLS.values() for study in cell.studies if study.twin]
PIPELINE = "C25"


def test_every_cell_of_the_specification_is_there_and_the_three_beside_them() -> None:
    assert list(CELLS) == [f"C{k}" for k in range(1, 29)]


def test_names_of_studies_are_unique_and_every_explanation_fits_one() -> None:
    for cell in CELLS.values():
        names = [study.name for study in cell.studies]
        assert len(set(names)) == len(names)
        assert all(any(name.startswith(beginning) for name in names) for beginning in cell.misses)


def test_every_study_claims_something_or_stands_beside_one_that_does() -> None:
    for cell in CELLS.values():
        assert any(claim.tested for study in cell.studies for claim in study.claims), cell.id
        assert all(study.claims for study in cell.studies)


@pytest.mark.parametrize("cell", [name for name in CELLS if name != PIPELINE])
def test_every_study_measures_what_it_claims(cell: str) -> None:
    for study in CELLS[cell].studies:
        count = 2000 if "chi-square" in study.name else 3
        measures = study.simulate(stream(cell, study.name, 0, 0), count)
        assert all(len(values) == count for values in measures.values())
        missing = {claim.measure for claim in study.claims} - set(measures)
        assert missing <= {"covered", "below", "above", "rejected", "covered when bounded"}, study.name


def test_chi_square_at_its_nominal_level_is_judged_on_a_million_replicates() -> None:
    once = [study for study in CELLS["C18"].studies if "once" in study.name]
    assert len(once) == 3 and {study.planned(full=True) for study in once} == {1_000_000}


@pytest.mark.parametrize(("cell", "study"), TWINS[:: max(len(TWINS) // 12, 1)], ids=lambda x: getattr(x, "name", x))
def test_a_vectorised_twin_is_the_shipped_function(cell: str, study: Study) -> None:
    assert study.twin is not None
    found = study.twin(stream(cell, study.name, 0, 1))
    assert found.replicates >= 20 and found.gap <= TWIN_LIMIT


def test_a_twin_that_differs_is_seen() -> None:
    assert agreement(np.array([1.0, np.nan]), np.array([1.0, np.nan])) == Agreement(2, 0.0)
    assert agreement(np.array([1.0, 2.0]), np.array([1.0, np.nan])).gap == math.inf
    assert agreement(np.array([4.0]), np.array([5.0])).gap == 0.25


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_laws_have_the_moments_they_say(law: Law) -> None:
    """200,000 values; five Monte-Carlo errors."""
    for lift in (0.0, 0.5):
        values = law.values(np.random.default_rng(5), (200_000,), lift)
        assert values.mean() == pytest.approx(law.mean * (1 + lift), abs=5 * values.std() / math.sqrt(values.size))
    plain = law.values(np.random.default_rng(6), (200_000,))
    fourth = ((plain - plain.mean()) ** 4).mean()
    assert plain.var() == pytest.approx(law.variance, abs=5 * math.sqrt(fourth / plain.size))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_sums_and_moments_come_from_the_same_distribution_as_values(law: Law) -> None:
    rng = np.random.default_rng(7)
    n, count = 400, 3_000
    sums, squares = law.sums(rng, (count,), n, 0.2)
    found = [m.mean[0] for m in law.moments(rng, count, n, 0.2)]
    raw = law.values(rng, (count, n), 0.2)
    assert kstest(sums / n + law.mean, raw.mean(axis=1)).pvalue > 1e-4
    assert kstest(found, raw.mean(axis=1)).pvalue > 1e-4
    assert kstest(squares, ((raw - law.mean) ** 2).sum(axis=1)).pvalue > 1e-4


def test_watched_arms_grow_from_look_to_look() -> None:
    watched = watch(normal(), np.random.default_rng(8), 500, [100, 250, 1000], lift=0.1)
    assert watched.mean.shape == watched.variance.shape == (500, 3, 2)
    assert np.corrcoef(watched.effect[:, 0], watched.effect[:, 2])[0, 1] == pytest.approx(math.sqrt(0.1), abs=0.2)
    estimate = watched.estimate(3, 1)
    assert estimate.n_control == 250
    assert estimate.effect == pytest.approx(watched.effect[3, 1])


def test_an_experiment_stops_at_the_first_boundary_it_crosses() -> None:
    looks = (Look(0.5, 0.01, 2.5, -2.5), Look(1.0, 0.025, 2.0, -2.0))
    ends = stops(looks, np.array([[2.6, -3.0], [0.0, -2.1], [0.0, 0.0], [-2.4, 1.0]]))
    assert ends.crossed.tolist() == [1, -1, 0, 0]
    assert ends.look.tolist() == [0, 1, 1, 1]
