"""The page and the table of a calibration: every cell with words, figures, errors, bands and verdicts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from xp_pipeline.calibration import numbers
from xp_pipeline.calibration.findings import TWIN_LIMIT, Calibration, CellResult, Finding, StudyResult, Verdict

WIDEST = 5
"""Measures of a cell that are still columns; with more, every claim has its own line."""

_INTRODUCTION = """\
# Calibration

Every method that this package ships is held to its promise by simulation: where the truth is known, how often does
an interval cover it, how often does a test of nothing reject, how often does an experiment of the planned size find
the planned effect? This page is made by `xp calibrate {option} --out docs`; nobody edits it. `calibration.csv` beside
it has every figure in full.

* **Seeds are not chosen.** The random numbers of a study follow from the SHA-256 of its cell, its name and the
  version of the method. A study cannot be run again until it passes; a method whose numbers change is judged on
  fresh draws.
* **Figures have errors.** After ± stands the Monte-Carlo standard error of a figure, from its R replicates.
* **Bands are tests.** A claim has limits: what is promised, give or take a documented slack. The band, in brackets,
  widens them by Monte-Carlo error such that an honest run of the whole benchmark, all {claims:,} claims of it, leaves
  any band with probability {family:.0%} (exact binomial quantiles, Šidák). "in" and "OUT" say where a figure fell;
  a figure without either is shown for comparison, and nothing is claimed of it.
* **A cell stands until its method changes.** `--cells` runs some of them; the others stay as they were run last, by a
  run of the same size, unless their version or their studies changed since.
* **The shipped functions are judged.** Where a million calls would take hours, a vectorised twin draws the figures
  and is compared with the shipped function on fresh data; a difference above 1e-9 counts as out of band.
* **covered** is the share of intervals that contain the truth; **below** and **above** are the shares with the truth
  below, or above, the interval; **rejected** is the share of tests with p <= 0.05.
* **Undefined is counted.** A replicate without an answer enters no rate, and its share is shown. A set of lifts
  without bounds is reported as such, never as an interval; it covers what it contains.
"""


def page(calibration: Calibration) -> str:
    """The page, as Markdown."""
    introduction = _INTRODUCTION.format(
        option="--full" if calibration.run == "full" else "--subset",
        claims=calibration.claims,
        family=calibration.family_error,
    )
    parts = [introduction, _overview(calibration), _misses(calibration), *map(_cell, calibration.cells)]
    return "\n".join(part for part in parts if part)


def table(calibration: Calibration) -> str:
    """Every claim with every figure in full, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    for cell in calibration.cells:
        for study in cell.studies:
            writer.writerows(_row(calibration, cell, study, finding) for finding in study.findings)
    return text.getvalue()


def write(calibration: Calibration, folder: Path) -> list[Path]:
    """Write both into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / "calibration.md": page(calibration), folder / "calibration.csv": table(calibration)}
    for path, content in files.items():
        path.write_text(content, encoding="utf-8")
    return list(files)


def _overview(calibration: Calibration) -> str:
    judged = [f for c in calibration.cells for s in c.studies for f in s.findings if f.verdict != Verdict.SHOWN]
    kept = sum(f.verdict == Verdict.IN_BAND for f in judged)
    replicates = sum(s.replicates for c in calibration.cells for s in c.studies)
    lines = [
        f"**{kept:,} of {len(judged):,} claims in band**, {len(calibration.cells)} cells, {replicates:,} replicates. "
        f"Run: {calibration.run}. Version {calibration.code_version}.",
        "",
        "| cell | subject | studies | claims | verdict |",
        "|---|---|---|---|---|",
    ]
    for cell in calibration.cells:
        claims = sum(f.verdict != Verdict.SHOWN for s in cell.studies for f in s.findings)
        verdict = "in band" if cell.in_band else f"**{sum(not s.in_band for s in cell.studies)} OUT**"
        lines.append(f"| [{cell.id}](#{_anchor(cell)}) | {cell.title} | {len(cell.studies)} | {claims} | {verdict} |")
    return "\n".join(lines) + "\n"


def _anchor(cell: CellResult) -> str:
    """The link that GitHub gives the cell's heading."""
    kept = (c for c in f"{cell.id}: {cell.title}".lower() if c.isalnum() or c in " -")
    return "".join(kept).replace(" ", "-")


