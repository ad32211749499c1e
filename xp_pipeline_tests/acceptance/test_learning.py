"""The loop is closed: a service is served by what was learned from it, and the report is right about the effect."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from xp_pipeline.delivery.algorithms import algorithm_named
from xp_pipeline.lifecycle.publish import read
from xp_pipeline.lifecycle.run import run
from xp_pipeline.lifecycle.workspace import Workspace
from xp_pipeline.spec.ledger import EntryKind
from xp_pipeline.spec.phases import ExperimentState
from xp_pipeline.stats.adaptive import adaptive_estimates
from xp_pipeline.stats.adaptive_batches import AdaptiveBatch
from xp_pipeline.stats.moments import Moments
from xp_pipeline_tests.projects import EXAMPLES

SHOWN = re.compile(r"conversion, (\w+): \S+ \[(\S+), (\S+)\]; truly (\S+)")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The example's folder after its script has run, and what that has printed."""
    unmade = shutil.ignore_patterns("lake", "record", "generated")
    folder = Path(shutil.copytree(EXAMPLES / "learning", tmp_path_factory.mktemp("loop") / "learning", ignore=unmade))
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        runpy.run_path(str(folder / "learn.py"))["main"](["--users", "8400"])
    return folder / "project", shown.getvalue()


def test_the_allocation_shifts_and_the_service_follows(example: tuple[Path, str]) -> None:
    project, shown = example
    nights = [float(share) for share in re.findall(r"one_page (\d+\.\d)%", shown)]
    assert len(nights) == 14
    assert nights[0] == 50
    assert nights[-1] > 75
    users, better, moved = re.search(r"([\d,]+) users, ([\d,]+) of them with one page; moved: (\d+)", shown).groups()  # type: ignore[union-attr]
    assert (users, moved) == ("8,400", "0")
    expected = sum(600 * share / 100 for share in [50, *nights[:-1]])
    assert int(better.replace(",", "")) == pytest.approx(expected, rel=0.03)
    entries = Workspace.open(project).ledger.entries("checkout", EntryKind.ALLOCATION)
    assert len(entries) == 13


def test_the_report_is_right_about_the_effect_and_the_sample_ratio(example: tuple[Path, str]) -> None:
    project, shown = example
    found = {name: tuple(map(float, numbers)) for name, *numbers in SHOWN.findall(shown)}
    assert list(found) == ["welch", "batched", "adaptively_weighted"]
    low, high, truth = found["adaptively_weighted"]
    assert low < truth < high
    assert "sample ratio passed" in shown
    health = read(project / "lake", "health", "checkout").to_dicts()
    verdicts = {(row["check"], row["scope"]): row["verdict"] for row in health}
    assert verdicts["allocation", "all"] == verdicts["assignment_integrity", "design"] == "passed"
    assert {verdict for (check, _), verdict in verdicts.items() if check == "srm_day"} == {"passed"}
    assert Workspace.open(project).ledger.state("checkout") == ExperimentState.REPORTED


def test_a_later_run_changes_nothing(example: tuple[Path, str]) -> None:
    project, _ = example
    before = {path: path.read_bytes() for path in (project / "record" / "allocations").rglob("*.json")}
    assert run(Workspace.open(project), "checkout").status == "done"
    assert {path: path.read_bytes() for path in (project / "record" / "allocations").rglob("*.json")} == before


def test_the_declared_log_is_the_one_that_the_script_declares(example: tuple[Path, str]) -> None:
    declared = EXAMPLES / "learning" / "project" / "sources" / "served.yaml"
    made = example[0] / "sources" / "served.yaml"
    assert yaml.safe_load(made.read_text()) == yaml.safe_load(declared.read_text())


@pytest.mark.slow
def test_the_intervals_cover_the_truth_in_repetitions() -> None:
    """The example's users and weights without its pipeline, 500 times; a coverage of 95 % has an error of 1 point."""
    random = np.random.default_rng(11)
    found = np.array([_repeated(random) for _ in range(500)])
    naive, weighted, batched = found.mean(axis=0)
    assert abs(weighted - 0.95) < 0.03
    assert abs(batched - 0.95) < 0.03
    assert 0.9 < naive < 0.98


def _repeated(random: np.random.Generator) -> list[bool]:
    """Whether the naive, the weighted and the batched interval cover 0.04."""
    algorithm = algorithm_named("thompson_beta", floor=0.1)
    state, shares = algorithm.initial(2), (0.5, 0.5)
    days: list[tuple[tuple[float, ...], list[Moments]]] = []
    for day in range(14):
        treated = int(random.binomial(1000, shares[1]))
        drawn = [random.binomial(1, rate, n) for rate, n in ((0.20, 1000 - treated), (0.24, treated))]
        days.append((tuple(shares), [Moments.of(values.astype(float)) for values in drawn]))
        if day:  # the purchases of a day are known a day later
            rewards = [(m.n, float(m.mean[0]), float(m.comoment[0, 0])) for m in days[day - 1][1]]
            state = algorithm.consume(state, f"{day - 1:02d}", rewards)
            shares = algorithm.propensities(state)
    batches = [
        AdaptiveBatch(dict(zip("ct", m, strict=True)), dict(zip("ct", s, strict=True))) for s, m in _merged(days)
    ]
    estimates = adaptive_estimates(batches, control="c", treatment="t")
    return [e.low < 0.04 < e.high for e in (estimates.naive, estimates.weighted, estimates.batched)]


def _merged(days: list[tuple[tuple[float, ...], list[Moments]]]) -> list[tuple[tuple[float, ...], list[Moments]]]:
    """Days with the same shares as one batch."""
    found: list[tuple[tuple[float, ...], list[Moments]]] = []
    for shares, moments in days:
        if found and found[-1][0] == shares:
            moments = [Moments.merge(*pair) for pair in zip(found.pop()[1], moments, strict=True)]
        found.append((shares, moments))
    return found
