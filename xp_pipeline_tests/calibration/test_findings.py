"""From sums to verdicts, and from verdicts to the page."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xp_pipeline.calibration import numbers, page
from xp_pipeline.calibration.findings import Calibration, Tally, Verdict, explained, judged
from xp_pipeline.calibration.model import Agreement, Cell, Study, at_least, shown, within
from xp_pipeline.calibration.runner import calibrate, chosen
from xp_pipeline.calibration.seeds import stream
from xp_pipeline.errors import SpecError

ALPHA = 1e-4


def _study(*claims: object) -> Study:
    return Study("a study", lambda rng, count: {"covered": np.ones(count)}, claims, 1000)  # type: ignore[arg-type]


def _rate(successes: int, n: int) -> Tally:
    return Tally(n, float(successes), float(successes))


def test_a_rate_within_its_band_holds_and_one_outside_does_not() -> None:
    study = _study(within("covered", 0.95, 0.005))
    good = judged(study, {"covered": _rate(9480, 10_000)}, None, replicates=10_000, alpha=ALPHA)
    bad = judged(study, {"covered": _rate(9200, 10_000)}, None, replicates=10_000, alpha=ALPHA)
    assert good.in_band and good.findings[0].verdict == Verdict.IN_BAND
    assert not bad.in_band and bad.findings[0].verdict == Verdict.OUT


def test_a_measure_that_no_replicate_defines_is_out_and_not_in_band() -> None:
    found = judged(_study(at_least("covered", 0.95)), {}, None, replicates=100, alpha=ALPHA)
    assert math.isnan(found.findings[0].estimate)
    assert not found.in_band


def test_a_shown_figure_is_never_out() -> None:
    found = judged(_study(shown("rejected", 0.05)), {"rejected": _rate(90, 100)}, None, replicates=100, alpha=ALPHA)
    assert found.in_band and found.findings[0].verdict == Verdict.SHOWN


def test_a_twin_that_differs_puts_its_study_out_of_band() -> None:
    tallies = {"covered": _rate(95, 100)}
    for gap, held in ((1e-12, True), (1e-6, False)):
        found = judged(_study(at_least("covered", 0.9)), tallies, Agreement(20, gap), replicates=100, alpha=ALPHA)
        assert found.in_band is held


def test_a_miss_has_the_explanation_of_its_cell_or_is_called_unexplained() -> None:
    study = _study(at_least("covered", 0.99))
    out = judged(study, {"covered": _rate(50, 100)}, None, replicates=100, alpha=ALPHA)
    cell = Cell("C1", "A title", "A sentence.", "a.function", (study,))
    assert explained(cell, (out,)).explanations["a study"].startswith("Not explained")
    known = replace(cell, misses={"a st": "The asymptotics are slow."})
    assert explained(known, (out,)).explanations == {"a study": "The asymptotics are slow."}


@pytest.fixture
def made() -> Calibration:
    study = _study(at_least("covered", 0.95), shown("rejected", 0.05))
    tallies = {"covered": _rate(9300, 10_000), "rejected": _rate(700, 10_000), "undefined": _rate(5, 10_000)}
    result = judged(study, tallies, Agreement(20, 1e-15), replicates=10_000, alpha=ALPHA)
    cell = Cell("C1", "Mean, 90/10", "A sentence.", "a.function", (study,), misses={"a": "Slow asymptotics."})
    return Calibration("full", "0.1.0", 400, 0.01, (explained(cell, (result,)),))


def test_the_page_says_every_figure_with_its_error_band_and_verdict(made: Calibration) -> None:
    text = page.page(made)
    assert "**0 of 1 claims in band**" in text
    assert "| [C1](#c1-mean-9010) | Mean, 90/10 | 1 | 1 | **1 OUT** |" in text
    assert "**93.00 ± 0.26 % [from 94.1" in text and "] OUT**" in text
    assert "7.00 ± 0.26 % |" in text
    assert "Slow asymptotics." in text
    assert "xp calibrate --full --out docs" in text


def test_a_page_without_misses_has_no_section_of_them(made: Calibration) -> None:
    kept = replace(made.cells[0], studies=(replace(made.cells[0].studies[0], findings=()),), explanations={})
    assert "## Out of band" in page.page(made)
    assert "## Out of band" not in page.page(replace(made, cells=(kept,)))


def test_the_table_has_every_figure_in_full(made: Calibration) -> None:
    rows = list(csv.DictReader(io.StringIO(page.table(made))))
    assert [row["measure"] for row in rows] == ["covered", "rejected"]
    assert float(rows[0]["estimate"]) == 0.93
    assert float(rows[0]["mc_error"]) == pytest.approx(math.sqrt(0.93 * 0.07 / 9999))
    assert rows[0]["verdict"] == "out" and rows[1]["verdict"] == "shown"
    assert float(rows[0]["undefined"]) == 0.0005


def test_figures_have_the_decimals_of_their_errors(made: Calibration) -> None:
    finding = made.cells[0].studies[0].findings[0]
    assert numbers.found(replace(finding, estimate=0.00123, error=0.00001)) == "0.1230 ± 0.0010 %"
    assert numbers.found(replace(finding, nominal=567.0, estimate=570.2, error=2.0)) == "570.2 ± 2.0"
    assert numbers.found(replace(finding, estimate=math.nan)) == "undefined"


def test_a_run_is_the_same_however_many_processes_draw_it(tmp_path: Path) -> None:
    cells = chosen(["C9"])
    told: list[tuple[str, int, int]] = []
    one = calibrate(cells, full=False, progress=lambda *step: told.append(step))
    two = calibrate(cells, full=False, processes=2)
    assert page.page(one) == page.page(two)
    assert told[-1][1] == told[-1][2] == len(told)
    assert [path.name for path in page.write(one, tmp_path)] == ["calibration.md", "calibration.csv"]


def test_a_cell_that_is_none_is_refused_with_its_nearest() -> None:
    assert [cell.id for cell in chosen(["c5", "C1"])] == ["C1", "C5"]
    with pytest.raises(SpecError, match="no such cell"):
        chosen(["C99"])


def test_the_subset_draws_a_tenth_but_never_too_few() -> None:
    study = _study(at_least("covered", 0.9))
    assert study.planned(full=True) == 1000 and study.planned(full=False) == 200
    assert replace(study, replicates=50_000).planned(full=False) == 5_000


def test_a_biased_interval_is_found_out() -> None:
    """An interval at 90 % that promises 95 % leaves its band in the subset already."""

    def simulate(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        return {"covered": (np.abs(rng.normal(size=count)) <= 1.645).astype(float)}

    measured = simulate(stream("test", "biased", 1, 0), 2_000)["covered"]
    found = judged(
        _study(within("covered", 0.95, 0.005)),
        {"covered": _rate(int(measured.sum()), 2_000)},
        None,
        replicates=2_000,
        alpha=2e-5,
    )
    assert not found.in_band