def _misses(calibration: Calibration) -> str:
    if not calibration.out:
        return ""
    lines = ["## Out of band", ""]
    for cell, study in calibration.out:
        lines.append(f"* **{cell.id}, {study.name}**: {_told(study)}. {cell.explanations[study.name]}")
    return "\n".join(lines) + "\n"


def _told(study: StudyResult) -> str:
    """The figures of a study that left their bands, or how far its twin is from the shipped function."""
    out = [finding for finding in study.findings if finding.verdict == Verdict.OUT]
    figures = [f"{f.measure} {numbers.found(f)}, band {numbers.band(f)}" for f in out]
    if study.twin and study.twin.gap > TWIN_LIMIT:
        figures.append(f"the vectorised twin is {study.twin.gap:.1e} from the shipped function")
    return "; ".join(figures)


def _cell(cell: CellResult) -> str:
    measures = list(dict.fromkeys(finding.measure for study in cell.studies for finding in study.findings))
    extras = [e for e in ("undefined", "unbounded") if any(getattr(study, e) > 0 for study in cell.studies)]
    lines = [f"## {cell.id}: {cell.title}", "", f"{cell.sentence} Judged: `{cell.method}`.", ""]
    lines += _long(cell) if len(measures) > WIDEST else _wide(cell, measures, extras)
    return "\n".join([*lines, "", *_twins(cell)])


def _wide(cell: CellResult, measures: list[str], extras: list[str]) -> Iterator[str]:
    """A study a line, a measure a column."""
    header = ["study", "R", *(_title(cell, measure) for measure in measures), *extras]
    yield from (_line(header), _line(["---"] * len(header)))
    yield from (_line(_cells(study, measures, extras)) for study in cell.studies)


def _long(cell: CellResult) -> Iterator[str]:
    """A claim a line."""
    header = ["study", "R", "measure", "promised", "found"]
    yield from (_line(header), _line(["---"] * len(header)))
    for study in cell.studies:
        for f in study.findings:
            yield _line([study.name, f"{study.replicates:,}", f.measure, numbers.promised(f), _text(f)])


def _title(cell: CellResult, measure: str) -> str:
    """A measure, with what is promised where all studies promise the same."""
    nominal = {numbers.promised(f) for s in cell.studies for f in s.findings if f.measure == measure}
    return f"{measure} ({nominal.pop()})" if len(nominal) == 1 else measure


def _cells(study: StudyResult, measures: list[str], extras: list[str]) -> Iterator[str]:
    by_measure = {finding.measure: finding for finding in study.findings}
    yield study.name
    yield f"{study.replicates:,}"
    for measure in measures:
        yield _text(by_measure[measure]) if measure in by_measure else ""
    for extra in extras:
        yield f"{getattr(study, extra):.2%}"


def _text(finding: Finding) -> str:
    mark = numbers.MARKS[finding.verdict]
    if not mark:
        return numbers.found(finding)
    told = f"{numbers.found(finding)} [{numbers.band(finding)}] {mark}"
    return f"**{told}**" if finding.verdict == Verdict.OUT else told


def _twins(cell: CellResult) -> list[str]:
    twins = [study.twin for study in cell.studies if study.twin]
    if not twins:
        return []
    compared, gap = sum(twin.replicates for twin in twins), max(twin.gap for twin in twins)
    return [
        f"Vectorised; on {compared:,} fresh replicates the largest difference from the shipped function is {gap:.1e}.",
        "",
    ]


def _line(cells: list[str] | Iterator[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


_HEADER = (
    "cell", "subject", "study", "method", "version", "run", "replicates", "measure", "promised", "low", "high",
    "band_low", "band_high", "estimate", "mc_error", "defined", "verdict", "undefined", "unbounded", "twin_gap",
    "twin_replicates",
)  # fmt: skip


def _row(calibration: Calibration, cell: CellResult, study: StudyResult, f: Finding) -> tuple[object, ...]:
    twin = (study.twin.gap, study.twin.replicates) if study.twin else ("", "")
    return (
        cell.id, cell.title, study.name, cell.method, cell.version, calibration.run, study.replicates, f.measure,
        f.nominal, f.low, f.high, f.band_low, f.band_high, f.estimate, f.error, f.replicates, str(f.verdict),
        study.undefined, study.unbounded, *twin,
    )  # fmt: skip
